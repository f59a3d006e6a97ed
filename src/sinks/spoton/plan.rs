//! The next step for one version, from the receipt alone. Pure.
//!
//! | What stands at SpotOn | What is wanted | What is done |
//! | --- | --- | --- |
//! | nothing, or an order that we cancelled | accepted, and fresh | `submit` the next one |
//! | the same | accepted, and not fresh | skipped as stale |
//! | an order that says the same | accepted | nothing |
//! | an order that says something else | accepted | nothing, and a person is told; or `cancel`, then `submit` the next |
//! | an order that the merchant cancelled | accepted | nothing, and a person is told |
//! | an order | cancelled | `cancel` it |
//!
//! A submit makes a kitchen cook, so it is never repeated: it is written down, and a lost answer is looked up. A cancel
//! may be repeated, as it has one effect; it is written down too, because an order that is accepted again must not pass for
//! standing while its cancel may have gone through. Nothing else is planned while a step is in doubt: the engine's rule.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    config::{OnChange, SpotonSettings},
    mapping::{Mapped, Remark, Sale, map},
};
use crate::{
    config::duration::shown,
    domain::{
        delivery::{About, Alert, Plan, Receipt, Repeat, STANDS, SkipReason, Step},
        order::Status,
    },
    sinks::View,
};

pub const SUBMIT: &str = "submit";
pub const CANCEL: &str = "cancel";

/// Most times that one order is cancelled and submitted anew because it changed: each prints in the kitchen.
const MOST_RESUBMISSIONS: u32 = 3;
/// A cancel without an answer is sent again for so long; then the report is asked, and then a person.
const CANCEL_REPEATED_FOR: Duration = Duration::from_hours(1);
/// What is stale by no more than this somebody may still be waiting for.
const RECENT: chrono::Duration = chrono::Duration::hours(24);

pub const DIVERGED: &str = "diverged";
pub const TOTAL_DIFFERS: &str = "total_differs";
pub const SCHEDULE_CHANGED: &str = "scheduled_became_asap";
const GOODWILL: &str = "goodwill";

/// What is known of the order's newest submission, as the receipt keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// SpotOn's id. None while it is being submitted, and after a person adopted it: then it is the delivery's.
    pub order_id: Option<String>,
    /// Which submission of the order, from 1.
    pub n: u32,
    pub reference: String,
    /// Where it stands, whatever the configuration says by now.
    pub location_id: String,
    pub state: HeldState,
    /// Newest version that it is known to say.
    pub version: i64,
    /// Of what it says.
    pub digest: String,
    /// In cents.
    pub total_minor: i64,
    pub currency: String,
    /// How often it was cancelled and submitted anew because the order changed.
    #[serde(default)]
    pub resubmissions: u32,
    /// Whether this submission is sent again because the first one was proven absent.
    #[serde(default)]
    pub resent: bool,
    pub submitted_at: Option<DateTime<Utc>>,
    /// The time that was asked for, where it was `SCHEDULED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<Diverged>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Value>,
    /// SpotOn's ids of the submissions before this one, as [`FORMER_IDS`](crate::domain::delivery::FORMER_IDS)
    /// wants them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_ids: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldState {
    Submitted,
    /// By us, and confirmed.
    Cancelled,
    /// On the POS, by the merchant: never submitted again by itself.
    CancelledThere,
    /// Proven never to have arrived.
    Absent,
}

/// What SpotOn said of an order that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub display_id: Option<String>,
    pub schedule_type: Option<String>,
    pub estimated_ready_at: Option<DateTime<Utc>>,
    pub estimated_delivery_at: Option<DateTime<Utc>>,
    /// In cents.
    pub grand_total: Option<i64>,
}

/// What the order says by now, where that is something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    pub version: i64,
    /// In cents.
    pub total_minor: Option<i64>,
}

impl Held {
    pub fn is_standing(&self) -> bool {
        self.state == HeldState::Submitted
    }

    pub fn receipt(&self) -> Value {
        let mut receipt = serde_json::to_value(self).expect("plain data");
        let answered = self.answered.as_ref().and_then(|answered| answered.grand_total);
        let posted = if self.is_standing() { answered.unwrap_or(self.total_minor) } else { 0 };
        receipt[STANDS] = self.is_standing().into();
        receipt["money"] = json!({ "posted_minor": posted, "declared_minor": self.declared_minor() });
        receipt
    }

    /// What stands beside the total that the order has by now, in cents: what staff have to mend on the POS, and nothing
    /// else. The grand total is the order's total in any case: rounding and goodwill are inside it.
    fn declared_minor(&self) -> i64 {
        let Some(diverged) = &self.diverged else { return 0 };
        let submitted = if self.is_standing() { self.total_minor } else { 0 };
        submitted - diverged.total_minor.unwrap_or(0)
    }

    /// Noted as diverged from what an order says by now.
    #[must_use]
    pub fn diverged(self, version: i64, total_minor: Option<i64>) -> Self {
        Self { diverged: Some(Diverged { version, total_minor }), ..self }
    }

    /// As the receipt has it; none where nothing was ever submitted. An error: it cannot be read.
    pub fn of(receipt: Option<&Value>, external_id: Option<&str>) -> Result<Option<Self>, serde_json::Error> {
        let Some(receipt) = receipt.filter(|receipt| **receipt != json!({})) else { return Ok(None) };
        let held = Self::deserialize(receipt)?;
        let order_id = match held.state {
            HeldState::Submitted => held.order_id.or_else(|| external_id.map(str::to_owned)),
            _ => held.order_id,
        };
        Ok(Some(Self { order_id, ..held }))
    }

    /// What is known with the notice that a standing order deserves.
    pub fn known(&self, told: Option<Told>) -> Receipt {
        let is_goodwill = self.remarks.contains(&json!(Remark::Goodwill)) && self.is_standing();
        let notice = told.as_ref().map(|told| told.cause).or(is_goodwill.then_some(GOODWILL));
        Receipt {
            external_id: self.order_id.clone(),
            receipt: Some(self.receipt()),
            notice: notice.map(str::to_owned),
            alert: told.map(|Told { cause, detail }| Alert { cause, about: About::Order, detail }),
            refused: false,
        }
    }
}

/// A notice that a person is told of.
#[derive(Debug)]
pub struct Told {
    pub cause: &'static str,
    pub detail: String,
}

impl Told {
    pub(super) fn merchant_cancelled(held: &Held) -> Self {
        let id = held.order_id.as_deref().unwrap_or("the order");
        let detail =
            format!("{id} was cancelled on the POS and still is accepted: ask the restaurant, nothing is sent again");
        Self { cause: DIVERGED, detail }
    }
}

/// Plans the one step that is next.
pub fn plan(settings: &SpotonSettings, view: &View<'_>) -> Plan {
    let Ok(held) = Held::of(view.receipt, view.external_id) else {
        return park("unreadable_receipt", "what stands at SpotOn is not known: report it");
    };
    match view.order.status {
        Status::Cancelled => cancel(view, held),
        _ => bring(settings, view, held),
    }
}

fn cancel(view: &View<'_>, held: Option<Held>) -> Plan {
    match held {
        // No step that could have submitted anything is without a trace.
        None => Plan::skip(SkipReason::CancelledBeforeSent),
        Some(held) if held.is_standing() => {
            let cancelled = Held { version: view.version.0, diverged: None, ..held };
            cancelling(cancelled, Completes::Yes)
        }
        Some(held) => settled(view, Held { diverged: None, ..held }, None),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Completes {
    Yes,
    /// The order is submitted anew afterwards.
    No,
}

fn cancelling(held: Held, completes: Completes) -> Plan {
    if held.order_id.is_none() {
        return park(
            "order_id_missing",
            "SpotOn's id of the order is not known: cancel it on the POS, then discard this",
        );
    }
    Plan::Send(Step {
        name: CANCEL.to_owned(),
        key: format!("{}-cancel", held.reference),
        body: String::new(),
        repeat: Repeat::Within(CANCEL_REPEATED_FOR),
        completes: completes == Completes::Yes,
        receipt: Some(Held { state: HeldState::Cancelled, ..held }.receipt()),
    })
}

fn bring(settings: &SpotonSettings, view: &View<'_>, held: Option<Held>) -> Plan {
    let vendor_id = view.order.vendor_id.as_ref().map_or("", |vendor| vendor.as_str());
    match held {
        Some(held) if held.state == HeldState::CancelledThere => {
            let told = Told::merchant_cancelled(&held);
            let total_minor = view.order.total.map(|total| total.amount);
            settled(view, held.diverged(view.version.0, total_minor), Some(told))
        }
        held => match settings.vendors.get(vendor_id) {
            None => unmapped(vendor_id),
            Some(vendor) => {
                let sale =
                    Sale { order: view.order, money: view.money, payload: view.payload, vendor_id, vendor, settings };
                match held {
                    Some(held) if held.is_standing() => compare(view, sale, held),
                    held => submit(view, sale, held),
                }
            }
        },
    }
}

fn unmapped(vendor_id: &str) -> Plan {
    let detail = format!(
        "no location is known for vendor {vendor_id:?}, so its orders are skipped: add it to `vendors`, then replay what \
         still matters"
    );
    let reason = SkipReason::UnmappedVendor;
    let alert = Alert { cause: reason.as_str(), about: About::Shared(vendor_id.to_owned()), detail };
    Plan::Skip { reason, alert: Some(alert) }
}

fn submit(view: &View<'_>, sale: Sale<'_>, before: Option<Held>) -> Plan {
    match age(sale, view.now) {
        None => {
            return park(
                "age_unknown",
                "when it was accepted or placed is not told, so it may be old: ring it up by hand",
            );
        }
        Some(age) if is_stale(sale, age) => return stale(sale, age, before.as_ref()),
        Some(_) => {}
    }
    // What never arrived keeps its number and its reference.
    let resent = before.as_ref().is_some_and(|held| held.state == HeldState::Absent);
    let n_before = before.as_ref().map_or(0, |held| held.n);
    let n = if resent { n_before } else { n_before + 1 };
    let reference = format!("scoffable-{}-{n}", view.key.order.order_id);
    let mapped = match map(sale, &reference, view.now) {
        Ok(mapped) => mapped,
        Err(lack) => return lack.parked(),
    };
    let Mapped { order, digest, remarks } = mapped;
    let scheduled = [&order.fulfillment.estimated_ready_at, &order.fulfillment.estimated_delivery_at];
    let held = Held {
        order_id: None,
        n,
        reference: reference.clone(),
        location_id: order.location_id.clone(),
        state: HeldState::Submitted,
        version: view.version.0,
        digest,
        total_minor: order.totals.grand_total,
        currency: sale.vendor.currency.to_string(),
        resubmissions: before.as_ref().map_or(0, |held| held.resubmissions),
        resent,
        submitted_at: Some(view.now),
        scheduled_for: scheduled.into_iter().flatten().next().cloned(),
        answered: None,
        diverged: None,
        remarks: remarks.iter().map(|remark| json!(remark)).collect(),
        former_ids: before.map(|held| held.former_ids.into_iter().chain(held.order_id).collect()).unwrap_or_default(),
    };
    Plan::Send(Step {
        name: SUBMIT.to_owned(),
        key: reference,
        body: order.written(sale.settings.request_envelope),
        repeat: Repeat::Never,
        completes: true,
        receipt: Some(held.receipt()),
    })
}

/// Since the restaurant took it, else since it was placed.
fn age(sale: Sale<'_>, now: DateTime<Utc>) -> Option<chrono::Duration> {
    let since = sale.order.accepted_at.or(sale.order.placed_at)?;
    Some(now - since)
}

fn is_stale(sale: Sale<'_>, age: chrono::Duration) -> bool {
    age > chrono::Duration::from_std(sale.settings.max_submit_age).unwrap_or(chrono::Duration::MAX)
}

/// History is passed over in silence; what was owed a moment ago, and what stood there before, is not.
fn stale(sale: Sale<'_>, age: chrono::Duration, before: Option<&Held>) -> Plan {
    let limit = shown(sale.settings.max_submit_age);
    let reason = SkipReason::Stale;
    let alert = match before {
        Some(held) => Some(Alert {
            cause: reason.as_str(),
            about: About::Order,
            detail: format!(
                "accepted, and older than `max_submit_age` ({limit}) by the time it could be submitted again: {} does not \
                 stand, so ring it up by hand if it is still wanted",
                held.reference
            ),
        }),
        None if age < RECENT => Some(Alert {
            cause: reason.as_str(),
            about: About::Shared(sale.vendor.location_id.clone()),
            detail: format!(
                "orders were older than `max_submit_age` ({limit}) when they could be submitted, and were not: see the \
                 skipped deliveries of the last day, and ring up what is still wanted"
            ),
        }),
        None => None,
    };
    Plan::Skip { reason, alert }
}

/// For an order that stands there and cannot be changed.
fn compare(view: &View<'_>, sale: Sale<'_>, held: Held) -> Plan {
    let mapped = map(sale, &held.reference, view.now);
    if mapped.as_ref().is_ok_and(|mapped| mapped.digest == held.digest) {
        return settled(view, Held { diverged: None, ..held }, None);
    }
    let is_final = sale.order.delivered_at.is_some() || sale.order.returned_at.is_some();
    let is_fresh = age(sale, view.now).is_some_and(|age| !is_stale(sale, age));
    let may_resubmit = sale.settings.on_change == OnChange::CancelAndResubmit
        && !is_final
        && is_fresh
        && held.resubmissions < MOST_RESUBMISSIONS;
    match mapped {
        Ok(_) if may_resubmit => {
            let resubmissions = held.resubmissions + 1;
            cancelling(Held { resubmissions, ..held }, Completes::No)
        }
        // Nothing is cancelled before it is certain that the next one can be submitted.
        Err(lack) if may_resubmit => lack.parked(),
        _ => flag(view, sale, held),
    }
}

fn flag(view: &View<'_>, sale: Sale<'_>, held: Held) -> Plan {
    let total_minor = sale.order.total.map(|total| total.amount);
    let by_now = total_minor.map_or_else(|| "none".to_owned(), |total| total.to_string());
    let detail = format!(
        "{} says a total of {} and the order now {by_now} (version {}): mend it on the POS",
        held.order_id.as_deref().unwrap_or("the order"),
        held.total_minor,
        view.version
    );
    let held = held.diverged(view.version.0, total_minor);
    Plan::Settled(held.known(Some(Told { cause: DIVERGED, detail })))
}

/// It says all of this version, or nothing has to be said: from now on it counts as saying that one.
fn settled(view: &View<'_>, held: Held, told: Option<Told>) -> Plan {
    Plan::Settled(Held { version: view.version.0, ..held }.known(told))
}

fn park(reason: &'static str, hint: &str) -> Plan {
    Plan::Park { reason, hint: hint.to_owned(), curable: true }
}

#[cfg(test)]
mod tests;
