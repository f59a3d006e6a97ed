//! Examines a sink of kind `unleashed`: reads what its orders share, as the daemon does once a day, and holds the configuration
//! against it. Stores nothing there.

use sqlx::PgPool;

use super::{Findings, Level};
use crate::{
    app,
    clock::Clock,
    config::SinkSettings,
    domain::{
        delivery::{Outcome, Reason},
        ids::SinkName,
    },
    sinks::{
        Answer, http_client,
        unleashed::{
            client::Client,
            config::UnleashedSettings,
            facts::{Facts, check},
        },
    },
    telemetry::chain,
};

/// `pool`: where links stand; none where the database has not our schema.
pub(super) async fn examine(
    name: &SinkName,
    sink: &SinkSettings,
    stock: &UnleashedSettings,
    pool: Option<&PgPool>,
    findings: &mut Findings,
) {
    let subject = format!("sinks.{name}");
    let Some(pool) = pool else {
        let to_do = "mend the database first, or run `migrate`: links stand there";
        return findings.add(Level::Warning, subject, "was not asked: there is no database to use", to_do);
    };
    let clock = Clock::default();
    let services = app::services(pool, &clock);
    let client = http_client(&sink.common)
        .and_then(|http| Client::build(name, stock, sink.common.request_timeout, http, &services));
    let client = match client {
        Ok(client) => client,
        Err(error) => return findings.add(Level::Problem, subject, chain(&error), "correct the value"),
    };
    let now = clock.wall();
    match client.prepare(now).await {
        Ok(_) => {
            if let Some(facts) = client.facts(now) {
                tell(&subject, stock, &facts, findings);
            }
        }
        Err(answer) => {
            let (found, to_do) = explained(&answer);
            findings.add(Level::Problem, subject, found, to_do);
        }
    }
}

fn tell(subject: &str, stock: &UnleashedSettings, facts: &Facts, findings: &mut Findings) {
    findings.fine(subject, format!("the account answers, with {} active products", facts.products.len()));
    let unlisted = [
        ("vendors", facts.warehouses.is_none()),
        ("tax", facts.taxes.is_none()),
        ("currency", facts.currencies.is_none()),
    ];
    for (key, _) in unlisted.into_iter().filter(|(_, is_unlisted)| *is_unlisted) {
        let to_do = "check by eye that what the key names is there";
        findings.add(
            Level::Note,
            format!("{subject}.{key}"),
            "is not listed by the account, so it was not held against it",
            to_do,
        );
    }
    if facts.has_more_products {
        let to_do = "a dish that is not found by its name is found by its code: name it in `items`";
        findings.add(Level::Note, subject, "there are more products than are read", to_do);
    }
    for problem in check(stock, facts) {
        let to_do = format!("{}; orders that need it wait", problem.to_do);
        findings.add(Level::Problem, format!("{subject}.{}", problem.key), problem.found, to_do);
    }
}

fn explained(answer: &Answer) -> (String, &'static str) {
    let status = answer.http_status.map_or_else(String::new, |status| format!(" (HTTP {status})"));
    let reason = match &answer.outcome {
        Outcome::Retry { reason, .. }
        | Outcome::Reject { reason }
        | Outcome::Blocked { reason }
        | Outcome::Unknown { reason } => *reason,
        Outcome::Throttled { .. } | Outcome::Delivered(_) => {
            let to_do = "the month's calls may be used up: it goes on by itself on the 1st, or once a bundle is bought";
            return (format!("it takes no calls now{status}"), to_do);
        }
    };
    let to_do = match reason {
        Reason::Unauthorized | Reason::Forbidden => "correct api_id, api_key and client_type",
        Reason::NotFound | Reason::ConnectFailed => "check base_url, DNS and the firewall",
        _ => "try again; `run` goes on trying by itself",
    };
    (format!("{reason}{status}"), to_do)
}
