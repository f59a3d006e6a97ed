//! `xero setup`: the organisation as the configuration can name it.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    super::{FINE, NOT_WELL, config::Form, table},
    Books, told,
};
use crate::{
    app,
    clock::Clock,
    domain::money::Currency,
    sinks::{
        http_client,
        xero::{
            client::Client,
            config::AccountRef,
            organisation::{Account, Facts, Problem, check},
        },
    },
};

pub(super) async fn run(
    books: &Books<'_>,
    pool: &PgPool,
    clock: &Clock,
    form: Form,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let common = &books.sink.common;
    let http = http_client(common)?;
    let services = app::services(pool, clock);
    let client = Client::build(books.name, books.settings, common.request_timeout, http, clock, &services)?;
    let facts = match client.everything(clock.wall()).await {
        Ok(facts) => facts,
        Err(answer) => {
            writeln!(out, "{}; `doctor` says more", told(&answer))?;
            return Ok(NOT_WELL);
        }
    };
    let problems = check(books.settings, &facts);
    match form {
        Form::Json => writeln!(out, "{:#}", as_json(&facts, &problems))?,
        Form::Text => write_facts(books, &facts, &problems, out)?,
    }
    Ok(if problems.is_empty() { FINE } else { NOT_WELL })
}

fn as_json(facts: &Facts, problems: &[Problem]) -> Value {
    let account = |account: &Account| {
        json!({
            "id": account.id, "code": account.code, "name": account.name, "active": account.active,
            "takes_payments": account.takes_payments, "is_bank": account.is_bank,
        })
    };
    let tax_rates = facts.tax_rates.iter().map(|rate| {
        json!({
            "tax_type": rate.tax_type, "name": rate.name, "rate": rate.rate, "active": rate.active,
            "for_revenue": rate.for_revenue,
        })
    });
    let tracking = facts.tracking.iter().map(|category| json!({ "name": category.name, "options": category.options }));
    let problems =
        problems.iter().map(|problem| json!({ "key": problem.key, "found": problem.found, "to_do": problem.to_do }));
    json!({
        "organisation": {
            "name": facts.name, "country": facts.country, "demo": facts.is_demo, "time_zone": facts.time_zone,
            "base_currency": facts.base_currency, "period_lock": facts.period_lock,
            "end_of_year_lock": facts.end_of_year_lock,
        },
        "accounts": facts.accounts.iter().map(account).collect::<Vec<_>>(),
        "tax_rates": tax_rates.collect::<Vec<_>>(),
        "currencies": facts.currencies,
        "tracking": tracking.collect::<Vec<_>>(),
        "house_contact": facts.house_contact,
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn write_facts(books: &Books<'_>, facts: &Facts, problems: &[Problem], out: &mut impl Write) -> io::Result<()> {
    let demo = if facts.is_demo { ", a demo company" } else { "" };
    let currencies: Vec<&str> = facts.currencies.iter().map(Currency::as_str).collect();
    writeln!(out, "{}{demo}; currencies {}", facts.name, currencies.join(", "))?;
    if let Some(locked) = facts.locked_until() {
        writeln!(out, "locked up to {locked}")?;
    }
    let yes = |is: bool| if is { "yes" } else { "" }.to_owned();
    writeln!(out, "\naccounts (an account without a code is named by its id)")?;
    let accounts = facts.accounts.iter().filter(|account| account.active).map(|account| {
        let named = account.code.clone().unwrap_or_else(|| account.id.clone());
        vec![named, account.name.clone(), yes(!account.is_bank), yes(account.takes_payments)]
    });
    table::write(out, &["code", "name", "lines", "payments"], &accounts.collect::<Vec<_>>())?;
    writeln!(out, "\ntax types that go on sales")?;
    let rates = facts.tax_rates.iter().filter(|rate| rate.active && rate.for_revenue);
    let rates = rates.map(|rate| vec![rate.tax_type.clone(), rate.name.clone(), rate.rate.clone()]);
    table::write(out, &["tax type", "name", "%"], &rates.collect::<Vec<_>>())?;
    for category in &facts.tracking {
        let options: Vec<&str> = category.options.iter().map(String::as_str).collect();
        writeln!(out, "\ntracking category {:?}: {}", category.name, options.join(", "))?;
    }
    write_map(books, facts, out)?;
    for Problem { key, found, to_do, .. } in problems {
        writeln!(out, "\n{key}: {found}\n→ {to_do}")?;
    }
    Ok(())
}

/// The part of the configuration that names the organisation's own things, ready to be corrected and pasted: what is there
/// stays, and what is not stands as a comment beside what could be meant.
fn write_map(books: &Books<'_>, facts: &Facts, out: &mut impl Write) -> io::Result<()> {
    let name = books.name;
    let lines: BTreeSet<&str> = facts
        .accounts
        .iter()
        .filter(|account| account.active && !account.is_bank)
        .filter_map(|account| account.code.as_deref())
        .collect();
    let payable: BTreeSet<&str> = facts
        .accounts
        .iter()
        .filter(|account| account.active && account.takes_payments)
        .map(|account| account.code.as_deref().unwrap_or(&account.id))
        .collect();
    let accounts = serde_json::to_value(&books.settings.accounts).unwrap_or_default();
    writeln!(out, "\n[sinks.{name}.accounts]")?;
    for (key, code) in accounts.as_object().into_iter().flatten() {
        let Some(code) = code.as_str() else { continue };
        let is_clearing = ["scoffable_clearing", "cash", "card_terminal", "goodwill"].contains(&key.as_str());
        let candidates = if is_clearing { &payable } else { &lines };
        let named = facts.account(AccountRef(code)).filter(|account| account.active);
        if let Some(account) = named.filter(|_| candidates.contains(code)) {
            writeln!(out, "{key} = {} # {}", json!(code), account.name)?;
        } else {
            let some: Vec<&str> = candidates.iter().copied().take(12).collect();
            writeln!(out, "{key} = {} # not usable here; one of {}", json!(code), some.join(", "))?;
        }
    }
    let tax_types = serde_json::to_value(&books.settings.tax_types).unwrap_or_default();
    writeln!(out, "\n[sinks.{name}.tax_types]")?;
    for (key, tax_type) in tax_types.as_object().into_iter().flatten() {
        let Some(tax_type) = tax_type.as_str() else { continue };
        match facts.tax_rate(tax_type).filter(|rate| rate.active && rate.for_revenue) {
            Some(rate) => writeln!(out, "{key} = {} # {}", json!(tax_type), rate.name)?,
            None => writeln!(out, "{key} = {} # not usable here; see above", json!(tax_type))?,
        }
    }
    Ok(())
}
