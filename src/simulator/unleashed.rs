//! Unleashed's API, as far as orders need it: one account with its customers, products, warehouses and stock, sales orders,
//! the invoices that come of them, and free credit notes.
//!
//! Source: Unleashed API documentation (apidocs.unleashedsoftware.com, one page for each resource) and help centre. No
//! machine-readable description is published. What is only observed or assumed says so where it stands; what nobody knows
//! can be told otherwise by [`Rules`].
//!
//! # What it insists on
//!
//! * A known id, the query signed with the key, and a client type; no more calls in a calendar month than the plan has.
//! * Bodies with known members of the right type, queries with known parameters, JSON.
//! * Everything [`Account`] insists on: states, unique numbers and codes, totals that agree, goods that are there.
//!
//! # What it forgives
//!
//! A `POST` to the GUID of a customer overwrites the customer, and a credit note has no GUID in its path, so that a second
//! one comes about: that is what must never happen, and [`Ledger`] tells.
//!
//! # Misbehaviour
//!
//! [`Sim::answer_next`] and [`Sim::answer_next_to`] script it, as for every simulator. What people do in Unleashed, and what
//! happens there without a word, is done by [`UnleashedSim::by_hand`].

mod account;
mod answers;
mod body;
mod guid;
pub mod ledger;
mod perform;
mod query;
mod quota;
mod route;
mod rules;
mod serve;
mod signature;

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::Router;
use chrono::{DateTime, Utc};
use serde_json::Value;

use self::quota::Quota;
pub use self::{
    account::{
        Account, CreditNote, CreditStatus, Customer, Delivery, Invoice, Level, Line, OrderStatus, Overwrite, Product,
        SalesOrder, Settings, Tax, Totals, Warehouse,
    },
    guid::Guid,
    ledger::{Calls, Doubled, Ledger, Violation},
    quota::UnleashedLimits,
    route::{Operation, Resource},
    rules::{Blocked, MixedTax, RequiredFields, Rules, SecondPost, SignedQuery, WithoutStock, WrongSignature},
    signature::sign,
};
use super::{
    amount::Fine,
    faults::{Chaos, Side},
    ledger::Mismatch,
    payload,
    shell::{self, Destination, Setup, Sim},
    time::SimTime,
    world::{StreamVersion, World},
};
use crate::clock::Clock;

/// A well-formed request, as it came.
pub type Received = shell::Received<Operation>;

#[derive(Clone)]
pub struct UnleashedOptions {
    pub listen: SocketAddr,
    pub api_id: String,
    pub api_key: String,
    pub settings: Settings,
    /// Codes; the first is used where none is named.
    pub warehouses: Vec<String>,
    /// Names of customers that are there from the start.
    pub customers: Vec<String>,
    /// Codes of products that are there from the start, and lie in each warehouse in plenty.
    pub products: Vec<String>,
    /// What numbers and references begin with that are of an order.
    pub prefix: String,
    pub rules: Rules,
    pub limits: UnleashedLimits,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

/// How much of each product there is at the start.
const PLENTY: Fine = Fine(100_000 * Fine::ONE.0);

impl Default for UnleashedOptions {
    fn default() -> Self {
        let tax = |code: &str, rate| Tax { code: code.to_owned(), rate: Fine(rate) };
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_id: "unleashed-id".to_owned(),
            api_key: "unleashed-key".to_owned(),
            settings: Settings {
                base_currency: "GBP".to_owned(),
                currencies: vec!["GBP".to_owned()],
                taxes: vec![tax("V.A.T.", 2_000), tax("REDUCED", 500), tax("ZERO", 0)],
            },
            warehouses: vec!["KITCHEN1".to_owned()],
            customers: vec!["Scoffable customers".to_owned()],
            products: Vec::new(),
            prefix: "SCF-".to_owned(),
            rules: Rules::default(),
            limits: UnleashedLimits::DOCUMENTED,
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for UnleashedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("UnleashedOptions");
        text.field("listen", &self.listen).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The dishes of a world's orders, each as a product whose code is its name.
pub fn products_of(world: &World) -> Vec<String> {
    let read = |version: &StreamVersion| serde_json::from_slice::<Value>(&version.payload).ok();
    let orders: Vec<Value> = world.versions.iter().filter_map(read).collect();
    let dishes: BTreeSet<&str> = orders.iter().flat_map(payload::dishes).collect();
    // Longer codes nobody takes.
    dishes.into_iter().filter(|dish| dish.chars().count() <= account::MAX_CODE).map(str::to_owned).collect()
}

/// The running server. The scopes of its journal are `unleashed:reads` and `unleashed:writes`, and `unleashed` for both.
pub type UnleashedSim = Sim<Unleashed>;

/// What is particular to it.
pub struct Unleashed {
    options: UnleashedOptions,
    time: SimTime,
    ledger: Mutex<Ledger>,
    set: Mutex<Set>,
}

/// What is remembered beside the account, and what tests change while it runs.
struct Set {
    rules: Rules,
    quota: Quota,
}

impl fmt::Debug for Unleashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unleashed").field("options", &self.options).finish_non_exhaustive()
    }
}

impl UnleashedSim {
    /// Fails when the address cannot be listened on.
    pub async fn start(options: UnleashedOptions) -> std::io::Result<Self> {
        let time = SimTime::start(options.clock.clone());
        let mut account = Account::new(options.settings.clone());
        let now = time.now();
        for code in &options.warehouses {
            account.add_warehouse(code, now);
        }
        for name in &options.customers {
            account.add_customer(name, now);
        }
        for code in &options.products {
            account.add_product(code, code, now);
            for warehouse in &options.warehouses {
                account.count_stock(code, warehouse, PLENTY, now);
            }
        }
        let setup = Setup {
            listen: options.listen,
            side: Side::Destination,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: Router::new(),
        };
        let set = Set { rules: options.rules.clone(), quota: Quota::new(options.limits) };
        let ledger = Mutex::new(Ledger::new(options.prefix.clone(), account));
        Self::serve(Unleashed { options, time, ledger, set: Mutex::new(set) }, setup).await
    }

    pub fn options(&self) -> &UnleashedOptions {
        &self.simulator().options
    }

    pub fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.simulator().set().rules);
    }

    /// From now on these limits hold; what was counted before is forgotten.
    pub fn change_limits(&self, limits: UnleashedLimits) {
        self.simulator().set().quota = Quota::new(limits);
    }

    /// Others who use the account's key take what is left of the month.
    pub fn use_up_the_month(&self) {
        let now = self.simulator().time.now();
        self.simulator().set().quota.use_up(now);
    }

    /// The merchant buys so many calls for the rest of time.
    pub fn buy_calls(&self, calls: u32) {
        self.simulator().set().quota.buy(calls);
    }

    /// By the simulator's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.simulator().time.now()
    }

    /// A person does something in Unleashed, at this time; or something happens there.
    pub fn by_hand<T>(&self, act: impl FnOnce(&mut Account, DateTime<Utc>) -> T) -> T {
        let now = self.now();
        act(self.ledger().account_mut(), now)
    }

    /// The GUID of a customer that is there.
    pub fn customer_guid(&self, name: &str) -> Option<Guid> {
        let ledger = self.ledger();
        ledger.account().customers().iter().find(|customer| customer.name == name).map(|customer| customer.guid)
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations().to_vec()
    }

    pub fn doubled(&self) -> Vec<Doubled> {
        self.ledger().doubled().to_vec()
    }

    /// See [`Ledger::compare`].
    pub fn compare(&self, world: &World, excused: &BTreeSet<String>) -> Vec<Mismatch> {
        self.ledger().compare(world, excused)
    }
}

impl Unleashed {
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().expect("nothing panics while the settings are held")
    }
}

impl Destination for Unleashed {
    type Ledger = Ledger;

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }
}

#[cfg(test)]
mod tests;
