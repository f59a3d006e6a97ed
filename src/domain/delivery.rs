//! The states of a delivery, and what a plan or an attempt can lead to.
//!
//! A delivery is the duty to bring one order to one sink, up to `wanted_version`: one row per (sink, source, order).
//!
//! ```text
//!            newer version ┌───────────────────────────────────────────┐
//!                          ▼                                           │
//!   ingest ──▶ pending ──claim──▶ in_flight ──settle──▶ applied ───────┤
//!                ▲  ▲                 │ │ │                            │
//!                │  └──── retry ──────┘ │ ├──────────▶ skipped ────────┤
//!                │                      │ └──────────▶ parked ── cured ┘
//!                └─ proven absent ── in_doubt ◀── no answer, lost lease
//! ```
//!
//! Ingest raises `wanted_version`; the claim leases; settle moves on; a person retries, discards or adopts. Nothing
//! else writes a delivery, and no state is left silently: `skipped` and `parked` carry a reason.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{OrderKey, SinkName, Version};

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as it stands in SQL.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Where a delivery stands.
    State {
        /// Due at `next_attempt_at`; `waiting_for` says for what. Left by a claim.
        Pending = "pending",
        /// Leased until `lease_expires_at`. Left by settle, or by the next claim once the lease ran out.
        InFlight = "in_flight",
        /// A step was sent and no answer came. Left when a look-up or a person settles it.
        InDoubt = "in_doubt",
        /// The destination holds `wanted_version`. Left by a newer version.
        Applied = "applied",
        /// Nothing is owed for `wanted_version`; `reason` says why. Left by a newer version or a replay.
        Skipped = "skipped",
        /// Not tried again by itself; `reason` and `hint` say what to do. Left by a person, or by a newer version where
        /// the reason allows it.
        Parked = "parked",
    }
}

codes! {
    /// What a pending delivery waits for; none: it is simply due.
    WaitingFor {
        /// The next try after a failed one.
        Retry = "retry",
        /// No new version for the sink's `stable_for`.
        Stability = "stability",
        /// Another sink's receipt (`after`).
        Dependency = "dependency",
        /// The destination's own record of the order, which does not exist there yet.
        Counterpart = "counterpart",
        /// A call budget.
        Budget = "budget",
        /// A closed breaker.
        Breaker = "breaker",
        /// The moment from which an order counts as shipped.
        Shipment = "shipment",
        /// A cancellation that may still be taken back.
        Grace = "grace",
        /// A person's word that the sink may write.
        Confirmation = "confirmation",
        /// Settings here or at the destination that a person has to mend.
        Configuration = "configuration",
        /// The document of many orders that this one is a part of: its closing, then that it stands.
        Summary = "summary",
    }
}

codes! {
    /// Why nothing is owed.
    SkipReason {
        /// Placed or rejected: nothing to bring, until it is accepted.
        NeverAccepted = "never_accepted",
        /// Cancelled, and nothing was sent, nor possibly sent, before.
        CancelledBeforeSent = "cancelled_before_sent",
        /// Too old to act on.
        Stale = "stale",
        /// No mapping names this vendor.
        UnmappedVendor = "unmapped_vendor",
        /// The destination never showed its own record of the order.
        NoCounterpart = "no_counterpart",
        /// The sink's filters leave it out.
        Filtered = "filtered",
        /// A status this version of the program does not know: neither posted nor reversed.
        UnknownStatus = "unknown_status",
        /// A person closed it.
        Discarded = "discarded",
    }
}

codes! {
    /// How urgent: a new order goes before a correction, a correction before backfill.
    Priority { New = "new", Correction = "correction", Backfill = "backfill" }
}

/// Key in a receipt, and reason of a parked delivery: a step's answer was lost and a person discarded the doubt. Nothing
/// is sent for the order until a person retries it.
pub const POSSIBLY_STANDS: &str = "possibly_stands";

/// Key in a receipt: a person asked that the destination's own record of an order be cancelled, although the order was
/// rejected or never accepted and so owes nothing.
pub const CANCEL_ASKED: &str = "cancel_asked";

/// Key in a receipt: false where what it names was taken back there, as a cancelled order. Absent: it stands.
pub const STANDS: &str = "stands";

/// Key in a receipt: a list of what the destination called the order before, oldest first. Such a name is never taken for
/// another order's.
pub const FORMER_IDS: &str = "former_ids";

/// Key in a receipt: documents that corrections would have taken, had nothing been changed in place. Counted as it grows.
pub const CORRECTIONS_AVOIDED: &str = "corrections_avoided";

/// Key in a receipt: the document of many orders that this one is a part of, a [`Gathered`].
pub const SUMMARY: &str = "summary";

/// So long after a document's time is over it is closed, or nothing more is added to it.
pub const CLOSES_WITHIN: Duration = Duration::from_mins(1);

/// An order's part in a document of many orders. While it stands in the receipt, nothing of the order went out but with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    /// Of the document, whose own delivery has it in place of an order's id. No order's id looks so.
    pub id: String,
    /// Nothing is added after this.
    pub closes_at: DateTime<Utc>,
    /// The version that is a part of it.
    pub version: Version,
    /// The document was closed with this part in it, which may stand at the destination since, and never changes.
    pub closed: bool,
    /// What of the document is this order's. Only its sink can read it.
    pub part: serde_json::Value,
}

/// One delivery's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DeliveryKey {
    pub sink: SinkName,
    #[serde(flatten)]
    pub order: OrderKey,
}

impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.order, self.sink)
    }
}

/// Whether a foreign effect may be sent again when its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// The same key and bytes again lead to one effect, however late. Its bytes follow from an immutable version.
    Safe,
    /// As [`Repeat::Safe`] for so long after it was first sent, then as [`Repeat::Never`]: the destination forgets keys.
    Within(Duration),
    /// As [`Repeat::Safe`] for one repeat. What that is answered with settles it: refused or lost again, a person has to.
    Once,
    /// A lost answer is settled by a look-up, else by a person.
    Never,
}

impl Repeat {
    /// Whether a step is written down before it is sent.
    pub fn is_stored(self) -> bool {
        self != Self::Safe
    }
}

/// One foreign effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does, for people: `post`, `submit`, `cancel`, … Appears in `attempts.step`.
    pub name: String,
    /// Idempotency key or reference. The same for every try of this step, never used for another.
    pub key: String,
    /// The exact body.
    pub body: String,
    pub repeat: Repeat,
    /// Whether the version is applied once this step is delivered; otherwise plan runs again on the new receipt.
    pub completes: bool,
    /// The receipt once this step is confirmed, unless the answer says more.
    pub receipt: Option<serde_json::Value>,
}

/// A step as it was written down before it was sent. While it stands nothing else is planned for its delivery: it is
/// repeated with these bytes (where that is safe), looked up, or judged by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStep {
    #[serde(flatten)]
    pub step: Step,
    /// The version that it brings.
    pub version: Version,
    /// The call that it shared with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupPlace>,
}

/// A step's place in a call that carried several. Where steps may be repeated, the call is, and only whole: by who holds all
/// of its members, in their places. Else each member is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlace {
    pub id: String,
    /// From 0.
    pub position: u32,
    pub size: u32,
}

/// What plan decided for one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Send this step next.
    Send(Step),
    /// The destination already holds what this version says, or as much of it as it ever can (then with a notice): it
    /// counts as applied, without a call.
    Settled(Receipt),
    /// An earlier version is known to stand by now: it counts as applied, without a call, and what is wanted is planned next.
    Stands { version: Version, receipt: Receipt },
    /// Nothing is owed.
    Skip { reason: SkipReason, alert: Option<Alert> },
    /// Not yet: look again after the wait.
    Wait { wait: Duration, waiting_for: WaitingFor, alert: Option<Alert> },
    /// This step would be sent, but not before a person lets the sink write: look again after the wait.
    Withhold { step: Step, wait: Duration, waiting_for: WaitingFor },
    /// This has to stand in the receipt before anything else happens: plan again then. Never twice the same.
    Note(Receipt),
    /// What many orders share has to be read first: plan again then. If that read fails, this version fails with it.
    Unread,
    /// Cannot be sent until a person or a newer version changes something.
    Park { reason: &'static str, hint: String, curable: bool },
}

impl Plan {
    /// Nothing is owed, and nobody has to know.
    pub fn skip(reason: SkipReason) -> Self {
        Self::Skip { reason, alert: None }
    }

    /// Not yet, and nobody has to know.
    pub fn wait(wait: Duration, waiting_for: WaitingFor) -> Self {
        Self::Wait { wait, waiting_for, alert: None }
    }
}

/// What a person should know although the delivery itself waits for nobody. One is open per cause and subject; the same
/// again only counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Fixed code. One that is also the delivery's notice ends with that notice.
    pub cause: &'static str,
    pub about: About,
    /// What happened and what to do. No personal data.
    pub detail: String,
}

/// What an alert is about, inside its sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The order of the delivery that raises it.
    Order,
    /// What many orders share, by its name there: a vendor, a location.
    Shared(String),
    /// A customer of many orders, by a digest that names nobody.
    Customer(String),
}

impl Alert {
    /// As `alerts.subject` has it.
    pub fn subject(&self, key: &DeliveryKey) -> String {
        match &self.about {
            About::Order => format!("{}/{}", key.sink, key.order),
            About::Shared(name) => format!("{}/{name}", key.sink),
            About::Customer(digest) => format!("{}/customer {digest}", key.sink),
        }
    }

    /// As `alerts.detail` has it: who a customer is tells only an order of his.
    pub fn detail_for(&self, key: &DeliveryKey) -> String {
        match &self.about {
            About::Order | About::Shared(_) => self.detail.clone(),
            About::Customer(_) => format!("{}; last seen with order {}", self.detail, key.order),
        }
    }
}

/// What is known to stand in the destination after a step, merged into the delivery's receipt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the destination calls the order.
    pub external_id: Option<String>,
    /// The whole new receipt; none keeps the old one.
    pub receipt: Option<serde_json::Value>,
    /// Something a person should know about a delivery that stands as well as it can.
    pub notice: Option<String>,
    pub alert: Option<Alert>,
    /// The destination did not take the step, or not all of it. What and why stands in the receipt, and plan says when it is
    /// tried again.
    pub refused: bool,
}

/// What one attempt told us. A sink reports; only `delivery::decide` chooses what happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination holds this step's effect.
    Delivered(Receipt),
    /// Trying again may help. `not_before` carries the destination's own wish (`Retry-After`).
    Retry { reason: Reason, sent: Sent, not_before: Option<Duration> },
    /// The destination asked us to slow down (429): not a fault of the delivery, costs no attempt.
    Throttled { not_before: Option<Duration> },
    /// This version will never be accepted as it is; a person must change data or mapping.
    Reject { reason: Reason },
    /// Nothing will be accepted by this sink or lane until a person acts, for instance on credentials.
    Blocked { reason: Reason },
    /// Sent, but no answer came back: it may or may not have been applied.
    Unknown { reason: Reason },
}

/// Whether a failed attempt can have reached the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not: refused, not resolved, no TLS.
    No,
    /// Perhaps.
    Possibly,
}

codes! {
    /// Why an attempt failed: short fixed codes, never free text.
    Reason {
        ConnectFailed = "connect_failed",
        Timeout = "timeout",
        ConnectionLost = "connection_lost",
        ServerError = "server_error",
        RequestTimeout = "request_timeout",
        TooEarly = "too_early",
        Unauthorized = "unauthorized",
        Forbidden = "forbidden",
        CredentialsRejected = "credentials_rejected",
        Redirected = "redirected",
        NotFound = "not_found",
        Conflict = "conflict",
        Gone = "gone",
        Unprocessable = "unprocessable",
        Refused = "refused",
        /// The names of a contract: what SpotOn says to a submit and to a cancel.
        RejectedBySpoton = "rejected_by_spoton",
        LocationOrMenuUnknown = "location_or_menu_unknown",
        OrderUnknown = "order_unknown",
        CancelRefused = "cancel_refused",
        UnreadableAnswer = "unreadable_answer",
        UndecodableOrder = "undecodable_order",
        PayloadRemoved = "payload_removed",
        /// What is asked for is not there at all: the configuration does not fit the destination.
        Misconfigured = "misconfigured",
        Panicked = "panicked",
        WorkerLost = "worker_lost",
    }
}

/// Versions as a delivery counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What the destination is known to hold.
    pub applied: Option<Version>,
    /// What a request went out for, or may have: always at or above `applied`.
    pub sent: Option<Version>,
}

impl Progress {
    /// Whether something stands in the destination, or may stand there: then a cancellation is owed.
    pub fn possibly_stands(self) -> bool {
        self.applied.is_some() || self.sent.is_some()
    }
}
