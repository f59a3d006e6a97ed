//! `spoton propose|items`: what SpotOn would compute of an order, and what is on a location's menu. Nothing is stored
//! there; the calls count against SpotOn's own limits only.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{FINE, JsonArgs, NOT_WELL, config::Form, table};
use crate::{
    clock::Clock,
    config::{Settings, SinkKind, SinkSettings},
    domain::{
        ids::{SinkName, SourceName},
        money::breakdown,
        sale::normalised,
    },
    sinks::{
        Answer, http_client,
        spoton::{
            client::Client,
            config::SpotonSettings,
            mapping::{self, Sale},
            wire::{self, Seen, integer},
        },
    },
    source,
    store::orders,
};

/// Most names of products that are looked at.
const MOST_NAMES: u32 = 2_000;

#[derive(Debug, Subcommand)]
pub enum SpotonCommand {
    /// What SpotOn would compute of an order, beside what would be sent; submits nothing
    #[command(after_help = "\
Examples:
  scoffable-sync spoton propose 5500017
  scoffable-sync spoton propose 5500017 --sink pos --json")]
    Propose(ProposeArgs),
    /// What is on a location's menus, and a map of the names seen in its orders
    #[command(after_help = "\
Examples:
  scoffable-sync spoton items BL-7Q2M-0ZK4-88TD")]
    Items(ItemsArgs),
}

#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// The platform's id of the order
    #[arg(value_name = "ORDER")]
    pub order: String,
    /// Only in this source, where several know the id
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// The point of sale, where there are several
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
pub struct ItemsArgs {
    /// SpotOn's id of the location, as in `vendors`
    #[arg(value_name = "LOCATION")]
    pub location: String,
    /// The point of sale, where there are several
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// A configured point of sale.
struct Pos<'a> {
    settings: &'a SpotonSettings,
    client: Client,
}

/// Does what the command says. Returns the exit code: 0, or 1 when there is no answer to give.
pub async fn run(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    command: &SpotonCommand,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    match command {
        SpotonCommand::Propose(args) => {
            let pos = pos(settings, args.sink.as_ref(), clock)?;
            propose(&pos, pool, clock, args, out).await
        }
        SpotonCommand::Items(args) => {
            let pos = pos(settings, args.sink.as_ref(), clock)?;
            items(&pos, pool, clock, args, out).await
        }
    }
}

fn pos<'a>(settings: &'a Settings, wanted: Option<&SinkName>, clock: &Clock) -> anyhow::Result<Pos<'a>> {
    let is_one = |sink: &'a SinkSettings| match &sink.kind {
        SinkKind::Spoton(spoton) => Some((sink, spoton)),
        _ => None,
    };
    let all = settings.sinks.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
    let mut all = all.filter_map(|(name, sink)| is_one(sink).map(|(sink, spoton)| (name, sink, spoton)));
    let Some((name, sink, spoton)) = all.next() else { bail!("no sink of kind \"spoton\" is configured by that name") };
    if all.next().is_some() {
        bail!("several sinks are of kind \"spoton\": name one by --sink");
    }
    let client = client_of(name, sink, spoton, clock)?;
    Ok(Pos { settings: spoton, client })
}

fn client_of(name: &SinkName, sink: &SinkSettings, spoton: &SpotonSettings, clock: &Clock) -> anyhow::Result<Client> {
    let http = http_client(&sink.common)?;
    Ok(crate::sinks::spoton::client(name, spoton, sink.common.request_timeout, http, clock))
}

async fn propose(
    pos: &Pos<'_>,
    pool: &PgPool,
    clock: &Clock,
    args: &ProposeArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let histories = orders::histories(pool, &args.order, args.source.as_ref()).await?;
    let newest = histories.first().and_then(|history| Some((history, history.versions.last()?)));
    let Some((history, newest)) = newest else {
        writeln!(out, "no order {} is stored", args.order)?;
        return Ok(NOT_WELL);
    };
    if histories.len() > 1 {
        bail!("order {} is one of several sources: name one by --source", args.order);
    }
    let Some(payload) = &newest.payload else {
        writeln!(out, "retention removed the content of order {}", args.order)?;
        return Ok(NOT_WELL);
    };
    let kind = source::SourceKind::parse(&history.source_kind).context("a source of an unknown kind")?;
    let order = source::decode_stored(kind, payload.as_str()).context("the stored order cannot be read")?;
    let vendor_id = order.vendor_id.as_ref().map_or("", |vendor| vendor.as_str());
    let Some(vendor) = pos.settings.vendors.get(vendor_id) else {
        writeln!(out, "no location is mapped to vendor {vendor_id:?}: add it to `vendors`")?;
        return Ok(NOT_WELL);
    };
    let money = breakdown(&order);
    let sale =
        Sale { order: &order, money: &money, payload: payload.as_str(), vendor_id, vendor, settings: pos.settings };
    let mapped = match mapping::map(sale, &format!("scoffable-{}-1", args.order), clock.wall()) {
        Ok(mapped) => mapped,
        Err(lack) => {
            writeln!(out, "it would be parked ({}): {}", lack.reason, lack.hint)?;
            return Ok(NOT_WELL);
        }
    };
    // Whom it is for does not change what it costs.
    let fulfillment = wire::Fulfillment { delivery_address: None, ..mapped.order.fulfillment };
    let asked = wire::Order { customer: None, fulfillment, ..mapped.order };
    let body = asked.written(pos.settings.request_envelope);
    let answer = match pos.client.propose(&vendor.location_id, &body, clock.wall()).await {
        Ok(answer) => answer,
        Err(answer) => return refused(&answer, out),
    };
    let seen = Seen::answered(&answer);
    let ours = serde_json::to_value(asked.totals)?;
    let names = ["subtotal", "discounts_total", "fees_total", "tax_total", "tip_total", "grand_total"];
    let told = names.map(|name| (name, integer(&ours[name]), seen.cents(&format!("/totals/{name}"))));
    match args.json.form() {
        Form::Json => {
            let totals: BTreeMap<&str, Value> =
                told.iter().map(|(name, ours, theirs)| (*name, json!({"ours": ours, "spoton": theirs}))).collect();
            let answer = json!({
                "order_id": args.order, "version": newest.version, "location_id": vendor.location_id, "totals": totals,
            });
            writeln!(out, "{answer:#}")?;
        }
        Form::Text => {
            writeln!(out, "order {}, version {}, at {} (minor units)", args.order, newest.version, vendor.location_id)?;
            let cell = |cents: Option<i64>| cents.map_or_else(|| "-".to_owned(), |cents| cents.to_string());
            let rows: Vec<Vec<String>> =
                told.iter().map(|(name, ours, theirs)| vec![(*name).to_owned(), cell(*ours), cell(*theirs)]).collect();
            table::write(out, &["total", "ours", "SpotOn"], &rows)?;
        }
    }
    Ok(FINE)
}

async fn items(
    pos: &Pos<'_>,
    pool: &PgPool,
    clock: &Clock,
    args: &ItemsArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let of_location = pos.settings.vendors.iter().filter(|(_, vendor)| vendor.location_id == args.location);
    let vendors: BTreeMap<&String, _> = of_location.collect();
    if vendors.is_empty() {
        let known: BTreeSet<&str> = pos.settings.vendors.values().map(|vendor| vendor.location_id.as_str()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        writeln!(out, "`vendors` has no location {}; it has {known}", args.location)?;
        return Ok(NOT_WELL);
    }
    let mut menus = BTreeMap::<&str, Vec<Value>>::new();
    for vendor in vendors.values() {
        if menus.contains_key(vendor.menu_id.as_str()) {
            continue;
        }
        match pos.client.menu_items(&args.location, &vendor.menu_id, clock.wall()).await {
            Ok(items) => drop(menus.insert(&vendor.menu_id, items)),
            Err(answer) => return refused(&answer, out),
        }
    }
    let mut suggested = BTreeMap::<&str, BTreeMap<String, String>>::new();
    let mut unmatched = BTreeMap::<&str, Vec<String>>::new();
    for (vendor_id, vendor) in &vendors {
        let ids: BTreeMap<String, &str> = menus[vendor.menu_id.as_str()].iter().filter_map(named).collect();
        for name in orders::product_names(pool, vendor_id, MOST_NAMES).await? {
            let key = normalised(&name);
            match ids.get(&key) {
                _ if vendor.items.contains_key(&key) => {}
                Some(id) => drop(suggested.entry(vendor_id).or_default().insert(name, (*id).to_owned())),
                None => unmatched.entry(vendor_id).or_default().push(name),
            }
        }
    }
    match args.json.form() {
        Form::Json => {
            let answer = json!({
                "location_id": args.location, "menus": menus, "suggested": suggested, "unmatched": unmatched,
            });
            writeln!(out, "{answer:#}")?;
        }
        Form::Text => write_items(&menus, &suggested, &unmatched, out)?,
    }
    Ok(FINE)
}

/// Name as it is compared, and id.
fn named(item: &Value) -> Option<(String, &str)> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    Some((normalised(text("name")?), text("id")?))
}

fn write_items(
    menus: &BTreeMap<&str, Vec<Value>>,
    suggested: &BTreeMap<&str, BTreeMap<String, String>>,
    unmatched: &BTreeMap<&str, Vec<String>>,
    out: &mut impl Write,
) -> io::Result<()> {
    for (menu, items) in menus {
        writeln!(out, "menu {menu}, {} items", items.len())?;
        let row = |item: &Value| {
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
            let price = item.pointer("/price/amount").and_then(integer);
            let price = price.map_or_else(|| "-".to_owned(), |cents| cents.to_string());
            vec![text("id"), text("name"), price]
        };
        table::write(out, &["id", "name", "price (minor)"], &items.iter().map(row).collect::<Vec<_>>())?;
    }
    for (vendor, names) in suggested {
        writeln!(out, "\n# Names in orders that are on the menu, for this vendor's table in `vendors`.")?;
        writeln!(out, "[sinks.NAME.vendors.{vendor:?}.items]")?;
        for (name, id) in names {
            writeln!(out, "{} = {}", json!(name), json!(id))?;
        }
    }
    for (vendor, names) in unmatched {
        writeln!(out, "\n# Names in orders of {vendor} that are not on the menu:")?;
        for name in names {
            writeln!(out, "# {name:?}")?;
        }
    }
    Ok(())
}

fn refused(answer: &Answer, out: &mut impl Write) -> anyhow::Result<u8> {
    let status = answer.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let excerpt = answer.excerpt.as_deref().unwrap_or_default();
    writeln!(out, "SpotOn gave no answer to this ({status}) {excerpt}; `doctor` says more")?;
    Ok(NOT_WELL)
}
