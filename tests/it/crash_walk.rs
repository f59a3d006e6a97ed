//! The real binary, killed by `kill -9` at every moment that has a name ([`Boundary`]): whatever stands half done by then,
//! the next process brings to its right end (G1–G4, G8), at a destination where nothing may be repeated.
//!
//! A boundary that is added fails to compile here until it has a scene, and a statement that writes fails
//! [`every_statement_that_writes_has_its_boundary`] until it is listed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt;
use scoffable_sync::{
    boundary::Boundary,
    clock::Clock,
    simulator::{
        faults::{Fault, cut_after, slow, status},
        scoffable::{Limits, ScoffableOptions, ScoffableSim},
        till::{Operation, TillOptions, TillSim},
        webhook::{WebhookOptions, WebhookSim},
        world::World,
    },
};
use secrecy::ExposeSecret;
use sqlx::PgPool;

use crate::harness::{
    app::{SOURCE, order, order_of},
    postgres::{TestDatabase, fresh_database},
    process::{ConfigFile, until},
};

/// So much later the next process starts: every lease has ended by then, and whatever was sent must have arrived.
const LATER: Duration = Duration::from_mins(2);
/// Processes at a time.
const AT_ONCE: usize = 6;

/// How the moment is come to.
struct Scene {
    /// Answers of the till to what it is asked.
    till: Vec<(Operation, Fault)>,
    /// Answers of the webhook that comes after the till.
    hook: Vec<Fault>,
    orders: usize,
    hook_concurrency: u32,
    /// What the webhook's table says of the till.
    hook_order: &'static str,
    /// Come to so often before it is the last time.
    times: u32,
}

const ONE_ORDER: Scene = Scene {
    till: Vec::new(),
    hook: Vec::new(),
    orders: 1,
    hook_concurrency: 8,
    hook_order: "after = \"till\"",
    times: 1,
};

/// Every boundary has at least one scene.
fn scenes(boundary: Boundary) -> Vec<Scene> {
    use Boundary as B;
    let nth = |times| Scene { times, ..ONE_ORDER };
    let after_a_lost_answer = |operation| Scene { till: vec![(operation, cut_after())], ..ONE_ORDER };
    match boundary {
        // Once for each of the two steps of an order at the till, and for what comes after it.
        B::DeliveriesClaimed
        | B::IntentsWritten
        | B::StepSending
        | B::StepAnswered
        | B::SettlementBegun
        | B::SettlementCommitted => match boundary {
            B::IntentsWritten => vec![nth(1), nth(2)],
            _ => vec![nth(1), nth(2), nth(3)],
        },
        B::SourceRegistered
        | B::TurnTaken
        | B::PageRequested
        | B::PageAnswered
        | B::PagesCommitted
        | B::PollFinished
        | B::CallsReserved => vec![nth(1)],
        // The till takes its time, so that the webhook has looked and waits by then.
        B::DependentsWoken => {
            let till = [Operation::Open, Operation::Pay].map(|step| (step, slow(Duration::from_millis(600))));
            vec![Scene { till: till.into(), ..ONE_ORDER }]
        }
        B::SinkRegistered => vec![nth(1), nth(2)],
        B::LookUpSending | B::LookUpAnswered => {
            vec![after_a_lost_answer(Operation::Open), after_a_lost_answer(Operation::Pay)]
        }
        // The last ones wait in the queue for so long that their lease has to be prolonged.
        B::LeaseExtended => vec![Scene {
            hook: (0..8).map(|_| slow(Duration::from_millis(900))).collect(),
            orders: 9,
            hook_concurrency: 1,
            hook_order: "", // all are due, and claimed, at once
            ..ONE_ORDER
        }],
        B::BreakerTurned | B::ProbeWon => vec![Scene { hook: vec![status(500), status(500)], ..ONE_ORDER }],
    }
}

struct Stage {
    database: TestDatabase,
    pool: PgPool,
    scoffable: ScoffableSim,
    till: TillSim,
    /// The till's.
    clock: Clock,
    hook: WebhookSim,
    config: ConfigFile,
}

impl Stage {
    async fn set(scene: &Scene) -> Self {
        let stream = ScoffableOptions { limits: Limits::NONE, ..ScoffableOptions::default() };
        let token = stream.grants[0].token.clone();
        let scoffable = ScoffableSim::start(&World::empty(), stream).await.expect("a loopback port is free");
        let clock = Clock::default();
        let till_options =
            TillOptions { lag: Duration::from_millis(300), clock: clock.clone(), ..TillOptions::default() };
        let till_token = till_options.token.clone();
        let till = TillSim::start(till_options).await.expect("a loopback port is free");
        let hook = WebhookSim::start(WebhookOptions::default()).await.expect("a loopback port is free");
        for (operation, fault) in &scene.till {
            till.answer_next_to(*operation, [fault.clone()]);
        }
        hook.answer_next(scene.hook.iter().cloned());
        let database = fresh_database().await;
        let config = ConfigFile::holding(&format!(
            r#"
[database]
url = "{database}"

[http]
listen = "off"

[delivery]
lease = "11s"
read_back = ["1s", "3s"]

[sources.{SOURCE}]
kind = "scoffable"
base_url = "{stream}"
token = "{token}"
poll_interval = "1s"
request_timeout = "2s"
requests_per_minute = "unlimited"
account_requests_per_minute = "unlimited"

[sinks.till]
kind = "scripted"
url = "{till}"
token = "{till_token}"
lag = "1s"
request_timeout = "1s"
limits = {{ per_minute = 1000 }}
retry = {{ initial = "100ms", max = "1s", slow_interval = "1s", give_up_after = "10m" }}

[sinks.hook]
kind = "webhook"
{order}
url = "{receiver}"
signing_secret = "{secret}"
request_timeout = "1s"
concurrency = {concurrency}
retry = {{ initial = "100ms", max = "1s", slow_interval = "1s", give_up_after = "10m" }}
breaker = {{ failures = 2, probe = "500ms" }}
"#,
            database = database.url.expose_secret(),
            stream = scoffable.base_url(),
            till = till.url(),
            receiver = hook.url(),
            secret = WebhookOptions::default().secret,
            order = scene.hook_order,
            concurrency = scene.hook_concurrency,
        ));
        Self { pool: database.pool().await, database, scoffable, till, clock, hook, config }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("the test's SQL works")
    }
}

/// Kills a process there, lets another finish the work, and holds both destinations against what they must hold.
async fn killed_at(boundary: Boundary, scene: Scene) {
    let what = format!("{}:{}", boundary.name(), scene.times);
    let stage = Stage::set(&scene).await;
    for number in 0..scene.orders {
        stage.scoffable.publish(order(&format!("A-{number}"), 1, "accepted").to_string());
    }

    let mut dying = stage.config.command(&["run"]).env("SCOFFABLE_SYNC_FAILPOINT", &what).start();
    until(&format!("{what}: the process comes there and dies"), async || !dying.is_running()).await;
    let died = dying.finished().await;
    assert_eq!(died.code, None, "{what}: it was to be killed\n{}", died.stderr);

    stage.clock.advance(LATER);
    let later = LATER.as_millis().to_string();
    let daemon = stage.config.command(&["run"]).env("SCOFFABLE_SYNC_LATER_BY_MS", &later).start();
    let settled = async |version: i64| {
        let sql = "SELECT count(*) FROM deliveries WHERE state = 'applied' AND applied_version = $1";
        let applied: i64 = sqlx::query_scalar(sql).bind(version).fetch_one(&stage.pool).await.expect("the SQL works");
        applied == 2 * scene.orders as i64
    };
    until(&format!("{what}: all is brought after the crash"), async || settled(1).await).await;
    // What was resumed is a good ground for what comes next.
    for number in 0..scene.orders {
        stage.scoffable.publish(order_of(&format!("A-{number}"), 2, "accepted", 1900).to_string());
    }
    until(&format!("{what}: a correction is brought, too"), async || settled(2).await).await;
    daemon.kill().await;

    let (doubled, violations) = (stage.till.doubled(), stage.till.violations());
    assert!(doubled.is_empty() && violations.is_empty(), "{what}: {doubled:?} {violations:?}");
    let hooked = stage.hook.violations();
    assert!(hooked.is_empty(), "{what}: {hooked:?}");
    for number in 0..scene.orders {
        let ledger = stage.till.ledger();
        let tickets: Vec<_> = ledger.tickets_of(&format!("{SOURCE}/A-{number}")).collect();
        assert_eq!(tickets.len(), 1, "{what}: {tickets:?}");
        let sums = ledger.sums(&format!("{SOURCE}/A-{number}"));
        assert_eq!((sums.total_minor, sums.paid_minor), (1900, 1900), "{what}");
    }
    let read = stage.number("SELECT count(*) FROM order_versions").await;
    assert_eq!(read, 2 * scene.orders as i64, "{what}: every version is stored once");
    drop(stage.database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_any_boundary_leaves_nothing_lost_and_nothing_doubled() {
    let walks = Boundary::ALL
        .iter()
        .flat_map(|boundary| scenes(*boundary).into_iter().map(|scene| killed_at(*boundary, scene)));
    futures::stream::iter(walks).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// What is said of a statement that changes something.
enum Known {
    /// The process may die here after it.
    At(Boundary),
    /// It only prolongs, shortens or notes what the next statement would find as well.
    Harmless,
    /// A person's, or a bounded step: whole in one transaction, so that a process that dies before its end has done
    /// nothing, and done again without harm
    /// (tests/it/{operate,replay,backfill,retention,erasure,watch,catalogue,alerts_told,xero/daily}.rs).
    Whole,
    /// Killed at every await (tests/it/oauth).
    WalkedElsewhere,
}

fn known(statement: &str) -> Option<Known> {
    use Boundary as B;
    let (table, operation) = statement.split_once('.')?;
    let at = |boundary| Some(Known::At(boundary));
    match (table, operation.split('.').next()?) {
        ("sources", "register") => at(B::SourceRegistered),
        ("sinks", "register") => at(B::SinkRegistered),
        ("sources", "take") => at(B::TurnTaken),
        ("budgets", "reserve_minute") => at(B::PageRequested),
        ("ingest", "store_pages") => at(B::PagesCommitted),
        ("sources", "finish") => at(B::PollFinished),
        ("budgets", "save") => at(B::CallsReserved),
        ("sinks", "win_probe") => at(B::ProbeWon),
        ("deliveries", "claim") => at(B::DeliveriesClaimed),
        ("deliveries", "write_intents") => at(B::IntentsWritten),
        ("deliveries", "extend") => at(B::LeaseExtended),
        ("deliveries", "settle") => at(B::SettlementCommitted),
        ("deliveries", "wake_dependents") => at(B::DependentsWoken),
        ("sinks", "open_breaker" | "close_breaker" | "sum_up_breakers") => at(B::BreakerTurned),
        ("sources", "renew" | "poll_now" | "leave")
        | ("deliveries", "link" | "wake_held" | "close_mended")
        | ("sinks", "return_probe")
        | ("budgets", "create")
        | ("summaries", "wake")
        | ("alerts" | "links" | "slots", _) => Some(Known::Harmless),
        ("sources", "borrow" | "give_back")
        | ("summaries", "close")
        | (
            "operations" | "quarantine" | "replay" | "backfill" | "retention" | "erasure" | "housekeeping"
            | "catalogue" | "alert_messages",
            _,
        ) => Some(Known::Whole),
        ("credentials", _) => Some(Known::WalkedElsewhere),
        _ => None,
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

#[test]
fn every_statement_that_writes_has_its_boundary() {
    let mut unlisted = BTreeMap::new();
    for file in files_in(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store"))) {
        let text = std::fs::read_to_string(&file).expect("it can be read");
        for statement in text.split("r#\"-- ").skip(1) {
            let (name, rest) = statement.split_once('\n').expect("a name ends its line");
            let sql = rest.split("\"#").next().unwrap_or_default();
            let begins = |verb: &str| sql.lines().any(|line| line.trim_start().starts_with(verb));
            let writes = ["INSERT INTO", "UPDATE ", "DELETE FROM"].into_iter().any(begins);
            let is_walked = match known(name) {
                Some(Known::At(boundary)) => Boundary::ALL.contains(&boundary) && !scenes(boundary).is_empty(),
                Some(Known::Harmless | Known::Whole | Known::WalkedElsewhere) => true,
                None => false,
            };
            if writes && !is_walked {
                unlisted.insert(name.to_owned(), file.clone());
            }
        }
    }
    assert!(unlisted.is_empty(), "give each a boundary and a scene, or say above why it needs none: {unlisted:#?}");
}
