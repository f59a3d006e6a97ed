//! The command line with the real binary: exit codes, help, what is said about a bad configuration, and the two ways to
//! see the product at work, `demo` and `simulate` with `run`.
//!
//! After a deliberate change of a text: `INSTA_UPDATE=always cargo test --test it command_line`.

use std::{net::TcpListener, path::Path, time::Duration};

use rustix::process::{Signal, test_kill_process};
use scoffable_sync::{
    cli::simulate,
    config::{self, LoadOptions},
    domain::ids::SinkName,
    simulator::{
        spoton::Chain,
        unleashed::UnleashedOptions,
        webhook::WebhookOptions,
        world::{World, WorldOptions},
    },
    store::demo::totals as demo_totals,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::harness::{
    app::TestApp,
    postgres::{fresh_database, reachable_tempdir},
    process::{ConfigFile, Finished, Invocation, scoffable_sync, until, unused_ports},
};

/// Right in every way, with secrets that must never be shown.
const FINE: &str = r#"
[database]
url = "postgres://sync:hunter2@127.0.0.1:1/orders"

[sources.main]
kind = "scoffable"
token = "token-hunter2"

[sinks.hook]
kind = "webhook"
url = "https://example.org/orders?key=hunter2"
signing_secret = "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI="
headers = { authorization = "Bearer hunter2" }
"#;

const MISTAKES: &str = r#"
sink = 1

[database]
url = "mysql://root@localhost/orders"
max_connections = 1
statment_cache = 10

[http]
listen = "0.0.0.0:9464"

[delivery]
lease = "20"
read_back = ["1m", "10s"]

[log]
format = "yaml"

[sources.main]
kind = "scoffable"
base_url = "http://partners-api.example.org"
token = { env = "NOT_SET_ANYWHERE" }
page_size = 500
start_from = "yesterday"

[sources."Main Stream"]
kind = "scoffable"

[sinks.hook]
kind = "webhok"

[sinks.books]
kind = "webhook"
url = "ftp://example.org"
signing_secret = { file = "/nowhere/secret" }
after = "pos"
statuses = ["accepted"]
concurrency = 0
retry = { initial = "2h", max = "1h" }
"#;

/// A configuration file by its usual name, so that what is said of it is the same everywhere.
fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scoffable-sync.toml"), text).unwrap();
    folder
}

async fn in_folder_with(text: &str, args: &[&str]) -> Finished {
    let folder = folder_with(text);
    scoffable_sync(args.iter().copied()).in_folder(folder.path()).finish().await
}

fn is_silent(text: &str) -> bool {
    text.trim().is_empty()
}

#[tokio::test]
async fn every_command_explains_itself() {
    let commands = [
        "",
        "run",
        "demo",
        "simulate",
        "check-config",
        "doctor",
        "plan",
        "shadow",
        "deliveries",
        "deliveries list",
        "deliveries retry",
        "deliveries discard",
        "deliveries adopt",
        "sink",
        "sink pause",
        "source",
        "source rewind",
        "quarantine",
        "quarantine list",
        "quarantine retry",
        "reconcile",
        "replay",
        "backfill",
        "catalogue",
        "catalogue status",
        "links",
        "links list",
        "links set",
        "links break",
        "sync",
        "bootstrap",
        "budget",
        "prune",
        "migrate",
        "status",
        "order",
        "spoton",
        "spoton propose",
        "spoton items",
        "godatafeed",
        "godatafeed cancel",
        "xero",
        "xero setup",
        "xero connect",
        "config",
        "config show",
        "config schema",
        "config reference",
        "completions",
        "man",
    ];
    for command in commands {
        let finished = scoffable_sync(command.split_whitespace().chain(["--help"])).finish().await.expect_code(0);

        assert!(is_silent(&finished.stderr), "{}", finished.stderr);
        insta::assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), finished.stdout);
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_package() {
    let finished = scoffable_sync(["--version"]).finish().await.expect_code(0);
    assert_eq!(finished.stdout.trim(), concat!("scoffable-sync ", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn what_nobody_knows_is_refused_with_2_and_a_word_about_it() {
    let refused: [(&[&str], &str); 8] = [
        (&[], "Usage"),
        (&["rum"], "'run'"),
        (&["run", "--force"], "--force"),
        (&["demo", "--orders", "many"], "many"),
        (&["demo", "--pace", "soon"], "soon"),
        (&["demo", "--chaos", "total"], "none, mild, hard"),
        (&["demo", "--listen", "9464"], "write an IP address and a port"),
        (&["completions", "cmd"], "bash"),
    ];
    for (args, word) in refused {
        let finished = scoffable_sync(args.iter().copied()).finish().await.expect_code(2);

        assert!(is_silent(&finished.stdout), "{args:?}: {}", finished.stdout);
        assert!(finished.stderr.contains(word), "{args:?}: {}", finished.stderr);
    }
}

#[tokio::test]
async fn every_mistake_in_a_configuration_is_told_at_once() {
    let finished = in_folder_with(MISTAKES, &["check-config"]).await.expect_code(2);

    insta::assert_snapshot!("check_config_mistakes", finished.stdout);
    assert!(is_silent(&finished.stderr), "{}", finished.stderr);
}

#[tokio::test]
async fn every_command_that_needs_a_configuration_refuses_a_bad_one_with_the_same_list() {
    let told = in_folder_with(MISTAKES, &["check-config"]).await.stdout;
    for command in [&["run"][..], &["migrate"], &["config", "show"]] {
        let finished = in_folder_with(MISTAKES, command).await.expect_code(2);

        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains(told.trim()), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn mistakes_are_told_to_machines_too() {
    let finished = in_folder_with(MISTAKES, &["check-config", "--json"]).await.expect_code(2);

    let answer: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    let problems = answer["problems"].as_array().unwrap();
    assert!(problems.len() >= 12, "{answer:#}");
    assert!(problems.iter().all(|problem| problem["key"].is_string() && problem["suggestion"].is_string()));
}

#[tokio::test]
async fn a_file_that_is_no_toml_is_told_with_its_place() {
    for command in [&["check-config"][..], &["run"], &["config", "show"], &["migrate"]] {
        let finished = in_folder_with("[database\nurl = 1", command).await.expect_code(2);

        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains("scoffable-sync.toml, line 1, column "), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_a_mistake_and_a_readable_one_is_not() {
    let folder = folder_with(&FINE.replace("\"token-hunter2\"", "{ file = \"token\" }"));
    let check = || scoffable_sync(["check-config"]).in_folder(folder.path());

    let missing = check().finish().await.expect_code(2);
    assert!(missing.stdout.contains("sources.main.token"), "{}", missing.stdout);

    std::fs::write(folder.path().join("token"), "token-hunter2\n").unwrap();
    let readable = check().finish().await.expect_code(0);
    assert!(!readable.stdout.contains("sources.main.token"), "{}", readable.stdout);
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    for args in [&["config", "show"][..], &["config", "show", "--json"], &["check-config"], &["check-config", "--json"]]
    {
        let finished = in_folder_with(FINE, args).await.expect_code(0);

        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!said.contains("hunter2") && !said.contains("aHVudGVy"), "{args:?}: {said}");
    }
    let shown = in_folder_with(FINE, &["config", "show"]).await.stdout;
    assert!(shown.contains("[redacted]") && shown.contains("example.org"), "{shown}");
}

#[tokio::test]
async fn the_environment_overrides_the_file() {
    let folder = folder_with(FINE);
    let show = scoffable_sync(["config", "show", "--json"]).in_folder(folder.path());

    let finished = show.with("sinks.hook.concurrency", "3").finish().await.expect_code(0);

    let shown: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(shown["sinks"]["hook"]["concurrency"], 3, "{shown:#}");
}

#[tokio::test]
async fn a_file_is_named_by_the_option_else_by_the_environment() {
    let file = ConfigFile::holding(FINE);
    let nowhere = "/nowhere/sync.toml";

    file.command(&["check-config"]).env("SCOFFABLE_SYNC_CONFIG", nowhere).finish().await.expect_code(0);
    scoffable_sync(["check-config"]).env("SCOFFABLE_SYNC_CONFIG", &file.path()).finish().await.expect_code(0);
    let missing = scoffable_sync(["check-config", "--config", nowhere]).finish().await.expect_code(2);

    assert!(missing.stdout.contains(nowhere), "{}", missing.stdout);
}

#[tokio::test]
async fn the_schema_is_json_and_a_completion_script_is_a_script() {
    let schema = scoffable_sync(["config", "schema"]).finish().await.expect_code(0);
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    assert!(schema["properties"]["sources"].is_object());

    let script = scoffable_sync(["completions", "bash"]).finish().await.expect_code(0).stdout;
    assert!(script.contains("complete -F") && script.contains("check-config"));
}

#[tokio::test]
async fn a_migration_applies_everything_once() {
    let database = crate::harness::postgres::empty_database().await;
    let migrate = || {
        scoffable_sync(["migrate", "--config", "/dev/null"])
            .with("sources.main.kind", "scoffable")
            .with("sources.main.token", "x")
            .with("database.url", database.url.expose_secret())
    };

    let first = migrate().finish().await.expect_code(0);
    let second = migrate().finish().await.expect_code(0);

    assert!(first.stdout.starts_with("applied "), "{}", first.stdout);
    assert!(second.stdout.starts_with("up to date at migration "), "{}", second.stdout);
}

#[test]
fn the_simulators_file_fits_what_simulate_offers() {
    let text = include_str!("../../config/simulator.toml");
    let file = ConfigFile::holding(text);
    let settings = config::load(&LoadOptions { file: Some(file.path().into()), ..LoadOptions::default() }).unwrap();

    let source = settings.sources.values().next().unwrap();
    assert_eq!(source.base_url.to_string().trim_end_matches('/'), format!("http://{}", simulate::STREAM));
    assert_eq!(source.token.value().expose_secret(), simulate::TOKEN);
    let path = WebhookOptions::default().path;
    assert!(text.contains(&format!("url = \"http://{}{path}\"", simulate::RECEIVER)));
    assert!(text.contains(&format!("signing_secret = \"{}\"", simulate::SIGNING_SECRET)));
    for address in [simulate::SPOTON, simulate::GODATAFEED, simulate::XERO, simulate::UNLEASHED] {
        assert!(text.contains(&format!("base_url = \"http://{address}")), "{address}");
    }
    let secrets = [
        ("client_id", simulate::SPOTON_CLIENT_ID),
        ("client_secret", simulate::SPOTON_CLIENT_SECRET),
        ("token", simulate::GODATAFEED_TOKEN),
        ("client_id", simulate::XERO_CLIENT_ID),
        ("client_secret", simulate::XERO_CLIENT_SECRET),
        ("api_id", simulate::UNLEASHED_API_ID),
        ("api_key", simulate::UNLEASHED_API_KEY),
    ];
    for (key, value) in secrets {
        assert!(text.contains(&format!("{key} = \"{value}\"")), "{key} {value}");
    }
}

/// Every vendor of the simulated world has its location in the file, whatever the world.
#[test]
fn the_simulators_file_maps_every_simulated_vendor() {
    let world = World::generate(WorldOptions { orders: 30, seed: 7, ..WorldOptions::default() });
    let file = include_str!("../../config/simulator.toml").parse::<toml::Table>().unwrap();
    let mapped = &file["sinks"]["pos"]["vendors"];
    let warehouse = UnleashedOptions::default().warehouses.remove(0);

    for (id, vendor) in Chain::of(&world).vendors {
        let there = |key: &str| mapped[&id][key].as_str();
        assert_eq!(there("location_id"), Some(vendor.location_id.as_str()), "{id}");
        assert_eq!(there("menu_id"), Some(vendor.menu_id.as_str()), "{id}");
        assert_eq!(there("fallback_item_id"), Some(vendor.fallback_item_id.as_str()), "{id}");
        assert_eq!(file["sinks"]["stock"]["vendors"][&id]["warehouse"].as_str(), Some(&*warehouse), "{id}");
        assert!(file["sinks"]["shop"]["vendors"].get(&id).is_some(), "{id}");
    }
}

/// A demo that ends by itself, in a folder of its own.
fn demo(data: &Path, args: &[&str]) -> Invocation {
    let data = data.display().to_string();
    let common = ["demo", "--orders", "30", "--pace", "1s", "--data", &data];
    scoffable_sync(common.into_iter().chain(args.iter().copied()))
}

/// The URL that the printed `psql` line stands for.
fn url_of(psql_line: &str) -> SecretString {
    let words: Vec<&str> = psql_line.split_whitespace().collect();
    let after = |flag: &str| words[words.iter().position(|word| *word == flag).unwrap() + 1];
    let pgpass = std::fs::read_to_string(words[0].strip_prefix("PGPASSFILE=").unwrap()).unwrap();
    let password = pgpass.trim().rsplit(':').next().unwrap();
    let (host, port, user, database) = (after("-h"), after("-p"), after("-U"), words.last().unwrap());
    format!("postgres://{user}:{password}@{host}:{port}/{database}").into()
}

#[tokio::test]
async fn a_demo_ends_when_idle_with_the_right_books() {
    let data = reachable_tempdir();

    for args in [&["--listen", "off"][..], &["--listen", "off", "--chaos", "hard", "--seed", "3"]] {
        let finished =
            demo(data.path(), args).with("x.y", "ignored").arg("--exit-when-idle").finish().await.expect_code(0);

        let books = [
            "the receiver took ",
            "the kitchens got ",
            "GoDataFeed was told ",
            "Xero has ",
            "Lightspeed has ",
            "Unleashed has ",
        ];
        for line in
            ["private Postgres in ", "http://127.0.0.1:", " versions of 30 orders", "\norder "].iter().chain(&books)
        {
            assert!(finished.stdout.contains(line), "{line}: {}", finished.stdout);
        }
        let right = finished.stdout.lines().filter(|line| line.contains(": 0 differences, 0 wrongs, "));
        assert_eq!(right.count(), books.len(), "{}", finished.stdout);
        for step in [
            "hook  post",
            "pos   submit",
            "feed  acknowledge",
            "feed  ship",
            "books invoice",
            "shop  sale",
            "stock order",
        ] {
            assert!(finished.stdout.contains(step), "{step}: {}", finished.stdout);
        }
        assert!(is_silent(&finished.stderr), "{}", finished.stderr);
    }
}

/// Cause: whatever waited for another sink counted as at rest where any sink had parked the order, so that a demo could end
/// before the feed was told of an order that the kitchen had.
#[tokio::test]
async fn a_demo_goes_on_while_a_sink_waits_for_one_that_may_still_take_its_order() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, reason, waiting_for, next_attempt_at)
         SELECT sink, 'main', order_id, CASE WHEN waits THEN 'pending' ELSE 'parked' END, 1, 'because',
                CASE WHEN waits THEN 'dependency' END, CASE WHEN waits THEN now() END
         FROM (VALUES ('feed', 'A-1', true), ('shop', 'A-1', false), ('feed', 'A-2', true), ('pos', 'A-2', false))
              AS d (sink, order_id, waits)",
    )
    .await;
    let (feed, pos) = (SinkName::parse("feed").unwrap(), SinkName::parse("pos").unwrap());

    let totals = demo_totals(&app.pool, 60.0, &[(&feed, &pos)]).await.unwrap();

    let of_feed = totals.sinks.iter().find(|sink| sink.sink == "feed").unwrap();
    assert_eq!(of_feed.open, 1, "A-2 waits for what a person has to settle first, A-1 does not");
}

#[tokio::test]
async fn what_a_demo_tells_to_try_works_and_ctrl_c_ends_it_and_its_server() {
    let data = reachable_tempdir();
    let taken = TcpListener::bind("127.0.0.1:9464");

    let mut running = demo(data.path(), &[]).start();
    let psql_line = running.says("psql ").await;
    let mut database = PgConnection::connect(url_of(&psql_line).expose_secret()).await.unwrap();
    until("orders are stored", async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM orders").fetch_one(&mut database).await;
        count.is_ok_and(|count| count > 0)
    })
    .await;
    let said = running.stdout();
    let from = said.find("SELECT * FROM sync_status").expect("it tells what to try");
    let tries: Vec<&str> = said[from..].split("Ctrl-C").next().unwrap().split_inclusive(';').collect();
    for sql in tries.iter().filter(|sql| !is_silent(sql)) {
        let rows = sqlx::query(sqlx::AssertSqlSafe((*sql).to_owned())).fetch_all(&mut database).await.unwrap();
        assert!(!rows.is_empty(), "{sql}");
    }
    assert_eq!(tries.iter().filter(|sql| sql.contains("SELECT")).count(), 3);
    assert!(said.contains("status API       http://127.0.0.1:") && !said.contains("127.0.0.1:9464/"), "{said}");
    let postmaster = std::fs::read_to_string(data.path().join("pg/postmaster.pid")).unwrap();
    let postmaster =
        postmaster.lines().next().and_then(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)).unwrap();
    running.signal(Signal::INT);
    let finished = running.finished().await.expect_code(0);

    assert!(finished.stdout.contains("ended early") || finished.stdout.contains("0 to do"), "{}", finished.stdout);
    assert!(test_kill_process(postmaster).is_err(), "the server ended with it");
    drop(taken);
}

#[tokio::test]
async fn a_demo_refuses_an_address_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = reachable_tempdir();

    let finished = demo(data.path(), &["--listen", &address]).finish().await.expect_code(4);

    assert!(finished.stderr.contains(&address) && finished.stderr.contains("--listen"), "{}", finished.stderr);
}

/// Simulated systems that a test does not ask, on any free port.
const ELSEWHERE: [&str; 4] = ["--lightspeed", "127.0.0.1:0", "--unleashed", "127.0.0.1:0"];

#[tokio::test]
async fn run_with_the_simulators_file_brings_what_simulate_offers_to_every_destination() {
    let [stream, receiver, spoton, godatafeed, xero, lightspeed, unleashed] =
        unused_ports().map(|port| format!("127.0.0.1:{port}"));
    // As shipped, but for the calls that Xero takes in a minute, which would take minutes.
    let shipped = include_str!("../../config/simulator.toml");
    let copy = ConfigFile::holding(&shipped.replace("\nper_minute = 60\n", "\nper_minute = \"unlimited\"\n"));
    let file = copy.path();
    let simulate = ["simulate", "--orders", "20", "--pace", "1s", "--stream", &stream, "--receiver", &receiver];
    let others = ["--spoton", &spoton, "--godatafeed", &godatafeed, "--xero", &xero, "--config", &file];
    let stocks = ["--lightspeed", &lightspeed, "--unleashed", &unleashed];
    let mut simulators = scoffable_sync(simulate.into_iter().chain(others).chain(stocks)).start();
    simulators.says("Ctrl-C").await;
    let line = simulators.says(simulate::SPOTON_CLIENT_SECRET).await;
    assert!(line.contains(&format!("http://{spoton}/oauth2/v1/token")), "{line}");
    let database = fresh_database().await;
    let with_the_file = |command: &str| {
        scoffable_sync([command, "--config", &file])
            .with("database.url", database.url.expose_secret())
            .with("http.listen", "off")
            .with("sources.main.base_url", &format!("http://{stream}"))
            .with("sinks.hook.url", &format!("http://{receiver}/hook"))
            .with("sinks.pos.base_url", &format!("http://{spoton}"))
            .with("sinks.pos.token_url", &format!("http://{spoton}/oauth2/v1/token"))
            .with("sinks.feed.base_url", &format!("http://{godatafeed}"))
            .with("sinks.books.base_url", &format!("http://{xero}/api.xro/2.0"))
            .with("sinks.books.token_url", &format!("http://{xero}/connect/token"))
            .with("sinks.books.limits.per_minute", "unlimited")
            .with("sinks.stock.base_url", &format!("http://{unleashed}"))
            .with("sinks.stock.limits.per_minute", "unlimited")
            .with("sinks.shop.base_url", &format!("http://{lightspeed}"))
    };

    let daemon = with_the_file("run").start();

    let pool = database.pool().await;
    until("all is delivered", async || {
        // An order in a currency that the shop and the stock do not take waits.
        let sql = "SELECT count(*) > 0 AND NOT bool_or(open AND waiting_for IS DISTINCT FROM 'configuration')
                          AND (SELECT count(*) = 20 FROM orders) FROM deliveries";
        sqlx::query_scalar::<_, Option<bool>>(sql).fetch_one(&pool).await.unwrap() == Some(true)
    })
    .await;
    let applied = "SELECT sink FROM deliveries WHERE state = 'applied' GROUP BY sink ORDER BY sink";
    let sinks: Vec<String> = sqlx::query_scalar(applied).fetch_all(&pool).await.unwrap();
    assert_eq!(sinks, ["books", "feed", "hook", "pos", "shop", "stock"]);
    let client = scoffable_sync::http::client_builder().timeout(Duration::from_secs(10)).build().unwrap();
    for simulated in [&receiver, &spoton, &godatafeed, &xero, &lightspeed, &unleashed] {
        let state = client.get(format!("http://{simulated}/_sim/state")).send().await.unwrap();
        let state: Value = state.json().await.unwrap();
        assert_eq!(state["n_violations"], 0, "{simulated}: {state:#}");
    }
    let reconciled = with_the_file("reconcile").finish().await.expect_code(0);
    for sink in ["books (xero)", "pos (spoton)", "shop (lightspeed)", "stock (unleashed)"] {
        assert!(reconciled.stdout.contains(sink), "{}", reconciled.stdout);
    }
    for process in [daemon, simulators] {
        process.signal(Signal::TERM);
        process.finished().await.expect_code(0);
    }
}

#[tokio::test]
async fn simulators_behave_as_their_file_says_and_a_mistake_in_it_is_named() {
    let [stream, receiver, spoton, godatafeed] = unused_ports().map(|port| format!("127.0.0.1:{port}"));
    let wrong = ConfigFile::holding("[simulator.spoton]\nlags = \"1s\"\n");
    let file = ConfigFile::holding("[simulator.godatafeed]\napi = \"v2\"\nlists = [\"server_error\"]\n");

    let refused = wrong.command(&["simulate"]).finish().await.expect_code(2);
    assert!(refused.stderr.contains("simulator.spoton.lags") && refused.stderr.contains("`lag`"), "{}", refused.stderr);
    let addresses = ["--stream", &stream, "--receiver", &receiver, "--spoton", &spoton, "--godatafeed", &godatafeed];
    let addresses = [&addresses[..], &["--xero", "127.0.0.1:0"]].concat();
    let mut simulators = file.command(&[&["simulate", "--pace", "0s"][..], &addresses, &ELSEWHERE].concat()).start();
    simulators.says("Ctrl-C").await;

    let client = scoffable_sync::http::client_builder().no_proxy().build().unwrap();
    let mut answers = Vec::new();
    for path in ["v2/orders", "v2/orders", "v1/simulator-gdf-token/orders"] {
        let request =
            client.get(format!("http://{godatafeed}/{path}?status=NEW")).bearer_auth(simulate::GODATAFEED_TOKEN);
        answers.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [500, 200, 404]);
    simulators.signal(Signal::TERM);
    simulators.finished().await.expect_code(0);
}
