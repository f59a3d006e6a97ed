//! That the file reaches every switch of the simulated systems, and is read strictly.

use std::collections::BTreeSet;

use super::*;
use crate::{
    config::{Env, field::known_keys},
    simulator::xero::App,
};

const FILE: &str = include_str!("../../../config/simulator.toml");

/// What is read of these tables, or the keys with problems.
fn read(text: &str) -> Result<SimulatorSettings, Vec<String>> {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("simulator.toml");
    std::fs::write(&file, text).expect("it can be written");
    match load(&LoadOptions { file: Some(file), env: Env::default(), ..LoadOptions::default() }) {
        Ok(settings) => Ok(settings),
        Err(ConfigError::Invalid(report)) => {
            Err(report.found.problems.iter().map(|problem| problem.key.clone()).collect())
        }
        Err(other) => panic!("{other}"),
    }
}

/// The file's tables with every key that is commented out.
fn in_full() -> toml::Table {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text: String = FILE.lines().map(|line| uncommented(line) + "\n").collect();
    let mut document: toml::Table = text.parse().expect("the file is TOML with every key switched on");
    match document.remove(TABLE) {
        Some(toml::Value::Table(table)) => table,
        other => panic!("{other:?}"),
    }
}

fn tables() -> [(&'static str, Vec<String>); 5] {
    [
        ("spoton", known_keys::<RawSpotonBehaviour>()),
        ("godatafeed", known_keys::<RawGodatafeedBehaviour>()),
        ("xero", known_keys::<RawXeroBehaviour>()),
        ("lightspeed", known_keys::<RawLightspeedBehaviour>()),
        ("unleashed", known_keys::<RawUnleashedBehaviour>()),
    ]
}

fn shown(settings: &SimulatorSettings) -> String {
    let SpotonBehaviour { options: spoton, .. } = &settings.spoton;
    let GodatafeedBehaviour { options: feed, feed: imports, .. } = &settings.godatafeed;
    let spoton = (
        (&spoton.rules, &spoton.manner, &spoton.limits, &spoton.scopes, spoton.token_life, spoton.lag),
        (spoton.page_size, spoton.kitchen, spoton.drive, spoton.tax_basis_points, spoton.latency),
    );
    let godatafeed = (
        (feed.api, &feed.consumer_key, feed.token_life, feed.token_answer, feed.old_tokens, feed.unauthorized),
        (feed.bucket, feed.list_answer, feed.paging, feed.write_answer, feed.repeats, &feed.acknowledged),
        (&feed.cancelled, feed.tracking_is_required, feed.local_times, &feed.marketplace, feed.listing_interval),
        (feed.token_interval, feed.latency, imports),
    );
    let xero = &settings.xero.options;
    let organisation = &xero.organisation;
    let xero = (
        (&xero.app, &xero.scopes, xero.token_life, xero.limits, &xero.rules, &xero.manner, xero.latency),
        (&organisation.currencies, organisation.period_lock, organisation.year_lock, &xero.contacts, &xero.prefix),
    );
    let lightspeed = &settings.lightspeed.options;
    let lightspeed = (
        (&lightspeed.redirects, &lightspeed.scopes, lightspeed.token_life, lightspeed.limits, &lightspeed.rules),
        (&lightspeed.manner, &lightspeed.shop, &lightspeed.products, &lightspeed.prefix, lightspeed.latency),
    );
    let unleashed = &settings.unleashed.options;
    let unleashed = (
        (&unleashed.rules, unleashed.limits, &unleashed.settings, &unleashed.warehouses, &unleashed.customers),
        (&unleashed.products, &unleashed.prefix, unleashed.latency),
    );
    format!("{spoton:#?}{godatafeed:#?}{xero:#?}{lightspeed:#?}{unleashed:#?}")
}

#[test]
fn the_file_explains_every_key_and_no_other() {
    for (table, keys) in tables() {
        let toml::Value::Table(explained) = &in_full()[table] else { panic!("{table} is a table") };

        let explained: BTreeSet<String> = explained.keys().cloned().collect();
        assert_eq!(explained, keys.into_iter().collect(), "{table}");
    }
}

#[test]
fn the_file_says_what_is_without_it() {
    let of_file = read(FILE).expect("the file is valid");

    assert_eq!(shown(&of_file), shown(&SimulatorSettings::default()));
    assert_eq!(shown(&read("").expect("nothing is valid")), shown(&SimulatorSettings::default()));
    for fates in [of_file.spoton.submits, of_file.spoton.cancels, of_file.godatafeed.writes] {
        assert_eq!(fates, []);
    }
}

#[test]
fn every_key_is_read_strictly_and_one_that_is_unknown_is_named() {
    for (table, keys) in tables() {
        for key in keys {
            let told = read(&format!("[simulator.{table}]\n{key} = 0.5\n")).expect_err("no key takes a fraction");
            assert_eq!(told, [format!("simulator.{table}.{key}")]);
        }
        let told = read(&format!("[simulator.{table}]\nlags = \"5s\"\n")).expect_err("there is no such key");
        assert_eq!(told, [format!("simulator.{table}.lags")]);
    }
    assert_eq!(read("[simulator.spotom]\n").expect_err("there is no such system"), ["simulator.spotom"]);
}

#[test]
fn every_value_that_is_offered_reaches_its_switch() {
    let full = toml::to_string(&toml::Table::from_iter([(TABLE.to_owned(), in_full().into())])).expect("TOML");
    let full = read(&full).expect("what is commented out is valid too");

    assert_eq!(full.spoton.options.rules.enum_style, Some(EnumStyle::Prefixed));
    assert_eq!(full.spoton.submits, [Fate::Hang, Fate::ServerErrorAfterTheEffect, Fate::ServerError]);
    assert_eq!(full.spoton.cancels, [Fate::CutAfterTheEffect]);
    assert_eq!(full.spoton.reports, [Fate::ServerError]);
    assert_eq!(full.godatafeed.options.token_life, Some(Duration::from_hours(14 * 24)));
    assert_eq!(full.godatafeed.options.paging, Some(100));
    assert_eq!(full.godatafeed.options.local_times.map(|offset| offset.local_minus_utc()), Some(3600));
    assert_eq!(full.godatafeed.feed.prefix, "SC-");
    let odd = [("5500001", Oddity::Twice), ("5500002", Oddity::Late)];
    let odd = BTreeMap::from_iter(odd.map(|(order, odd)| (order.to_owned(), odd)));
    assert!(matches!(&full.godatafeed.feed.oddities, Oddities::Of(stated) if *stated == odd));
    assert_eq!(full.godatafeed.writes, [Fate::Hang, Fate::ServerErrorAfterTheEffect, Fate::ErrorInside]);
    assert_eq!(full.godatafeed.lists, [Fate::ServerError]);
    assert!(matches!(&full.xero.options.app, App::CodeFlow { redirects } if redirects.len() == 1));
    assert_eq!(full.xero.options.organisation.locked_until(), chrono::NaiveDate::from_ymd_opt(2026, 1, 31));
    assert_eq!(full.xero.options.manner.concurrency_retry_after, Some(2));
    assert_eq!(full.xero.invoices, [Fate::Hang, Fate::ServerErrorAfterTheEffect, Fate::Throttled]);
    assert_eq!(full.xero.credit_notes, [Fate::CutAfterTheEffect]);
    assert_eq!(full.xero.payments, [Fate::ServerError]);
    assert_eq!((full.lightspeed.options.redirects.len(), full.lightspeed.options.products.len()), (1, 2));
    assert_eq!(full.lightspeed.sales, [Fate::Hang, Fate::ServerErrorAfterTheEffect, Fate::Throttled]);
    assert_eq!(full.lightspeed.changes, [Fate::CutAfterTheEffect]);
    assert_eq!(full.lightspeed.returns, [Fate::Hang]);
    assert_eq!(full.lightspeed.products, [Fate::ServerError]);
    assert_eq!(full.lightspeed.customers, [Fate::NotJson]);
    assert_eq!(full.unleashed.sales_orders, [Fate::Hang, Fate::ServerErrorAfterTheEffect, Fate::Throttled]);
    assert_eq!(full.unleashed.completions, [Fate::CutAfterTheEffect]);
    assert_eq!(full.unleashed.credit_notes, [Fate::ServerError]);
}

#[test]
fn what_is_set_otherwise_is_otherwise() {
    let usual = shown(&SimulatorSettings::default());
    let others = [
        ("spoton", "scopes = [\"a\"]"),
        ("spoton", "token_life = \"1h\""),
        ("spoton", "per_second = \"unlimited\""),
        ("spoton", "per_minute = 10"),
        ("spoton", "rate_headers = \"garbage\""),
        ("spoton", "takes_enum_style = \"short\""),
        ("spoton", "request_envelope = \"wrapped\""),
        ("spoton", "takes_unknown_items = true"),
        ("spoton", "takes_repeated_references = false"),
        ("spoton", "takes_partial_customers = false"),
        ("spoton", "takes_several_payments = true"),
        ("spoton", "takes_zero_payments = true"),
        ("spoton", "repeated_cancel = \"succeeds\""),
        ("spoton", "enum_style = \"short\""),
        ("spoton", "envelope = \"bare\""),
        ("spoton", "numbers = \"as_text\""),
        ("spoton", "leaves_out_defaults = true"),
        ("spoton", "reports_reference = false"),
        ("spoton", "reports_state = false"),
        ("spoton", "lag = \"1m\""),
        ("spoton", "page_size = 3"),
        ("spoton", "kitchen = \"1m\""),
        ("spoton", "drive = \"1m\""),
        ("spoton", "tax_basis_points = 0"),
        ("spoton", "latency = \"1s\""),
        ("godatafeed", "api = \"v2\""),
        ("godatafeed", "consumer_key = \"k\""),
        ("godatafeed", "token_life = \"7d\""),
        ("godatafeed", "token_answer = \"accessToken\""),
        ("godatafeed", "token_interval = \"1m\""),
        ("godatafeed", "old_tokens = \"are_killed\""),
        ("godatafeed", "unauthorized = 403"),
        ("godatafeed", "bucket_size = \"unlimited\""),
        ("godatafeed", "leaks_per_second = 3"),
        ("godatafeed", "throttle_hint = \"retry_after\""),
        ("godatafeed", "list_answer = \"root\""),
        ("godatafeed", "listing_interval = \"1m\""),
        ("godatafeed", "paging = 3"),
        ("godatafeed", "write_answer = \"nothing\""),
        ("godatafeed", "repeats = 409"),
        ("godatafeed", "acknowledged = \"OPEN\""),
        ("godatafeed", "cancelled = \"CANCEL\""),
        ("godatafeed", "tracking_is_required = true"),
        ("godatafeed", "local_times = \"-05:00\""),
        ("godatafeed", "marketplace = \"Elsewhere\""),
        ("godatafeed", "number_prefix = \"SC-\""),
        ("godatafeed", "import_delay = \"20m\""),
        ("godatafeed", "odd_orders = { \"1\" = \"never\" }"),
        ("godatafeed", "latency = \"1s\""),
        ("xero", "redirects = [\"http://127.0.0.1/back\"]"),
        ("xero", "scopes = [\"accounting.invoices\"]"),
        ("xero", "token_life = \"1m\""),
        ("xero", "in_progress = 1"),
        ("xero", "per_minute = \"unlimited\""),
        ("xero", "per_day = 1000"),
        ("xero", "app_per_minute = 100"),
        ("xero", "concurrency_retry_after = 3"),
        ("xero", "currencies = [\"GBP\"]"),
        ("xero", "period_lock = \"2026-01-31\""),
        ("xero", "year_lock = \"2025-12-31\""),
        ("xero", "contacts = [\"Walk-in\"]"),
        ("xero", "prefix = \"S-\""),
        ("xero", "key_life = \"1m\""),
        ("xero", "key_reuse = \"replayed\""),
        ("xero", "lines_without_ids = \"add\""),
        ("xero", "takes_zero_totals = false"),
        ("xero", "takes_negative_lines = false"),
        ("xero", "frees_numbers = true"),
        ("xero", "removes_reconciled_payments = true"),
        ("xero", "takes_where = false"),
        ("xero", "max_elements = 25"),
        ("xero", "dates = \"iso\""),
        ("xero", "scope_refusal = \"forbidden\""),
        ("xero", "latency = \"1s\""),
        ("lightspeed", "redirects = [\"http://127.0.0.1/back\"]"),
        ("lightspeed", "scopes = [\"sales:read\"]"),
        ("lightspeed", "token_life = \"1m\""),
        ("lightspeed", "per_register = \"unlimited\""),
        ("lightspeed", "calls_beside = 0"),
        ("lightspeed", "retry_after = \"garbage\""),
        ("lightspeed", "currency = \"EUR\""),
        ("lightspeed", "catalogue = [\"Ramen\"]"),
        ("lightspeed", "prefix = \"S-\""),
        ("lightspeed", "takes_negative_prices = false"),
        ("lightspeed", "takes_negative_totals = false"),
        ("lightspeed", "takes_zero_totals = false"),
        ("lightspeed", "reposted = \"doubles\""),
        ("lightspeed", "closes_short = true"),
        ("lightspeed", "closes_over = true"),
        ("lightspeed", "takes_closed_registers = false"),
        ("lightspeed", "voids_after_closing = false"),
        ("lightspeed", "money = \"numbers\""),
        ("lightspeed", "places = 2"),
        ("lightspeed", "unique_invoice_numbers = false"),
        ("lightspeed", "unique_skus = false"),
        ("lightspeed", "return_rules = false"),
        ("lightspeed", "takes_over_returns = true"),
        ("lightspeed", "returns_touch = false"),
        ("lightspeed", "left_out = \"kept\""),
        ("lightspeed", "strict_postcodes = false"),
        ("lightspeed", "tracks_new_products = false"),
        ("lightspeed", "max_page_size = 100"),
        ("lightspeed", "write_answer = \"id\""),
        ("lightspeed", "return_answer = \"semantic\""),
        ("lightspeed", "errors = \"nested\""),
        ("lightspeed", "latency = \"1s\""),
        ("unleashed", "per_month = 125000"),
        ("unleashed", "per_minute = 60"),
        ("unleashed", "blocked = \"forbidden\""),
        ("unleashed", "tells_retry_after = true"),
        ("unleashed", "signed_query = \"decoded\""),
        ("unleashed", "wrong_signature = \"unauthorized\""),
        ("unleashed", "client_type_required = false"),
        ("unleashed", "currencies = [\"EUR\", \"GBP\"]"),
        ("unleashed", "warehouses = [\"CELLAR\"]"),
        ("unleashed", "customers = [\"Walk-in\"]"),
        ("unleashed", "products = [\"NAAN\"]"),
        ("unleashed", "prefix = \"S-\""),
        ("unleashed", "second_post = \"answered\""),
        ("unleashed", "frees_guids = true"),
        ("unleashed", "frees_numbers = true"),
        ("unleashed", "max_number = 50"),
        ("unleashed", "required_fields = \"few\""),
        ("unleashed", "takes_negative_prices = true"),
        ("unleashed", "takes_zero_totals = false"),
        ("unleashed", "mixed_tax = \"flattened\""),
        ("unleashed", "line_totals_rule = true"),
        ("unleashed", "put_removes_lines = false"),
        ("unleashed", "without_stock = \"backordered\""),
        ("unleashed", "keeps_credit_guids = false"),
        ("unleashed", "free_credit_returns_stock = true"),
        ("unleashed", "tells_ids = false"),
        ("unleashed", "latency = \"1s\""),
    ];
    let mut tried = BTreeSet::new();
    for (table, line) in others {
        let settings = read(&format!("[simulator.{table}]\n{line}\n")).unwrap_or_else(|keys| panic!("{keys:?}"));
        assert_ne!(shown(&settings), usual, "{line}");
        tried.insert((table, line.split(' ').next().unwrap_or_default().to_owned()));
    }
    let fates: [(&str, &[&str]); 5] = [
        ("spoton", &["submits", "cancels", "reports"]),
        ("godatafeed", &["writes", "lists"]),
        ("xero", &["invoices", "credit_notes", "payments"]),
        ("lightspeed", &["sales", "changes", "returns", "products", "customers"]),
        ("unleashed", &["sales_orders", "completions", "credit_notes"]),
    ];
    let is_fate = |table: &str, key: &str| fates.iter().any(|(of, keys)| *of == table && keys.contains(&key));
    let all = tables().into_iter().flat_map(|(table, keys)| keys.into_iter().map(move |key| (table, key)));
    assert_eq!(tried, all.filter(|(table, key)| !is_fate(table, key)).collect());
}
