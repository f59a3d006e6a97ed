//! Any prefix of a recorded run at Xero, killed and begun again (acceptance test 8 of the synchronisation practices): the real
//! binary dies by `kill -9` right before and right after each of its requests, and whatever it had posted by then, the same
//! documents and payments stand in the end, each once.

use std::time::Duration;

use futures::StreamExt;
use scoffable_sync::{
    boundary::Boundary,
    clock::Clock,
    simulator::{
        scoffable::{Limits, ScoffableOptions, ScoffableSim},
        world::World,
        xero::{XeroLimits, XeroOptions, XeroSim},
    },
};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::PgPool;

use crate::harness::{
    app::{SOURCE, order_of},
    postgres::{TestDatabase, fresh_database},
    process::{ConfigFile, Process, until},
};

/// Processes at a time.
const AT_ONCE: usize = 6;
/// So much later the next process starts: while a key is trusted to be known, and when only looking can tell.
const LATER: [Duration; 2] = [Duration::from_mins(2), Duration::from_mins(8)];

/// Posted and paid, corrected, cancelled, and accepted again.
fn life() -> [Value; 4] {
    [
        order_of("A-1", 1, "accepted", 1250),
        order_of("A-1", 2, "accepted", 1000),
        order_of("A-1", 3, "cancelled", 1000),
        order_of("A-1", 4, "accepted", 1000),
    ]
}

struct Stage {
    _database: TestDatabase,
    pool: PgPool,
    scoffable: ScoffableSim,
    xero: XeroSim,
    /// Xero's.
    clock: Clock,
    config: ConfigFile,
}

/// Documents with their state and total, and live payments with their amount.
type Stands = (Vec<(String, String, i64)>, Vec<(Option<String>, i64)>);

impl Stage {
    async fn set() -> Self {
        let stream = ScoffableOptions { limits: Limits::NONE, ..ScoffableOptions::default() };
        let token = stream.grants[0].token.clone();
        let scoffable = ScoffableSim::start(&World::empty(), stream).await.expect("a loopback port is free");
        let clock = Clock::default();
        let options = XeroOptions { limits: XeroLimits::NONE, clock: clock.clone(), ..XeroOptions::default() };
        let xero = XeroSim::start(options).await.expect("a loopback port is free");
        let database = fresh_database().await;
        let config = ConfigFile::holding(&format!(
            r#"
[database]
url = "{database}"

[http]
listen = "off"

[delivery]
lease = "12s"
read_back = ["1s", "3s"]

[sources.{SOURCE}]
kind = "scoffable"
base_url = "{stream}"
token = "{token}"
poll_interval = "1s"
request_timeout = "2s"
requests_per_minute = "unlimited"
account_requests_per_minute = "unlimited"

[sinks.books]
kind = "xero"
base_url = "{books}"
token_url = "{tokens}"
client_id = "{client_id}"
client_secret = "{client_secret}"
scopes = "broad"
house_customer = "{contact}"
time_zone = "Europe/London"
stable_for = "0s"
request_timeout = "2s"
limits = {{ per_minute = "unlimited", per_day = "unlimited" }}
retry = {{ initial = "100ms", max = "1s", slow_interval = "1s", give_up_after = "10m" }}
tax_types = {{ default = "OUTPUT2", untaxed = "NONE" }}
accounts = {{ sales = "200", service_fee = "201", delivery_fee = "202", vendor_voucher = "205", rounding = "498", difference = "499", scoffable_clearing = "611", cash = "612", card_terminal = "613" }}
"#,
            database = database.url.expose_secret(),
            stream = scoffable.base_url(),
            books = xero.url(),
            tokens = xero.token_url(),
            client_id = xero.options().client_id,
            client_secret = xero.options().client_secret,
            contact = xero.contact_id("Scoffable customers").expect("it is there from the start"),
        ));
        Self { pool: database.pool().await, _database: database, scoffable, xero, clock, config }
    }

    async fn has_brought(&self, version: usize) -> bool {
        let sql = "SELECT count(*) FROM deliveries WHERE state = 'applied' AND applied_version = $1";
        let brought: i64 =
            sqlx::query_scalar(sql).bind(version as i64).fetch_one(&self.pool).await.expect("the SQL works");
        brought == 1
    }

    /// Each version comes when the one before it is brought, until all are or the process is gone. Returns whether all are;
    /// `published` so many were before.
    async fn live(&self, process: &mut Process, published: &mut usize, what: &str) -> bool {
        let versions = life();
        loop {
            if *published > 0 {
                let is_over = async || !process.is_running() || self.has_brought(*published).await;
                until(&format!("{what}: version {published} is brought, or the process is gone"), is_over).await;
                if !self.has_brought(*published).await {
                    return false;
                }
            }
            let Some(next) = versions.get(*published) else { return true };
            self.scoffable.publish(next.to_string());
            *published += 1;
        }
    }

    fn stands(&self) -> Stands {
        self.xero.by_hand(|books, _| {
            let documents = books.documents().iter();
            let payments = books.payments().iter().filter(|payment| payment.is_live());
            (
                documents.map(|one| (one.number.clone(), one.status.name().to_owned(), one.totals().total.0)).collect(),
                payments.map(|one| (one.reference.clone(), one.amount.0)).collect(),
            )
        })
    }

    fn assert_nothing_wrong(&self, what: &str) {
        assert_eq!((self.xero.violations(), self.xero.doubled()), (vec![], vec![]), "{what}");
    }
}

/// What stands after a run that nothing interrupted, and how many requests of the order's it took.
async fn recorded() -> (Stands, u32) {
    let stage = Stage::set().await;
    let mut daemon = stage.config.command(&["run"]).start();
    assert!(stage.live(&mut daemon, &mut 0, "recorded").await, "it runs on");
    daemon.kill().await;
    stage.assert_nothing_wrong("recorded");
    let sql = "SELECT count(*) FROM attempts WHERE http_status IS NOT NULL";
    let requests: i64 = sqlx::query_scalar(sql).fetch_one(&stage.pool).await.expect("the SQL works");
    (stage.stands(), u32::try_from(requests).expect("a few"))
}

/// Kills a process there, lets another finish the run, and holds what stands against the recorded run.
async fn killed_at(boundary: Boundary, times: u32, recorded: &Stands) {
    let what = format!("{}:{times}", boundary.name());
    let stage = Stage::set().await;
    let mut published = 0;

    let mut dying = stage.config.command(&["run"]).env("SCOFFABLE_SYNC_FAILPOINT", &what).start();
    let is_whole = stage.live(&mut dying, &mut published, &what).await;
    assert!(!is_whole, "{what}: it never came there");
    let died = dying.finished().await;
    assert_eq!(died.code, None, "{what}: it was to be killed\n{}", died.stderr);

    let later = LATER[times as usize % LATER.len()];
    stage.clock.advance(later);
    let later = later.as_millis().to_string();
    let mut daemon = stage.config.command(&["run"]).env("SCOFFABLE_SYNC_LATER_BY_MS", &later).start();
    let is_whole = stage.live(&mut daemon, &mut published, &what).await;
    assert!(is_whole, "{what}: the next one runs on");
    daemon.kill().await;

    assert_eq!(stage.stands(), *recorded, "{what}");
    stage.assert_nothing_wrong(&what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_prefix_of_a_run_at_xero_that_is_killed_and_begun_again_ends_with_the_same_documents() {
    let (recorded, n_requests) = recorded().await;
    let numbers: Vec<&str> = recorded.0.iter().map(|(number, ..)| number.as_str()).collect();
    assert_eq!(numbers, ["SCF-A-1", "SCF-A-1-C1", "SCF-A-1-C2", "SCF-A-1-R2"]);
    assert!(n_requests >= 8, "an invoice or credit note and its payments for each version: {n_requests}");

    let (recorded, moments) = (&recorded, [Boundary::StepSending, Boundary::StepAnswered]);
    let walks = (1..=n_requests).flat_map(|times| moments.map(|boundary| killed_at(boundary, times, recorded)));
    Box::pin(futures::stream::iter(walks).buffer_unordered(AT_ONCE).collect::<Vec<()>>()).await;
}
