//! How marketplace orders come into GoDataFeed: in time, late, never, twice, or in disguise.
//!
//! Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API": orders are imported from the marketplaces in
//! cycles of 15 to 30 minutes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::simulator::{digest::short_hash, scoffable::Pace, world::World};

/// How much later a late counterpart appears.
pub const LATE: Duration = Duration::from_mins(20);
/// A marketplace whose numbers may be the same by chance.
pub const OTHER_MARKETPLACE: &str = "Elsewhere Eats";
/// One in so many orders is odd when oddities are dealt.
const ODD_ONE_IN: u64 = 4;

/// An order as a marketplace reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The marketplace's order number: of Scoffable, the order's id.
    pub number: String,
    /// None: the account's own, which is Scoffable.
    pub marketplace: Option<String>,
    /// The Scoffable order it stands for, if it stands for one.
    pub order_id: Option<String>,
    pub purchased_at: DateTime<Utc>,
    /// From now on.
    pub appears_after: Duration,
    /// From its appearance on: when somebody else acknowledges it, so that it vanishes from `NEW`.
    pub taken_after: Option<Duration>,
}

impl Import {
    /// The counterpart of a Scoffable order, there at once.
    pub fn of(order_id: &str, purchased_at: DateTime<Utc>) -> Self {
        Self {
            number: order_id.to_owned(),
            marketplace: None,
            order_id: Some(order_id.to_owned()),
            purchased_at,
            appears_after: Duration::ZERO,
            taken_after: None,
        }
    }

    /// What comes in of it.
    #[must_use]
    pub fn with(self, oddity: &Oddity) -> Vec<Self> {
        match oddity {
            Oddity::Late => vec![Self { appears_after: self.appears_after + LATE, ..self }],
            Oddity::Never => Vec::new(),
            Oddity::Twice => vec![self.clone(), self],
            Oddity::NumberUsedElsewhere => {
                let marketplace = Some(OTHER_MARKETPLACE.to_owned());
                vec![Self { marketplace, order_id: None, ..self.clone() }, self]
            }
            Oddity::TakenElsewhere { after } => vec![Self { taken_after: Some(*after), ..self }],
            Oddity::Decorated { prefix } => vec![Self { number: format!("{prefix}{}", self.number), ..self }],
        }
    }
}

/// What is not as usual about an order's counterpart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// It appears [`LATE`] minutes after the others.
    Late,
    Never,
    /// Two orders under one number.
    Twice,
    /// Besides, another marketplace has an order with the same number; it is listed first.
    NumberUsedElsewhere,
    /// It is `NEW` for so long, then somebody else acknowledges it.
    TakenElsewhere {
        after: Duration,
    },
    /// Its number has something in front.
    Decorated {
        prefix: String,
    },
}

/// How the orders of a world come in.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    /// That of the order stream: both then tell of an order at the same time, but for the delay.
    pub pace: Pace,
    /// How much later than in the stream an order appears here.
    pub delay: Duration,
    /// In front of every number.
    pub prefix: String,
    pub oddities: Oddities,
}

#[derive(Debug, Clone, Default)]
pub enum Oddities {
    #[default]
    None,
    /// By Scoffable order id.
    Of(BTreeMap<String, Oddity>),
    /// A quarter of the orders has one, the same ones for the same seed; none of them is decorated.
    Dealt { seed: u64 },
}

impl Oddities {
    fn of(&self, order_id: &str) -> Option<Oddity> {
        match self {
            Self::None => None,
            Self::Of(oddities) => oddities.get(order_id).cloned(),
            Self::Dealt { seed } => {
                let dealt = [
                    Oddity::Late,
                    Oddity::Never,
                    Oddity::Twice,
                    Oddity::NumberUsedElsewhere,
                    Oddity::TakenElsewhere { after: Duration::from_secs(1) },
                ];
                let throw = short_hash(&[b"oddity", &seed.to_le_bytes(), order_id.as_bytes()]);
                let which = (throw / ODD_ONE_IN) as usize % dealt.len();
                throw.is_multiple_of(ODD_ONE_IN).then(|| dealt[which].clone())
            }
        }
    }
}

impl Feed {
    /// All that comes in, in the order in which the stream first tells of it.
    pub(super) fn imports(&self, world: &World) -> Vec<Import> {
        let mut seen = BTreeSet::new();
        let mut imports = Vec::new();
        for (position, version) in world.versions.iter().enumerate() {
            let Some(order_id) = version.order_id.as_deref().filter(|id| seen.insert(*id)) else { continue };
            let purchased_at = placed_at(&version.payload).unwrap_or(world.options.epoch + version.at);
            let usual = Import {
                number: format!("{}{order_id}", self.prefix),
                appears_after: self.pace.due(position, world.versions.len()) + self.delay,
                ..Import::of(order_id, purchased_at)
            };
            match self.oddities.of(order_id) {
                Some(oddity) => imports.extend(usual.with(&oddity)),
                None => imports.push(usual),
            }
        }
        imports
    }
}

/// Whole seconds, as GoDataFeed lists them.
fn placed_at(payload: &[u8]) -> Option<DateTime<Utc>> {
    let order: Value = serde_json::from_slice(payload).ok()?;
    let at = match &order["placedAt"] {
        Value::Number(millis) => DateTime::from_timestamp_millis(millis.as_i64()?)?,
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok()?.to_utc(),
        _ => return None,
    };
    Some(at - TimeDelta::milliseconds(i64::from(at.timestamp_subsec_millis())))
}
