//! Adapters to foreign systems: one folder each, with the same files (`config`, `client`, `wire`, `mapping`, `plan`).
//!
//! A sink plans (pure) and sends one step at a time, and only classifies what came back. It never waits, retries or
//! touches the database, and no sink knows another. Adding one touches its folder, [`build`] and the example file.

pub mod catalogue;
pub mod customers;
pub mod godatafeed;
pub mod http;
pub mod lax;
pub mod lightspeed;
pub mod links;
pub mod oauth;
pub mod products;
#[cfg(feature = "failpoints")]
pub mod scripted;
pub mod shared;
pub mod spoton;
pub mod unleashed;
pub mod webhook;
pub mod xero;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use crate::{
    clock::Clock,
    config::{SinkCommon, SinkKind, SinkSettings},
    domain::{
        delivery::{DeliveryKey, Gathered, Outcome, Plan, Progress, Reason, Receipt, State, Step},
        ids::{OrderKey, SinkName, Version},
        limits::LearnedLimit,
        money::Breakdown,
        order::{Order, Status},
        reconciliation::{Holding, Seen},
    },
};

/// What a plan may look at: the version to bring, and what is known to stand in the destination.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub key: &'a DeliveryKey,
    pub version: Version,
    pub progress: Progress,
    pub receipt: Option<&'a serde_json::Value>,
    pub external_id: Option<&'a str>,
    pub order: &'a Order,
    pub money: &'a Breakdown,
    /// The order as received, JSON text.
    pub payload: &'a str,
    /// Digest of everything a destination could see of this version.
    pub content_hash: &'a [u8],
    /// Whether every version is brought, also one that changes nothing visible.
    pub every_version: bool,
    /// What the sink named by `after` holds.
    pub counterpart: Option<Counterpart<'a>>,
    pub since: Since,
    /// Nothing of it may get into the bytes of a step that is [`Repeat::Safe`](crate::domain::delivery::Repeat::Safe).
    pub now: DateTime<Utc>,
}

/// How long things have been so, by the database's clock at the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The version was received.
    pub received: Duration,
    /// It was received, and the sink was active.
    pub owed: Duration,
    /// The destination refuses a part of it. None: it never did, or a person said to try again.
    pub refused: Option<Duration>,
    /// From when on orders are this sink's: since it is active, or as its `start` says. None: whatever their age, by the
    /// word of `start` or of a person who asked for this one.
    pub begins_at: Option<DateTime<Utc>>,
}

/// An order in another sink.
#[derive(Debug, Clone, Copy)]
pub struct Counterpart<'a> {
    pub state: State,
    pub external_id: Option<&'a str>,
    pub receipt: Option<&'a serde_json::Value>,
}

/// Plans a version without a word from the destination. Pure.
pub type Rehearsal<'a> = Box<dyn Fn(&View<'_>) -> Plan + Send + Sync + 'a>;

/// What came back from one call.
#[derive(Debug, Clone)]
pub struct Answer {
    pub outcome: Outcome,
    pub http_status: Option<u16>,
    /// Beginning of the answer, masked: no personal data, no secrets.
    pub excerpt: Option<String>,
    /// What it told about the destination's limits.
    pub limits: Vec<LearnedLimit>,
    /// Calls made beside the one, where the destination counts them: a token fetched, a repeat with a fresh one.
    pub calls_beside: u32,
    /// What a refusal is parked as, where the sink knows better than the common table.
    pub told: Option<&'static Told>,
}

/// A reason of a sink's own, with what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// A fixed code.
    pub reason: &'static str,
    pub hint: &'static str,
}

/// An outcome of which nothing more is known.
impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, http_status: None, excerpt: None, limits: Vec::new(), calls_beside: 0, told: None }
    }
}

/// What came back from one call that carried several steps.
#[derive(Debug, Clone)]
pub enum GroupAnswer {
    /// One answer for each step, in their order. What the call told about limits stands in the first.
    Each(Vec<Answer>),
    /// The call was refused as a whole, which says nothing about a single step: each is sent again on its own.
    RefusedWhole,
    /// One answer for all of them, as when the call got none.
    Whole(Answer),
}

/// A step whose answer was lost.
#[derive(Debug, Clone, Copy)]
pub struct Doubt<'a> {
    pub key: &'a DeliveryKey,
    pub step: &'a Step,
    /// How long ago it was sent for the last time, or may have been.
    pub sent: Duration,
}

/// What a look-up found about a step in doubt.
#[derive(Debug, Clone)]
pub enum Finding {
    /// The effect stands.
    Stands(Receipt),
    /// Nothing of it is seen. Whether that proves anything depends on [`Sink::visible_after`].
    NotFound,
    /// The same, and this is what is known once it proves that nothing stands.
    Missing(Receipt),
    /// Exactly one of these is it, unless each is linked to another order already.
    OneOf(Vec<Receipt>),
    /// Something is seen that may or may not be it: a person has to look.
    Ambiguous { hint: String },
    /// The look-up itself failed.
    Failed(Answer),
}

/// Calls that were made for several orders at once, and what their answers told about limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    pub made: u32,
    pub limits: Vec<LearnedLimit>,
}

/// What a look-up came to.
#[derive(Debug, Clone)]
pub struct LookedUp {
    /// One for each doubt, in their order.
    pub findings: Vec<Finding>,
    pub calls: Calls,
}

impl LookedUp {
    /// With so many calls, of which only those that failed told something about limits.
    pub fn of(findings: Vec<Finding>, made: u32) -> Self {
        let told = findings.iter().find_map(|finding| match finding {
            Finding::Failed(answer) if !answer.limits.is_empty() => Some(answer.limits.clone()),
            _ => None,
        });
        Self { findings, calls: Calls { made, limits: told.unwrap_or_default() } }
    }
}

/// When a reading that nobody waits for may make its next request.
pub trait Turns: Send + Sync {
    /// Waits for the next call; to be called right before each request. False: there is none in reasonable time, and nothing
    /// more may be sent.
    fn next(&self) -> BoxFuture<'_, bool>;

    /// Takes note of what the answer to that call told, and of calls made beside it.
    fn heard<'a>(&'a self, limits: &'a [LearnedLimit], calls_beside: u32) -> BoxFuture<'a, ()>;
}

/// What is said of an order whose destination could not be asked.
pub const OUT_OF_CALLS: &str = "out_of_calls";

/// What is said of an order whose destination gave no answer to its question.
pub fn untold(answer: &Answer) -> Seen {
    let code = match &answer.outcome {
        Outcome::Retry { reason, .. }
        | Outcome::Reject { reason }
        | Outcome::Blocked { reason }
        | Outcome::Unknown { reason } => reason.as_str(),
        Outcome::Throttled { .. } => OUT_OF_CALLS,
        Outcome::Delivered(_) => Reason::UnreadableAnswer.as_str(),
    };
    Seen::Untold(code.to_owned())
}

/// An order's part of a document that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub order: OrderKey,
    pub version: Version,
    /// [`Gathered::part`]
    pub part: serde_json::Value,
}

/// A document of many orders: a delivery of its own, with all that belongs to one.
#[derive(Debug)]
pub struct Summary<'a> {
    /// With the document's id in place of an order's.
    pub key: &'a DeliveryKey,
    pub version: Version,
    pub receipt: Option<&'a serde_json::Value>,
    /// What it was closed with: never more, never other than that.
    pub parts: &'a [Part],
    /// How long the destination has been refusing a part of it. None: it never did, or a person said to try again.
    pub refused: Option<Duration>,
    pub now: DateTime<Utc>,
}

/// An order that is a part of a closed document.
#[derive(Debug)]
pub struct InSummary<'a> {
    pub receipt: Option<&'a serde_json::Value>,
    pub gathered: &'a Gathered,
    /// The document.
    pub document: Counterpart<'a>,
}

/// Of a sink that gathers orders into documents of many: a plan notes a [`Gathered`] under [`SUMMARY`] in the receipt and
/// waits for it. When its time is over, the document is closed with all who wait, and becomes a delivery.
///
/// [`SUMMARY`]: crate::domain::delivery::SUMMARY
pub trait Summaries {
    /// Whether orders are gathered now. If not, those that were gathered are planned by themselves again, and only documents
    /// that were closed are finished.
    fn gathers(&self) -> bool;

    /// Plans the document. Pure.
    fn plan_summary(&self, summary: &Summary<'_>) -> Plan;

    /// What became of an order's part: [`Plan::Stands`], or a wait. Nothing else is planned for the order before. Pure.
    fn plan_part(&self, part: &InSummary<'_>) -> Plan;
}

/// One destination.
pub trait Sink: Send + Sync + 'static {
    /// Its `kind` in the configuration.
    fn kind(&self) -> &'static str;

    /// Brings up to date what many orders share, as a listing or a price table; called when a plan is
    /// [`Plan::Unread`], often by several deliveries at once, of which one is enough to read. Returns which calls it took.
    /// Anything but an answer in time fails the deliveries that lack it with this outcome, and no others; all calls count as
    /// [`Answer::calls_beside`] then. Without a call it is what was told before, and says nothing of the destination now.
    fn prepare(&self, _now: DateTime<Utc>) -> BoxFuture<'_, Result<Calls, Answer>> {
        Box::pin(std::future::ready(Ok(Calls::default())))
    }

    /// Decides what to do for one version. Pure: the same view leads to the same plan, bytes included.
    fn plan(&self, view: &View<'_>) -> Plan;

    /// Plans as [`Sink::plan`] does, for a look at what settings lead to without asking anybody: the destination is presumed
    /// to have all that they name, and steps that only find or make what documents name to have succeeded. What stands
    /// nowhere but there, as a rate of tax, counts as nothing.
    fn rehearsal<'a>(&'a self, _products: &'a links::ProductCopy) -> Rehearsal<'a> {
        Box::new(|view| self.plan(view))
    }

    /// The tax in what a step brings, in minor units, where the step itself says it.
    fn tax_minor(&self, _step: &Step) -> Option<i64> {
        None
    }

    /// None: each order goes by itself.
    fn summaries(&self) -> Option<&dyn Summaries> {
        None
    }

    /// Sends one step. `now` only labels the request (signature time).
    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer>;

    /// Most steps of one name that can go out in one call.
    fn group_size(&self) -> usize {
        1
    }

    /// Whether the destination limits how many calls are in progress, whoever makes them. Then `concurrency` is what all
    /// processes have together.
    fn limits_calls_at_once(&self) -> bool {
        false
    }

    /// Sends several steps of one name in one call; asked only where [`Sink::group_size`] allows it.
    fn send_group<'a>(&'a self, _steps: &'a [&'a Step], _now: DateTime<Utc>) -> BoxFuture<'a, GroupAnswer> {
        Box::pin(std::future::ready(GroupAnswer::RefusedWhole))
    }

    /// Asks the destination what became of steps whose answers were lost. A sink whose steps are all safe to repeat is never
    /// asked.
    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], _now: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        let hint = "this destination cannot be asked what became of it: look there yourself";
        let findings = doubts.iter().map(|_| Finding::Ambiguous { hint: hint.to_owned() }).collect();
        Box::pin(std::future::ready(LookedUp::of(findings, 0)))
    }

    /// How long after the effect of a step a look-up certainly sees it. None: it may never, so not seeing it proves nothing.
    fn visible_after(&self, _step: &Step) -> Option<Duration> {
        None
    }

    /// Most orders of one lane about which [`Sink::verify`] can be asked at once. None: this destination cannot say what
    /// stands there.
    fn verifies(&self) -> Option<usize> {
        None
    }

    /// Reads back what the destination itself says of orders that we hold there: one for each, in their order. They are of
    /// one lane, oldest first. Changes nothing there, and makes no request before its turn.
    fn verify<'a>(
        &'a self,
        held: &'a [Holding],
        _turns: &'a dyn Turns,
        _now: DateTime<Utc>,
    ) -> BoxFuture<'a, Vec<Seen>> {
        let seen = held.iter().map(|_| Seen::Untold("cannot_be_asked".to_owned())).collect();
        Box::pin(std::future::ready(seen))
    }

    /// What it lets one know of its products, stock and customers. None: nothing.
    fn catalogue(&self) -> Option<&dyn catalogue::Catalogue> {
        None
    }

    /// Uses a credential that lapses when it is left unused, without asking for anything else.
    fn keep_alive(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// What a person should do about [`Outcome::Blocked`].
    fn blocked_hint(&self, _reason: Reason) -> &'static str {
        "the destination refuses our credentials or rights: mend them; a probe goes on by itself"
    }

    /// Whether a version of this status needs the result of the sink named by `after`.
    fn needs_counterpart(&self, _status: &Status) -> bool {
        true
    }

    /// Whether the sink's plan decides where the common rules see nothing owed: an order that is not accepted, or one that
    /// is cancelled and was never sent.
    fn has_a_say(&self, _status: &Status, _receipt: Option<&serde_json::Value>) -> bool {
        false
    }
}

/// A sink that cannot be built from valid settings, for instance because a secret has changed into none.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("the signing secret cannot be used")]
    SigningSecret(#[source] webhook::config::InvalidSigningSecret),
    #[error("the header {0} has a value that no header can have")]
    Header(String),
}

/// Longest wait for a connection; a sink's request timeout bounds it too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The HTTP client of one sink.
pub fn http_client(common: &SinkCommon) -> Result<reqwest::Client, BuildError> {
    crate::http::client_builder()
        .user_agent(concat!("scoffable-sync/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT.min(common.request_timeout))
        .pool_max_idle_per_host(common.concurrency as usize)
        .build()
        .map_err(|error| BuildError::Client(error.without_url()))
}

/// What sinks keep beyond their process, shared by all processes.
#[derive(Debug, Clone)]
pub struct Services {
    pub credentials: Arc<dyn oauth::CredentialStore>,
    pub links: Arc<dyn links::LinkStore>,
}

/// Builds a sink from its settings: the registry of kinds.
pub fn build(
    name: &SinkName,
    settings: &SinkSettings,
    clock: &Clock,
    services: &Services,
) -> Result<Arc<dyn Sink>, BuildError> {
    let common = &settings.common;
    let client = http_client(common)?;
    Ok(match &settings.kind {
        SinkKind::Webhook(webhook) => Arc::new(webhook::Webhook::build(webhook, common.request_timeout, client)?),
        SinkKind::Spoton(spoton) => {
            Arc::new(spoton::Spoton::build(name, spoton, common.request_timeout, client, clock))
        }
        SinkKind::Godatafeed(feed) => {
            Arc::new(godatafeed::Godatafeed::build(feed, common.request_timeout, client, name, clock))
        }
        SinkKind::Xero(books) => {
            Arc::new(xero::Xero::build(name, books, common.request_timeout, client, clock, services)?)
        }
        SinkKind::Unleashed(stock) => {
            Arc::new(unleashed::Unleashed::build(name, stock, common.request_timeout, client, services)?)
        }
        SinkKind::Lightspeed(shop) => {
            Arc::new(lightspeed::Lightspeed::build(name, shop, common.request_timeout, client, clock, services))
        }
        #[cfg(feature = "failpoints")]
        SinkKind::Scripted(till) => Arc::new(scripted::Scripted::build(till, common.request_timeout, client)?),
    })
}
