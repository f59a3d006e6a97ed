//! Xero's Accounting API, as far as the books of orders need it: one organisation with its settings, contacts, invoices,
//! credit notes, payments and journals; the token endpoint, and the browser's way to a code.
//!
//! Source: Xero-OpenAPI, `xero_accounting.yaml` and `xero-identity.yaml` 16.1.0; Xero developer documentation ("Custom
//! integrations", "OAuth 2.0 API limits"). What is only observed or assumed says so where it stands, and can mostly be
//! told otherwise by [`Rules`] and [`Manner`].
//!
//! # What it insists on
//!
//! * A bearer token that has not expired (401), with a scope for the resource; the tenant of the organisation, where the
//!   application could be connected to several; no more calls than the limits allow (429, with headers on every answer).
//! * Bodies with known members of the right type; queries with known parameters. `Accept: application/json`, or the answer
//!   is XML.
//! * Everything [`Books`] insists on: unique numbers, states, lock dates, accounts, tax types, amounts that are due.
//!
//! # What it forgives
//!
//! A `POST` to a collection overwrites what has the same number, and details of a contact in a document overwrite the
//! contact: that is what must never happen, and [`Ledger`] tells.
//!
//! # Misbehaviour
//!
//! [`Sim::answer_next`] and [`Sim::answer_next_to`] script it: `status(500)` saves nothing, `status(500).after_the_effect()`
//! does, `cut_before()` and `cut_after()` likewise; `plainly().answered_when(&gate)` hangs after saving. What people do in
//! Xero is done by [`XeroSim::by_hand`].

mod answers;
mod body;
mod books;
mod json;
pub mod ledger;
mod organisation;
mod perform;
mod query;
mod route;
mod rules;
mod serve;
mod throttle;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicU32},
    time::Duration,
};

use axum::{Router, body::Bytes};
use chrono::{DateTime, NaiveDate, Utc};

pub use self::{
    books::{
        Allocation, AmountTypes, Books, Contact, ContactStatus, Document, DocumentKind, Item, Journal, JournalLine,
        JournalStatus, Line, Note, Overwrite, Payment, Status, Totals, Tracking,
    },
    ledger::{Calls, Clearing, Doubled, Ledger, Violation},
    organisation::{Account, AccountKind, Organisation, TaxRate, TrackingCategory, TrackingOption},
    route::{Operation, Resource},
    rules::{DateStyle, KeyReuse, LinesWithoutIds, Manner, ProblemNames, Rules, ScopeRefusal},
    throttle::XeroLimits,
};
use self::{perform::Remembered, route::CONNECTIONS_PATH, throttle::Throttle};
use super::{
    amount, family,
    faults::{Chaos, Side},
    ledger::Mismatch,
    shell::{Destination, Setup, Sim},
    sign_in::Connectable,
    time::SimTime,
    token::{Credentials, Grant, RegisteredClient, TokenOptions, TokenSim},
    world::World,
};
pub use super::{
    amount::{Cents, Fine},
    family::{Member, Role},
};
use crate::clock::Clock;

const AUTHORISE_PATH: &str = "/identity/connect/authorize";
const TOKEN_PATH: &str = "/connect/token";
/// Source: xero_accounting.yaml, `securitySchemes`, and what a refresh token needs.
const BROAD_SCOPES: [&str; 4] =
    ["accounting.transactions", "accounting.contacts", "accounting.settings.read", "offline_access"];
/// Observed (help.apideck.com): 60 days. Source of the 30 minutes of an access token: Xero, "Custom integrations".
const REFRESH_LIFE: Duration = Duration::from_hours(60 * 24);
const TOKEN_LIFE: Duration = Duration::from_mins(30);

/// What kind of application asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum App {
    /// For one organisation: no tenant need be named, and there are no refresh tokens.
    CustomConnection,
    /// A person connects it in a browser, which comes back to one of these addresses.
    CodeFlow { redirects: Vec<String> },
}

/// Another organisation the application is connected to. Whoever asks about it is mistaken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: String,
    pub name: String,
}

#[derive(Clone)]
pub struct XeroOptions {
    pub listen: SocketAddr,
    pub client_id: String,
    pub client_secret: String,
    pub app: App,
    /// What the application may ask for; all of it when it asks for nothing.
    pub scopes: Vec<String>,
    pub organisation: Organisation,
    /// Names of contacts that are there from the start.
    pub contacts: Vec<String>,
    /// Listed before the right one.
    pub other_tenants: Vec<Tenant>,
    /// What numbers and references begin with that are of an order.
    pub prefix: String,
    pub rules: Rules,
    pub manner: Manner,
    pub limits: XeroLimits,
    pub token_life: Duration,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

impl Default for XeroOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            client_id: "xero-client".to_owned(),
            client_secret: "xero-secret".to_owned(),
            app: App::CustomConnection,
            scopes: BROAD_SCOPES.map(str::to_owned).into(),
            organisation: Organisation::default(),
            contacts: vec!["Scoffable customers".to_owned()],
            other_tenants: Vec::new(),
            prefix: "SCF-".to_owned(),
            rules: Rules::default(),
            manner: Manner::default(),
            limits: XeroLimits::DOCUMENTED,
            token_life: TOKEN_LIFE,
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for XeroOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("XeroOptions");
        text.field("listen", &self.listen).field("app", &self.app).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A request that passed all checks of form, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    pub operation: Operation,
    pub path: String,
    /// The raw query string, empty when there was none.
    pub query: String,
    pub idempotency_key: Option<String>,
    pub body: Bytes,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold personal data.
        write!(f, "Received({:?} {}?{})", self.operation, self.path, self.query)
    }
}

/// An answer, before any fault changed it.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    pub operation: Operation,
    pub status: u16,
    /// In JSON, also where the client got XML.
    pub body: Bytes,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold personal data.
        write!(f, "Answered({:?} {})", self.operation, self.status)
    }
}

/// The running server. The scopes of its journal are `xero:reads` and `xero:writes`, and `xero` for both; calls of the token
/// endpoint are not in it.
pub type XeroSim = Sim<Xero>;

/// What is particular to it.
pub struct Xero {
    options: XeroOptions,
    time: SimTime,
    tokens: TokenSim,
    ledger: Mutex<Ledger>,
    set: Mutex<Set>,
    in_progress: Arc<AtomicU32>,
}

/// What is remembered between calls beside the books, and what tests change while it runs.
struct Set {
    rules: Rules,
    manner: Manner,
    throttle: Throttle,
    /// By idempotency key.
    remembered: HashMap<String, Remembered>,
    answered: VecDeque<Answered>,
}

impl fmt::Debug for Xero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xero").field("options", &self.options).finish_non_exhaustive()
    }
}

impl XeroSim {
    /// Fails when the address cannot be listened on.
    pub async fn start(options: XeroOptions) -> std::io::Result<Self> {
        let tokens = TokenSim::new(TokenOptions {
            path: TOKEN_PATH.to_owned(),
            clients: vec![RegisteredClient {
                id: options.client_id.clone(),
                secret: options.client_secret.clone(),
                credentials: Credentials::BasicHeader,
                grant: match options.app {
                    App::CustomConnection => Grant::ClientCredentials,
                    App::CodeFlow { .. } => Grant::RefreshToken,
                },
                scopes: options.scopes.clone(),
            }],
            life: options.token_life,
            refresh_life: Some(REFRESH_LIFE),
            tells_scope: true,
            chaos: options.chaos,
            seed: options.seed,
            clock: options.clock.clone(),
            ..TokenOptions::default()
        });
        let time = SimTime::start(options.clock.clone());
        let mut books = Books::new(options.organisation.clone());
        for name in &options.contacts {
            books.add_contact_by_hand(name, time.now());
        }
        let set = Set {
            rules: options.rules.clone(),
            manner: options.manner.clone(),
            // Source: windows begin at a time of Xero's choosing.
            throttle: Throttle::new(options.limits, Duration::from_secs(options.seed % 60)),
            remembered: HashMap::new(),
            answered: VecDeque::new(),
        };
        let beside = match &options.app {
            App::CustomConnection => Router::new(),
            App::CodeFlow { redirects } => {
                let (client_id, redirects) = (options.client_id.clone(), redirects.clone());
                Connectable { path: AUTHORISE_PATH, client_id, redirects, tokens: tokens.clone() }.router()
            }
        };
        let setup = Setup {
            listen: options.listen,
            side: Side::Destination,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: beside.merge(tokens.router()),
        };
        let ledger = Mutex::new(Ledger::new(options.prefix.clone(), books));
        let xero = Xero { options, time, tokens, ledger, set: Mutex::new(set), in_progress: Arc::default() };
        Self::serve(xero, setup).await
    }

    pub fn token_url(&self) -> String {
        format!("http://{}{TOKEN_PATH}", self.address())
    }

    /// Where a browser is sent to connect the application. A person there always agrees.
    pub fn authorise_url(&self) -> String {
        format!("http://{}{AUTHORISE_PATH}", self.address())
    }

    pub fn connections_url(&self) -> String {
        format!("http://{}{CONNECTIONS_PATH}", self.address())
    }

    pub fn options(&self) -> &XeroOptions {
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

    /// From now on these limits hold; what was counted before is forgotten.
    pub fn change_limits(&self, limits: XeroLimits) {
        self.simulator().set().throttle = Throttle::new(limits, Duration::ZERO);
    }

    /// Others of the same application use up what is left of the day.
    pub fn use_up_the_day(&self) {
        self.simulator().set().throttle.use_up_the_day(self.simulator().time.elapsed());
    }

    /// Forgets all idempotency keys, as happens some time.
    pub fn forget_keys(&self) {
        self.simulator().set().remembered.clear();
    }

    /// A person does something in Xero, at this time.
    pub fn by_hand<T>(&self, act: impl FnOnce(&mut Books, DateTime<Utc>) -> T) -> T {
        let now = self.simulator().time.now();
        act(self.ledger().books_mut(), now)
    }

    /// A person closes the books up to this day.
    pub fn lock_until(&self, date: Option<NaiveDate>) {
        self.by_hand(|books, _| books.organisation.period_lock = date);
    }

    /// A person changes an invoice. Returns whether there is such a one.
    pub fn edit_invoice(&self, number: &str, edit: impl FnOnce(&mut Document)) -> bool {
        self.by_hand(|books, now| books.edit_by_hand(DocumentKind::Invoice, number, now, edit))
    }

    /// A person voids an invoice; takes back the payments of it first. Returns whether there is such a one.
    pub fn void_invoice(&self, number: &str) -> bool {
        self.by_hand(|books, now| books.void_by_hand(number, now))
    }

    /// The id of a contact that is there from the start, or came later.
    pub fn contact_id(&self, name: &str) -> Option<String> {
        let ledger = self.ledger();
        ledger.books().contacts().iter().find(|contact| contact.name == name).map(|contact| contact.id.clone())
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
    pub fn compare(&self, world: &World, clearing: &Clearing, excused: &BTreeSet<String>) -> Vec<Mismatch> {
        self.ledger().compare(world, clearing, excused)
    }
}

impl Xero {
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().expect("nothing panics while the settings are held")
    }
}

impl Destination for Xero {
    type Ledger = Ledger;

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }
}

#[cfg(test)]
mod tests;
