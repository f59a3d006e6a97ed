//! What people get told about their configuration, and that the shipped files keep their promises.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    duration::RawDuration,
    field::{Parse as _, known_keys},
    *,
};
use crate::domain::limits::Window;

const SIGNING_SECRET: &str = "whsec_c2ltdWxhdG9yIHNpZ25pbmcga2V5LCBub3Qgc2VjcmV0";
const EXAMPLE: &str = include_str!("../../config/example.toml");
const SIMULATOR: &str = include_str!("../../config/simulator.toml");

/// The least that is a configuration, without what the tests of one table add.
const DATABASE: &str = "[database]\nurl = \"embedded\"\n";
const SOURCE: &str = "[sources.main]\nkind = \"scoffable\"\ntoken = { env = \"TOKEN\" }\n";
const SINK: &str =
    "[sinks.hook]\nkind = \"webhook\"\nurl = \"https://example.org/o\"\nsigning_secret = { env = \"HOOK\" }\n";
const FEED: &str = "[sinks.feed]\nkind = \"godatafeed\"\nafter = \"hook\"\ntoken = { env = \"TOKEN\" }\n";

/// The least that is a point of sale.
const POS: &str = "[sinks.pos]\nkind = \"spoton\"\nclient_id = { env = \"TOKEN\" }\nclient_secret = { env = \"TOKEN\" }\n\
                   vendors.\"vendor-a\" = { location_id = \"BL-7Q2M-0ZK4-88TD\", menu_id = \"m\", currency = \"GBP\", \
                   fallback_item_id = \"open\" }\n";

/// The least that keeps books.
const BOOKS: &str = "[sinks.books]\nkind = \"xero\"\nclient_id = \"app\"\nclient_secret = { env = \"TOKEN\" }\n\
                     time_zone = \"Europe/London\"\ntax_types = { default = \"OUTPUT2\", untaxed = \"NONE\" }\n\
                     accounts = { sales = \"200\", service_fee = \"201\", delivery_fee = \"202\", vendor_voucher = \"205\", \
                     rounding = \"498\", difference = \"499\", scoffable_clearing = \"611\", cash = \"612\", \
                     card_terminal = \"613\" }\n";

/// The least that keeps stock.
const STOCK: &str = "[sinks.stock]\nkind = \"unleashed\"\napi_id = \"id\"\napi_key = { env = \"TOKEN\" }\n\
                     client_type = \"acme/scoffsync\"\ntime_zone = \"Europe/London\"\ncurrency = \"GBP\"\n\
                     house_customer = \"55555555-aaaa-4bbb-8ccc-000000000001\"\n\
                     vendors.\"vendor-b\" = { warehouse = \"KITCHEN1\" }\ntax = { code = \"V.A.T.\", rate = \"0.2\" }\n";

/// The least that is a till in a shop.
const TILL: &str = "[sinks.till]\nkind = \"lightspeed\"\nbase_url = \"https://shop.example.org\"\ntoken = { env = \"TOKEN\" }\n\
                    author_id = \"user\"\nhouse_customer = \"customer\"\nvendors.\"vendor-a\" = { register_id = \"register\" }\n\
                    tax_ids = { default = \"tax\" }\npayment_types = { online_scoffable = \"1\", voucher_scoffable = \"2\", \
                    cash_vendor = \"3\", online_vendor = \"4\" }\n";

/// The least of every kind, side by side.
fn all_kinds() -> String {
    // Nobody's books twice.
    minimal_and(&[POS, FEED, BOOKS, "vendors = [\"vendor-c\"]\n", STOCK, TILL].concat())
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder for the test's files"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file of the test can be written");
        path
    }
}

fn env(more: &[(&str, &str)]) -> Env {
    let usual = [("TOKEN", "token-of-main"), ("HOOK", SIGNING_SECRET)];
    usual.iter().chain(more).copied().collect()
}

fn check_with(text: &str, env: Env) -> Report {
    let files = Files::new();
    let file = Some(files.write("test.toml", text));
    let mut report = check(&LoadOptions { file, env, ..LoadOptions::default() }).expect("the test's text is TOML");
    report.file = Some("test.toml".into());
    report
}

fn check_text(text: &str) -> Report {
    check_with(text, env(&[]))
}

fn settings_with(text: &str, env: Env) -> Settings {
    let report = check_with(text, env);
    let told = report.to_string();
    report.settings.unwrap_or_else(|| panic!("{told}"))
}

fn settings(text: &str) -> Settings {
    settings_with(text, env(&[]))
}

fn minimal_and(more: &str) -> String {
    [DATABASE, SOURCE, SINK, more].concat()
}

fn sink<'a>(settings: &'a Settings, name: &str) -> &'a SinkSettings {
    &settings.sinks[&SinkName::parse(name).unwrap()]
}

/// The only problem's key and text.
#[track_caller]
fn only_problem(text: &str) -> (String, String) {
    let report = check_text(text);
    assert_eq!(report.found.problems.len(), 1, "{report}");
    let problem = report.found.problems[0].clone();
    assert!(problem.suggestion.is_some(), "no suggestion: {problem}");
    (problem.key, problem.problem)
}

#[track_caller]
fn only_warning(text: &str) -> (String, String) {
    let report = check_text(text);
    assert!(report.found.is_empty() && report.found.warnings.len() == 1, "{report}");
    let warning = report.found.warnings[0].clone();
    (warning.key, warning.problem)
}

// ---- everything at once ---------------------------------------------------------------------------------------------

#[test]
fn every_mistake_is_told_at_once_with_its_key_and_the_fix() {
    let text = r#"
        colour = "blue"

        [database]
        url = "mysql://root:hunter2@db/orders"
        max_connections = "16"
        conect_timeout = "30s"

        [http]
        listen = "0.0.0.0:9464"

        [delivery]
        lease = "20s"
        read_back = ["10s", "5s"]

        [log]
        format = "jsn"

        [sources.main]
        kind = "scoffable"
        base_url = "http://partners-api.scoffable.com"
        token = { env = "SCOFFABLE_TOKEN" }
        poll_interval = "200ms"
        page_size = 250
        requests_per_minute = 0
        start_from = 2026-01-01T00:00:00

        [sources.Second]
        kind = "scoffable"

        [sinks.hook]
        kind = "webhok"

        [sinks.books]
        kind = "webhook"
        url = "https://user:hunter2@example.org/"
        signing_secret = { file = "/nowhere/secret" }
        after = "hock"
        statuses = ["accepted", "placed"]
        sources = ["mian"]
        concurrency = 513
        retry = { initial = "1h", max = "10s", tries = 3 }
        headers = { Host = "example.org" }
        paused = "yes"
    "#;

    let report = check_text(text);

    assert!(report.settings.is_none());
    assert!(!report.to_string().contains("hunter2"));
    insta::assert_snapshot!(report.to_string());
}

#[test]
fn each_key_of_the_file_can_be_wrong_without_hiding_another() {
    let mut lines = Vec::new();
    let mut expected = BTreeSet::new();
    for (path, keys) in tables(&schema()) {
        lines.push(format!("[{path}]"));
        if path == "sinks.feed" {
            lines.push("after = \"hook\"".to_owned());
        }
        for key in keys {
            if key == "kind" {
                let kinds = [
                    ("sources.main", "scoffable"),
                    ("sinks.hook", "webhook"),
                    ("sinks.pos", "spoton"),
                    ("sinks.feed", "godatafeed"),
                    ("sinks.books", "xero"),
                    ("sinks.stock", "unleashed"),
                    ("sinks.till", "lightspeed"),
                ];
                let (_, kind) = kinds.into_iter().find(|(table, _)| *table == path).expect("a table with a kind");
                lines.push(format!("kind = {kind:?}"));
            } else {
                lines.push(format!("{key} = 0.5"));
                expected.insert(format!("{path}.{key}"));
            }
        }
    }

    let report = check_text(&lines.join("\n"));

    let told: BTreeSet<String> = report.found.problems.iter().map(|problem| problem.key.clone()).collect();
    assert_eq!(told, expected);
    assert_eq!(report.found.problems.len(), expected.len(), "one problem for each key: {report}");
}

/// Every table of the file, from its schema, with its keys that hold no table of fixed keys themselves. The manual's
/// example names stand for the names that users choose; what all kinds of sinks share belongs to the first.
fn tables(schema: &Value) -> Vec<(String, Vec<String>)> {
    let mut tables = Vec::new();
    for (name, property) in schema["properties"].as_object().unwrap() {
        let named = &property["additionalProperties"];
        match name.as_str() {
            "sources" => walk("sources.main", named, &mut tables),
            "sinks" => {
                walk("sinks.hook", &named["oneOf"][0], &mut tables);
                walk("sinks.pos", &own(&named["oneOf"][1], &named["oneOf"][0]), &mut tables);
                walk("sinks.feed", &own(&named["oneOf"][2], &named["oneOf"][0]), &mut tables);
                walk("sinks.books", &own(&named["oneOf"][3], &named["oneOf"][0]), &mut tables);
                walk("sinks.stock", &own(&named["oneOf"][4], &named["oneOf"][0]), &mut tables);
                walk("sinks.till", &own(&named["oneOf"][5], &named["oneOf"][0]), &mut tables);
            }
            name => walk(name, property, &mut tables),
        }
    }
    tables
}

/// A kind of sink without the keys that are the same for all: those are looked at with the first.
fn own(kind: &Value, first: &Value) -> Value {
    let mut kind = kind.clone();
    let common = known_keys::<sink::RawSinkCommon>();
    let but_default = |is: &Value| {
        let mut is = is.clone();
        is.as_object_mut().unwrap().remove("default");
        is
    };
    let is_shared = |key: &String, is: &Value| {
        common.contains(key) && first["properties"].get(key).map(but_default) == Some(but_default(is))
    };
    kind["properties"].as_object_mut().unwrap().retain(|key, is| !is_shared(key, is));
    kind
}

fn walk(path: &str, table: &Value, tables: &mut Vec<(String, Vec<String>)>) {
    let properties = table["properties"].as_object().unwrap();
    let (inner, keys): (Vec<_>, Vec<_>) =
        properties.iter().partition(|(_, property)| property.get("properties").is_some());
    tables.push((path.to_owned(), keys.into_iter().map(|(key, _)| key.clone()).collect()));
    for (key, property) in inner {
        walk(&format!("{path}.{key}"), property, tables);
    }
}

// ---- finding and reading the file -----------------------------------------------------------------------------------

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_place_and_without_its_text() {
    let files = Files::new();
    let file = Some(files.write("broken.toml", "[sources.main]\n  token = hunter2\n"));

    let error = check(&LoadOptions { file, ..LoadOptions::default() }).unwrap_err().to_string();

    assert!(error.contains("line 2, column 11"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let options = LoadOptions { file: Some("/nowhere/x.toml".into()), ..LoadOptions::default() };

    let error = load(&options).unwrap_err();

    assert!(matches!(&error, ConfigError::Unreadable { .. }));
    assert!(error.to_string().contains("/nowhere/x.toml"), "{error}");
}

#[test]
fn the_environment_can_name_the_file_and_the_command_line_wins_over_it() {
    let files = Files::new();
    let from_env = files.write("env.toml", &minimal_and("[http]\nlisten = \"127.0.0.1:1\"\n"));
    let from_args = files.write("args.toml", &minimal_and("[http]\nlisten = \"127.0.0.1:2\"\n"));
    let env = env(&[(FILE_VARIABLE, from_env.to_str().unwrap())]);

    let by_env = load(&LoadOptions { file: None, env: env.clone(), ..LoadOptions::default() }).unwrap();
    let by_args = load(&LoadOptions { file: Some(from_args), env, ..LoadOptions::default() }).unwrap();

    let searched = vec!["/nowhere/x.toml".into(), from_env];
    let by_search = load(&LoadOptions { searched, env: self::env(&[]), ..LoadOptions::default() }).unwrap();

    assert_eq!(by_search.http.listen.unwrap().port(), 1);
    assert_eq!(by_env.http.listen.unwrap().port(), 1);
    assert_eq!(by_args.http.listen.unwrap().port(), 2);
}

#[test]
fn a_number_that_is_no_number_here_is_refused_like_any_other_mistake() {
    let files = Files::new();
    let file = Some(files.write("test.toml", "[delivery]\nlease = 99999999999999999999\n"));

    assert!(check(&LoadOptions { file, ..LoadOptions::default() }).is_err());
    assert_eq!(only_problem(&minimal_and("concurrency = 4294967296\n")).0, "sinks.hook.concurrency");
    assert_eq!(only_problem(&minimal_and("concurrency = nan\n")).0, "sinks.hook.concurrency");
}

#[test]
fn nothing_to_read_says_where_a_file_could_be() {
    let error = load(&LoadOptions::default()).unwrap_err();

    assert!(matches!(error, ConfigError::NotFound));
    assert!(error.to_string().contains(SEARCHED[1]), "{error}");
}

#[test]
fn the_environment_alone_can_configure_everything() {
    let env = env(&[
        ("SCOFFABLE_SYNC__DATABASE__URL", "embedded"),
        ("SCOFFABLE_SYNC__SOURCES__MAIN__KIND", "scoffable"),
        ("SCOFFABLE_SYNC__SOURCES__MAIN__TOKEN", "token"),
    ]);

    let report = check(&LoadOptions { env, ..LoadOptions::default() }).unwrap();

    assert!(report.settings.is_some(), "{report}");
    assert!(report.found.warnings.iter().all(|warning| !warning.key.contains("token")), "{report}");
}

// ---- overriding -----------------------------------------------------------------------------------------------------

#[test]
fn the_environment_overrides_the_file_at_any_depth() {
    let env = env(&[
        ("SCOFFABLE_SYNC__SINKS__HOOK__CONCURRENCY", "4"),
        ("SCOFFABLE_SYNC__SINKS__HOOK__RETRY__INITIAL", "2s"),
        ("SCOFFABLE_SYNC__SINKS__HOOK__VENDORS", r#"["17", "18"]"#),
        ("SCOFFABLE_SYNC__SINKS__HOOK__PAUSED", "true"),
        ("SCOFFABLE_SYNC__SINKS__HOOK__BREAKER", "{ failures = 2 }"),
        ("SCOFFABLE_SYNC__SOURCES__MAIN__ACCOUNT", "4711"),
        ("SCOFFABLE_SYNC__SOURCES__MAIN__START_FROM", "2026-02-01T00:00:00Z"),
    ]);

    let settings = settings_with(&minimal_and("concurrency = 9\nretry = { max = \"1m\" }\n"), env);

    let common = &sink(&settings, "hook").common;
    assert_eq!(common.concurrency, 4);
    assert_eq!(common.retry.initial, Duration::from_secs(2));
    assert_eq!(common.retry.max, Duration::from_mins(1));
    assert_eq!(common.vendors, Some(vec!["17".to_owned(), "18".to_owned()]));
    assert_eq!(common.breaker.failures, 2);
    assert!(common.paused);
    let source = settings.sources.values().next().unwrap();
    assert_eq!(source.account, "4711");
    assert_eq!(source.start_from.unwrap().to_rfc3339(), "2026-02-01T00:00:00+00:00");
}

#[test]
fn a_secret_in_an_override_replaces_where_the_file_looks_for_it() {
    let env = env(&[("SCOFFABLE_SYNC__SOURCES__MAIN__TOKEN", "12345")]);

    let settings = settings_with(&minimal_and(""), env);

    let token = &settings.sources.values().next().unwrap().token;
    assert_eq!(token.value().expose_secret(), "12345");
}

#[test]
fn a_bad_override_is_told_with_the_name_of_its_variable() {
    let env = env(&[("SCOFFABLE_SYNC__SINKS__HOOK__CONCURRENCY", "many"), ("SCOFFABLE_SYNC__HTTP__LISTN", "off")]);

    let report = check_with(&minimal_and(""), env).to_string();

    assert!(report.contains("(set by SCOFFABLE_SYNC__SINKS__HOOK__CONCURRENCY)"), "{report}");
    assert!(report.contains("(set by SCOFFABLE_SYNC__HTTP__LISTN)"), "{report}");
}

#[test]
fn an_override_of_the_command_line_wins_over_the_environment() {
    let files = Files::new();
    let options = LoadOptions {
        file: Some(files.write("a.toml", &minimal_and(""))),
        env: env(&[("SCOFFABLE_SYNC__HTTP__LISTEN", "127.0.0.1:1")]),
        overrides: vec![("http.listen".to_owned(), "off".to_owned())],
        ..LoadOptions::default()
    };

    assert_eq!(load(&options).unwrap().http.listen, None);
}

// ---- contradictions -------------------------------------------------------------------------------------------------

#[test]
fn a_lease_must_outlast_a_request_by_ten_seconds() {
    let with = |lease: &str| minimal_and(&format!("request_timeout = \"20s\"\n[delivery]\nlease = \"{lease}\"\n"));

    let (key, problem) = only_problem(&with("29s"));

    assert_eq!(key, "sinks.hook.request_timeout");
    assert!(problem.contains("delivery.lease"), "{problem}");
    assert!(check_text(&with("30s")).found.is_empty());
}

#[test]
fn waits_after_failures_must_fit_into_each_other() {
    let (key, problem) = only_problem(&minimal_and("retry = { initial = \"1m\", max = \"59s\" }\n"));
    assert_eq!(key, "sinks.hook.retry.max");
    assert!(problem.contains("sinks.hook.retry.initial"), "{problem}");

    let (key, problem) = only_problem(&minimal_and("retry = { slow_interval = \"4d\" }\n"));
    assert_eq!(key, "sinks.hook.retry.slow_interval");
    assert!(problem.contains("sinks.hook.retry.give_up_after"), "{problem}");

    let equal = "retry = { initial = \"1m\", max = \"1m\", slow_interval = \"1h\", give_up_after = \"1h\" }\n";
    assert!(check_text(&minimal_and(equal)).found.is_empty());
}

#[test]
fn a_sink_cannot_wait_for_itself_for_nobody_or_in_a_circle() {
    let other = |name: &str, after: &str| {
        SINK.replace("sinks.hook", &format!("sinks.{name}")) + &format!("after = \"{after}\"\n")
    };

    let (key, problem) = only_problem(&minimal_and("after = \"hook\"\n"));
    assert_eq!(key, "sinks.hook.after");
    assert!(problem.contains("itself"), "{problem}");

    let (key, problem) = only_problem(&minimal_and("after = \"pos\"\n"));
    assert_eq!(key, "sinks.hook.after");
    assert!(problem.contains("no sink \"pos\""), "{problem}");

    let circle = minimal_and("after = \"c\"\n") + &other("b", "hook") + &other("c", "b") + &other("outside", "b");
    let (key, problem) = only_problem(&circle);
    assert_eq!(key, "sinks.b.after");
    assert!(problem.contains("b after hook after c after b"), "{problem}");

    let chain = minimal_and("") + &other("b", "hook") + &other("c", "b") + &other("d", "b");
    assert!(check_text(&chain).found.is_empty());
}

#[test]
fn a_sink_that_takes_accepted_orders_must_take_cancelled_ones() {
    let (key, problem) = only_problem(&minimal_and("statuses = [\"accepted\"]\n"));
    assert_eq!(key, "sinks.hook.statuses");
    assert!(problem.contains("cancelled"), "{problem}");

    let meant = minimal_and("statuses = [\"accepted\"]\nallow_missing_cancellations = true\n");
    assert!(check_text(&meant).found.is_empty());
    assert!(check_text(&minimal_and("statuses = [\"cancelled\"]\n")).found.is_empty());
}

#[test]
fn statuses_that_are_never_sent_or_unknown_are_refused() {
    let (_, problem) = only_problem(&minimal_and("statuses = [\"placed\", \"accepted\", \"cancelled\"]\n"));
    assert!(problem.contains("never sent"), "{problem}");

    let (_, problem) = only_problem(&minimal_and("statuses = [\"accepted\", \"canceled\"]\n"));
    assert!(problem.contains("\"canceled\""), "{problem}");
}

#[test]
fn filters_that_match_nothing_are_refused() {
    assert_eq!(only_problem(&minimal_and("vendors = []\n")).0, "sinks.hook.vendors");
    assert_eq!(only_problem(&minimal_and("vendors = [\"a\", \"b\", \"a\"]\n")).0, "sinks.hook.vendors");
    assert_eq!(only_warning(&minimal_and("order_types = [\"pickup\"]\n")).0, "sinks.hook.order_types");

    let report = check_text(&minimal_and("sources = [\"mian\"]\n"));
    assert_eq!(report.found.problems[0].key, "sinks.hook.sources");
    assert_eq!(report.found.problems[0].suggestion.as_deref(), Some("did you mean \"main\"?"));
}

#[test]
fn listening_beyond_loopback_needs_a_token() {
    let listen = |address: &str| minimal_and(&format!("[http]\nlisten = \"{address}\"\n"));

    let (key, problem) = only_problem(&listen("0.0.0.0:80"));
    assert_eq!(key, "http.listen");
    assert!(problem.contains("http.admin_token"), "{problem}");
    assert_eq!(only_problem(&listen("[::]:80")).0, "http.listen");

    let with_token = listen("0.0.0.0:80") + "admin_token = { env = \"TOKEN\" }\n";
    for fine in [listen("[::1]:80"), listen("127.0.0.2:80"), listen("off"), with_token] {
        assert!(check_text(&fine).found.is_empty(), "{fine}");
    }
}

#[test]
fn sources_of_one_account_share_its_limit() {
    let second = |account: &str, limit: u32| {
        let table = SOURCE.replace("main", "second").replace("TOKEN", "HOOK");
        minimal_and("") + &table + &format!("account = \"{account}\"\naccount_requests_per_minute = {limit}\n")
    };

    let (key, problem) = only_problem(&second("main", 50));

    assert_eq!(key, "sources.second.account_requests_per_minute");
    assert!(problem.contains("sources.main.account_requests_per_minute"), "{problem}");
    assert!(check_text(&second("main", 60)).found.is_empty());
    assert!(check_text(&second("other", 50)).found.is_empty());
}

#[test]
fn plain_http_is_for_loopback_unless_it_is_allowed() {
    let url = |url: &str| minimal_and("").replace("https://example.org/o", url);

    assert_eq!(only_problem(&url("http://example.org/o")).0, "sinks.hook.url");
    assert_eq!(only_problem(&url("http://10.0.0.1/o")).0, "sinks.hook.url");
    assert_eq!(only_warning(&(url("http://example.org/o") + "allow_insecure = true\n")).0, "sinks.hook.url");
    for fine in ["http://127.0.0.1:9472/o", "http://localhost/o", "http://[::1]:80/o", "http://sim.localhost/o"] {
        assert!(check_text(&url(fine)).found.is_empty(), "{fine}");
    }
    let base_url = SOURCE.to_owned() + "base_url = \"http://api.example.org\"\n";
    assert_eq!(only_problem(&[DATABASE, &base_url, SINK].concat()).0, "sources.main.base_url");
}

#[test]
fn a_configuration_without_a_source_is_refused() {
    assert_eq!(only_problem(&[DATABASE, SINK].concat()).0, "sources");
    assert_eq!(only_problem(&[DATABASE, "[sources]\n", SINK].concat()).0, "sources");
}

#[test]
fn what_is_required_is_missed_by_name() {
    let report = check_text("[sources.main]\n[sinks.hook]\nkind = \"webhook\"\n");

    let keys: Vec<&str> = report.found.problems.iter().map(|problem| problem.key.as_str()).collect();
    let required =
        ["database.url", "sources.main.kind", "sources.main.token", "sinks.hook.url", "sinks.hook.signing_secret"];
    assert_eq!(keys, required);
}

#[test]
fn what_is_unwise_is_warned_about() {
    assert_eq!(
        only_warning(&[DATABASE, SOURCE, "poll_interval = \"59s\"\n", SINK].concat()).0,
        "sources.main.poll_interval"
    );
    assert_eq!(
        only_warning(&[DATABASE, SOURCE, "requests_per_minute = 31\n", SINK].concat()).0,
        "sources.main.requests_per_minute"
    );
    assert_eq!(only_warning(&[DATABASE, SOURCE].concat()).0, "sources.main");
    assert_eq!(only_warning(&minimal_and("[delivery]\ndrain = \"14s\"\n")).0, "delivery.drain");
    let doubled = minimal_and("") + &SOURCE.replace("main", "twin");
    assert_eq!(only_warning(&doubled).0, "sources.twin.token");
    let inline = minimal_and("").replace("{ env = \"TOKEN\" }", "\"hunter2\"");
    assert_eq!(only_warning(&inline).0, "sources.main.token");
    let password = minimal_and("").replace("\"embedded\"", "\"postgres://sync:hunter2@localhost/sync\"");
    assert_eq!(only_warning(&password).0, "database.url");
    let guessable = minimal_and("[http]\nadmin_token = { env = \"PIN\" }\n");
    let report = check_with(&guessable, env(&[("PIN", "123456789012345")]));
    assert_eq!(report.found.warnings[0].key, "http.admin_token");
    assert!(check_text(&minimal_and("")).found.warnings.is_empty());
}

// ---- values ---------------------------------------------------------------------------------------------------------

#[test]
fn limits_are_inclusive_on_both_sides() {
    let page_size = |size: u32| check_text(&[DATABASE, SOURCE, &format!("page_size = {size}\n"), SINK].concat());

    assert!(page_size(1).found.is_empty() && page_size(100).found.is_empty());
    assert!(!page_size(0).found.is_empty() && !page_size(101).found.is_empty());
    assert!(check_text(&minimal_and("concurrency = 512\n")).found.is_empty());
    assert_eq!(only_problem(&minimal_and("concurrency = 513\n")).0, "sinks.hook.concurrency");
    let poll =
        |interval: &str| check_text(&[DATABASE, SOURCE, &format!("poll_interval = \"{interval}\"\n"), SINK].concat());
    assert!(poll("1s").found.is_empty() && !poll("999ms").found.is_empty());
}

#[test]
fn durations_are_read_as_people_write_them() {
    let read = |text: &str| RawDuration::parse(text.into()).map(|duration| duration.0.as_millis());

    assert_eq!(read("250ms"), Ok(250));
    assert_eq!(read("90m"), Ok(5_400_000));
    assert_eq!(read("1h 30m"), Ok(5_400_000));
    assert_eq!(read("0s"), Ok(0));
    assert_eq!(read("365d"), Ok(365 * 86_400_000));
    for wrong in ["", "30", "-5s", "5 parsecs", "366d", "1ns", "99999999999999999999s"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert!(RawDuration::parse(30.into()).is_err());
}

#[test]
fn what_is_kept_has_an_age_or_is_kept_for_good() {
    let kept = |text: &str| settings(&minimal_and(&format!("[retention]\nattempts = \"{text}\""))).retention.attempts;
    let days = |days: u64| Keep::For(Duration::from_hours(24 * days));
    assert_eq!([kept("never"), kept("1d"), kept("36500d")], [Keep::Forever, days(1), days(36_500)]);
    assert_eq!(settings(&minimal_and("")).retention, RetentionSettings::default());

    for wrong in ["\"23h\"", "\"36501d\"", "\"400\"", "400", "false", "\"forever\""] {
        let (key, _) = only_problem(&minimal_and(&format!("[retention]\npayloads = {wrong}")));
        assert_eq!(key, "retention.payloads", "{wrong}");
    }
}

#[test]
fn attempts_are_not_forgotten_before_an_order_is_given_up() {
    let (key, warning) = only_warning(&minimal_and("[retention]\nattempts = \"2d\""));
    assert_eq!(key, "retention.attempts");
    assert!(warning.contains("give_up_after"), "{warning}");
}

#[test]
fn durations_are_shown_as_they_could_be_written() {
    for text in ["0s", "250ms", "30s", "1m 5s", "1h 30m", "24h", "72h", "73h", "4d", "365d"] {
        let RawDuration(duration) = RawDuration::parse(text.into()).unwrap();
        assert_eq!(duration::shown(duration), text);
    }
}

#[test]
fn a_rate_may_be_switched_off_in_words_but_not_by_zero() {
    let rate = |value: Value| RateLimit::parse(value);

    assert_eq!(rate(30.into()), Ok(RateLimit::PerMinute(30)));
    assert_eq!(rate("unlimited".into()), Ok(RateLimit::Unlimited));
    assert!(rate(0.into()).unwrap_err().suggestion.contains("unlimited"));
    assert!(rate(6001.into()).is_err());
}

#[test]
fn a_start_is_a_word_or_an_instant() {
    let start = |text: &str| {
        settings(&minimal_and(&format!("start = {text}\n"))).sinks.into_values().next().unwrap().common.start
    };

    assert_eq!(start("\"beginning\""), Start::Beginning);
    assert_eq!(start("\"activation\""), Start::Activation);
    let instant = Start::At("2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(start("\"2026-01-01T01:00:00+01:00\""), instant);
    assert_eq!(start("2026-01-01T00:00:00Z"), instant);
    assert_eq!(only_problem(&minimal_and("start = \"yesterday\"\n")).0, "sinks.hook.start");
}

#[test]
fn a_database_is_a_url_or_embedded() {
    let with = |url: &str| minimal_and("").replace("\"embedded\"", url);
    let embedded = |text: &str, env| match settings_with(&with(text), env).database.url {
        DatabaseUrl::Embedded { data_dir } => data_dir,
        DatabaseUrl::Postgres(_) => panic!("{text} is embedded"),
    };

    assert_eq!(embedded("\"embedded\"", env(&[])), None);
    assert_eq!(embedded("\"embedded:/data/pg\"", env(&[])), Some("/data/pg".into()));
    assert_eq!(
        embedded("\"embedded:$STATE_DIRECTORY/pg\"", env(&[("STATE_DIRECTORY", "/var/x")])),
        Some("/var/x/pg".into())
    );
    let url =
        settings_with(&with("{ env = \"URL\" }"), env(&[("URL", "postgresql://u:hunter2@h:5433/d?sslmode=require")]))
            .database
            .url;
    assert_eq!(url.text().expose_secret(), "postgresql://u:hunter2@h:5433/d?sslmode=require");
    assert_eq!(url.to_string(), "postgres://h:5433/d");
    for wrong in [
        "\"embedded:\"",
        "\"localhost/sync\"",
        "\"mysql://h/d\"",
        "\"postgres://h/d?sslmode=maybe\"",
        "\"postgres://h:x/d\"",
    ] {
        assert_eq!(only_problem(&with(wrong)).0, "database.url", "{wrong}");
    }
}

#[test]
fn the_headers_of_a_webhook_are_checked() {
    let headers = |text: &str| minimal_and(&format!("headers = {{ {text} }}\n"));

    let settings = settings(&headers("X-Tenant = \"a b\", authorization = { env = \"TOKEN\" }"));
    let SinkKind::Webhook(webhook) = &sink(&settings, "hook").kind else { panic!("another kind") };
    assert_eq!(webhook.headers.keys().collect::<Vec<_>>(), ["authorization", "x-tenant"]);
    assert_eq!(webhook.headers["authorization"].value().expose_secret(), "token-of-main");

    assert_eq!(only_problem(&headers("Webhook-Id = \"1\"")).0, "sinks.hook.headers.Webhook-Id");
    assert_eq!(only_problem(&headers("\"x y\" = \"1\"")).0, "sinks.hook.headers.\"x y\"");
    assert_eq!(only_problem(&headers("x = \"a\\nb\"")).0, "sinks.hook.headers.x");
    assert_eq!(only_problem(&headers("x = \"1\", X = \"2\"")).0, "sinks.hook.headers.x");
    assert_eq!(only_warning(&headers("x-api-key = \"hunter2\"")).0, "sinks.hook.headers.x-api-key");
}

// ---- secrets --------------------------------------------------------------------------------------------------------

#[test]
fn a_secret_in_a_file_is_read_without_its_newline_and_read_again() {
    let files = Files::new();
    let path = files.write("token", "first\r\n");
    let text = minimal_and("").replace("{ env = \"TOKEN\" }", &format!("{{ file = {path:?} }}"));
    let settings = settings(&text);
    let token = &settings.sources.values().next().unwrap().token;

    files.write("token", "second\n");

    assert_eq!(token.value().expose_secret(), "first");
    assert_eq!(token.read().unwrap().expose_secret(), "second");
}

#[test]
fn a_secret_can_be_a_credential_of_the_service_manager() {
    let files = Files::new();
    files.write("token", "from-systemd");
    let folder = files.0.path().to_str().unwrap();

    for written in ["$CREDENTIALS_DIRECTORY/token", "${CREDENTIALS_DIRECTORY}/token"] {
        let text = minimal_and("").replace("{ env = \"TOKEN\" }", &format!("{{ file = \"{written}\" }}"));
        let settings = settings_with(&text, env(&[("CREDENTIALS_DIRECTORY", folder)]));
        assert_eq!(settings.sources.values().next().unwrap().token.value().expose_secret(), "from-systemd");
        let (_, problem) = only_problem(&text);
        assert!(problem.contains("CREDENTIALS_DIRECTORY"), "{problem}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_says_where_it_was_looked_for() {
    let files = Files::new();
    let empty = files.write("empty", "\n");
    let large = files.write("large", &"x".repeat(65 * 1024));
    let told = |token: &str| only_problem(&minimal_and("").replace("{ env = \"TOKEN\" }", token)).1;

    assert_eq!(told("{ env = \"NOT_SET\" }"), "environment variable NOT_SET is not set");
    assert!(told("{ file = \"/nowhere/token\" }").starts_with("cannot read the secret from /nowhere/token: "));
    assert!(told(&format!("{{ file = {empty:?} }}")).ends_with("empty is empty"));
    assert!(told(&format!("{{ file = {large:?} }}")).contains("64 KiB"));
    assert_eq!(told("{ env = \"A\", file = \"b\" }"), "names both `env` and `file`");
    assert_eq!(told("{ fil = \"b\" }"), "unknown key `fil` in a secret");
    assert_eq!(told("{}"), "names neither `env` nor `file`");
    assert_eq!(told("\"\""), "is empty");
    assert_eq!(told("4711"), "is not a secret");
    let two_lines = files.write("two-lines", "first\nsecond\n");
    assert!(told(&format!("{{ file = {two_lines:?} }}")).contains("no token has"));
}

#[test]
fn g10_no_secret_is_ever_printed() {
    let alerts = "[alerts]\nping_url = \"https://ping.example.org/hunter2-ping\"\n\
                  [alerts.webhook]\nurl = \"https://hooks.example.org/hunter2-hook\"\n\
                  [alerts.email]\nhost = \"localhost\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n\
                  username = \"sync\"\npassword = \"hunter2-mail\"\n";
    let text =
        minimal_and("headers = { x-api-key = \"hunter2-header\" }\n[http]\nadmin_token = \"hunter2-admin\"\n") + alerts;
    let text = text
        .replace("\"embedded\"", "\"postgres://hunter2-user:hunter2-password@localhost/sync?application_name=hunter2\"")
        .replace("https://example.org/o", "https://example.org/o?key=hunter2-query")
        .replace("{ env = \"TOKEN\" }", "\"hunter2-token\"")
        .replace("{ env = \"HOOK\" }", "\"whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg==\"");
    let report = check_text(&text);
    let settings = report.settings.clone().unwrap();

    for printed in
        [format!("{settings:?}"), format!("{settings:#?}"), show(&settings), report.to_string(), format!("{report:?}")]
    {
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(!printed.contains("aHVudGVy"), "{printed}");
    }
    let raw = RawSettings { http: field::Field::default(), ..RawSettings::default() };
    assert!(format!("{raw:?} {:?}", env(&[])).find("token-of-main").is_none());
}

#[test]
fn where_traces_go_is_checked_whole() {
    let traces = |more: &str| minimal_and(&format!("[traces]\n{more}"));
    let there = "endpoint = \"https://collector.example.org/v1/traces\"\n";

    assert!(settings(&traces("")).traces.is_none(), "nothing is traced unless it is said where to");
    let kept = settings(&traces(&format!("{there}headers = {{ X-Tenant = \"north\" }}\n"))).traces.unwrap();
    assert_eq!((kept.sample_percent, kept.headers.keys().next().unwrap().as_str()), (100, "x-tenant"));
    for (text, key) in [
        (traces("endpoint = \"collector:4318\"\n"), "traces.endpoint"),
        (traces("endpoint = \"http://collector:4318/v1/traces\"\n"), "traces.endpoint"),
        (traces(&format!("{there}sample_percent = 0\n")), "traces.sample_percent"),
        (traces(&format!("{there}sample_percent = 101\n")), "traces.sample_percent"),
        (traces(&format!("{there}headers = {{ content-type = \"text/plain\" }}\n")), "traces.headers.content-type"),
    ] {
        assert_eq!(only_problem(&text).0, key);
    }
    assert!(check_text(&traces("endpoint = \"http://localhost:4318/v1/traces\"\n")).found.is_empty());
}

#[test]
fn who_is_told_of_alerts_is_checked_whole() {
    let email = |more: &str| {
        minimal_and(&format!("[alerts.email]\nhost = \"mail.example.org\"\nfrom = \"sync@example.org\"\n{more}"))
    };
    let hook = |url: &str| minimal_and(&format!("[alerts.webhook]\nurl = \"{url}\"\n"));
    let to = "to = [\"Operations <ops@example.org>\"]\n";

    let told = settings(&email(to)).alerts.email.unwrap();
    assert_eq!((told.port, told.to[0].to_string().as_str()), (587, "Operations <ops@example.org>"));
    let of_tls = settings(&email(&format!("{to}security = \"tls\"\n"))).alerts.email.unwrap();
    assert_eq!(of_tls.port, 465);
    for (text, key) in [
        (email(""), "alerts.email.to"),
        (email("to = [\"ops\"]\n"), "alerts.email.to"),
        (email(&format!("{to}security = \"none\"\n")), "alerts.email.security"),
        (email(&format!("{to}username = \"sync\"\n")), "alerts.email.password"),
        (email(&format!("{to}ca_file = \"/nowhere/ca.pem\"\n")), "alerts.email.ca_file"),
        (minimal_and("[alerts.email]\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n"), "alerts.email.host"),
        (minimal_and("[alerts.webhook]\n"), "alerts.webhook.url"),
        (minimal_and("[alerts]\nping_url = { env = \"NOWHERE\" }\n"), "alerts.ping_url"),
        (minimal_and("[alerts]\ngather = \"2h\"\n"), "alerts.gather"),
        (minimal_and("[alerts]\ntime_zone = \"London\"\n"), "alerts.time_zone"),
        (minimal_and("[alerts]\nurgent = [\"Dead letter\"]\n"), "alerts.urgent"),
    ] {
        assert_eq!(only_problem(&text).0, key);
    }
    assert!(check_text(&hook("http://example.org/x")).found.problems[0].problem.contains("plain http"));
    assert!(check_text(&hook("http://localhost/x")).found.is_empty());
    assert!(check_text(&email(&format!("{to}security = \"none\"\nallow_insecure = true\n"))).found.is_empty());
}

// ---- the shipped files ----------------------------------------------------------------------------------------------

/// The manual with every value that has no default switched on.
fn manual_in_full() -> String {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    MANUAL.lines().map(|line| uncommented(line) + "\n").collect()
}

/// Keys whose tables hold a secret or names of the user's.
const WHOLE: [&str; 18] = [
    "token",
    "consumer_key",
    "signing_secret",
    "admin_token",
    "headers",
    "client_id",
    "client_secret",
    "refresh_token",
    "vendors",
    "tracking",
    "item_codes",
    "customer_links",
    "items",
    "api_id",
    "api_key",
    "password",
    "ping_url",
    "url",
];

fn paths(at: &str, table: &toml::Table) -> Vec<(String, toml::Value)> {
    let path = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    let inner = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(table) if !WHOLE.contains(&key.as_str()) => paths(&path(key), table),
        value => vec![(path(key), value.clone())],
    };
    table.iter().flat_map(inner).collect()
}

#[test]
fn the_values_in_the_manual_are_the_defaults() {
    let least = settings(&all_kinds());
    let effective: toml::Table = show(&least).parse().unwrap();
    let effective = paths("", &effective);
    let stated: toml::Table = MANUAL.parse().unwrap();

    for (path, value) in paths("", &stated) {
        let in_effect = effective.iter().find(|(key, _)| *key == path).map(|(_, value)| value);
        assert_eq!(in_effect, Some(&value), "{path}: the default is not what the manual says");
    }
}

#[test]
fn every_default_is_in_the_manual() {
    let stated: BTreeSet<String> = paths("", &MANUAL.parse().unwrap()).into_iter().map(|(path, _)| path).collect();
    let effective: toml::Table = show(&settings(&all_kinds())).parse().unwrap();
    let common = known_keys::<sink::RawSinkCommon>();
    let given = ["database.url", "sources.main.kind", "sources.main.token", "sources.main.account"];
    let given_too = ["sinks.hook.kind", "sinks.hook.url", "sinks.hook.signing_secret"];
    let of_others = ["sinks.pos.client_id", "sinks.pos.client_secret", "sinks.pos.vendors", "sinks.feed.token"];
    let of_books = ["sinks.books.client_id", "sinks.books.client_secret", "sinks.books.time_zone"];
    let of_stock = ["api_id", "api_key", "client_type", "time_zone", "currency", "house_customer", "vendors"]
        .map(|key| format!("sinks.stock.{key}"));
    let of_till =
        ["base_url", "token", "author_id", "house_customer", "vendors"].map(|key| format!("sinks.till.{key}"));
    let mapped = [
        ["sinks.books.accounts.", "sinks.books.tax_types."],
        ["sinks.stock.tax.", "sinks.till.tax_ids."],
        ["sinks.till.payment_types."; 2],
    ];
    let is_mapped = |path: &str| mapped.as_flattened().iter().any(|table| path.starts_with(table));

    for (path, _) in paths("", &effective) {
        let is_common = |key: &str| common.iter().any(|common| key.split('.').next() == Some(common));
        let own = ["sinks.pos.", "sinks.feed.", "sinks.books.", "sinks.stock.", "sinks.till."]
            .iter()
            .find_map(|table| path.strip_prefix(table));
        let is_given = [&given[..], &given_too, &of_others, &of_books].concat().contains(&path.as_str())
            || is_mapped(&path)
            || of_till.contains(&path)
            || of_stock.contains(&path)
            || own.is_some_and(is_common);
        assert_eq!(stated.contains(&path), !is_given, "{path}");
    }
}

#[test]
fn the_manual_documents_every_key_and_nothing_else() {
    let manual: toml::Table = manual_in_full().parse().expect("the manual is TOML with every key switched on");
    let documented: BTreeSet<String> = paths("", &manual).into_iter().map(|(path, _)| path).collect();
    let exist =
        tables(&schema()).into_iter().flat_map(|(path, keys)| keys.into_iter().map(move |key| format!("{path}.{key}")));

    assert_eq!(documented, exist.collect::<BTreeSet<_>>());
}

/// Each value that the schema states, by its key; kinds of sinks by the manual's names.
fn stated_defaults(at: &str, table: &Value) -> Vec<(String, Value)> {
    let mut stated = Vec::new();
    for (key, is) in table["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}.{key}");
        stated.extend(is.get("default").map(|default| (path.clone(), default.clone())));
        stated.extend(stated_defaults(&path, is));
    }
    stated
}

/// Regression: each kind of sink was told the defaults of the others' keys of that name.
#[test]
fn an_editor_is_told_each_kinds_own_defaults() {
    let (schema, effective) = (schema(), serde_json::to_value(settings(&all_kinds())).unwrap());
    let kinds = schema["properties"]["sinks"]["additionalProperties"]["oneOf"].as_array().unwrap();

    for (kind, name) in kinds.iter().zip(["hook", "pos", "feed", "books", "stock", "till"]) {
        let stated = stated_defaults("", kind);
        assert!(stated.iter().any(|(key, _)| key == ".stable_for"), "{name}");
        for (key, default) in stated {
            let in_effect = effective["sinks"][name].pointer(&key.replace('.', "/"));
            assert_eq!(in_effect, Some(&default), "sinks.{name}{key}");
        }
    }
    assert_eq!(kinds[3]["properties"]["stable_for"]["default"], "1h 30m");
}

/// After a new key: `cargo run -- config reference > config/reference.md`.
#[test]
fn the_shipped_reference_has_every_key_with_its_type_and_meaning() {
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/reference.md")).unwrap();

    assert_eq!(shipped, reference(), "config/reference.md is not what `config reference` says");
    let rows: Vec<Vec<&str>> =
        shipped.lines().filter(|line| line.starts_with("| `")).map(|row| row.split(" | ").collect()).collect();
    for row in &rows {
        assert!(row.len() == 4 && !row[1].is_empty() && row[3].trim_end_matches('|').len() > 3, "{row:?}");
    }
    for (table, keys) in tables(&schema()) {
        for key in keys {
            let is_its = |cell: &str| {
                let named = cell.trim_start_matches("| `").trim_end_matches('`');
                let last = |path: &str| path.rsplit('.').next() == Some(&*key);
                last(named) || named.contains(&format!("{key}.NAME."))
            };
            assert!(rows.iter().any(|row| is_its(row[0])), "{table}.{key}");
        }
    }
}

#[test]
fn the_shipped_files_load() {
    let files = Files::new();
    let secret = files.write("hook", SIGNING_SECRET);
    let names = ["ADMIN_TOKEN", "SCOFFABLE_TOKEN", "HOOK_AUTHORIZATION", "GODATAFEED_TOKEN"];
    let made_up = names
        .into_iter()
        .chain(["HOOK_SECRET", "LEDGER_SECRET", "SPOTON_ID", "SPOTON_SECRET", "XERO_ID", "XERO_SECRET"])
        .chain(["UNLEASHED_ID", "UNLEASHED_KEY", "LIGHTSPEED_TOKEN", "MAIL_PASSWORD"])
        .map(|name| (name, SIGNING_SECRET))
        .chain(["PING_URL", "ALERT_HOOK"].map(|name| (name, "https://watch.example.org/secret")));
    let env: Env = made_up.collect();
    let token = files.write("gdf", "a-token");
    let path = secret.to_str().unwrap();
    let manual = manual_in_full()
        .replace("/run/secrets/hook", path)
        .replace("/run/secrets/spoton", path)
        .replace("/run/secrets/gdf", token.to_str().unwrap())
        .replace("/etc/ssl/certs/own-ca.pem", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/mail/ca.pem"))
        .replace("after = \"pos\"", "")
        .replace("kind = \"godatafeed\"", "kind = \"godatafeed\"\nafter = \"hook\"")
        .replace("allow_multiple_ledgers = false", "allow_multiple_ledgers = true");
    let other_ways = [
        "consumer_key =",
        "token_file =",
        "token_lifespan_days =",
        "auth_request_template =",
        "match_template =",
        "refresh_token =",
        "client_id = \"scoffable-sync\"",
        "client_secret = { env = \"LIGHTSPEED_SECRET\" }",
    ];
    let is_other = |line: &&str| other_ways.iter().any(|key| line.starts_with(key));
    let manual: String = manual.lines().filter(|line| !is_other(line)).map(|line| line.to_owned() + "\n").collect();

    let manual = check_with(&manual, env.clone());
    let example = check_with(EXAMPLE, env);
    let simulator = check_with(SIMULATOR, Env::default());

    assert!(manual.found.is_empty(), "{manual}");
    assert!(example.found.is_empty() && example.found.warnings.is_empty(), "{example}");
    assert!(simulator.found.is_empty(), "{simulator}");
    let warned: Vec<&str> = simulator.found.warnings.iter().map(|warning| warning.key.as_str()).collect();
    let expected = [
        "sources.main.token",
        "sinks.books.client_secret",
        "sinks.feed.token",
        "sinks.feed.poll_interval",
        "sinks.feed.cancel_grace",
        "sinks.hook.signing_secret",
        "sinks.pos.client_id",
        "sinks.pos.client_secret",
        "sinks.shop.token",
        "sinks.stock.api_key",
    ];
    assert_eq!(warned, expected, "only its made-up secrets and short waits: {simulator}");
}

#[test]
fn the_simulators_file_polls_quickly_and_without_limits() {
    let settings = settings_with(SIMULATOR, Env::default());
    let source = settings.sources.values().next().unwrap();

    assert_eq!(source.base_url.base(), "http://127.0.0.1:9471");
    assert_eq!(source.poll_interval, Duration::from_secs(1));
    assert_eq!(source.requests_per_minute.per_minute(), None);
    assert_eq!(sink(&settings, "hook").common.retry.initial, Duration::from_millis(200));
}

#[test]
fn limits_of_calls_are_read_by_window_and_may_be_lifted() {
    let text = "limits = { per_second = 5, per_minute = 60, per_month = 1000, per_day = \"unlimited\" }\n";
    let settings = settings(&minimal_and(text));

    let (counted, limits) = sink(&settings, "hook").call_limits();

    let expected = vec![(Window::Second, 5), (Window::Minute, 60), (Window::Month, 1000)];
    assert_eq!((counted, limits), (Counted::PerSink, expected));
    assert!(show(&settings).contains("per_day = \"unlimited\""), "{}", show(&settings));
}

#[test]
fn a_webhook_has_no_limits_by_itself() {
    assert_eq!(sink(&settings(&minimal_and("")), "hook").call_limits().1, []);
}

#[test]
fn a_limit_of_calls_is_a_number_above_zero_or_unlimited() {
    for wrong in ["0", "-1", "1.5", "\"many\"", "100000001"] {
        for window in ["per_second", "per_hour"] {
            let (key, problem) = only_problem(&minimal_and(&format!("limits = {{ {window} = {wrong} }}\n")));
            assert_eq!(key, format!("sinks.hook.limits.{window}"), "{problem}");
        }
    }
}

#[test]
fn an_unknown_window_is_refused_with_the_one_that_was_meant() {
    let report = check_text(&minimal_and("limits = { per_minutes = 60 }\n"));

    let [problem] = &report.found.problems[..] else { panic!("{report}") };
    assert_eq!(problem.key, "sinks.hook.limits.per_minutes");
    assert!(problem.suggestion.as_ref().is_some_and(|text| text.contains("per_minute")), "{problem}");
}

#[test]
fn limits_can_be_set_by_the_environment() {
    let env = env(&[("SCOFFABLE_SYNC__SINKS__HOOK__LIMITS__PER_DAY", "4000")]);

    let settings = settings_with(&minimal_and(""), env);

    assert_eq!(sink(&settings, "hook").call_limits().1, [(Window::Day, 4000)]);
}

// ---- a point of sale ------------------------------------------------------------------------------------------------

fn pos_and(more: &str) -> String {
    minimal_and(&format!("{POS}{more}"))
}

#[test]
fn a_point_of_sale_has_a_lane_for_each_location_and_limits_of_its_own() {
    let more = "vendors.\"b\" = { location_id = \"BL-0000-0000-0002\", menu_id = \"m\", currency = \"usd\", items = { x = \"y\" } }\n";
    let settings = settings(&pos_and(more));
    let pos = sink(&settings, "pos");

    let lanes: Vec<(String, String)> = pos.kind.lanes().into_iter().collect();
    let lane = |vendor: &str, lane: &str| (vendor.to_owned(), lane.to_owned());
    assert_eq!(lanes, [lane("b", "BL-0000-0000-0002"), lane("vendor-a", "BL-7Q2M-0ZK4-88TD")]);
    assert_eq!(pos.call_limits(), (Counted::PerSink, vec![(Window::Second, 5), (Window::Minute, 600)]));
    assert_eq!(pos.common.vendors, None, "the map filters nothing: what it lacks is skipped with a reason");
}

#[test]
fn what_a_point_of_sale_cannot_honour_is_refused_with_why() {
    let cases = [
        ("versions = \"every\"\n", "versions", "outdated"),
        ("tax_mode = \"inclusive\"\n", "tax_mode", "subtotal"),
        ("reread_before_write = true\n", "reread_before_write", "order stream"),
        ("paths = { submit = \"/orders\" }\n", "paths.submit", "{location_id}"),
        ("paths = { cancel = \"/l/{location_id}/o/{id}\" }\n", "paths.cancel", "{order_id}"),
        ("customer_pointers = { name = \"name\" }\n", "customer_pointers.name", "JSON pointer"),
        ("on_change = \"resubmit\"\n", "on_change", "not known"),
        ("residual_limit = 1001\n", "residual_limit", "out of range"),
    ];
    for (more, key, word) in cases {
        let (told, problem) = only_problem(&pos_and(more));
        assert_eq!(told, format!("sinks.pos.{key}"), "{problem}");
        assert!(problem.contains(word), "{word} in {problem}");
    }
}

#[test]
fn a_vendor_of_a_point_of_sale_is_checked_whole() {
    let vendor = "vendors.\"b\" = { menu_id = \"m\", currency = \"pounds\", time_zone = \"London\", item = {} }\n";

    let report = check_text(&pos_and(vendor));

    let told: Vec<&str> = report.found.problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected =
        ["item", "location_id", "currency", "time_zone", "items"].map(|key| format!("sinks.pos.vendors.b.{key}"));
    assert_eq!(told, expected);
}

#[test]
fn two_names_that_are_one_must_mean_one_item() {
    let of = |items: &str| {
        format!(
            "vendors.\"b\" = {{ location_id = \"BL-0000-0000-0002\", menu_id = \"m\", currency = \"GBP\", items = {items} }}\n"
        )
    };

    let (key, problem) = only_problem(&pos_and(&of("{ \"Naan\" = \"a\", \" NAAN\" = \"b\" }")));
    assert!(key.starts_with("sinks.pos.vendors.b.items."), "{key}: {problem}");
    assert!(check_text(&pos_and(&of("{ \"Naan\" = \"a\", \" NAAN\" = \"a\" }"))).found.is_empty());
}

#[test]
fn a_point_of_sale_that_would_submit_twice_or_name_a_strange_location_is_warned_about() {
    let (key, _) = only_warning(&pos_and("resubmit_when_absent = true\nvisible_after = \"5m\"\n"));
    assert_eq!(key, "sinks.pos.visible_after");

    let (key, _) = only_warning(&minimal_and(&POS.replace("BL-7Q2M-0ZK4-88TD", "location-1")));
    assert_eq!(key, "sinks.pos.vendors.vendor-a.location_id");
}

#[test]
fn a_point_of_sale_that_is_shown_can_be_read_again() {
    let more = "on_change = \"cancel_and_resubmit\"\ncustomer_pointers = { name = \"/who\" }\nscopes = [\"a\", \"b\"]\n\
                vendors.\"b\" = { location_id = \"BL-0000-0000-0002\", menu_id = \"m\", currency = \"GBP\", \
                time_zone = \"Europe/London\", items = { x = \"y\" }, modifiers = { Side = { Rice = \"r\" } } }\n";
    let shown = show(&settings(&pos_and(more)));

    assert_eq!(show(&settings(&shown)), shown);
}

#[test]
fn what_is_shown_can_be_read_again() {
    let shown = show(&settings(&minimal_and("vendors = [\"a\"]\nstable_for = \"90m\"\n")));

    let again = settings(&shown);

    assert_eq!(show(&again), shown);
    insta::assert_snapshot!(shown);
}

#[test]
fn a_feed_names_the_sink_before_it_and_takes_only_the_newest_versions() {
    let without = FEED.replace("after = \"hook\"\n", "");
    assert_eq!(only_problem(&(minimal_and("") + &without)).0, "sinks.feed.after");
    assert_eq!(only_problem(&(minimal_and("") + FEED + "versions = \"every\"\n")).0, "sinks.feed.versions");
    assert_eq!(sink(&settings(&(minimal_and("") + FEED)), "feed").call_limits().1, [(Window::Minute, 40)]);
}

#[test]
fn a_feed_takes_one_way_to_authorise_and_no_key_that_would_do_nothing() {
    let with = |more: &str| minimal_and("") + FEED + more;
    let by_key = |more: &str| {
        let feed = FEED.replace("token = { env = \"TOKEN\" }\n", "auth_mode = \"consumer_key\"\n");
        minimal_and("") + &feed + "consumer_key = { env = \"TOKEN\" }\ntoken_file = \"/tmp/token\"\n" + more
    };

    for key in ["consumer_key", "token_file", "auth_request_template"] {
        assert_eq!(only_problem(&with(&format!("{key} = \"x\"\n"))).0, format!("sinks.feed.{key}"));
    }
    assert_eq!(only_problem(&with("token_lifespan_days = 30\n")).0, "sinks.feed.token_lifespan_days");
    assert!(check_text(&by_key("token_lifespan_days = 30\n")).found.is_empty());
    assert_eq!(only_problem(&by_key("token_lifespan_days = 31\n")).0, "sinks.feed.token_lifespan_days");
    assert_eq!(only_problem(&by_key("token = \"x\"\n")).0, "sinks.feed.token");
    assert_eq!(only_problem(&by_key("").replace("token_file = \"/tmp/token\"", "")).0, "sinks.feed.token_file");
    let shown = show(&settings(&by_key("token_lifespan_days = 7\n")));
    assert_eq!(show(&settings(&shown)), shown);
}

#[test]
fn a_feeds_requests_have_exactly_the_places_of_its_api() {
    let with = |more: &str| minimal_and("") + FEED + more;

    assert_eq!(only_problem(&with("templates = { list = \"GET /v1/orders\" }\n")).0, "sinks.feed.templates.list");
    assert_eq!(only_problem(&with("pointers = { id = \"id\" }\n")).0, "sinks.feed.pointers.id");
    assert_eq!(only_problem(&with("fields = { carrier = \"status\" }\n")).0, "sinks.feed.fields.carrier");
    assert_eq!(only_problem(&with("ship_time_format = \"%Y-%m-%d\"\n")).0, "sinks.feed.ship_time_format");
    assert_eq!(only_problem(&with("paging = { }\n")).0, "sinks.feed.paging.size");
    let second =
        settings(&with("api = \"v2\"\npaging = { size = 100 }\ntemplates = { get = \"GET /v2/o/{gdf_id}\" }\n"));
    let shown = show(&second);
    assert!(shown.contains("acknowledge = \"PUT /v2/orders/{gdf_id}/acknowledge\""), "{shown}");
    assert_eq!(show(&settings(&shown)), shown);
}

#[test]
fn the_schema_describes_each_key_and_states_defaults() {
    let schema = schema();
    let hook = &schema["properties"]["sinks"]["additionalProperties"]["oneOf"][0];

    assert_eq!(hook["properties"]["concurrency"]["default"], 8);
    assert_eq!(hook["properties"]["concurrency"]["maximum"], 512);
    assert_eq!(hook["properties"]["kind"]["const"], "webhook");
    assert_eq!(hook["additionalProperties"], false);
    let source = &schema["properties"]["sources"]["additionalProperties"];
    assert_eq!(source["properties"]["poll_interval"]["default"], "5m");
    assert_eq!(source["additionalProperties"], false);
    assert_eq!(known_keys::<source::RawSource>().len(), source["properties"].as_object().unwrap().len());
    for (name, property) in source["properties"].as_object().unwrap() {
        assert!(property.get("description").is_some(), "{name} has no description");
    }
}

// ---- books ----------------------------------------------------------------------------------------------------------

#[test]
fn journals_correct_days_whose_documents_are_approved_and_need_a_scope_of_their_own() {
    let by_day = "mode = \"daily_summary\"\ndelta = \"journal\"\n";
    let problem = |keys: &str| only_problem(&minimal_and(&(BOOKS.to_owned() + keys)));

    let (key, text) = problem("delta = \"journal\"\n");
    assert_eq!((key.as_str(), text.contains("daily_summary")), ("sinks.books.delta", true));
    let (key, text) = problem(&format!("{by_day}document_status = \"draft\"\n"));
    assert_eq!((key.as_str(), text.contains("wait for approval")), ("sinks.books.delta", true));
    let warned = |scopes: &str| {
        let report = check_text(&minimal_and(&format!("{BOOKS}{by_day}{scopes}")));
        assert!(report.found.is_empty(), "{report}");
        report.found.warnings.iter().any(|warning| warning.key == "sinks.books.scopes")
    };
    assert!(warned("") && !warned("scopes = \"broad\"\n"));
}

#[test]
fn books_wait_until_an_order_is_final_and_are_asked_as_often_as_xero_takes_it() {
    let settings = settings(&minimal_and(BOOKS));
    let books = sink(&settings, "books");

    assert_eq!((books.common.stable_for, books.common.concurrency), (Duration::from_mins(90), 3));
    assert_eq!(books.call_limits().1, [(Window::Minute, 50), (Window::Day, 4000)]);
    let starter = settings_with(&minimal_and(&(BOOKS.to_owned() + "tier = \"starter\"\n")), env(&[]));
    assert_eq!(sink(&starter, "books").call_limits().1, [(Window::Minute, 50), (Window::Day, 800)]);
}

#[test]
fn what_would_post_wrongly_is_refused() {
    let told = |line: &str| only_problem(&minimal_and(&(BOOKS.to_owned() + line + "\n"))).0;

    assert_eq!(told("mode = \"weekly_summary\""), "sinks.books.mode");
    assert_eq!(told("summary_at = \"25:00\""), "sinks.books.summary_at");
    assert_eq!(told("versions = \"every\""), "sinks.books.versions");
    assert_eq!(told("concurrency = 6"), "sinks.books.concurrency");
    assert_eq!(told("refresh_token = { env = \"TOKEN\" }"), "sinks.books.refresh_token");
    assert_eq!(told("goodwill = \"receivable\""), "sinks.books.accounts.goodwill");
    assert_eq!(told("contacts = \"per_customer\""), "sinks.books.customer_fields");
    assert_eq!(told("url_template = \"https://example.org/\""), "sinks.books.url_template");
    assert_eq!(told("tracking.Outlet = { by = \"vendor\" }"), "sinks.books.tracking.Outlet.options");
}

#[test]
fn two_ledgers_of_one_vendor_are_refused_unless_both_permit_it() {
    let second = |more: &str| BOOKS.replace("[sinks.books]", "[sinks.more]") + more;
    let both = |first: &str, more: &str| minimal_and(&[BOOKS, first, &second(more)].concat());
    let apart = both("vendors = [\"a\"]\n", "vendors = [\"b\"]\n");
    let permitted = both("allow_multiple_ledgers = true\n", "allow_multiple_ledgers = true\n");

    assert_eq!(only_problem(&both("", "")).0, "sinks.more.vendors");
    assert_eq!(only_problem(&both("", "allow_multiple_ledgers = true\n")).0, "sinks.more.vendors");
    assert_eq!(only_problem(&both("vendors = [\"a\", \"b\"]\n", "vendors = [\"b\"]\n")).0, "sinks.more.vendors");
    assert!(check_text(&apart).found.is_empty() && check_text(&permitted).found.is_empty());
}

// ---- stock ----------------------------------------------------------------------------------------------------------

#[test]
fn stock_uses_four_fifths_of_its_plan() {
    let settings = settings(&minimal_and(STOCK));
    let stock = sink(&settings, "stock");

    assert_eq!((stock.common.stable_for, stock.common.concurrency), (Duration::from_mins(90), 2));
    assert_eq!(stock.call_limits().1, [(Window::Minute, 60), (Window::Hour, 1500), (Window::Month, 200_000)]);
    let small = "monthly_calls = 125000\nrequests_per_minute = 5\nlimits = { per_hour = \"unlimited\" }\n";
    let small = settings_with(&minimal_and(&(STOCK.to_owned() + small)), env(&[]));
    assert_eq!(sink(&small, "stock").call_limits().1, [(Window::Minute, 5), (Window::Month, 100_000)]);
}

#[test]
fn each_mistake_about_stock_names_its_key() {
    let told = |line: &str| only_problem(&minimal_and(&(STOCK.to_owned() + line + "\n"))).0;
    let instead = |from: &str, to: &str| only_problem(&minimal_and(&STOCK.replace(from, to))).0;

    assert_eq!(told("versions = \"every\""), "sinks.stock.versions");
    for wrong in ["complete = \"later\"", "complete = \"after_minutes:\"", "complete = \"after_minutes:86401\""] {
        assert_eq!(told(wrong), "sinks.stock.complete");
    }
    assert_eq!(told("copy_address = true"), "sinks.stock.copy_address");
    assert_eq!(told("customers = \"none\""), "sinks.stock.customers");
    assert_eq!(told("customers = \"per_customer\""), "sinks.stock.customer_fields");
    assert_eq!(told("customer_links = { \"C-1\" = \"Jane\" }"), "sinks.stock.customer_links.C-1");
    assert_eq!(told("missing_product = \"skip\""), "sinks.stock.missing_product");
    assert_eq!(told("monthly_calls = 0"), "sinks.stock.monthly_calls");
    assert_eq!(told("quota_probe = \"0s\""), "sinks.stock.quota_probe");
    assert_eq!(told("base_url = \"https://example.org/?key=1\""), "sinks.stock.base_url");
    assert_eq!(told("catalogue = { pull_pages = 0 }"), "sinks.stock.catalogue.pull_pages");
    assert_eq!(told("mixed_tax = \"hold\""), "sinks.stock.mixed_tax");
    assert_eq!(instead("acme/scoffsync", "Acme"), "sinks.stock.client_type");
    assert_eq!(instead("rate = \"0.2\"", "rate = \"20\""), "sinks.stock.tax.rate");
    assert_eq!(instead("rate = \"0.2\"", "rate = 0.2"), "sinks.stock.tax.rate");
    assert_eq!(instead("warehouse = \"KITCHEN1\"", ""), "sinks.stock.vendors.vendor-b.warehouse");
    assert_eq!(instead("currency = \"GBP\"", "currency = \"KWD\""), "sinks.stock.currency");
    assert_eq!(instead("55555555-aaaa", "the-house"), "sinks.stock.house_customer");
}

#[test]
fn stock_and_books_of_one_vendor_are_two_ledgers() {
    let both = |books: &str, stock: &str| minimal_and(&[BOOKS, books, STOCK, stock].concat());

    assert_eq!(only_problem(&both("", "")).0, "sinks.stock.vendors");
    assert_eq!(only_problem(&both("vendors = [\"a\", \"vendor-b\"]\n", "")).0, "sinks.stock.vendors");
    let permits = "allow_multiple_ledgers = true\n";
    assert_eq!(only_problem(&both(permits, "")).0, "sinks.stock.vendors");
    assert!(check_text(&both(permits, permits)).found.is_empty());
    assert!(check_text(&both("vendors = [\"a\"]\n", "")).found.is_empty());
}

// ---- a till in a shop -----------------------------------------------------------------------------------------------

#[test]
fn a_till_uses_its_share_of_what_the_shop_permits_its_registers() {
    let settings = settings(&minimal_and(TILL));
    let till = sink(&settings, "till");

    assert_eq!((till.common.stable_for, till.common.concurrency), (Duration::from_mins(90), 2));
    assert_eq!(till.call_limits().1, [(Window::FiveMinutes, 280)]);
    assert_eq!(till.common.vendors, None, "the map filters nothing: what it lacks is skipped with a reason");
    let two = TILL.to_owned() + "vendors.\"vendor-b\" = { register_id = \"another\" }\nrequests_share = 50\n";
    assert_eq!(sink(&self::settings(&minimal_and(&two)), "till").call_limits().1, [(Window::FiveMinutes, 325)]);
}

#[test]
fn what_a_till_would_post_wrongly_is_refused() {
    let told = |line: &str| only_problem(&minimal_and(&(TILL.to_owned() + line + "\n"))).0;
    let without = |line: &str| only_problem(&minimal_and(&TILL.replace(line, ""))).0;

    assert_eq!(told("versions = \"every\""), "sinks.till.versions");
    assert_eq!(told("concurrency = 9"), "sinks.till.concurrency");
    assert_eq!(told("api = \"2026-04\""), "sinks.till.api");
    assert_eq!(told("client_id = \"app\""), "sinks.till.token");
    assert_eq!(told("customers = \"per_customer\""), "sinks.till.customer_fields");
    assert_eq!(without("token = { env = \"TOKEN\" }\n"), "sinks.till.token");
    assert_eq!(without("house_customer = \"customer\"\n"), "sinks.till.house_customer");
    assert_eq!(without("vendors.\"vendor-a\" = { register_id = \"register\" }\n"), "sinks.till.vendors");
    let path = TILL.replace("shop.example.org", "shop.example.org/api");
    assert_eq!(only_problem(&minimal_and(&path)).0, "sinks.till.base_url");
    let nobody = TILL.replace("house_customer = \"customer\"", "customers = \"none\"\nunpaid = \"on_account\"");
    assert_eq!(only_problem(&minimal_and(&nobody)).0, "sinks.till.unpaid");
}

#[test]
fn a_till_is_entered_as_a_person_or_as_an_application() {
    let application = TILL.replace(
        "token = { env = \"TOKEN\" }",
        "client_id = \"app\"\nclient_secret = { env = \"TOKEN\" }\nrefresh_token = { env = \"TOKEN\" }",
    );

    let shown = show(&settings(&minimal_and(&application)));

    assert!(shown.contains("token_url = \"https://shop.example.org/api/1.0/token\""), "{shown}");
    assert_eq!(show(&settings(&shown)), shown);
    let half = application.replace("client_secret = { env = \"TOKEN\" }\n", "");
    assert_eq!(only_problem(&minimal_and(&half)).0, "sinks.till.client_secret");
}

#[test]
fn a_till_and_books_of_one_vendor_would_count_its_sales_twice() {
    let both = |more: &str| minimal_and(&[BOOKS, more, TILL].concat());

    assert_eq!(only_problem(&both("")).0, "sinks.till.vendors");
    assert_eq!(only_problem(&both("vendors = [\"vendor-a\"]\n")).0, "sinks.till.vendors");
    assert!(check_text(&both("vendors = [\"vendor-b\"]\n")).found.is_empty());
}

#[test]
fn orders_of_several_accounts_are_told_apart_where_ids_follow_from_them() {
    let other = "[sources.other]\nkind = \"scoffable\"\ntoken = { env = \"HOOK\" }\n";
    let accounts = |text: &str| match &sink(&settings(text), "till").kind {
        SinkKind::Lightspeed(shop) => shop.accounts.clone(),
        other => panic!("{}", other.as_str()),
    };

    assert!(accounts(&minimal_and(TILL)).is_empty());
    assert_eq!(accounts(&minimal_and(&(TILL.to_owned() + other))).len(), 2);
    let same = other.to_owned() + "account = \"main\"\n";
    assert!(accounts(&minimal_and(&(TILL.to_owned() + &same))).is_empty());
}
