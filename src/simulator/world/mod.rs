//! A made-up world of orders: every version of every order, in the order in which they come about.
//!
//! All of it follows from one seed. It holds every lifecycle and money case of the contract ([`Case`]), drawn from
//! decks, so that each occurs in any few hundred orders. Names, addresses and prices are invented. The world also says
//! what is true ([`OrderTruth`]), in plain numbers and texts, for tests to hold others against. It knows neither HTTP
//! nor pages.

mod broken;
mod deck;
mod draft;
mod history;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use axum::body::Bytes;
use chrono::{DateTime, TimeZone, Utc};
use rand::{SeedableRng, rngs::StdRng};

pub use broken::Breakage;

/// The statuses the documentation knows. Source: Scoffable developer documentation 1.0.0, "Understanding Orders".
pub const KNOWN_STATUSES: [&str; 4] = ["placed", "rejected", "accepted", "cancelled"];

/// What to make up.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    pub seed: u64,
    pub orders: usize,
    /// When the first order is placed.
    pub epoch: DateTime<Utc>,
    /// Each version is filled up to at least this size with a property nobody documents.
    pub payload_bytes: Option<usize>,
    /// How many broken versions to mix in, and of which kinds (by turns).
    pub broken: usize,
    pub breakages: Vec<Breakage>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        let epoch = Utc.with_ymd_and_hms(2025, 6, 2, 10, 0, 0).single().expect("a valid instant");
        Self { seed: 1, orders: 100, epoch, payload_bytes: None, broken: 0, breakages: Breakage::READABLE_PAGE.into() }
    }
}

#[derive(Debug, Clone)]
pub struct World {
    pub options: WorldOptions,
    pub vendors: Vec<Vendor>,
    /// In the order of the stream.
    pub versions: Vec<StreamVersion>,
    /// By order id.
    pub orders: BTreeMap<String, OrderTruth>,
}

#[derive(Debug, Clone)]
pub struct Vendor {
    pub id: String,
    pub name: String,
}

/// One element of the stream.
#[derive(Debug, Clone)]
pub struct StreamVersion {
    /// When it comes about, since the world's epoch.
    pub at: Duration,
    /// What the server knows; a broken payload need not say it.
    pub order_id: Option<String>,
    pub vendor: Option<String>,
    pub number: i64,
    /// The JSON as it is served, with `"latestVersion":true`.
    pub payload: Bytes,
    /// Where in the payload the word `true` of that flag begins.
    pub flag: Option<usize>,
}

/// What is true of one order.
#[derive(Debug, Clone)]
pub struct OrderTruth {
    pub id: String,
    pub cases: BTreeSet<Case>,
    /// In the order of the stream, which is not always that of their numbers.
    pub versions: Vec<VersionTruth>,
}

#[derive(Debug, Clone)]
pub struct VersionTruth {
    pub number: i64,
    pub status: String,
    pub total_minor: i64,
    pub currency: String,
    pub readability: Readability,
    /// Where the version stands in [`World::versions`].
    pub position: usize,
}

/// Whether a reader is expected to make sense of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readability {
    Clear,
    /// Legal or nearly so: reading it and setting it aside are both right.
    Odd,
    Broken,
}

impl OrderTruth {
    /// The readable version with the highest number.
    pub fn newest(&self) -> Option<&VersionTruth> {
        self.versions.iter().filter(|v| v.readability == Readability::Clear).max_by_key(|v| v.number)
    }

    /// Any readable version is accepted.
    pub fn was_ever_accepted(&self) -> bool {
        self.versions.iter().any(|v| v.readability == Readability::Clear && v.status == "accepted")
    }
}

impl World {
    pub fn generate(options: WorldOptions) -> Self {
        let mut dice = StdRng::seed_from_u64(options.seed);
        let mut world = history::write(options, &mut dice);
        broken::mix_in(&mut world, &mut dice);
        world
    }

    /// No version of a world with so many orders comes about later than this after its epoch.
    pub fn longest_span(orders: usize) -> Duration {
        history::LONGEST_PAUSE * orders as u32 + history::LONGEST_LIFE
    }

    /// A world without any orders; versions are published by hand.
    pub fn empty() -> Self {
        Self::generate(WorldOptions { orders: 0, ..WorldOptions::default() })
    }

    /// Versions of one order, in the order of the stream.
    pub fn versions_of<'a>(&'a self, order_id: &'a str) -> impl Iterator<Item = &'a StreamVersion> {
        self.versions.iter().filter(move |v| v.order_id.as_deref() == Some(order_id))
    }

    /// Orders in which a case occurs.
    pub fn orders_with(&self, case: Case) -> impl Iterator<Item = &OrderTruth> {
        self.orders.values().filter(move |order| order.cases.contains(&case))
    }
}

/// Where the value of the flag begins that is computed anew for each answer.
pub fn find_flag(payload: &[u8]) -> Option<usize> {
    const FLAG: &[u8] = br#""latestVersion":true"#;
    // Quotes inside of texts are escaped, so this can only be the property itself.
    payload.windows(FLAG.len()).position(|part| part == FLAG).map(|at| at + FLAG.len() - "true".len())
}

macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happens to an order, or how it is written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Case { $($(#[$doc])* $name,)* }

        impl Case {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

cases! {
    PlacedOnly,
    Accepted,
    Rejected,
    RejectedThenAccepted,
    AcceptedThenCancelled,
    CancelledThenAccepted,
    /// accepted → cancelled → accepted → cancelled
    OnAndOffTwice,
    FirstSeenAccepted,
    /// The first version in the stream has a number above 1.
    FirstSeenMidLife,
    GapInNumbers,
    NothingVisibleChanged,
    UnknownStatusOnTheWay,
    UnknownStatusNewest,
    /// A version comes after one with a higher number.
    LateVersion,
    PriceMatchedSubstitute,
    DearerSubstitute,
    GoodwillSubstitute,
    ManyForOneSubstitute,
    OneForManySubstitute,
    ManyForManySubstitute,
    /// Part of a line is refunded; one part of the split line keeps the id.
    DamageKeepsId,
    DamageChangesIds,
    OutOfStock,
    EditedOrder,
    LateRefund,
    UnexplainedTotal,
    ItemVoucher,
    Offer,
    PremiumOption,
    PaidOnline,
    PaidByVoucherAndCash,
    PaidByVoucherAndOnline,
    PaidInThreeWays,
    PaidByVoucherOnly,
    PaidAllCash,
    PaymentsAbsent,
    /// A tender and a collector nobody documents.
    PaidUnknownWay,
    Collection,
    DeliveredByVendor,
    DeliveredByUber,
    Returned,
    /// An order type nobody documents.
    UnknownOrderType,
    TimeAsMillis,
    TimeAsText,
    TimeWithOffset,
    TimeMixed,
    QuantityPair,
    QuantitySingle,
    QuantityAllThree,
    IdAsNumber,
    IdBeyondDoublePrecision,
    IdAsText,
    UnknownFields,
    EscapedLetters,
    Emoji,
    ShuffledProperties,
    NullFields,
    DecimalAmounts,
    SparseFields,
    Gbp,
    Eur,
    Usd,
    Jpy,
    Kwd,
}

#[cfg(test)]
mod tests;
