//! Examines a sink of kind `lightspeed`: reads what its orders share, as the daemon does once a day, and holds the
//! configuration against it. Stores nothing there.

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
        lightspeed::{
            client::Client,
            config::{Access, LightspeedSettings},
            facts::{Facts, check},
        },
    },
    telemetry::chain,
};

/// `pool`: where refresh tokens stand; none where the database has not our schema.
pub(super) async fn examine(
    name: &SinkName,
    sink: &SinkSettings,
    shop: &LightspeedSettings,
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
    let client = match http_client(&sink.common) {
        Ok(http) => Client::build(name, shop, sink.common.request_timeout, http, &clock, &services),
        Err(error) => return findings.add(Level::Problem, subject, chain(&error), "correct the value"),
    };
    let now = clock.wall();
    if shop.api.is_aging(now) {
        let found = format!("version {} is more than ten months old: it is supported for twelve", shop.api);
        findings.add(Level::Warning, format!("{subject}.api"), found, "try a newer one on a trial shop, then set it");
    }
    match client.prepare(now).await {
        Ok(_) => {
            if let Some(facts) = client.facts(now) {
                tell(&subject, shop, &facts, findings);
            }
        }
        Err(answer) => {
            let (found, to_do) = explained(shop, &answer);
            findings.add(Level::Problem, subject, found, to_do);
        }
    }
}

fn tell(subject: &str, shop: &LightspeedSettings, facts: &Facts, findings: &mut Findings) {
    let currency = facts.currency.map_or_else(|| "no currency".to_owned(), |currency| currency.to_string());
    findings.fine(subject, format!("{} answers; it sells in {currency}", facts.name));
    if let Some(zone) = facts.time_zone.as_deref().filter(|zone| *zone != shop.time_zone.name()) {
        let found = format!("is {}, and the shop says {zone}", shop.time_zone.name());
        let to_do = "set the shop's own, unless its outlets are in several";
        findings.add(Level::Warning, format!("{subject}.time_zone"), found, to_do);
    }
    for problem in check(shop, facts) {
        let to_do = format!("{}; orders that need it wait", problem.to_do);
        findings.add(Level::Problem, format!("{subject}.{}", problem.key), problem.found, to_do);
    }
}

fn explained(shop: &LightspeedSettings, answer: &Answer) -> (String, &'static str) {
    let status = answer.http_status.map_or_else(String::new, |status| format!(" (HTTP {status})"));
    let reason = match &answer.outcome {
        Outcome::Retry { reason, .. }
        | Outcome::Reject { reason }
        | Outcome::Blocked { reason }
        | Outcome::Unknown { reason } => *reason,
        Outcome::Throttled { .. } | Outcome::Delivered(_) => {
            let to_do = "something else of this application uses the shop's calls: try again in five minutes";
            return (format!("it asks us to slow down{status}"), to_do);
        }
    };
    let to_do = match (reason, &shop.access) {
        (Reason::Unauthorized, Access::Personal { .. }) => "make a new personal token in the shop and set `token`",
        (Reason::Unauthorized, Access::Application(_)) => {
            "authorise the application again and set `refresh_token`, or correct client_id and client_secret"
        }
        (Reason::Forbidden, _) => {
            "give the token's scopes and user the right to read registers, users, taxes and payments"
        }
        (Reason::ConnectFailed, _) => "check base_url and token_url, DNS and the firewall",
        _ => "try again; `run` goes on trying by itself",
    };
    (format!("{reason}{status}"), to_do)
}
