//! Lightspeed Retail (X-Series), as far as the sales of orders need it: one retailer with outlets, registers, users, taxes and
//! payment types, products with their stock, customers, sales and returns; the token endpoint, and the browser's way to a code.
//!
//! Source: X-Series API 2.0 description; "2026-07 Sales API" description; the owner's tutorials on sales, returns, paging,
//! rate limits and authorisation. What is only observed or assumed says so where it stands, and can mostly be told otherwise by
//! [`Rules`] and [`Manner`].
//!
//! # Three generations
//!
//! `/api/2.0/…` reads everything and starts returns. `/api/2026-07/…` does the same, and makes and changes sales. In the legacy
//! dialect `POST /api/register_sales` makes and changes sales, and what it leaves out of one is deleted.
//!
//! # What it insists on
//!
//! * A bearer token that has not expired (401), with the scopes of the operation (403); a `User-Agent`; no more calls than the
//!   limit allows (429, with a date in `Retry-After`).
//! * Bodies with known members; ids of things that are there (404); everything [`Store`] insists on (409, 422).
//!
//! # What it forgives
//!
//! Parameters nobody knows are ignored, what looks like a card is masked, and details of a customer can be overwritten: the
//! [`Ledger`] tells what should not have been asked.
//!
//! # Misbehaviour
//!
//! [`Sim::answer_next`] and [`Sim::answer_next_to`] script it: `status(500)` saves nothing, `status(500).after_the_effect()`
//! does, `cut_before()` and `cut_after()` likewise; `plainly().answered_when(&gate)` hangs after saving. What people do in the
//! shop, and what happens there without a word, is done by [`LightspeedSim::by_hand`].

mod amount;
mod answers;
mod body;
pub mod ledger;
mod perform;
mod query;
mod route;
mod rules;
mod search;
mod serve;
mod shop;
mod store;
mod text;
mod throttle;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{Router, body::Bytes};
use chrono::{DateTime, Utc};

use self::throttle::Throttle;
pub use self::{
    amount::{Fine, Pence},
    body::{CustomerDetails, Named},
    ledger::{Calls, Doubled, Ledger, Standing, Tenders, Violation},
    route::{Generation, Operation, Release, Resource},
    rules::{ErrorShape, LeftOut, Manner, MoneyStyle, Reposted, RetryAfter, ReturnAnswer, Rules, WriteAnswer},
    shop::{Outlet, PaymentType, RegisterPlan, Shop, Tax, User, ids},
    store::{Attribute, Customer, Line, Overwrite, Payment, Product, Register, Sale, State, Stock, Store, Totals},
    throttle::LightspeedLimits,
};
use super::{
    faults::{Chaos, Side},
    ledger::Mismatch,
    shell::{Destination, Setup, Sim},
    sign_in::Connectable,
    time::SimTime,
    token::{Credentials, Grant, RegisteredClient, TokenOptions, TokenSim},
    world::World,
};
use crate::clock::Clock;

/// Source: Lightspeed, "Authorization".
const TOKEN_PATH: &str = "/api/1.0/token";
const AUTHORISE_PATH: &str = "/connect";
/// Source: Lightspeed, changelog 2025-03: 86,400 seconds. Another page has a week in its sample.
const TOKEN_LIFE: Duration = Duration::from_hours(24);
/// Source: Lightspeed, "OAuth scopes": those that reading, selling and opening a register need.
const SCOPES: [&str; 14] = [
    "sales:read",
    "sales:write",
    "customers:read",
    "customers:write",
    "products:read",
    "products:write",
    "users:read",
    "inventory:read",
    "registers:read",
    "outlets:read",
    "taxes:read",
    "payment_types:read",
    "retailer:read",
    "register:open",
];

#[derive(Clone)]
pub struct LightspeedOptions {
    pub listen: SocketAddr,
    /// Good for everything; none: the shop's plan has none.
    pub personal_token: Option<String>,
    pub client_id: String,
    pub client_secret: String,
    /// Where a browser may come back to.
    pub redirects: Vec<String>,
    /// What the application may ask for.
    pub scopes: Vec<String>,
    pub token_life: Duration,
    /// The date-versioned APIs that are live, oldest first.
    pub releases: Vec<Release>,
    pub shop: Shop,
    /// Names of products that are there from the start.
    pub products: Vec<String>,
    /// What invoice numbers begin with that are of an order.
    pub prefix: String,
    /// What the outside system calls itself.
    pub source: String,
    pub rules: Rules,
    pub manner: Manner,
    /// None: as many calls as one likes.
    pub limits: Option<LightspeedLimits>,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

impl Default for LightspeedOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            personal_token: Some("lightspeed-token".to_owned()),
            client_id: "lightspeed-client".to_owned(),
            client_secret: "lightspeed-secret".to_owned(),
            redirects: Vec::new(),
            scopes: SCOPES.map(str::to_owned).into(),
            token_life: TOKEN_LIFE,
            releases: vec![Release::new(2026, 1), Release::new(2026, 4), Release::new(2026, 7)],
            shop: Shop::default(),
            products: Vec::new(),
            prefix: "SCF-".to_owned(),
            source: "Scoffable".to_owned(),
            rules: Rules::default(),
            manner: Manner::default(),
            limits: Some(LightspeedLimits::DOCUMENTED),
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for LightspeedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("LightspeedOptions");
        text.field("listen", &self.listen).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// An answer, before any fault changed it.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    pub operation: Operation,
    pub path: String,
    pub status: u16,
    pub body: Bytes,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold personal data.
        write!(f, "Answered({:?} {} {})", self.operation, self.path, self.status)
    }
}

/// The running server. The scopes of its journal are `lightspeed:reads` and `lightspeed:writes`, and `lightspeed` for both;
/// calls of the token endpoint are not in it.
pub type LightspeedSim = Sim<Lightspeed>;

/// What is particular to it.
pub struct Lightspeed {
    options: LightspeedOptions,
    time: SimTime,
    tokens: TokenSim,
    ledger: Mutex<Ledger>,
    set: Mutex<Set>,
}

/// What tests change while it runs, and what is remembered beside the shop. Where both are held, this is taken first.
struct Set {
    rules: Rules,
    manner: Manner,
    throttle: Throttle,
    personal_token: Option<String>,
    answered: VecDeque<Answered>,
}

impl fmt::Debug for Lightspeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lightspeed").field("options", &self.options).finish_non_exhaustive()
    }
}

impl LightspeedSim {
    /// Fails when the address cannot be listened on.
    pub async fn start(options: LightspeedOptions) -> std::io::Result<Self> {
        let tokens = TokenSim::new(TokenOptions {
            path: TOKEN_PATH.to_owned(),
            clients: vec![RegisteredClient {
                id: options.client_id.clone(),
                secret: options.client_secret.clone(),
                credentials: Credentials::FormFields,
                grant: Grant::RefreshToken,
                scopes: options.scopes.clone(),
            }],
            life: options.token_life,
            asks_for_offline_access: false,
            tells_scope: true,
            chaos: options.chaos,
            seed: options.seed,
            clock: options.clock.clone(),
            ..TokenOptions::default()
        });
        let time = SimTime::start(options.clock.clone());
        let store = Store::new(options.shop.clone(), &options.products, time.now());
        let set = Set {
            rules: options.rules.clone(),
            manner: options.manner.clone(),
            throttle: Throttle::new(options.limits, Duration::from_secs(options.seed % 300)),
            personal_token: options.personal_token.clone(),
            answered: VecDeque::new(),
        };
        let connectable = Connectable {
            path: AUTHORISE_PATH,
            client_id: options.client_id.clone(),
            redirects: options.redirects.clone(),
            tokens: tokens.clone(),
        };
        let setup = Setup {
            listen: options.listen,
            side: Side::Destination,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: Router::new().merge(connectable.router()).merge(tokens.router()),
        };
        let ledger = Mutex::new(Ledger::new(options.prefix.clone(), options.source.clone(), store));
        Self::serve(Lightspeed { options, time, tokens, ledger, set: Mutex::new(set) }, setup).await
    }

    pub fn token_url(&self) -> String {
        format!("http://{}{TOKEN_PATH}", self.address())
    }

    /// Where a browser is sent to connect the application. A person there always agrees.
    pub fn authorise_url(&self) -> String {
        format!("http://{}{AUTHORISE_PATH}", self.address())
    }

    pub fn options(&self) -> &LightspeedOptions {
        &self.simulator().options
    }

    /// The token endpoint with its own script, journal and violations.
    pub fn tokens(&self) -> &TokenSim {
        &self.simulator().tokens
    }

    pub fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.simulator().set().rules);
    }

    pub fn change_manner(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.simulator().set().manner);
    }

    /// From now on this limit holds; what was counted before is forgotten.
    pub fn change_limits(&self, limits: Option<LightspeedLimits>) {
        self.simulator().set().throttle = Throttle::new(limits, Duration::ZERO);
    }

    /// The merchant makes another personal token, or takes it away.
    pub fn change_personal_token(&self, token: Option<&str>) {
        self.simulator().set().personal_token = token.map(str::to_owned);
    }

    /// A person does something in the shop, at this time; or something happens there.
    pub fn by_hand<T>(&self, act: impl FnOnce(&mut Store, DateTime<Utc>) -> T) -> T {
        let now = self.simulator().time.now();
        act(self.ledger().store_mut(), now)
    }

    /// The newest answers, oldest first: to be held against the published description, as [`Sim::received`] can be.
    pub fn answered(&self) -> Vec<Answered> {
        self.simulator().set().answered.iter().cloned().collect()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations().to_vec()
    }

    pub fn doubled(&self) -> Vec<Doubled> {
        self.ledger().doubled().to_vec()
    }

    /// See [`Ledger::compare`].
    pub fn compare(&self, world: &World, tenders: &Tenders, excused: &BTreeSet<String>) -> Vec<Mismatch> {
        self.ledger().compare(world, tenders, excused)
    }
}

impl Lightspeed {
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().expect("nothing panics while the settings are held")
    }
}

impl Destination for Lightspeed {
    type Ledger = Ledger;

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }
}

#[cfg(test)]
mod tests;
