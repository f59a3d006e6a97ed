//! The daemon's parts on a database of the test's own, with simulated systems around it, stepped by hand.
//!
//! Time is the test's: [`TestApp::advance`] moves it, nothing sleeps. [`TestApp::check`] holds the receiver's books
//! against the orders published; on drop, a delivery that is still leased fails the test.

use std::{collections::BTreeMap, time::Duration};

use scoffable_sync::{
    app::{self, App},
    clock::Clock,
    config::{self, LoadOptions, Settings},
    delivery::dispatcher::{Dispatcher, Tick},
    ingest::poller::Poller,
    simulator::{
        scoffable::{ScoffableOptions, ScoffableSim},
        till::{TillOptions, TillSim},
        webhook::{WebhookOptions, WebhookSim},
        world::World,
    },
    store::line::Line,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{PgPool, Row};
use tokio_util::sync::CancellationToken;

use super::postgres::{TestDatabase, fresh_database};

/// Name of the source.
pub const SOURCE: &str = "main";
/// Name of the sink.
pub const SINK: &str = "hook";
/// Name of the sink at the simulated till, where a test has one.
pub const TILL: &str = "till";
/// Longest wait for something that happens by itself.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct TestApp {
    pub database: TestDatabase,
    pub pool: PgPool,
    pub clock: Clock,
    pub settings: Settings,
    pub scoffable: ScoffableSim,
    pub webhook: WebhookSim,
    /// See [`Setup::with_till`].
    pub till: Option<TillSim>,
    pub pollers: Vec<Poller>,
    pub dispatchers: Vec<Dispatcher>,
    /// Not cancelled unless a test does it.
    pub drain: CancellationToken,
    placed_now: bool,
    on_publish: Option<OnPublish>,
    overrides: BTreeMap<String, String>,
}

/// Is told of each version before the stream shows it: for a system that gets orders by another way, too.
pub type OnPublish = Box<dyn Fn(&Value) + Send + Sync>;

/// What a test wants otherwise than usual.
#[derive(Default)]
pub struct Setup {
    overrides: BTreeMap<String, String>,
    removed: Vec<String>,
    more_sources: Vec<(String, String)>,
    pub stream: ScoffableOptions,
    pub receiver: WebhookOptions,
    till: Option<TillOptions>,
    pub world: Option<World>,
    pub database: Option<TestDatabase>,
    placed_now: bool,
    on_publish: Option<OnPublish>,
    clock: Clock,
}

impl Setup {
    /// See [`OnPublish`].
    pub fn on_publish(mut self, told: impl Fn(&Value) + Send + Sync + 'static) -> Self {
        self.on_publish = Some(Box::new(told));
        self
    }

    /// Sets a key that nobody has set so far.
    pub fn or_with(mut self, key: &str, value: &str) -> Self {
        self.overrides.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        self
    }

    /// Orders are placed the moment they are published: for a sink that takes no old ones.
    pub fn placed_now(mut self) -> Self {
        self.placed_now = true;
        self
    }

    /// Sets a key of the configuration, as in `("sinks.hook.versions", "every")`.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.overrides.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Leaves a key out that is set for every test.
    pub fn without(mut self, key: &str) -> Self {
        self.overrides.remove(key);
        self.removed.push(key.to_owned());
        self
    }

    /// A source beside the usual one: the same platform, read with another token, which [`Setup::stream`] grants.
    pub fn with_source(mut self, name: &str, token: &str) -> Self {
        self.more_sources.push((name.to_owned(), token.to_owned()));
        self
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What [`Setup::with`] was told.
    pub fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }

    /// On a clock that the test shares with its own simulated systems.
    pub fn on(clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..Self::default() }
    }

    /// Adds another webhook sink, at a receiver that the test has started.
    pub fn with_receiver(self, sink: &str, receiver: &WebhookSim) -> Self {
        self.with(&format!("sinks.{sink}.kind"), "webhook")
            .with(&format!("sinks.{sink}.url"), &receiver.url())
            .with(&format!("sinks.{sink}.signing_secret"), &WebhookOptions::default().secret)
    }

    /// Adds a sink [`TILL`] at a simulated till. Absence is proven there once its lag is over.
    pub fn with_till(mut self, options: TillOptions) -> Self {
        let lag = format!("{}ms", options.lag.as_millis());
        self = self.with("sinks.till.kind", "scripted").with("sinks.till.token", &options.token);
        self = self.with("sinks.till.lag", &lag);
        self.till = Some(options);
        self
    }

    /// Leaves the usual sink out; a test that does so adds another.
    pub fn without_hook(self) -> Self {
        ["sinks.hook.kind", "sinks.hook.url", "sinks.hook.signing_secret"].into_iter().fold(self, Self::without)
    }

    pub async fn start(mut self) -> TestApp {
        let clock = self.clock;
        let world = self.world.unwrap_or_else(World::empty);
        let stream = ScoffableOptions { clock: clock.clone(), ..self.stream };
        let receiver = WebhookOptions { clock: clock.clone(), ..self.receiver };
        let (token, secret) = (stream.grants[0].token.clone(), receiver.secret.clone());
        let scoffable = ScoffableSim::start(&world, stream).await.expect("a loopback port is free");
        let webhook = WebhookSim::start(receiver).await.expect("a loopback port is free");
        let till = match self.till {
            Some(options) => {
                let options = TillOptions { clock: clock.clone(), ..options };
                Some(TillSim::start(options).await.expect("a loopback port is free"))
            }
            None => None,
        };
        if let Some(till) = &till {
            self.overrides.insert("sinks.till.url".to_owned(), till.url());
        }
        let database = match self.database {
            Some(database) => database,
            None => fresh_database().await,
        };
        let mut overrides: BTreeMap<String, String> = [
            ("database.url", database.url.expose_secret()),
            ("http.listen", "off"),
            ("sources.main.kind", "scoffable"),
            ("sources.main.base_url", &scoffable.base_url()),
            ("sources.main.token", &token),
            ("sources.main.requests_per_minute", "unlimited"),
            ("sources.main.account_requests_per_minute", "unlimited"),
            ("sources.main.request_timeout", "5s"),
            ("sinks.hook.kind", "webhook"),
            ("sinks.hook.url", &webhook.url()),
            ("sinks.hook.signing_secret", &secret),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for (name, token) in self.more_sources {
            let like_the_first: Vec<(String, String)> = overrides
                .iter()
                .filter_map(|(key, value)| {
                    let key = key.strip_prefix("sources.main.")?;
                    Some((format!("sources.{name}.{key}"), value.clone()))
                })
                .collect();
            overrides.extend(like_the_first);
            overrides.insert(format!("sources.{name}.token"), token);
        }
        overrides.retain(|key, _| !self.removed.contains(key));
        overrides.extend(self.overrides);
        let pool = database.pool().await;
        let (settings, app) = assemble(&overrides, &pool, &clock).await;
        TestApp {
            database,
            pool,
            clock,
            settings,
            scoffable,
            webhook,
            till,
            pollers: app.pollers,
            dispatchers: app.dispatchers,
            drain: CancellationToken::new(),
            placed_now: self.placed_now,
            on_publish: self.on_publish,
            overrides,
        }
    }
}

async fn assemble(overrides: &BTreeMap<String, String>, pool: &PgPool, clock: &Clock) -> (Settings, App) {
    let settings = settings_of(overrides);
    app::register(pool, &settings, clock).await.expect("the rows can be registered");
    let app = App::build(&settings, pool, clock, &app::owner()).expect("valid settings can be built");
    (settings, app)
}

fn settings_of(overrides: &BTreeMap<String, String>) -> Settings {
    let overrides = overrides.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    config::load(&LoadOptions { overrides, ..LoadOptions::default() })
        .unwrap_or_else(|error| panic!("the test's configuration is wrong: {error}"))
}

impl TestApp {
    /// One source, one webhook sink, defaults otherwise.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    pub fn setup() -> Setup {
        Setup::default()
    }

    /// What a part of this process asks the database by.
    pub fn line(&self) -> Line {
        Line::new(self.pool.clone())
    }

    /// Another process on the same database: its loops, and nothing shared in memory but the test's clock.
    pub async fn another_process(&self) -> App {
        assemble(&self.overrides, &self.pool, &self.clock).await.1
    }

    /// The same process after a restart: everything in memory is gone.
    pub async fn restart(&mut self) {
        let app = self.another_process().await;
        (self.pollers, self.dispatchers) = (app.pollers, app.dispatchers);
    }

    /// Changes the configuration as the next [`Self::restart`] reads it.
    pub fn configure(&mut self, key: &str, value: &str) {
        self.overrides.insert(key.to_owned(), value.to_owned());
    }

    /// What the process would be configured with, had these keys other values. Nothing comes of it.
    pub fn settings_with(&self, keys: &[(&str, &str)]) -> Settings {
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        settings_of(&self.overrides.clone().into_iter().chain(keys).collect())
    }

    /// Builds the loops again, from settings that a test has changed.
    pub fn rebuild(&mut self) {
        let app =
            App::build(&self.settings, &self.pool, &self.clock, &app::owner()).expect("valid settings can be built");
        (self.pollers, self.dispatchers) = (app.pollers, app.dispatchers);
    }

    /// Ends every connection that the daemon has to the database. The test goes on with one of its own.
    pub async fn cut_database_connections(&mut self) {
        self.pool = self.database.pool().await;
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }

    /// Publishes a version on the stream.
    pub fn publish(&self, order: &Value) {
        let mut order = order.clone();
        if self.placed_now {
            order["placedAt"] = json!(self.clock.wall());
        }
        if let Some(told) = &self.on_publish {
            told(&order);
        }
        self.scoffable.publish(order.to_string());
    }

    /// Reads the stream to its end, whatever the interval says. Fails the test when the database fails.
    pub async fn poll(&mut self) {
        self.make_sources_due().await;
        for poller in &mut self.pollers {
            poller.tick(&self.drain).await.expect("the poll works");
        }
    }

    /// Makes every source due and free of waits that it set for itself.
    pub async fn make_sources_due(&self) {
        self.run("UPDATE sources SET next_poll_at = 'epoch', not_before = NULL").await;
    }

    /// Claims, sends and settles until nothing is due now. Returns how many deliveries were claimed.
    pub async fn dispatch(&mut self) -> usize {
        let mut claimed = 0;
        for _ in 0..1_000 {
            let mut idle = true;
            for dispatcher in &mut self.dispatchers {
                if let Tick::Worked(n) = dispatcher.tick().await.expect("the database answers") {
                    claimed += n;
                    idle = false;
                }
            }
            if idle {
                return claimed;
            }
        }
        panic!("deliveries never come to rest");
    }

    /// An order version arrives and is sent, if it is to be.
    pub async fn arrives(&mut self, order: &Value) {
        self.publish(order);
        self.poll().await;
        self.dispatch().await;
    }

    /// An order version arrives and is stored; nothing is sent yet.
    pub async fn stores(&mut self, order: &Value) {
        self.publish(order);
        self.poll().await;
    }

    /// One round of the first dispatcher, and something else while it runs. See [`Fault::answered_when`] for keeping a
    /// request under way meanwhile.
    ///
    /// [`Fault::answered_when`]: scoffable_sync::simulator::faults::Fault::answered_when
    pub async fn during_a_tick(&mut self, meanwhile: impl AsyncFnOnce(&mut Self)) {
        let mut dispatcher = self.dispatchers.remove(0);
        let (tick, ()) = tokio::join!(dispatcher.tick(), meanwhile(self));
        self.dispatchers.insert(0, dispatcher);
        tick.expect("the database answers");
    }

    /// Waits until the receiver has been asked so often, counted from its start.
    pub async fn requests_begun(&self, number: u64) {
        let begun = self.webhook.journal().wait_until(|journal| journal.total() >= number, PATIENCE).await;
        begun.expect("the request reaches the receiver");
    }

    /// How often the receiver was asked.
    pub fn requests(&self) -> u64 {
        self.webhook.journal().total()
    }

    /// Moves time for the daemon and for the simulated systems.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Sends until nothing is open any more, moving time to whatever is scheduled next.
    pub async fn run_to_rest(&mut self) {
        self.run_until_only("").await;
    }

    /// The same, but for deliveries that wait for this.
    pub async fn run_until_only(&mut self, waiting_for: &str) {
        let sql = "SELECT count(*) FROM deliveries WHERE open AND waiting_for IS DISTINCT FROM $1";
        for _ in 0..500 {
            self.dispatch().await;
            let open = sqlx::query_scalar::<_, i64>(sql).bind(waiting_for).fetch_one(&self.pool).await;
            if open.expect("the test's SQL works") == 0 {
                return;
            }
            self.advance(Duration::from_mins(1));
        }
        panic!("deliveries are still open: {:#?}", self.still_open().await);
    }

    /// Of some: what they wait for, and their last attempts.
    async fn still_open(&self) -> Vec<String> {
        let sql = "SELECT concat_ws(' ', d.order_id, d.state, d.waiting_for, d.last_error, a.told)
                   FROM (SELECT * FROM deliveries WHERE open ORDER BY sink, order_id LIMIT 5) d
                   CROSS JOIN LATERAL (
                       SELECT string_agg(concat_ws(' ', step, outcome, http_status, reason, response_excerpt), '; ' ORDER BY id) AS told
                       FROM (SELECT * FROM attempts a WHERE a.sink = d.sink AND a.order_id = d.order_id
                             ORDER BY id DESC LIMIT 6) newest
                   ) a";
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.expect("the test's SQL works")
    }

    pub async fn delivery(&self, order_id: &str) -> Delivery {
        self.delivery_at(SINK, order_id).await
    }

    /// The order's delivery to one of several sinks.
    pub async fn delivery_at(&self, sink: &str, order_id: &str) -> Delivery {
        let row = sqlx::query(
            "SELECT *, (extract(epoch FROM next_attempt_at - now()) * 1000)::bigint - $3 AS due_in_ms
             FROM deliveries WHERE sink = $1 AND order_id = $2",
        )
        .bind(sink)
        .bind(order_id)
        .bind(self.clock.offset_ms())
        .fetch_one(&self.pool)
        .await
        .unwrap_or_else(|error| panic!("no delivery of {order_id}: {error}"));
        Delivery {
            state: row.get("state"),
            reason: row.get("reason"),
            hint: row.get("hint"),
            waiting_for: row.get("waiting_for"),
            wanted: row.get("wanted_version"),
            applied: row.get("applied_version"),
            attempts: row.get("attempts"),
            external_id: row.get("external_id"),
            last_error: row.get("last_error"),
            due_in: Duration::from_millis(row.get::<Option<i64>, _>("due_in_ms").unwrap_or_default().max(0) as u64),
        }
    }

    /// The simulated till of [`Setup::with_till`].
    pub fn till(&self) -> &TillSim {
        self.till.as_ref().expect("the test asked for a till")
    }

    /// Outcomes of an order's attempts and decisions, oldest first.
    pub async fn outcomes(&self, order_id: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT outcome FROM attempts WHERE order_id = $1 ORDER BY id")
            .bind(order_id)
            .fetch_all(&self.pool)
            .await
            .expect("attempts can be read")
    }

    /// Versions of an order that the receiver applied, in its order.
    pub fn applied(&self, order_id: &str) -> Vec<i64> {
        self.webhook.ledger().applied(SOURCE, order_id).iter().map(|applied| applied.version).collect()
    }

    /// Text of the first column of the first row.
    pub async fn text(&self, sql: &'static str) -> Option<String> {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("the test's SQL works")
    }

    /// First column of the first row.
    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("the test's SQL works")
    }

    pub async fn run(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.expect("the test's SQL works");
    }

    /// The receiver saw nothing that must never happen.
    pub fn assert_no_violation(&self) {
        let violations = self.webhook.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

/// Another receiver, with the usual secret.
pub async fn receiver(clock: &Clock) -> WebhookSim {
    let options = WebhookOptions { clock: clock.clone(), ..WebhookOptions::default() };
    WebhookSim::start(options).await.expect("a loopback port is free")
}

/// A delivery's row, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub state: String,
    pub reason: Option<String>,
    pub hint: Option<String>,
    pub waiting_for: Option<String>,
    pub wanted: i64,
    pub applied: Option<i64>,
    pub attempts: i32,
    pub external_id: Option<String>,
    pub last_error: Option<String>,
    /// Zero: due.
    pub due_in: Duration,
}

/// An order of one product, balanced, all online.
pub fn order(id: &str, version: i64, status: &str) -> Value {
    json!({
        "id": id,
        "version": version,
        "latestVersion": true,
        "vendorId": "vendor-a",
        "status": status,
        "type": "collection",
        "placedAt": "2026-03-01T12:05:00Z",
        "total": {"amount": 1250, "currency": "GBP"},
        "items": [{
            "id": "line-1", "name": "Lamb Kofta Plate", "type": "product",
            "quantityOrdered": 1, "quantityFulfilled": 1,
            "price": {"amount": 1250, "currency": "GBP"}, "total": {"amount": 1250, "currency": "GBP"}
        }],
        "customerPayments": [
            {"type": "online", "collectedBy": "scoffable", "payment": {"amount": 1250, "currency": "GBP"}}
        ]
    })
}

/// The same with another total, so that something visible changes.
pub fn order_of(id: &str, version: i64, status: &str, total: i64) -> Value {
    let mut order = order(id, version, status);
    for pointer in
        ["/total/amount", "/items/0/price/amount", "/items/0/total/amount", "/customerPayments/0/payment/amount"]
    {
        *order.pointer_mut(pointer).expect("the sample has it") = json!(total);
    }
    order
}
