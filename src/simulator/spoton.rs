//! SpotOn's Central API, as far as orders need it: a token endpoint, submit and cancel, the sales report, menus.
//!
//! Source: SpotOn developer documentation ("Orders Overview", "SpotOn OAuth - Integration Guide", "Rate Limiting", "Menu
//! Overview"). Its endpoint reference is not public. Assumed, therefore: the paths, the names below the top level, the body
//! of an error, and all that [`Rules`] and [`Manner`] can be told otherwise.
//!
//! # What it insists on
//!
//! * A bearer token that has not expired (401) and has the scope of the API (403); a location that is open to the
//!   application (403) and exists (404); no more calls than the limits allow (429).
//! * A submit has only known members, of the right type, and what must be there; it is `CLOSED`, for a menu and items of
//!   the location; its amounts are whole cents, not negative, and add up; its payment is the grand total (400).
//! * A cancel has no body and is of an order that stands.
//!
//! # What it forgives
//!
//! A submit stores another order each time, also under the same reference, **and the kitchen cooks it**: that is what
//! must never happen, and [`Ledger`] tells. A `SCHEDULED` time that cannot be met becomes `ASAP`. The report shows an
//! effect [`SpotonOptions::lag`] after it happened; a script may say otherwise, also never ([`SpotonSim::show_next`]).
//!
//! # Misbehaviour
//!
//! [`SpotonSim::answer_next`] and [`SpotonSim::answer_next_to`] script it: `status(500)` stores nothing,
//! `status(500).after_the_effect()` does, `cut_before()` and `cut_after()` likewise; `plainly().answered_when(&gate)` hangs
//! after storing, for ever unless the gate is opened. What is odd about an answer but no failure is a [`Twist`]. A handler
//! that is dropped because its client left before the effect has caused nothing.

mod answers;
mod body;
mod chain;
pub mod ledger;
mod order;
mod rules;
mod serve;
mod throttle;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use serde::Serialize;

use self::throttle::Throttle;
pub use self::{
    chain::{Chain, Choice, Item, Location, Menu, OPEN_ITEM, VendorMapping},
    ledger::{CancelledBy, Doubled, Ledger, Reference, Stored, Violation},
    order::{Customer, Extra, Fulfillment, Kind, Line, Modifier, Order, Payment, Schedule, Totals},
    rules::{EnumStyle, Envelope, Manner, Numbers, RateHeaders, RepeatedCancel, Rules, Twist},
    throttle::DOCUMENTED as DOCUMENTED_LIMITS,
};
pub use super::till::Show;
use super::{
    faults::{Chaos, Side},
    ledger::Mismatch,
    limits::Limit,
    shell::{Destination, Setup, Sim},
    time::SimTime,
    token::{Credentials, Grant, RegisteredClient, TokenOptions, TokenSim},
    world::World,
};
use crate::clock::Clock;

/// Source: SpotOn OAuth - Integration Guide.
const TOKEN_PATH: &str = "/oauth2/v1/token";
/// Assumed: nobody tells the name of the scope that submits.
pub const SCOPE_ORDERS: &str = "order:orders:write";
/// Source: the tap.
pub const SCOPE_REPORTS: &str = "reporting:orders:read";
/// Source: the tap. Assumed: it is good for menus as well.
pub const SCOPE_BUSINESS: &str = "business:all:read";

#[derive(Clone)]
pub struct SpotonOptions {
    pub listen: SocketAddr,
    pub client_id: String,
    pub client_secret: String,
    /// What the application may ask for; all of it when it asks for nothing.
    pub scopes: Vec<String>,
    /// Life of a token. Source: SpotOn OAuth - Integration Guide: 24 hours.
    pub token_life: Duration,
    pub chain: Chain,
    pub rules: Rules,
    pub manner: Manner,
    /// Of each API by itself; none: no limits, and no headers about them.
    pub limits: Vec<Limit>,
    /// How long an effect stays unseen in the sales report.
    pub lag: Duration,
    /// Elements of a page of any list; at least 1.
    pub page_size: usize,
    /// How long a kitchen needs for an order.
    pub kitchen: Duration,
    /// How long it then takes to the door.
    pub drive: Duration,
    /// What a propose reckons with.
    pub tax_basis_points: u32,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

impl Default for SpotonOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            client_id: "spoton-client".to_owned(),
            client_secret: "spoton-secret".to_owned(),
            scopes: [SCOPE_ORDERS, SCOPE_REPORTS, SCOPE_BUSINESS].map(str::to_owned).into(),
            token_life: Duration::from_hours(24),
            chain: Chain::default(),
            rules: Rules::default(),
            manner: Manner::default(),
            limits: DOCUMENTED_LIMITS.into(),
            lag: Duration::ZERO,
            page_size: 50,
            kitchen: Duration::from_mins(20),
            drive: Duration::from_mins(20),
            tax_basis_points: 825,
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for SpotonOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("SpotonOptions");
        text.field("listen", &self.listen).field("rules", &self.rules).field("lag", &self.lag).finish_non_exhaustive()
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Submit,
    Propose,
    Cancel,
    Report,
    ListMenus,
    ListItems,
    ReadLocation,
    /// Needs no token.
    Livez,
}

impl Operation {
    /// Whether it changes anything.
    pub fn is_effect(self) -> bool {
        match self {
            Self::Submit | Self::Cancel => true,
            Self::Propose | Self::Report | Self::ListMenus | Self::ListItems | Self::ReadLocation | Self::Livez => {
                false
            }
        }
    }

    fn api(self) -> Api {
        match self {
            Self::Submit | Self::Propose | Self::Cancel => Api::Order,
            Self::Report => Api::Reporting,
            Self::ListMenus | Self::ListItems => Api::Menu,
            Self::ReadLocation | Self::Livez => Api::Business,
        }
    }
}

/// Each has limits and a scope of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Api {
    Order,
    Menu,
    Business,
    Reporting,
}

impl Api {
    fn scope(self) -> &'static str {
        match self {
            Self::Order => SCOPE_ORDERS,
            Self::Menu | Self::Business => SCOPE_BUSINESS,
            Self::Reporting => SCOPE_REPORTS,
        }
    }

    /// Its name in the journal, see [`Journal::most_per_minute`].
    fn name(self) -> &'static str {
        match self {
            Self::Order => "api:order",
            Self::Menu => "api:menu",
            Self::Business => "api:business",
            Self::Reporting => "api:reporting",
        }
    }
}

/// The running server. The scopes of its journal are `api:order`, `api:reporting`, `api:menu`, `api:business`; calls of
/// the token endpoint are not in it.
pub type SpotonSim = Sim<Spoton>;

/// What is particular to it.
pub struct Spoton {
    options: SpotonOptions,
    time: SimTime,
    tokens: TokenSim,
    ledger: Mutex<Ledger>,
    set: Mutex<Set>,
}

/// What tests change while it runs.
struct Set {
    rules: Rules,
    manner: Manner,
    throttle: Throttle,
    twists: VecDeque<Twist>,
    /// Locations that have withdrawn their consent.
    closed: BTreeSet<String>,
    signatures: BTreeSet<String>,
}

impl fmt::Debug for Spoton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spoton").field("options", &self.options).finish_non_exhaustive()
    }
}

impl SpotonSim {
    /// Fails when the address cannot be listened on.
    pub async fn start(options: SpotonOptions) -> std::io::Result<Self> {
        let tokens = TokenSim::new(TokenOptions {
            path: TOKEN_PATH.to_owned(),
            clients: vec![RegisteredClient {
                id: options.client_id.clone(),
                secret: options.client_secret.clone(),
                credentials: Credentials::BasicHeader,
                grant: Grant::ClientCredentials,
                scopes: options.scopes.clone(),
            }],
            life: options.token_life,
            chaos: options.chaos,
            seed: options.seed,
            clock: options.clock.clone(),
            ..TokenOptions::default()
        });
        let set = Set {
            rules: options.rules.clone(),
            manner: options.manner.clone(),
            throttle: Throttle::new(options.limits.clone()),
            twists: VecDeque::new(),
            closed: BTreeSet::new(),
            signatures: BTreeSet::new(),
        };
        let time = SimTime::start(options.clock.clone());
        let setup = Setup {
            listen: options.listen,
            side: Side::Destination,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: tokens.router(),
        };
        let ledger = Mutex::new(Ledger::new(options.lag));
        Self::serve(Spoton { options, time, tokens, ledger, set: Mutex::new(set) }, setup).await
    }

    pub fn token_url(&self) -> String {
        format!("{}{TOKEN_PATH}", self.url())
    }

    pub fn options(&self) -> &SpotonOptions {
        &self.simulator().options
    }

    /// The token endpoint with its own script, journal and violations.
    pub fn tokens(&self) -> &TokenSim {
        &self.simulator().tokens
    }

    /// The next submits that are stored are answered like this, one each.
    pub fn twist_next(&self, twists: impl IntoIterator<Item = Twist>) {
        self.simulator().set().twists.extend(twists);
    }

    /// The next effects show like this, one each, instead of after the lag.
    pub fn show_next(&self, script: impl IntoIterator<Item = Show>) {
        self.ledger().show_next(script);
    }

    pub fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.simulator().set().rules);
    }

    pub fn change_manner(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.simulator().set().manner);
    }

    /// From now on calls about this location are answered 403.
    pub fn close_location(&self, location: &str) {
        self.simulator().set().closed.insert(location.to_owned());
    }

    /// Takes back [`SpotonSim::close_location`].
    pub fn reopen_location(&self, location: &str) {
        self.simulator().set().closed.remove(location);
    }

    /// A member of the staff cancels an order on the POS. Returns whether it stood.
    pub fn cancel_on_the_pos(&self, id: &str) -> bool {
        let now = self.simulator().time.now();
        let mut ledger = self.ledger();
        ledger.get(id).is_some() && ledger.cancel(id, CancelledBy::Merchant, now).is_ok()
    }

    /// What the staff see on the POS: at once, without lag. The first under this reference, if there are several.
    pub fn find(&self, reference: &str) -> Option<Stored> {
        self.ledger().find(reference).next().cloned()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations().to_vec()
    }

    pub fn doubled(&self) -> Vec<Doubled> {
        self.ledger().doubled().to_vec()
    }

    /// See [`Ledger::compare`]; the vendors are those of [`SpotonOptions::chain`].
    pub fn compare(&self, world: &World, excused: &BTreeSet<String>) -> Vec<Mismatch> {
        self.ledger().compare(world, &self.simulator().options.chain.vendors, excused)
    }
}

impl Spoton {
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().expect("nothing panics while the settings are held")
    }
}

impl Destination for Spoton {
    type Ledger = Ledger;

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }
}

#[cfg(test)]
mod tests;
