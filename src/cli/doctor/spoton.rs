//! A SpotOn sink: a token, and each location by reading its record and its menu. Nothing is written there.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{Findings, Level, PATIENCE};
use crate::{
    clock::Clock,
    config::SinkSettings,
    domain::{
        delivery::{Outcome, Reason},
        ids::SinkName,
    },
    sinks::{
        Answer, http_client,
        spoton::{client, config::SpotonSettings, vendors::Vendor},
    },
    telemetry::chain,
};

pub(super) async fn examine(name: &SinkName, sink: &SinkSettings, settings: &SpotonSettings, findings: &mut Findings) {
    let clock = Clock::default();
    let subject = format!("sinks.{name}");
    let http = match http_client(&sink.common) {
        Ok(http) => http,
        Err(error) => return findings.add(Level::Problem, subject, chain(&error), "report it"),
    };
    let timeout: Duration = sink.common.request_timeout.min(PATIENCE);
    let client = client(name, settings, timeout, http, &clock);
    let mut known = BTreeMap::<&str, bool>::new();
    for (vendor_id, vendor) in &settings.vendors {
        let subject = format!("{subject}.vendors.{vendor_id:?}");
        let Vendor { location_id, menu_id, .. } = vendor;
        // Several vendors may share a location, which is asked once.
        let is_known = if let Some(is_known) = known.get(location_id.as_str()) {
            *is_known
        } else {
            let asked = client.location(location_id, clock.wall()).await;
            known.insert(location_id, asked.is_ok());
            match &asked {
                Ok(record) => tell_location(&subject, vendor, record, findings),
                Err(answer) => {
                    let (found, to_do) = explained(answer, "location_id");
                    findings.add(Level::Problem, &subject, format!("location {location_id}: {found}"), to_do);
                }
            }
            asked.is_ok()
        };
        if !is_known {
            continue;
        }
        match client.menu_items(location_id, menu_id, clock.wall()).await {
            Ok(items) => tell_menu(&subject, vendor, &items, findings),
            Err(answer) => {
                let (found, to_do) = explained(&answer, "menu_id");
                findings.add(Level::Problem, &subject, format!("menu {menu_id}: {found}"), to_do);
            }
        }
    }
}

fn tell_location(subject: &str, vendor: &Vendor, record: &Value, findings: &mut Findings) {
    let name = record.get("name").and_then(Value::as_str).unwrap_or("without a name");
    findings.fine(subject, format!("location {} answers ({name})", vendor.location_id));
    let there = record.get("timezone").and_then(Value::as_str).filter(|zone| !zone.is_empty());
    if let (Some(zone), Some(there)) = (vendor.time_zone, there)
        && zone.name() != there
    {
        let found = format!("time_zone is {zone}, and SpotOn says {there}");
        findings.add(Level::Warning, subject, found, "correct time_zone, or the location_id if it is another place");
    }
}

fn tell_menu(subject: &str, vendor: &Vendor, items: &[Value], findings: &mut Findings) {
    let is_there = |id: &&String| items.iter().any(|item| item.get("id").and_then(Value::as_str) == Some(id.as_str()));
    let named = vendor.items.values().chain(&vendor.fallback_item_id);
    let missing: Vec<&str> = named.filter(|id| !is_there(id)).map(String::as_str).collect();
    if missing.is_empty() {
        return findings
            .fine(subject, format!("menu {} has {} items, the mapped ones among them", vendor.menu_id, items.len()));
    }
    let found = format!("menu {} has no {}", vendor.menu_id, missing.join(", "));
    findings.add(
        Level::Problem,
        subject,
        found,
        "correct `items` and `fallback_item_id`: `spoton items` lists the menu",
    );
}

fn explained(answer: &Answer, key: &str) -> (String, String) {
    let status = answer.http_status.map_or_else(String::new, |status| format!(" (HTTP {status})"));
    let reason = match &answer.outcome {
        Outcome::Retry { reason, .. }
        | Outcome::Reject { reason }
        | Outcome::Blocked { reason }
        | Outcome::Unknown { reason } => *reason,
        Outcome::Throttled { .. } | Outcome::Delivered(_) => {
            return (format!("it asks us to slow down{status}"), "try again in a minute".to_owned());
        }
    };
    let to_do = match reason {
        Reason::Unauthorized => "correct client_id and client_secret, or token_url".to_owned(),
        Reason::Forbidden => format!("the merchant has to connect the location, or scopes lack this; or correct {key}"),
        Reason::NotFound => format!("correct {key}, or the path in `paths`"),
        Reason::ConnectFailed => "check base_url and token_url, DNS and the firewall".to_owned(),
        _ => "try again; if it stays, ask SpotOn".to_owned(),
    };
    (format!("{reason}{status}"), to_do)
}
