//! One trace for each order's way, from its versions to the calls that brought them, to an OpenTelemetry collector.
//!
//! All ids are digests of what they stand for: whichever process does something for an order, on whichever machine and however
//! much later, adds to the same trace, and nobody has to tell anybody. A version is a span without a parent; each call to a
//! destination is one below the version that it brings, and carries its id there (`traceparent`).
//!
//! Spans hold ids, states and codes, never what an order holds. What a collector does not take is dropped: nothing waits for it.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanExporter as _, SpanLinks, SpanProcessor as _},
};
use reqwest::{RequestBuilder, header::HeaderValue};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tracing::warn;

use super::chain;
use crate::{
    config::TraceSettings,
    domain::ids::{OrderId, OrderKey, SinkName, SourceName, Version},
};

/// Longest wait for a collector.
const EXPORT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for what is left when the process ends.
const LAST_EXPORT_LIMIT: Duration = Duration::from_secs(3);

tokio::task_local! {
    static CARRIED: HeaderValue;
}

#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("the HTTP client of the traces cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("the exporter of the traces cannot be built")]
    Exporter(#[source] ExporterBuildError),
}

/// Where spans go; nowhere unless `[traces]` says so.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Exporting>>);

struct Exporting {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    sample_percent: u64,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}

/// A call to a destination for one order: what its span is told apart by.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub sink: &'a SinkName,
    pub order: &'a OrderKey,
    pub version: Version,
    pub attempt: u32,
    pub step: &'a str,
    pub started_at: DateTime<Utc>,
}

/// What a call came to.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    pub at: DateTime<Utc>,
    /// As `attempts.outcome`.
    pub outcome: &'static str,
    pub reason: Option<&'a str>,
    pub http_status: Option<u16>,
}

/// A version that was stored.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    pub source: &'a SourceName,
    pub order_id: &'a OrderId,
    pub version: Version,
    /// The platform's word.
    pub status: &'a str,
    pub verdict: &'static str,
    pub began_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
}

impl Traces {
    /// Must be called within a runtime, which the exports then use. `owner` tells processes apart.
    pub fn start(settings: Option<&TraceSettings>, owner: &str) -> Result<Self, TracesError> {
        let Some(settings) = settings else { return Ok(Self::default()) };
        let http = crate::http::client_builder().user_agent(concat!("scoffable-sync/", env!("CARGO_PKG_VERSION")));
        let http = http.timeout(EXPORT_LIMIT).build().map_err(TracesError::Client)?;
        let secret =
            |(name, value): (&String, &crate::config::Secret)| (name.clone(), value.value().expose_secret().to_owned());
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client { http, runtime: Handle::current(), failures: Arc::default() })
            .with_endpoint(settings.endpoint.as_url().as_str())
            .with_headers(settings.headers.iter().map(secret).collect::<HashMap<_, _>>())
            .with_timeout(EXPORT_LIMIT)
            .build()
            .map_err(TracesError::Exporter)?;
        let resource = Resource::builder_empty()
            .with_service_name("scoffable-sync")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", owner.to_owned()),
            ])
            .build();
        exporter.set_resource(&resource);
        Ok(Self(Some(Arc::new(Exporting {
            processor: BatchSpanProcessor::builder(exporter).build(),
            scope: InstrumentationScope::builder("scoffable-sync").build(),
            sample_percent: u64::from(settings.sample_percent),
        }))))
    }

    /// Sends what is left, for a moment. Blocks.
    pub fn finish(&self) {
        let Self(Some(to)) = self else { return };
        if let Err(error) = to.processor.shutdown_with_timeout(LAST_EXPORT_LIMIT) {
            warn!(error = chain(&error), "last traces not exported");
        }
    }

    /// Tells that a version was stored. The same version told again is the same span.
    pub fn stored(&self, stored: Stored<'_>) {
        let Some((to, trace)) = self.sampled(stored.source, stored.order_id) else { return };
        let Stored { source, order_id, version, status, verdict, began_at, ended_at } = stored;
        to.processor.on_end(SpanData {
            name: "version stored".into(),
            attributes: vec![
                KeyValue::new("source.name", source.to_string()),
                KeyValue::new("order.id", order_id.to_string()),
                KeyValue::new("order.version", version.0),
                KeyValue::new("order.status", status.to_owned()),
                KeyValue::new("order.verdict", verdict),
            ],
            ..to.span(
                trace,
                span_of_version(source, order_id, version),
                SpanId::INVALID,
                SpanKind::Consumer,
                began_at,
                ended_at,
            )
        });
    }

    /// Tells what a call came to.
    pub fn ended(&self, call: Call<'_>, ended: Ended<'_>) {
        let Some((to, trace)) = self.sampled(&call.order.source, &call.order.order_id) else { return };
        let Call { sink, order, version, attempt, step, started_at } = call;
        let mut attributes = vec![
            KeyValue::new("sink.name", sink.to_string()),
            KeyValue::new("source.name", order.source.to_string()),
            KeyValue::new("order.id", order.order_id.to_string()),
            KeyValue::new("order.version", version.0),
            KeyValue::new("delivery.attempt", i64::from(attempt)),
            KeyValue::new("outcome", ended.outcome),
        ];
        attributes.extend(ended.reason.map(|reason| KeyValue::new("reason", reason.to_owned())));
        // Source: OpenTelemetry semantic conventions, "HTTP spans".
        let status = ended.http_status.map(|status| KeyValue::new("http.response.status_code", i64::from(status)));
        attributes.extend(status);
        let failure = || Status::Error { description: Cow::Owned(ended.reason.unwrap_or(ended.outcome).to_owned()) };
        let parent = span_of_version(&order.source, &order.order_id, version);
        to.processor.on_end(SpanData {
            name: format!("{sink} {step}").into(),
            attributes,
            status: if ended.outcome == "delivered" { Status::Unset } else { failure() },
            ..to.span(trace, call.span(), parent, SpanKind::Client, started_at, ended.at)
        });
    }

    /// Runs what makes a call, whose requests then tell the destination which span they belong to.
    pub async fn within<T>(&self, call: Call<'_>, work: impl Future<Output = T>) -> T {
        let sampled = self.sampled(&call.order.source, &call.order.order_id);
        match sampled.and_then(|(_, trace)| traceparent(trace, call.span())) {
            Some(parent) => CARRIED.scope(parent, work).await,
            None => work.await,
        }
    }

    /// None: nothing is told of this order. All processes choose the same orders.
    fn sampled(&self, source: &SourceName, order_id: &OrderId) -> Option<(&Exporting, TraceId)> {
        let to = self.0.as_deref()?;
        let digest = digest(&["order", source.as_str(), order_id.as_str()]);
        let (trace, rest) = digest.split_first_chunk::<16>()?;
        let draw = u64::from_be_bytes(*rest.first_chunk::<8>()?) % 100;
        (draw < to.sample_percent).then(|| (to, TraceId::from_bytes(*trace)))
    }
}

impl Exporting {
    fn span(
        &self,
        trace: TraceId,
        id: SpanId,
        parent: SpanId,
        kind: SpanKind,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> SpanData {
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            // Another process may have stored the version.
            parent_span_is_remote: parent != SpanId::INVALID,
            span_kind: kind,
            name: Cow::Borrowed(""),
            start_time: start.into(),
            end_time: end.into(),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl Call<'_> {
    fn span(&self) -> SpanId {
        let (version, attempt) = (self.version.0.to_string(), self.attempt.to_string());
        let started = self.started_at.timestamp_micros().to_string();
        span_of(&[
            "call",
            self.sink.as_str(),
            self.order.source.as_str(),
            self.order.order_id.as_str(),
            &version,
            &attempt,
            self.step,
            &started,
        ])
    }
}

fn span_of_version(source: &SourceName, order_id: &OrderId, version: Version) -> SpanId {
    span_of(&["version", source.as_str(), order_id.as_str(), &version.0.to_string()])
}

fn span_of(parts: &[&str]) -> SpanId {
    SpanId::from_bytes(*digest(parts).first_chunk().expect("a digest is longer"))
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Source: W3C Trace Context, "traceparent Header".
fn traceparent(trace: TraceId, span: SpanId) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("00-{trace}-{span}-01")).ok()
}

/// A request with the span of the call that it belongs to, if any is traced.
pub fn carried(request: RequestBuilder) -> RequestBuilder {
    match CARRIED.try_with(Clone::clone) {
        Ok(parent) => request.header("traceparent", parent),
        Err(_) => request,
    }
}

/// Posts from the exporter's thread by the runtime of everything else.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    /// In a row.
    failures: Arc<AtomicU32>,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let (client, failures) = (self.http.clone(), Arc::clone(&self.failures));
        let exchange = async move {
            let answer = client.execute(request.try_into()?).await?;
            let mut response = http::Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.body_mut() = answer.bytes().await?;
            Ok::<_, reqwest::Error>(response)
        };
        let answer = self.runtime.spawn(exchange).await?.map_err(reqwest::Error::without_url);
        let wrong = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("status {}", answer.status().as_u16())),
            Err(error) => Some(chain(error)),
        };
        match wrong {
            None => failures.store(0, Ordering::Relaxed),
            Some(error) if (failures.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two() => {
                warn!(error, "traces not exported: the collector does not take them");
            }
            Some(_) => {}
        }
        Ok(answer?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: &str) -> OrderKey {
        OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new(id) }
    }

    #[test]
    fn ids_follow_from_what_they_stand_for() {
        let sink = SinkName::parse("books").unwrap();
        let (one, other) = (order("5500017"), order("5500018"));
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        let call = Call { sink: &sink, order: &one, version: Version(3), attempt: 1, step: "invoice", started_at: at };

        assert_eq!(call.span(), call.span());
        let of_version = |id: &OrderKey, version| span_of_version(&id.source, &id.order_id, Version(version));
        assert_eq!(of_version(&one, 3), of_version(&one, 3));
        assert_ne!(of_version(&one, 3), of_version(&one, 4));
        assert_ne!(of_version(&one, 3), of_version(&other, 3));
        for another in [
            Call { order: &other, ..call },
            Call { version: Version(4), ..call },
            Call { attempt: 2, ..call },
            Call { step: "payment", ..call },
            Call { started_at: at + Duration::from_millis(1), ..call },
        ] {
            assert_ne!(call.span(), another.span(), "{another:?}");
        }
        assert_ne!(span_of(&["a", "bc"]), span_of(&["ab", "c"]), "where a part ends counts");
    }

    #[test]
    fn a_traceparent_is_that_of_the_specification() {
        let (trace, span) = (TraceId::from_bytes([0xab; 16]), SpanId::from_bytes([0x01; 8]));

        let header = traceparent(trace, span).unwrap();

        assert_eq!(header, "00-abababababababababababababababab-0101010101010101-01");
    }

    #[tokio::test]
    async fn without_a_traced_call_a_request_carries_nothing() {
        let request = carried(crate::http::client_builder().build().unwrap().get("http://localhost/")).build().unwrap();

        assert!(request.headers().is_empty());
    }
}
