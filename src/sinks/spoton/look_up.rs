//! What became of steps whose answers were lost: one reading of a location's sales report serves all of them.
//!
//! A record that bears our reference is ours. The one report that was ever published has no place for a reference;
//! where it has none, what has our source, total, number of lines and time may be ours, and the engine says which of them
//! is linked to another order already. Source: the schema of a report in a public client.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{
    client::{Client, found, state_of},
    plan::{CANCEL, Held, HeldState},
    wire::{Seen, SeenState, integer},
};
use crate::{
    domain::delivery::{Outcome, Reason, Receipt},
    sinks::{Doubt, Finding, LookedUp},
};

/// How far clocks may differ where the time is all that tells orders apart.
const CLOCKS_DIFFER_BY: chrono::Duration = chrono::Duration::minutes(2);

/// How findings are judged.
#[derive(Debug, Clone)]
pub struct LookUp<'a> {
    pub client: &'a Client,
    pub source_name: &'a str,
    pub timeout: Duration,
    /// When an order is certainly in the report.
    pub visible_after: Duration,
}

/// One step in doubt.
struct Sought<'a> {
    /// Position among the doubts.
    at: usize,
    doubt: &'a Doubt<'a>,
    held: Held,
}

impl LookUp<'_> {
    pub async fn all(&self, doubts: &[Doubt<'_>], now: DateTime<Utc>) -> LookedUp {
        let mut made = 0;
        let mut findings: Vec<Finding> = doubts.iter().map(|_| unusable()).collect();
        let mut by_location = BTreeMap::<String, Vec<Sought<'_>>>::new();
        for (at, doubt) in doubts.iter().enumerate() {
            let held = doubt.step.receipt.as_ref().and_then(|receipt| Held::deserialize(receipt).ok());
            if let Some(held) = held {
                by_location.entry(held.location_id.clone()).or_default().push(Sought { at, doubt, held });
            }
        }
        for (location_id, sought) in by_location {
            let oldest = sought.iter().map(|sought| sought.submitted_at(now)).min().unwrap_or(now);
            match self.client.orders(&location_id, oldest, now).await {
                Ok((records, calls)) => {
                    made += calls;
                    for one in &sought {
                        findings[one.at] = self.judge(one, &records, now);
                    }
                }
                Err(failed) => {
                    made += 1;
                    for one in &sought {
                        findings[one.at] = Finding::Failed(failed.clone());
                    }
                }
            }
        }
        LookedUp::of(findings, made)
    }

    fn judge(&self, sought: &Sought<'_>, records: &[Value], now: DateTime<Utc>) -> Finding {
        let reference = sought.held.reference.as_str();
        if sought.doubt.step.name == CANCEL {
            return match state_of(&sought.held, records) {
                Some(SeenState::Canceled) => Finding::Stands(Receipt::default()),
                _ => ambiguous(reference, "was to be cancelled and may stand: cancel it there, then adopt its id"),
            };
        }
        let seen = || records.iter().map(Seen::listed);
        let ours: Vec<Seen<'_>> = seen().filter(|seen| seen.holds(reference)).collect();
        match ours.as_slice() {
            [] => {}
            [one] => {
                return found(sought.held.clone(), *one)
                    .map_or_else(|| ambiguous(reference, "has no id"), Finding::Stands);
            }
            _ => {
                return ambiguous(
                    reference,
                    "stands there several times: cancel all but one on the POS and adopt that",
                );
            }
        }
        let alike = seen().filter(|seen| !seen.has_reference() && self.is_alike(sought, *seen, now));
        // What the engine cannot tell: which of them are our own submissions before this one.
        let is_former =
            |receipt: &Receipt| receipt.external_id.as_ref().is_some_and(|id| sought.held.former_ids.contains(id));
        let alike = alike.filter_map(|seen| found(sought.held.clone(), seen));
        let alike: Vec<Receipt> = alike.filter(|receipt| !is_former(receipt)).collect();
        if !alike.is_empty() {
            return Finding::OneOf(alike);
        }
        if sought.held.resent && sought.doubt.sent >= self.visible_after {
            return ambiguous(reference, "was sent a second time and is not seen either: look there");
        }
        let absent = Held { state: HeldState::Absent, ..sought.held.clone() };
        Finding::Missing(Receipt { receipt: Some(absent.receipt()), ..Receipt::default() })
    }

    fn is_alike(&self, sought: &Sought<'_>, seen: Seen<'_>, now: DateTime<Utc>) -> bool {
        let sent_at = sought.sent_at(now);
        let timeout = chrono::Duration::from_std(self.timeout).unwrap_or_default();
        let window = sent_at - CLOCKS_DIFFER_BY..=sent_at + timeout + CLOCKS_DIFFER_BY;
        let (total, n_lines) = sought.said();
        seen.source() == Some(self.source_name)
            && seen.cents("/totals/grand_total") == total
            && seen.n_lines() == n_lines
            && seen.at("/created_at").is_some_and(|at| window.contains(&at))
    }
}

impl Sought<'_> {
    fn sent_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - chrono::Duration::from_std(self.doubt.sent).unwrap_or_default()
    }

    /// When its order went out.
    fn submitted_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let sent_at = self.sent_at(now);
        self.held.submitted_at.map_or(sent_at, |at| at.min(sent_at))
    }

    /// Total and number of lines, from the stored bytes.
    fn said(&self) -> (Option<i64>, Option<usize>) {
        let Ok(body) = serde_json::from_str::<Value>(&self.doubt.step.body) else { return (None, None) };
        let order = body.get("order").unwrap_or(&body);
        let total = order.pointer("/totals/grand_total").and_then(integer);
        (total, order.get("line_items").and_then(Value::as_array).map(Vec::len))
    }
}

fn ambiguous(reference: &str, what: &str) -> Finding {
    Finding::Ambiguous { hint: format!("an order with the reference {reference} {what}") }
}

/// For a step that is none of ours; no plan stores one.
fn unusable() -> Finding {
    Finding::Failed(Outcome::Reject { reason: Reason::Refused }.into())
}
