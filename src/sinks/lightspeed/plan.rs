//! The next step for one version, from the receipt, the target and what is known of the shop. Pure.
//!
//! 1. A return that was begun is finished, whatever came meanwhile.
//! 2. What stands is held against what should ([`correct`](super::correct)). Before anything is corrected it is read, so that
//!    what a person changed there is never overwritten.
//! 3. A sale needs a product for each line, and a customer where it is to bear a name: what is not known of them is found or
//!    made first.
//! 4. Then the version is settled, with a notice where a person should know something.
//!
//! One step at a time: between two of them all of it is decided anew, from what was confirmed. Sales are never repeated: a
//! lost answer is looked up by the sale's id, which follows from the order. What the shop refused is tried again after
//! [`HOLD`], and so is what waits for a person to mend settings.

mod documents;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{
    call::{self, Call},
    config::{CustomerMode, LightspeedSettings, Place, Verify},
    correct::{self, Next},
    facts::{Facts, NeededBy, Problem, Product, check},
    receipt::{Document, Held, Sale},
    target::{self, Line, Target, target},
};
use crate::{
    domain::{
        delivery::{About, Alert, Plan, Receipt, Repeat, SkipReason, Step, WaitingFor},
        money::Money,
        order::Status,
        sale::{Kind, Lack, Remark, Tender, normalised},
    },
    sinks::{View, customers::customer_of},
};

/// How long a person has to mend settings before it is looked at again.
pub const HOLD: Duration = Duration::from_hours(3);
/// A register that is closed may be opened any minute.
const CLOSED_FOR: Duration = Duration::from_mins(15);
/// Older than this, what was read of a sale is read again before it is corrected.
const READING_GOOD_FOR: chrono::Duration = chrono::Duration::minutes(10);
/// A dish without a product is looked for anew when a person retries the order, which takes longer than the next plan.
const MISSING_GOOD_FOR: chrono::Duration = chrono::Duration::minutes(1);

pub const REMOTE_EDITED: &str = "remote_edited";
pub const TOTAL_MISMATCH: &str = "total_mismatch";
pub const NOTHING_TO_POST: &str = "nothing_to_post";
pub const PRODUCT_MISSING: &str = "product_missing";
pub const API_AGING: &str = "api_version_aging";

/// One shop, as a plan sees it.
#[derive(Debug, Clone, Copy)]
pub struct Shop<'a> {
    pub settings: &'a LightspeedSettings,
    pub facts: &'a Facts,
}

/// Plans the one step that is next.
pub fn plan(shop: Shop<'_>, view: &View<'_>) -> Plan {
    let Ok(held) = Held::of(view.receipt) else {
        return park("unreadable_receipt", "what stands in the shop is not known: report it", false);
    };
    let vendor_id = view.order.vendor_id.as_ref().map_or("", |vendor| vendor.as_str());
    let place = shop.settings.vendors.get(vendor_id);
    let was_cancelled = view.order.status == Status::Cancelled;
    let target = match (was_cancelled, held.sales.first(), held.currency) {
        (true, None, _) => return Plan::skip(SkipReason::CancelledBeforeSent),
        (true, Some(first), Some(currency)) => Target::nothing(currency, first.date),
        (true, Some(_), None) => return park("unreadable_receipt", "its receipt names no currency: report it", false),
        (false, ..) if place.is_none() => return unmapped(vendor_id),
        (false, ..) => {
            let Shop { settings, facts } = shop;
            if let Some(problem) = hindrance(shop, vendor_id, &[]) {
                return held_back(problem);
            }
            let sale = target::Sale { order: view.order, money: view.money, payload: view.payload, settings, facts };
            match target(sale) {
                Ok(target) => target,
                Err(lack) => return lack.parked(),
            }
        }
    };
    Planner { shop, view, held, target, place, vendor_id }.next()
}

fn unmapped(vendor_id: &str) -> Plan {
    let detail = format!(
        "no register is known for vendor {vendor_id:?}, so its orders are skipped: add it to `vendors`, then replay what \
         was skipped"
    );
    let reason = SkipReason::UnmappedVendor;
    let alert = Alert { cause: reason.as_str(), about: About::Shared(vendor_id.to_owned()), detail };
    Plan::Skip { reason, alert: Some(alert) }
}

fn park(reason: &'static str, hint: impl Into<String>, curable: bool) -> Plan {
    Plan::Park { reason, hint: hint.into(), curable }
}

/// A wait that costs no attempt, with one alert for all orders that wait for the same.
fn hold(wait: Duration, subject: String, detail: String) -> Plan {
    let waiting_for = WaitingFor::Configuration;
    let alert = Alert { cause: waiting_for.as_str(), about: About::Shared(subject), detail };
    Plan::Wait { wait, waiting_for, alert: Some(alert) }
}

fn held_back(problem: Problem) -> Plan {
    let detail = format!("{}: {}; the orders that need it wait", problem.found, problem.to_do);
    hold(HOLD, problem.key, detail)
}

/// What keeps an order of this vendor with these tenders from being posted.
fn hindrance(shop: Shop<'_>, vendor_id: &str, tenders: &[Tender]) -> Option<Problem> {
    let concerns = |problem: &Problem| match &problem.needed_by {
        NeededBy::All => true,
        NeededBy::Vendor(vendor) => vendor == vendor_id,
        NeededBy::Tender(tender) => tenders.contains(tender),
    };
    check(shop.settings, shop.facts).into_iter().find(concerns)
}

#[derive(Debug)]
struct Planner<'a> {
    shop: Shop<'a>,
    view: &'a View<'a>,
    held: Held,
    target: Target,
    /// None: only of an order that is cancelled.
    place: Option<&'a Place>,
    vendor_id: &'a str,
}

impl Planner<'_> {
    fn next(self) -> Plan {
        if let Some(plan) = self.is_in_the_way() {
            return plan;
        }
        if let Some(at) = self.held.sales.iter().position(Sale::is_unfinished_return) {
            return self.finish_return(at);
        }
        let next = correct::next(&self.held.sales, &self.voidable(), &self.target);
        if next == Next::Nothing {
            return self.brought();
        }
        if self.held.sales.is_empty() && self.target.lines.is_empty() {
            return self.settled(Some((NOTHING_TO_POST, None)));
        }
        if self.held.standing().next().is_some() && !self.is_read() {
            return self.read();
        }
        // Also one that was taken back there: a person did not want it.
        if let Some(edited) = self.held.sales.iter().find(|sale| sale.edited) {
            let detail = format!(
                "{} was changed in the shop by hand, and the order has changed since: correct it there",
                called(edited)
            );
            return self.settled(Some((REMOTE_EDITED, Some(detail))));
        }
        match next {
            Next::Nothing => self.brought(),
            Next::Post { lines, payments } => self.post(&lines, payments),
            Next::Update { at } => self.update(at),
            Next::Void { at } => self.void(at),
            Next::Return { at, lines, payments } => self.begin_return(at, lines, payments),
            Next::Stuck => {
                let hint = "what stands of it in the shop can be neither taken back nor returned: correct it there by hand \
                            and discard this";
                park("cannot_be_corrected", hint, true)
            }
        }
    }

    fn is_in_the_way(&self) -> Option<Plan> {
        let currency = self.target.currency;
        if self.held.currency.is_some_and(|held| held != currency) {
            let hint = format!("it was posted in another currency and is in {currency} now: correct it by hand");
            return Some(park("currency_changed", hint, true));
        }
        if let Some(sale) = self.mismatched() {
            let hint = format!(
                "{} comes to {} in the shop and should come to {}: nothing is mended; compare the two, correct it there by \
                 hand and discard this",
                called(sale),
                self.shown(sale.told_minor.unwrap_or_default()),
                self.shown(sale.gross_minor())
            );
            return Some(park(TOTAL_MISMATCH, hint, false));
        }
        if let Some(problem) = hindrance(self.shop, self.vendor_id, &self.target.tenders) {
            return Some(held_back(problem));
        }
        if self.target.lines.is_empty() {
            return self.refused();
        }
        if self.shop.facts.currency != Some(currency) {
            let own = self.shop.facts.currency.map_or_else(|| "not told".to_owned(), |own| own.to_string());
            let detail = format!("the shop's currency is {own}, and nothing is converted: orders in {currency} wait");
            return Some(hold(HOLD, format!("currency {currency}"), detail));
        }
        if self.target.tenders.contains(&Tender::Goodwill) && self.shop.settings.payment_types.goodwill.is_none() {
            let detail = "the platform pays a part of some orders, for which no payment type is named: make one in the shop \
                          and name it in `payment_types.goodwill`; these orders wait";
            return Some(hold(HOLD, "payment_types.goodwill".to_owned(), detail.to_owned()));
        }
        self.refused()
    }

    /// A sale of which the shop says another total, though nobody has changed it.
    fn mismatched(&self) -> Option<&Sale> {
        let differs = |sale: &&Sale| !sale.edited && sale.told_minor.is_some_and(|told| told != sale.gross_minor());
        self.held.standing().find(differs)
    }

    /// Whether the shop would only refuse it again.
    fn refused(&self) -> Option<Plan> {
        let left = |at: DateTime<Utc>, wait: Duration| {
            let left = wait.checked_sub((self.view.now - at).to_std().unwrap_or_default())?;
            (!left.is_zero()).then_some(left)
        };
        if let Some(closed) = &self.held.closed
            && let Some(left) = left(closed.at, CLOSED_FOR)
        {
            let name = self.shop.facts.registers.get(&closed.register_id).map_or("", |register| register.name.as_str());
            let detail = format!(
                "register {name:?} is closed, and its orders wait until it is open: open it, or set `closed_register`"
            );
            return Some(hold(left, format!("register {}", closed.register_id), detail));
        }
        self.view.since.refused?; // or a person said to try again
        let refusal = self.held.refusal.as_ref().filter(|refusal| refusal.version == self.view.version.0)?;
        let left = left(refusal.at, HOLD)?;
        let detail = format!(
            "the shop refuses {} (HTTP {}): see the answer in its attempts and mend the set-up, for instance whether the \
             register is open; it is tried again by itself",
            refusal.step, refusal.status
        );
        Some(hold(left, format!("refused: {} {}", refusal.step, refusal.status), detail))
    }

    /// Of each sale whether it may be taken back: while the register's opening in which it was closed is not over.
    fn voidable(&self) -> Vec<bool> {
        let openings = self.held.read.as_ref().map(|read| &read.openings);
        let is_voidable = |sale: &Sale| {
            let present = openings.and_then(|openings| openings.get(&sale.register_id));
            !sale.edited && sale.opening.is_some() && sale.opening.as_ref() == present
        };
        self.held.sales.iter().map(is_voidable).collect()
    }

    /// Whether what stands was read for this version a moment ago.
    fn is_read(&self) -> bool {
        let read = self.held.read.as_ref();
        read.is_some_and(|read| read.version == self.view.version.0 && self.view.now - read.at < READING_GOOD_FOR)
    }

    /// The step that reads what stands.
    fn read(self) -> Plan {
        let sales = self.held.standing().filter_map(|sale| sale.id.clone()).collect();
        let mut registers: Vec<String> = self.held.standing().map(|sale| sale.register_id.clone()).collect();
        registers.sort_unstable();
        registers.dedup();
        let held = self.held.clone();
        let version = self.view.version.0;
        self.step(&Call::Read(call::Read { sales, registers, version }), Repeat::Safe, held)
    }

    /// What stands is what should. A sale whose total is not known yet is read back once.
    fn brought(self) -> Plan {
        let is_unread = self.held.standing().any(|sale| sale.told_minor.is_none());
        let was_read = self.held.read.as_ref().is_some_and(|read| read.version == self.view.version.0);
        if is_unread && !was_read && self.shop.settings.verify == Verify::Now {
            return self.read();
        }
        let notice = self.remarked();
        self.settled(notice)
    }

    /// The weightiest of what a person should know of an order that stands.
    fn remarked(&self) -> Option<(&'static str, Option<String>)> {
        if let Some(pending) = self.held.standing().find(|sale| sale.state == super::wire::State::Pending) {
            let detail = format!("{} is open on its customer's account", called(pending));
            return Some(("on_account", Some(detail)));
        }
        let shown = |minor: i64| self.shown(minor);
        Some(match self.target.remarks.first()? {
            Remark::Unexplained(minor) => (
                "unexplained",
                Some(format!("its lines miss its total by {}, which is a line of its own", shown(*minor))),
            ),
            Remark::PaymentsCapped(minor) => (
                "payments_capped",
                Some(format!("{} more was paid than it comes to: payments are cut back to it", shown(*minor))),
            ),
            Remark::UnknownTender(pair) => (
                "unknown_tender",
                Some(format!(
                    "{pair} is a tender that is not known, and was paid as its holder's: set payment_types.other_scoffable \
                     or payment_types.other_vendor if it belongs elsewhere"
                )),
            ),
            Remark::Goodwill(minor) => ("goodwill", Some(format!("the platform pays {} of it", shown(*minor)))),
            Remark::UnknownItemType => ("unknown_item_type", None),
        })
    }

    fn shown(&self, minor: i64) -> String {
        Money::new(minor, self.target.currency).to_string()
    }

    // ---- products and customer -------------------------------------------------------------------------------------

    /// The product of a line; none: it has to be found or made first.
    fn product(&self, line: &Line) -> Option<Product> {
        let Shop { settings, facts } = self.shop;
        let known = |key: &str| self.held.products.get(key).or_else(|| facts.products.get(key)).cloned();
        if line.kind == Kind::Sales {
            let named = settings.items.iter().find(|(dish, _)| normalised(dish) == normalised(&line.name));
            let by_hand = named.map(|(_, id)| Product { id: id.clone(), generic: false });
            return by_hand.or_else(|| known(&line.key));
        }
        let service = settings.products.service(line.kind);
        let by_hand = service.id.map(|id| Product { id: id.to_owned(), generic: false });
        by_hand.or_else(|| known(service.code))
    }

    /// Whose name a sale bears; an error: it has to be found or made first.
    fn customer(&self) -> Result<Option<String>, crate::sinks::customers::Customer> {
        let settings = self.shop.settings;
        let house = settings.house_customer.clone();
        match settings.customer_mode {
            CustomerMode::None => Ok(None),
            CustomerMode::House => Ok(house),
            CustomerMode::PerCustomer => match &self.held.customer {
                Some(who) => Ok(who.named.as_ref().map(|named| named.id.clone()).or(house)),
                None => customer_of(&settings.customers, self.view.payload).map_or(Ok(house), Err),
            },
        }
    }

    /// The step that finds or makes what these lines and their customer lack; none: all of it is known.
    fn resolve(&self, lines: &[Line]) -> Option<Plan> {
        let mut resolve = call::Resolve { dishes: Vec::new(), services: Vec::new(), customer: self.customer().err() };
        for line in lines.iter().filter(|line| self.product(line).is_none()) {
            if line.kind != Kind::Sales {
                let code = self.shop.settings.products.service(line.kind).code.to_owned();
                if !resolve.services.contains(&code) {
                    resolve.services.push(code);
                }
            } else if resolve.dishes.iter().all(|dish| dish.key != line.key) {
                resolve.dishes.push(call::Dish {
                    key: line.key.clone(),
                    name: line.name.clone(),
                    reference: line.reference.clone(),
                    price_including_tax: Money::new(line.unit_minor, self.target.currency).to_decimal(),
                    price_excluding_tax: line.price(),
                });
            }
        }
        if resolve.dishes.is_empty() && resolve.services.is_empty() && resolve.customer.is_none() {
            return None;
        }
        if let Some(missing) = self.held.missing.as_ref().filter(|one| self.view.now - one.at < MISSING_GOOD_FOR) {
            return Some(Lack::new(PRODUCT_MISSING, missing.detail.clone()).parked());
        }
        let held = Held { missing: None, ..self.held.clone() };
        Some(self.step(&Call::Resolve(resolve), Repeat::Safe, held))
    }

    // ---- the end ---------------------------------------------------------------------------------------------------

    /// The version is brought, or as much of it as can be.
    fn settled(self, notice: Option<(&'static str, Option<String>)>) -> Plan {
        let pair = self.target.remarks.iter().find_map(|remark| match remark {
            Remark::UnknownTender(pair) => Some(pair.clone()),
            _ => None,
        });
        let held = Held {
            products: std::collections::BTreeMap::new(),
            missing: None,
            refusal: None,
            closed: None,
            currency: Some(self.target.currency),
            declared_minor: self.target.declared_minor,
            ..self.held
        };
        let alert = notice.as_ref().and_then(|(cause, detail)| {
            let about = match (&pair, *cause) {
                (Some(pair), "unknown_tender") => About::Shared(pair.clone()),
                _ => About::Order,
            };
            Some(Alert { cause, about, detail: detail.clone()? })
        });
        let api = self.shop.settings.api;
        let aging = || {
            let detail = format!(
                "version {api} of the API is more than ten months old, and is answered by another one when its twelve \
                 months are over: try a newer `api` on a trial shop, then set it"
            );
            Alert { cause: API_AGING, about: About::Shared(format!("api {api}")), detail }
        };
        let alert = alert.or_else(|| api.is_aging(self.view.now).then(aging));
        let notice = notice.map(|(cause, _)| cause.to_owned());
        Plan::Settled(Receipt { notice, alert, ..held.known() })
    }

    /// A step, with the receipt as it is once it is confirmed.
    fn step(&self, call: &Call, repeat: Repeat, held: Held) -> Plan {
        let key = &self.view.key;
        let body = call.written();
        let digest = hex::encode(Sha256::digest(&body));
        let parts = format!("{} | {} | {} | {} | {digest}", key.sink, key.order, self.view.version, call.name());
        let held = Held {
            currency: Some(self.target.currency),
            declared_minor: self.target.declared_minor,
            refusal: None,
            closed: None,
            ..held
        };
        Plan::Send(Step {
            name: call.name().to_owned(),
            key: hex::encode(Sha256::digest(parts)),
            body,
            repeat,
            // What was answered is looked at before anything counts as applied.
            completes: false,
            receipt: Some(held.receipt()),
        })
    }
}

/// What people find it by.
fn called(sale: &Sale) -> String {
    match (sale.document, &sale.id) {
        (Document::Sale, _) => sale.number.clone(),
        (Document::Return, Some(id)) => format!("return {id}"),
        (Document::Return, None) => "a return".to_owned(),
    }
}

#[cfg(test)]
mod tests;
