//! Examines a sink of kind `xero`: reads what its orders share, as the daemon does once a day, and holds the configuration
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
        xero::{
            client::Client,
            config::{Auth, XeroSettings},
            organisation::{Facts, check},
        },
    },
    telemetry::chain,
};

/// `pool`: where refresh tokens stand; none where the database has not our schema.
pub(super) async fn examine(
    name: &SinkName,
    sink: &SinkSettings,
    books: &XeroSettings,
    pool: Option<&PgPool>,
    findings: &mut Findings,
) {
    let subject = format!("sinks.{name}");
    let Some(pool) = pool else {
        let to_do = "mend the database first, or run `migrate`: tokens and links stand there";
        return findings.add(Level::Warning, subject, "was not asked: there is no database to use", to_do);
    };
    let clock = Clock::default();
    let services = app::services(pool, &clock);
    let client = http_client(&sink.common)
        .and_then(|http| Client::build(name, books, sink.common.request_timeout, http, &clock, &services));
    let client = match client {
        Ok(client) => client,
        Err(error) => return findings.add(Level::Problem, subject, chain(&error), "correct the value"),
    };
    let now = clock.wall();
    match client.prepare(now).await {
        Ok(_) => {
            if let Some(facts) = client.facts(now) {
                tell(&subject, books, &facts, findings);
            }
        }
        Err(answer) => {
            let (found, to_do) = explained(name, books, &answer);
            findings.add(Level::Problem, subject, found, to_do);
        }
    }
}

fn tell(subject: &str, books: &XeroSettings, facts: &Facts, findings: &mut Findings) {
    let demo = if facts.is_demo { ", a demo company" } else { "" };
    findings.fine(subject, format!("{} answers{demo}", facts.name));
    if let Some(locked) = facts.locked_until() {
        let to_do = "orders up to that day are treated as `locked_first_post` says; corrections are dated later";
        findings.add(Level::Note, subject, format!("periods are locked up to {locked}"), to_do);
    }
    for problem in check(books, facts) {
        let to_do = format!("{}; orders that need it wait", problem.to_do);
        findings.add(Level::Problem, format!("{subject}.{}", problem.key), problem.found, to_do);
    }
}

fn explained(name: &SinkName, books: &XeroSettings, answer: &Answer) -> (String, String) {
    let status = answer.http_status.map_or_else(String::new, |status| format!(" (HTTP {status})"));
    let reason = match &answer.outcome {
        Outcome::Retry { reason, .. }
        | Outcome::Reject { reason }
        | Outcome::Blocked { reason }
        | Outcome::Unknown { reason } => *reason,
        Outcome::Throttled { .. } | Outcome::Delivered(_) => {
            let to_do = "something else uses the organisation's calls: try again in a minute";
            return (format!("it asks us to slow down{status}"), to_do.to_owned());
        }
    };
    let to_do = match reason {
        Reason::Unauthorized if books.auth == Auth::Code => {
            format!("run `xero connect {name}`, or correct client_id and client_secret")
        }
        Reason::Unauthorized => {
            "correct client_id and client_secret, or authorise the custom connection again in Xero".to_owned()
        }
        Reason::Forbidden => "permit the application to act for this organisation, or correct tenant_id".to_owned(),
        Reason::ConnectFailed => "check base_url and token_url, DNS and the firewall".to_owned(),
        _ => "try again; `run` goes on trying by itself".to_owned(),
    };
    (format!("{reason}{status}"), to_do)
}
