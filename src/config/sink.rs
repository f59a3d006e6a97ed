//! `[sinks.<name>]`: a destination, with what all kinds have in common. Each kind's own keys are in its sink's folder.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    catalogue::Kept,
    duration::{self, RawDuration},
    field::{Field, Parse, RawTable, Table, Wrong, choice, known_keys},
    limits::{LimitSettings, RawLimits},
    problems::Section,
    retry::{BreakerSettings, RawBreaker, RawRetry, RetrySettings},
    source::SourceSettings,
};
#[cfg(feature = "failpoints")]
use crate::sinks::scripted::config::{RawScripted, ScriptedSettings};
use crate::{
    domain::{
        ids::{SinkName, SourceName},
        limits::Window,
    },
    sinks::{
        customers::Customers,
        godatafeed::{
            CALLS_PER_MINUTE,
            config::{GodatafeedSettings, RawGodatafeed},
        },
        lightspeed::config::{LightspeedSettings, RawLightspeed},
        spoton::{
            config::{RawSpoton, SpotonSettings},
            vendors::Vendor,
        },
        unleashed::config::{RawUnleashed, UnleashedSettings},
        webhook::config::{RawWebhook, WebhookSettings},
        xero::config::{RawXero, XeroSettings},
    },
};

/// What the file may say about a sink of any kind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawSinkCommon {
    /// What the sink is: `"webhook"`, `"spoton"`, `"godatafeed"`, `"xero"`, `"unleashed"` or `"lightspeed"`.
    kind: Field<Kind>,
    /// Name of a sink that must have applied the order first.
    after: Field<String>,
    /// Longest wait for that sink; then the order is skipped here, with the reason.
    dependency_wait: Field<RawDuration>,
    /// How long an order must stay without a new version before it is sent.
    stable_for: Field<RawDuration>,
    /// `"latest"` sends only the newest version, `"every"` each one in turn.
    versions: Field<Versions>,
    /// Statuses that are sent.
    statuses: Field<Vec<SinkStatus>>,
    /// Permits `statuses` without `"cancelled"`: cancelled orders then go on standing in the destination.
    allow_missing_cancellations: Field<bool>,
    /// Only orders of these vendor locations.
    vendors: Field<Vec<String>>,
    /// Only orders of these types, as `"collection"` and `"delivery"`.
    order_types: Field<Vec<String>>,
    /// Only orders from these sources, by the names of their tables.
    sources: Field<Vec<String>>,
    /// Where a new sink begins: `"activation"`, `"beginning"`, or an instant.
    start: Field<Start>,
    /// Most requests at a time.
    #[schemars(range(min = 1, max = 512))]
    concurrency: Field<u32>,
    /// Longest wait for a whole answer.
    request_timeout: Field<RawDuration>,
    /// Waits after failures.
    retry: Field<Table<RawRetry>>,
    /// When a failing destination is left alone.
    breaker: Field<Table<RawBreaker>>,
    /// How many calls the destination may get.
    limits: Field<Table<RawLimits>>,
    /// Whether the sink begins paused. `sink resume` and `sink pause` change it later.
    paused: Field<bool>,
}

/// A sink's table in the JSON Schema: the common keys and those of its kind.
#[derive(Debug)]
pub struct RawSink;

impl JsonSchema for RawSink {
    fn schema_name() -> Cow<'static, str> {
        "Sink".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = RawSinkCommon::json_schema(generator);
        let kind = |kind: Kind, own: Schema| {
            let mut schema = common.clone().to_value();
            let properties = own.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            if let Some(known) = schema["properties"].as_object_mut() {
                known.extend(properties);
                known["kind"]["const"] = kind.as_str().into();
                let (stable_for, concurrency) = kind.pace();
                known["stable_for"]["default"] = duration::shown(stable_for).into();
                known["concurrency"]["default"] = concurrency.into();
            }
            schema["additionalProperties"] = false.into();
            schema["required"] = serde_json::json!(["kind"]);
            schema
        };
        let kinds = [
            kind(Kind::Webhook, RawWebhook::json_schema(generator)),
            kind(Kind::Spoton, RawSpoton::json_schema(generator)),
            kind(Kind::Godatafeed, RawGodatafeed::json_schema(generator)),
            kind(Kind::Xero, RawXero::json_schema(generator)),
            kind(Kind::Unleashed, RawUnleashed::json_schema(generator)),
            kind(Kind::Lightspeed, RawLightspeed::json_schema(generator)),
        ];
        schemars::json_schema!({ "oneOf": kinds })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Webhook,
    Spoton,
    Godatafeed,
    Xero,
    Unleashed,
    Lightspeed,
    #[cfg(feature = "failpoints")]
    Scripted,
}
choice!(Kind {
    Webhook = "webhook", Spoton = "spoton", Godatafeed = "godatafeed", Xero = "xero", Unleashed = "unleashed",
    Lightspeed = "lightspeed";
    #[cfg(feature = "failpoints")] Scripted = "scripted"
});

impl Kind {
    /// `stable_for` and `concurrency` where the file is silent: a ledger wants an order final.
    fn pace(self) -> (Duration, u32) {
        match self {
            Self::Webhook | Self::Spoton | Self::Godatafeed => (Duration::ZERO, 8),
            Self::Xero => (Duration::from_mins(90), 3),
            Self::Unleashed => (Duration::from_mins(90), 2),
            Self::Lightspeed => (Duration::from_mins(90), 2),
            #[cfg(feature = "failpoints")]
            Self::Scripted => (Duration::ZERO, 8),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Older versions that were never sent are passed over.
    Latest,
    /// Each admitted version is sent, ascending.
    Every,
}
choice!(Versions { Latest = "latest", Every = "every" });

/// A status whose orders a sink can be told to take. `placed` and `rejected` are missing: they owe no sink anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SinkStatus {
    Accepted,
    Cancelled,
}

impl SinkStatus {
    pub const WORDS: [&str; 2] = ["accepted", "cancelled"];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for SinkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SinkStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Parse for SinkStatus {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("accepted") => Ok(Self::Accepted),
            Some("cancelled") => Ok(Self::Cancelled),
            Some(status @ ("placed" | "rejected")) => Err(Wrong::new(
                format!("{status:?} orders are never sent to a sink"),
                "remove it: they are kept, and sent once they become \"accepted\"",
            )),
            _ => Err(super::field::not_a_choice(&value, &Self::WORDS)),
        }
    }
}

impl JsonSchema for SinkStatus {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SinkStatus".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
    }
}

/// Which orders a sink owes that was just added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Every version that arrives after the sink was first configured.
    Activation,
    /// All that is stored, too.
    Beginning,
    /// Stored orders placed since this instant, too.
    At(DateTime<Utc>),
}

impl Parse for Start {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("activation") => Ok(Self::Activation),
            Some("beginning") => Ok(Self::Beginning),
            _ => DateTime::parse(value.clone()).map(Self::At).map_err(|_| {
                let suggestion = "write \"activation\", \"beginning\" or an instant, as \"2026-01-01T00:00:00Z\"";
                Wrong::new(format!("{} is no place to start", super::field::brief(&value)), suggestion)
            }),
        }
    }
}

impl JsonSchema for Start {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [{ "enum": ["activation", "beginning"] }, { "type": "string", "format": "date-time" }]
        })
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Activation => serializer.serialize_str("activation"),
            Self::Beginning => serializer.serialize_str("beginning"),
            Self::At(instant) => serializer.serialize_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SinkSettings {
    #[serde(flatten)]
    pub kind: SinkKind,
    #[serde(flatten)]
    pub common: SinkCommon,
}

/// The kind of a sink with what only that kind has.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SinkKind {
    Webhook(WebhookSettings),
    Spoton(Box<SpotonSettings>),
    Godatafeed(Box<GodatafeedSettings>),
    Xero(Box<XeroSettings>),
    Unleashed(Box<UnleashedSettings>),
    Lightspeed(Box<LightspeedSettings>),
    #[cfg(feature = "failpoints")]
    Scripted(ScriptedSettings),
}

impl SinkKind {
    /// As in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => Kind::Webhook.as_str(),
            Self::Spoton(_) => Kind::Spoton.as_str(),
            Self::Godatafeed(_) => Kind::Godatafeed.as_str(),
            Self::Xero(_) => Kind::Xero.as_str(),
            Self::Unleashed(_) => Kind::Unleashed.as_str(),
            Self::Lightspeed(_) => Kind::Lightspeed.as_str(),
            #[cfg(feature = "failpoints")]
            Self::Scripted(_) => Kind::Scripted.as_str(),
        }
    }

    /// Whether what is posted there is worth something, which receipts tell as `money` and `reconcile` proves.
    pub fn carries_money(&self) -> bool {
        match self {
            Self::Webhook(_) | Self::Godatafeed(_) => false,
            Self::Spoton(_) | Self::Xero(_) | Self::Unleashed(_) | Self::Lightspeed(_) => true,
            #[cfg(feature = "failpoints")]
            Self::Scripted(_) => true,
        }
    }

    /// The lane of each vendor that has one, never "": what is wrong with one lane holds up no other. All other vendors
    /// share one.
    pub fn lanes(&self) -> BTreeMap<String, String> {
        match self {
            Self::Webhook(_) | Self::Godatafeed(_) | Self::Xero(_) | Self::Unleashed(_) | Self::Lightspeed(_) => {
                BTreeMap::new()
            }
            Self::Spoton(spoton) => {
                let lane = |(id, vendor): (&String, &Vendor)| (id.clone(), vendor.location_id.clone());
                spoton.vendors.iter().map(lane).collect()
            }
            #[cfg(feature = "failpoints")]
            Self::Scripted(till) => till.lanes.clone(),
        }
    }

    /// What is kept of its products and customers, where it has any.
    pub fn catalogue(&self) -> Option<Kept<'_>> {
        match self {
            Self::Webhook(_) | Self::Spoton(_) | Self::Godatafeed(_) => None,
            Self::Xero(books) => Some(books.kept()),
            Self::Lightspeed(shop) => Some(shop.kept()),
            Self::Unleashed(stock) => Some(stock.kept()),
            #[cfg(feature = "failpoints")]
            Self::Scripted(_) => None,
        }
    }

    /// How it tells customers apart, where it does.
    pub fn customers(&self) -> Option<&Customers> {
        match self {
            Self::Webhook(_) | Self::Spoton(_) | Self::Godatafeed(_) => None,
            Self::Xero(books) => Some(&books.contacts.customers),
            Self::Lightspeed(shop) => Some(&shop.customers),
            Self::Unleashed(stock) => Some(&stock.customers),
            #[cfg(feature = "failpoints")]
            Self::Scripted(_) => None,
        }
    }

    /// Notes the account of each source, where there are several: what follows from an order's id alone would not be unique.
    pub(super) fn learn_accounts(&mut self, sources: &BTreeMap<SourceName, SourceSettings>) {
        let Self::Lightspeed(shop) = self else { return };
        let accounts: BTreeSet<&str> = sources.values().map(|source| source.account.as_str()).collect();
        if accounts.len() > 1 {
            shop.accounts = sources.iter().map(|(name, source)| (name.clone(), source.account.clone())).collect();
        }
    }

    /// Of a ledger of record: whether another one may keep the same vendor's books.
    pub(super) fn permits_other_ledgers(&self) -> Option<bool> {
        match self {
            Self::Webhook(_) | Self::Spoton(_) | Self::Godatafeed(_) => None,
            Self::Xero(books) => Some(books.allow_multiple_ledgers),
            Self::Unleashed(stock) => Some(stock.allow_multiple_ledgers),
            Self::Lightspeed(shop) => Some(shop.allow_multiple_ledgers),
            #[cfg(feature = "failpoints")]
            Self::Scripted(_) => None,
        }
    }

    /// The vendors that it names itself, each with where its orders go; it skips those of all others. None: `vendors` of what all
    /// sinks have in common says whose orders it gets.
    pub(super) fn own_vendors(&self) -> Option<Vec<&str>> {
        match self {
            Self::Webhook(_) | Self::Godatafeed(_) | Self::Xero(_) => None,
            Self::Spoton(spoton) => Some(spoton.vendors.keys().map(String::as_str).collect()),
            Self::Unleashed(stock) => Some(stock.vendors.keys().map(String::as_str).collect()),
            Self::Lightspeed(shop) => Some(shop.vendors.keys().map(String::as_str).collect()),
            #[cfg(feature = "failpoints")]
            Self::Scripted(_) => None,
        }
    }

    /// The documented limits of this kind's destination, and whose calls they count.
    pub fn default_limits(&self) -> (Counted, Vec<(Window, u32)>) {
        match self {
            Self::Webhook(_) => (Counted::PerSink, Vec::new()),
            // Source: SpotOn, Rate Limiting: 50 a second and 1,500 a minute for the application, over all its locations.
            // Less is enough.
            Self::Spoton(_) => (Counted::PerSink, vec![(Window::Second, 5), (Window::Minute, 600)]),
            Self::Godatafeed(_) => (Counted::PerSink, vec![(Window::Minute, CALLS_PER_MINUTE)]),
            Self::Xero(xero) => (Counted::PerSink, xero.tier.limits().to_vec()),
            Self::Unleashed(stock) => (Counted::PerSink, stock.limits()),
            Self::Lightspeed(shop) => (Counted::PerSink, shop.limits()),
            #[cfg(feature = "failpoints")]
            Self::Scripted(_) => (Counted::PerSink, Vec::new()),
        }
    }
}

/// Whose calls a destination counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Those of the whole sink.
    PerSink,
    /// Those of each location or organisation by itself.
    PerLane,
}

impl SinkSettings {
    /// How many calls each window may hold: as configured, else as the kind has it. A window without limit is missing.
    pub fn call_limits(&self) -> (Counted, Vec<(Window, u32)>) {
        let (counted, defaults) = self.kind.default_limits();
        let limit = |window| match self.common.limits.of(window) {
            Some(configured) => configured.calls(),
            None => defaults.iter().find(|(default, _)| *default == window).map(|(_, calls)| *calls),
        };
        (counted, Window::ALL.into_iter().filter_map(|window| Some((window, limit(window)?))).collect())
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SinkCommon {
    /// A configured sink, never this one, never in a circle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<SinkName>,
    #[serde(serialize_with = "duration::serialize")]
    pub dependency_wait: Duration,
    /// Zero: sent at once.
    #[serde(serialize_with = "duration::serialize")]
    pub stable_for: Duration,
    pub versions: Versions,
    /// Never empty.
    pub statuses: BTreeSet<SinkStatus>,
    pub allow_missing_cancellations: bool,
    /// `None`: of every vendor. Never empty, like the two below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendors: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<SourceName>>,
    pub start: Start,
    /// 1 to 512.
    pub concurrency: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub request_timeout: Duration,
    pub retry: RetrySettings,
    pub breaker: BreakerSettings,
    #[serde(skip_serializing_if = "LimitSettings::is_empty")]
    pub limits: LimitSettings,
    pub paused: bool,
}

/// The names that the file's tables have, whatever else is wrong with them.
#[derive(Debug)]
pub(super) struct Names {
    pub sources: BTreeSet<String>,
    pub sinks: BTreeSet<String>,
}

/// Reads one sink's table. The common part is returned in any case, so that it can be held against other tables.
pub(super) fn validate(
    entries: Map<String, Value>,
    name: &SinkName,
    names: &Names,
    section: &mut Section<'_>,
) -> (SinkCommon, Option<SinkKind>) {
    let mut raw = RawSinkCommon::from_entries(entries.clone());
    let kind = section.require("kind", std::mem::take(&mut raw.kind), "kind = \"webhook\"");
    if matches!(kind, Some(Kind::Spoton | Kind::Unleashed | Kind::Lightspeed)) {
        // Names the vendors itself, and where each is.
        raw.vendors = Field::default();
    }
    let common = raw.validate(kind, name, names, section);
    let kind = match kind {
        None => None,
        Some(Kind::Webhook) => {
            section.refuse_unknown(&entries, &[known_keys::<RawSinkCommon>(), known_keys::<RawWebhook>()].concat());
            RawWebhook::from_entries(entries).validate(section).map(SinkKind::Webhook)
        }
        Some(Kind::Spoton) => {
            section.refuse_unknown(&entries, &[known_keys::<RawSinkCommon>(), known_keys::<RawSpoton>()].concat());
            if common.versions == Versions::Every {
                section.problem(
                    "versions",
                    "\"every\" would have a kitchen cook versions that are outdated already",
                    "leave the key out: the newest version is submitted",
                );
            }
            RawSpoton::from_entries(entries).validate(section).map(Box::new).map(SinkKind::Spoton)
        }
        Some(Kind::Godatafeed) => {
            section.refuse_unknown(&entries, &[known_keys::<RawSinkCommon>(), known_keys::<RawGodatafeed>()].concat());
            let settings = RawGodatafeed::from_entries(entries).validate(&common, section);
            settings.map(|settings| SinkKind::Godatafeed(Box::new(settings)))
        }
        Some(Kind::Xero) => {
            section.refuse_unknown(&entries, &[known_keys::<RawSinkCommon>(), known_keys::<RawXero>()].concat());
            let settings = RawXero::from_entries(entries).validate(&common, section);
            settings.map(|settings| SinkKind::Xero(Box::new(settings)))
        }
        Some(Kind::Unleashed) => {
            section.refuse_unknown(&entries, &[known_keys::<RawSinkCommon>(), known_keys::<RawUnleashed>()].concat());
            let settings = RawUnleashed::from_entries(entries).validate(&common, section);
            settings.map(|settings| SinkKind::Unleashed(Box::new(settings)))
        }
        Some(Kind::Lightspeed) => {
            section.refuse_unknown(&entries, &[known_keys::<RawSinkCommon>(), known_keys::<RawLightspeed>()].concat());
            let settings = RawLightspeed::from_entries(entries).validate(&common, section);
            settings.map(|settings| SinkKind::Lightspeed(Box::new(settings)))
        }
        #[cfg(feature = "failpoints")]
        Some(Kind::Scripted) => {
            section.refuse_unknown(&entries, &[known_keys::<RawSinkCommon>(), known_keys::<RawScripted>()].concat());
            RawScripted::from_entries(entries).validate(section).map(SinkKind::Scripted)
        }
    };
    (common, kind)
}

impl RawSinkCommon {
    fn validate(self, kind: Option<Kind>, name: &SinkName, names: &Names, section: &mut Section<'_>) -> SinkCommon {
        let (stable_for, concurrency) = kind.map_or((Duration::ZERO, 8), Kind::pace);
        let allow_missing =
            section.take("allow_missing_cancellations", self.allow_missing_cancellations).unwrap_or(false);
        SinkCommon {
            after: validate_after(self.after, name, names, section),
            dependency_wait: section
                .duration("dependency_wait", self.dependency_wait, Duration::ZERO)
                .unwrap_or(Duration::from_hours(24)),
            stable_for: section.duration("stable_for", self.stable_for, Duration::ZERO).unwrap_or(stable_for),
            versions: section.take("versions", self.versions).unwrap_or(Versions::Latest),
            statuses: validate_statuses(self.statuses, allow_missing, section),
            allow_missing_cancellations: allow_missing,
            vendors: section.list("vendors", self.vendors),
            order_types: validate_order_types(self.order_types, section),
            sources: validate_sources(self.sources, names, section),
            start: section.take("start", self.start).unwrap_or(Start::Activation),
            concurrency: section.number("concurrency", self.concurrency, 1..=512).unwrap_or(concurrency),
            request_timeout: section
                .duration("request_timeout", self.request_timeout, Duration::from_millis(100))
                .unwrap_or(Duration::from_secs(15)),
            retry: section.table("retry", self.retry, RawRetry::validate),
            breaker: section.table("breaker", self.breaker, RawBreaker::validate),
            limits: section.table("limits", self.limits, RawLimits::validate),
            paused: section.take("paused", self.paused).unwrap_or(false),
        }
    }
}

/// Circles of several sinks are found by [`super::contradictions`].
fn validate_after(field: Field<String>, name: &SinkName, names: &Names, section: &mut Section<'_>) -> Option<SinkName> {
    let after = section.take("after", field)?;
    if after == name.as_str() {
        section.problem(
            "after",
            "names this sink itself: it would wait for ever",
            "name another sink, or leave the key out",
        );
        return None;
    }
    if !names.sinks.contains(&after) {
        let others = names.sinks.iter().filter(|other| *other != name.as_str()).cloned().collect();
        section.problem("after", format!("there is no sink {after:?}"), one_of(&after, &others, "sink"));
        return None;
    }
    SinkName::parse(&after).ok()
}

fn validate_sources(field: Field<Vec<String>>, names: &Names, section: &mut Section<'_>) -> Option<Vec<SourceName>> {
    let sources = section.list("sources", field)?;
    for source in sources.iter().filter(|source| !names.sources.contains(*source)) {
        section.problem("sources", format!("there is no source {source:?}"), one_of(source, &names.sources, "source"));
    }
    Some(sources.iter().filter_map(|source| SourceName::parse(source).ok()).collect())
}

fn one_of(written: &str, names: &BTreeSet<String>, what: &str) -> String {
    if let Some(meant) = super::problems::nearest(written, names.iter().map(String::as_str)) {
        return format!("did you mean {meant:?}?");
    }
    if names.is_empty() {
        return format!("there is no other {what}: leave the key out");
    }
    let all = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    format!("name a configured {what}: {all}")
}

fn validate_statuses(
    field: Field<Vec<SinkStatus>>,
    allow_missing: bool,
    section: &mut Section<'_>,
) -> BTreeSet<SinkStatus> {
    let statuses = section.list("statuses", field).unwrap_or(vec![SinkStatus::Accepted, SinkStatus::Cancelled]);
    let statuses = BTreeSet::from_iter(statuses);
    let open_ended = statuses.contains(&SinkStatus::Accepted) && !statuses.contains(&SinkStatus::Cancelled);
    if open_ended && !allow_missing && section.none_about(&["statuses", "allow_missing_cancellations"]) {
        section.problem(
            "statuses",
            "has \"accepted\" without \"cancelled\": an order that is cancelled later would go on standing in the destination",
            "add \"cancelled\", or `allow_missing_cancellations = true` where that is meant",
        );
    }
    statuses
}

/// Source: Scoffable developer documentation 1.0.0, "Order", field `type`.
const ORDER_TYPES: [&str; 2] = ["collection", "delivery"];

fn validate_order_types(field: Field<Vec<String>>, section: &mut Section<'_>) -> Option<Vec<String>> {
    let types = section.list("order_types", field)?;
    for unknown in types.iter().filter(|order_type| !ORDER_TYPES.contains(&order_type.as_str())) {
        section.warn(
            "order_types",
            format!("{unknown:?} is not an order type known today: no order may ever match"),
            "known types are \"collection\" and \"delivery\"",
        );
    }
    Some(types)
}

impl Default for SinkCommon {
    fn default() -> Self {
        Self {
            after: None,
            dependency_wait: Duration::from_hours(24),
            stable_for: Duration::ZERO,
            versions: Versions::Latest,
            statuses: [SinkStatus::Accepted, SinkStatus::Cancelled].into(),
            allow_missing_cancellations: false,
            vendors: None,
            order_types: None,
            sources: None,
            start: Start::Activation,
            concurrency: 8,
            request_timeout: Duration::from_secs(15),
            retry: RetrySettings::default(),
            breaker: BreakerSettings::default(),
            limits: LimitSettings::default(),
            paused: false,
        }
    }
}
