//! What the demo sets up: the simulated systems, an empty database and the settings that bring them together. The proof in
//! `tests/chaos` sets up the same, with real processes.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sqlx::PgPool;

use super::{DemoArgs, REQUESTS_PER_MINUTE, say};
use crate::{
    cli::{CliError, InstallArgs, database::OpenError},
    clock::Clock,
    config::{self, LoadOptions, Settings},
    database::{
        self,
        embedded::{EmbeddedOptions, EmbeddedServer},
    },
    lifecycle::Lifecycle,
    simulator::{
        self, SimulateOptions, Simulation, SimulatorError,
        faults::Chaos,
        godatafeed::{Bucket, GoDataFeedOptions, Hint},
        lightspeed::{LightspeedLimits, LightspeedOptions, LightspeedSim, ids},
        limits::Limit,
        scoffable::{Limits, Pace},
        spoton::{SCOPE_ORDERS, SCOPE_REPORTS, VendorMapping},
        unleashed::UnleashedSim,
        world::{Vendor, World},
        xero::{XeroLimits, XeroOptions},
    },
    store,
};

/// As many as SpotOn takes, a little below.
const KITCHEN_PER_SECOND: u32 = 40;
const KITCHEN_PER_MINUTE: u32 = 1_400;
/// GoDataFeed takes 2 calls in a second: too slow to watch.
const FEED: Bucket =
    Bucket { size: 200, leaks_per_second: NonZeroU32::new(50).expect("not zero"), hint: Hint::RetryAfter };
const FEED_PER_MINUTE: u32 = 2_400;

/// Xero takes 60 calls in a minute, and orders rest for 90: too slow to watch. It still takes no more than 5 at a time.
const BOOKS: XeroLimits = XeroLimits { per_minute: Some(900), ..XeroLimits::DOCUMENTED };
const BOOKS_PER_MINUTE: u32 = 800;
/// Lightspeed takes 350 calls in five minutes of a shop with one register: too slow to watch, too.
const SHOP: LightspeedLimits = LightspeedLimits { per_register: 10_000, ..LightspeedLimits::DOCUMENTED };
const SHOP_PER_FIVE_MINUTES: u32 = 15_000;

/// Nobody documents how many calls Unleashed takes in a minute; what a careful client asks for is too slow to watch.
const STOCK_PER_MINUTE: u32 = 800;
const STOCK_PER_HOUR: u32 = 40_000;

/// Name of the only source.
pub const SOURCE: &str = "demo";
/// The sinks, one at each destination.
pub const SINKS: [&str; 6] = ["hook", "pos", "feed", "books", "shop", "stock"];

/// How much is to happen, and how badly.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub orders: usize,
    pub seed: u64,
    pub chaos: Chaos,
    /// The versions appear over this time; zero: all at once.
    pub pace: Duration,
}

/// A world, and every system around it.
pub async fn simulate(scale: Scale, clock: &Clock) -> Result<Simulation, SimulatorError> {
    let limit = Some(Limit::per_minute(REQUESTS_PER_MINUTE));
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = SimulateOptions {
        spoton_listen: Some(somewhere),
        godatafeed_listen: Some(somewhere),
        xero_listen: Some(somewhere),
        unleashed_listen: Some(somewhere),
        xero: XeroOptions { limits: BOOKS, ..XeroOptions::default() },
        lightspeed_listen: Some(somewhere),
        lightspeed: LightspeedOptions { limits: Some(SHOP), ..LightspeedOptions::default() },
        godatafeed: GoDataFeedOptions { bucket: Some(FEED), ..GoDataFeedOptions::default() },
        orders: scale.orders,
        seed: scale.seed,
        chaos: scale.chaos,
        pace: if scale.pace.is_zero() { Pace::AtOnce } else { Pace::Over(scale.pace) },
        limits: Limits { per_token: limit, per_account: limit },
        clock: clock.clone(),
        ..SimulateOptions::default()
    };
    simulator::run(options).await
}

/// Starts the private server and makes an empty database in it, whose name is returned; drops those that earlier runs
/// left.
pub(super) async fn start_database(
    args: &DemoArgs,
    clock: &Clock,
    lifecycle: &Lifecycle,
) -> Result<(EmbeddedServer, String), CliError> {
    let dir = match &args.data {
        Some(dir) => std::path::absolute(dir)?,
        None => database::default_dir()
            .ok_or_else(|| anyhow::anyhow!("there is no home for the demo's data: name a folder by --data"))?
            .join("demo"),
    };
    let consent = InstallArgs { install_postgres: args.install.install_postgres }.into();
    say(lifecycle, &format!("private Postgres in {}", dir.display()));
    let server = EmbeddedServer::start(EmbeddedOptions { consent, ..EmbeddedOptions::in_folder(dir) })
        .await
        .map_err(|error| OpenError::Open(error.into()))?;
    let pool = PgPool::connect(server.url().expose_secret()).await.map_err(anyhow::Error::from)?;
    let name = format!("demo_{}_{}", clock.wall().timestamp(), std::process::id());
    store::demo::replace_databases(&pool, "demo_", &name).await.map_err(anyhow::Error::from)?;
    pool.close().await;
    Ok((server, name))
}

pub(super) fn settings(listen: &str, simulation: &Simulation, url: &SecretString) -> Result<Settings, CliError> {
    let overrides = keys(listen, simulation, url)?;
    Ok(config::load(&LoadOptions { overrides, ..LoadOptions::default() })?)
}

/// Key paths and values that tie a daemon to the simulated systems and to a database: impatient in all.
pub fn keys(listen: &str, simulation: &Simulation, url: &SecretString) -> anyhow::Result<Vec<(String, String)>> {
    let simulated = SimulateOptions::default();
    let (Some(spoton), Some(godatafeed), Some(xero)) = (&simulation.spoton, &simulation.godatafeed, &simulation.xero)
    else {
        anyhow::bail!("the demo's kitchen, feed and books are not simulated");
    };
    let limit = REQUESTS_PER_MINUTE.to_string();
    let vendors = inline_toml(&vendors(&spoton.options().chain.vendors));
    let scopes = json!([SCOPE_ORDERS, SCOPE_REPORTS]).to_string();
    let (per_second, per_minute) = (KITCHEN_PER_SECOND.to_string(), KITCHEN_PER_MINUTE.to_string());
    let mut overrides: Vec<(String, String)> = [
        ("database.url", url.expose_secret()),
        ("http.listen", listen),
        ("delivery.lease", "12s"),
        ("delivery.drain", "5s"),
        ("delivery.read_back", "[\"1s\", \"6s\", \"12s\"]"),
        ("sources.demo.kind", "scoffable"),
        ("sources.demo.base_url", &simulation.scoffable.base_url()),
        ("sources.demo.token", &simulated.token),
        ("sources.demo.poll_interval", "1s"),
        ("sources.demo.request_timeout", "2s"),
        ("sources.demo.requests_per_minute", &limit),
        ("sources.demo.account_requests_per_minute", &limit),
        ("sinks.hook.kind", "webhook"),
        ("sinks.hook.url", &simulation.webhook.url()),
        ("sinks.hook.signing_secret", &simulated.webhook_secret),
        ("sinks.pos.kind", "spoton"),
        ("sinks.pos.base_url", &spoton.url()),
        ("sinks.pos.token_url", &spoton.token_url()),
        ("sinks.pos.client_id", &simulated.spoton_client_id),
        ("sinks.pos.client_secret", &simulated.spoton_client_secret),
        ("sinks.pos.scopes", &scopes),
        ("sinks.pos.vendors", &vendors),
        // The world's orders bear dates of the last days.
        ("sinks.pos.max_submit_age", "300d"),
        ("sinks.pos.limits.per_second", &per_second),
        ("sinks.pos.limits.per_minute", &per_minute),
        ("sinks.feed.kind", "godatafeed"),
        ("sinks.feed.after", "pos"),
        ("sinks.feed.base_url", &godatafeed.url()),
        ("sinks.feed.token", &simulated.godatafeed_token),
        ("sinks.feed.templates_confirmed", "true"),
        ("sinks.feed.channel_name", &GoDataFeedOptions::default().marketplace),
        ("sinks.feed.start", "beginning"),
        ("sinks.feed.poll_interval", "1s"),
        // Longer than an order takes to be imported.
        ("sinks.feed.cancel_grace", "8s"),
        ("sinks.feed.ship_after", "3s"),
        ("sinks.feed.counterpart_wait", "15s"),
        ("sinks.feed.dependency_wait", "5s"),
        ("sinks.feed.limits.per_minute", &FEED_PER_MINUTE.to_string()),
        ("sinks.books.kind", "xero"),
        ("sinks.books.base_url", &xero.url()),
        ("sinks.books.token_url", &xero.token_url()),
        ("sinks.books.client_id", &xero.options().client_id),
        ("sinks.books.client_secret", &xero.options().client_secret),
        ("sinks.books.scopes", "broad"),
        ("sinks.books.time_zone", xero.options().organisation.time_zone.name()),
        ("sinks.books.accounts", &inline_toml(&accounts())),
        ("sinks.books.tax_types", &inline_toml(&json!({ "default": "OUTPUT2", "untaxed": "NONE" }))),
        ("sinks.books.stable_for", "3s"),
        ("sinks.books.limits.per_minute", &BOOKS_PER_MINUTE.to_string()),
        // The shop and the stock keep the same vendors' sales.
        ("sinks.books.allow_multiple_ledgers", "true"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    overrides.extend(shop(simulation.lightspeed.as_ref(), &simulation.world));
    let impatient = [
        ("request_timeout", "2s"),
        ("retry.initial", "200ms"),
        ("retry.max", "2s"),
        ("retry.slow_interval", "2s"),
        ("retry.give_up_after", "10m"),
        ("breaker.probe", "500ms"),
    ];
    overrides.extend(stock(simulation)?);
    for sink in SINKS {
        overrides.extend(impatient.map(|(key, value)| (format!("sinks.{sink}.{key}"), value.to_owned())));
    }
    Ok(overrides)
}

/// Keys of the sink at the simulated shop, where there is one. Vendors share its registers.
fn shop(lightspeed: Option<&LightspeedSim>, world: &World) -> Vec<(String, String)> {
    let Some(lightspeed) = lightspeed else { return Vec::new() };
    let registers = ids::REGISTERS.iter().cycle();
    let place = |(vendor, register): (&Vendor, &&str)| (vendor.id.clone(), json!({ "register_id": register }));
    let vendors: Map<String, Value> = world.vendors.iter().zip(registers).map(place).collect();
    let [online_scoffable, voucher_scoffable, cash_vendor, online_vendor, goodwill] = ids::PAYMENT_TYPES;
    let payment_types = json!({
        "online_scoffable": online_scoffable, "voucher_scoffable": voucher_scoffable, "cash_vendor": cash_vendor,
        "online_vendor": online_vendor, "goodwill": goodwill,
    });
    let keys = [
        ("kind", "lightspeed"),
        ("base_url", &*lightspeed.url()),
        ("token", lightspeed.options().personal_token.as_deref().unwrap_or_default()),
        ("author_id", ids::USERS[0]),
        ("time_zone", &lightspeed.options().shop.time_zone),
        ("customers", "none"),
        ("missing_product", "create"),
        ("vendors", &inline_toml(&vendors.into())),
        ("tax_ids", &inline_toml(&json!({ "default": ids::TAXES[0] }))),
        ("payment_types", &inline_toml(&payment_types)),
        ("stable_for", "3s"),
        ("limits.per_five_minutes", &SHOP_PER_FIVE_MINUTES.to_string()),
        ("allow_multiple_ledgers", "true"),
    ];
    keys.map(|(key, value)| (format!("sinks.shop.{key}"), value.to_owned())).into()
}

/// The keys of the sink for Unleashed. Every dish of the world is a product there, in plenty.
fn stock(simulation: &Simulation) -> anyhow::Result<Vec<(String, String)>> {
    let Some(unleashed) = &simulation.unleashed else { anyhow::bail!("the demo's stock is not simulated") };
    let (options, house) = (unleashed.options(), house_customer(unleashed)?);
    let warehouse = options.warehouses.first().map(String::as_str).unwrap_or_default();
    let of_vendor = |id: &String| (id.clone(), json!({ "warehouse": warehouse }));
    let vendors = simulation.world.vendors.iter().map(|vendor| of_vendor(&vendor.id)).collect::<Map<String, Value>>();
    let keys = [
        ("kind", "unleashed"),
        ("base_url", &*unleashed.url()),
        ("api_id", &options.api_id),
        ("api_key", &options.api_key),
        ("client_type", "acme/scoffsync"),
        ("time_zone", "Europe/London"),
        ("currency", &options.settings.base_currency),
        ("tax", &inline_toml(&json!({ "code": "V.A.T.", "rate": "0.2" }))),
        ("house_customer", &house),
        ("vendors", &inline_toml(&vendors.into())),
        // Rather than after hours in which an order may still be edited.
        ("complete", "immediately"),
        ("stable_for", "3s"),
        ("requests_per_minute", &STOCK_PER_MINUTE.to_string()),
        ("requests_per_hour", &STOCK_PER_HOUR.to_string()),
        ("allow_multiple_ledgers", "true"),
    ];
    Ok(keys.into_iter().map(|(key, value)| (format!("sinks.stock.{key}"), value.to_owned())).collect())
}

fn house_customer(unleashed: &UnleashedSim) -> anyhow::Result<String> {
    let house = unleashed.options().customers.first().and_then(|name| unleashed.customer_guid(name));
    Ok(house.context("the demo's stock has no customers")?.to_string())
}

/// The accounts of the simulated organisation, as a bookkeeper would name them.
fn accounts() -> Value {
    json!({
        "sales": "200", "service_fee": "201", "delivery_fee": "202", "vendor_voucher": "205", "rounding": "498",
        "difference": "499", "scoffable_clearing": "611", "cash": "612", "card_terminal": "613", "goodwill": "614",
    })
}

/// The map of a restaurant's vendors, as its operator would write it.
fn vendors<'a>(mappings: impl IntoIterator<Item = (&'a String, &'a VendorMapping)>) -> Value {
    let vendor = |mapping: &VendorMapping| {
        let mut modifiers: Map<String, Value> = Map::new();
        for ((category, option), id) in &mapping.modifiers {
            let options = modifiers.entry(category).or_insert_with(|| json!({}));
            options[option] = json!(id);
        }
        json!({
            "location_id": mapping.location_id, "menu_id": mapping.menu_id, "currency": mapping.currency,
            "time_zone": mapping.time_zone, "fallback_item_id": mapping.fallback_item_id, "items": mapping.items,
            "modifiers": modifiers,
        })
    };
    mappings.into_iter().map(|(id, mapping)| (id.clone(), vendor(mapping))).collect::<Map<String, Value>>().into()
}

/// A tree of tables and texts as one TOML value.
fn inline_toml(value: &Value) -> String {
    toml::Value::try_from(value).expect("tables and texts are TOML").to_string()
}
