//! The next step for one version, from the receipt, the target and what is known of the account. Pure.
//!
//! 1. A credit note that was made is completed, and what was changed last is read, once.
//! 2. Lines: what stands is held against what should ([`correct`](super::correct)). Before anything is corrected the orders are
//!    read, so that what a person changed there is never overwritten.
//! 3. Orders are completed when it is time ([`Complete`]). Until then the version waits, and a newer one is an edit in place.
//! 4. Then the version is settled, with a notice where a person should know something.
//!
//! One step at a time: between two of them all of it is decided anew, from what was confirmed. What Unleashed refused is tried
//! again after [`HOLD`], or with the next version at once, and so is what waits for a person to mend settings.
//!
//! The customer of an order is chosen once and never changes, so no order is ever made again for that.

mod documents;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{
    body,
    call::{self, Call, On, Read, name},
    config::{Complete, CustomerMode, UnleashedSettings},
    correct::{Move, correct, cost_of_new},
    facts::{About as Concern, Facts, check},
    receipt::{Document, DocumentKind, Held, Refusal, Role, Standing},
    target::{Missing, Sale, Stop, Target, heading, target},
};
use crate::{
    domain::{
        delivery::{About, Alert, Plan, Receipt, Repeat, SkipReason, Step, WaitingFor},
        ids::VendorId,
        order::Status,
        sale::Remark,
    },
    sinks::{View, customers::customer_of},
};

/// How long a person has to mend settings before it is looked at again.
pub const HOLD: Duration = Duration::from_hours(3);
/// Older than this, what was read of an order is read again before it is corrected.
const READING_GOOD_FOR: Duration = Duration::from_mins(10);

pub const REMOTE_EDITED: &str = "remote_edited";
pub const REMOTE_DELETED: &str = "remote_deleted";
pub const TOTAL_MISMATCH: &str = "total_mismatch";
pub const NOTHING_TO_POST: &str = "nothing_to_post";
pub const BACKORDERED: &str = "backordered";
pub const CHECK_STOCK: &str = "check_stock";

/// One account, as a plan sees it.
#[derive(Debug, Clone, Copy)]
pub struct Stock<'a> {
    pub settings: &'a UnleashedSettings,
    pub facts: &'a Facts,
}

/// Plans the one step that is next.
pub fn plan(stock: Stock<'_>, view: &View<'_>) -> Plan {
    let Stock { settings, facts } = stock;
    let Ok(held) = Held::of(view.receipt) else {
        return park("unreadable_receipt", "what stands at Unleashed is not known: report it", false);
    };
    let was_cancelled = view.order.status == Status::Cancelled;
    let vendor_id = view.order.vendor_id.as_ref().map(VendorId::as_str);
    let warehouse = match (vendor_id.and_then(|id| settings.vendors.get(id)), held.documents.first()) {
        (Some(vendor), _) => vendor.warehouse.clone(),
        (None, Some(first)) => first.warehouse.clone(),
        (None, None) if was_cancelled => return Plan::skip(SkipReason::CancelledBeforeSent),
        (None, None) => return unmapped(vendor_id.unwrap_or("none")),
    };
    let target = match (was_cancelled, held.documents.first(), held.currency) {
        (true, None, _) => return Plan::skip(SkipReason::CancelledBeforeSent),
        (true, Some(first), Some(currency)) => {
            let comments = format!("{}; cancelled", heading(view.key, view.version));
            Target::nothing(currency, first.date, comments)
        }
        (true, Some(_), None) => return park("unreadable_receipt", "its receipt names no currency: report it", false),
        (false, ..) => {
            let View { key, version, order, money, payload, .. } = *view;
            match target(Sale { key, version, order, money, payload, settings, facts, held: &held }) {
                Ok(target) => target,
                Err(Stop::Lack(lack)) => return lack.parked(),
                Err(Stop::Hold { subject, detail }) => return hold(HOLD, subject, detail),
            }
        }
    };
    Planner { stock, view, held, target, warehouse }.next()
}

fn unmapped(vendor_id: &str) -> Plan {
    let detail = format!(
        "no warehouse is known for vendor {vendor_id:?}, so its orders are skipped: add it to `vendors`, then replay what \
         still matters"
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

#[derive(Debug)]
struct Planner<'a> {
    stock: Stock<'a>,
    view: &'a View<'a>,
    held: Held,
    target: Target,
    warehouse: String,
}

impl Planner<'_> {
    fn next(self) -> Plan {
        if let Some(plan) = self.hindered() {
            return plan;
        }
        if let Some(at) = self.held.documents.iter().position(is_unfinished_credit) {
            return self.complete(at);
        }
        let changed: Vec<&Document> = self.held.documents.iter().filter(|one| self.wants_check(one)).collect();
        if !changed.is_empty() {
            let read = self.reading(&changed);
            return self.read(read, "check");
        }
        if let Some(at) = self.held.documents.iter().position(|one| one.stands() && !one.left_over.is_empty()) {
            return self.delete_lines(at);
        }
        if let Some(document) = self.mismatched() {
            let hint = format!(
                "{} comes to something else at Unleashed than it should: compare the two, correct it there by hand and \
                 discard this",
                document.number
            );
            return park(TOTAL_MISMATCH, hint, false);
        }
        let adjustment = &self.stock.settings.products.adjustment.code;
        let next = correct(&self.held.documents, &self.target.lines, adjustment).filter(|_| !self.posts_nothing());
        match next {
            Some(next) => self.lines(next),
            None => self.finish(),
        }
    }

    /// What keeps it from being posted, or waits for a person.
    fn hindered(&self) -> Option<Plan> {
        let Stock { settings, facts } = self.stock;
        let currency = self.target.currency;
        if let Some(before) = self.held.currency.filter(|before| *before != currency) {
            let hint = format!("it was posted in {before} and is in {currency} now: correct it by hand");
            return Some(park("currency_changed", hint, true));
        }
        if currency != settings.currency {
            let detail = format!(
                "orders in {currency} wait: nothing is converted, and the account's currency is {} (`currency`)",
                settings.currency
            );
            return Some(hold(HOLD, format!("currency {currency}"), detail));
        }
        let concerns = |concern: &Concern| match concern {
            Concern::Everything => true,
            Concern::Warehouse(code) => *code == self.warehouse,
            Concern::Product(code) => self.target.lines.iter().any(|line| line.code == *code),
        };
        if let Some(problem) = check(settings, facts).into_iter().find(|problem| concerns(&problem.about)) {
            let detail = format!("{}: {}; orders that need it wait", problem.found, problem.to_do);
            return Some(hold(HOLD, problem.key, detail));
        }
        // An order that could not be completed may be changed all the same, which may cure it.
        self.refused(|step| step != name::COMPLETE)
    }

    fn refused(&self, is_in_the_way: impl Fn(&str) -> bool) -> Option<Plan> {
        let now = self.view.now;
        // A person may have said to try again.
        let counts = self.view.since.refused.is_some() && self.held.tried_for == Some(self.view.version.0);
        let refusals = self.held.refusals.iter().filter(|_| counts);
        let in_the_way = refusals.filter(|refusal| is_in_the_way(&refusal.step));
        let fresh = in_the_way.filter_map(|refusal| {
            let left = HOLD.checked_sub((now - refusal.at).to_std().unwrap_or_default())?;
            (!left.is_zero()).then_some((refusal, left))
        });
        let (refusal, left) = fresh.max_by_key(|(_, left)| *left)?;
        let Refusal { step, about, cause, .. } = refusal;
        let detail = format!(
            "Unleashed refuses {step} ({cause}), as {about}: see the answer in its attempts and mend the set-up, or the stock; \
             it is tried again by itself"
        );
        Some(hold(left, format!("refused: {step}"), detail))
    }

    /// It was changed by us, and how it came out was not read yet. One that was only made and is completed later is read then.
    fn wants_check(&self, document: &Document) -> bool {
        let is_completed_later = self.stock.settings.complete != Complete::Never && !document.updated;
        let waits = document.is_open_order() && is_completed_later;
        document.stands() && !document.checked && !waits
    }

    /// A document of which Unleashed says another total.
    fn mismatched(&self) -> Option<&Document> {
        let differs = |document: &&Document| {
            document.told_minor.is_some_and(|told| told != document.gross_minor) && !document.edited
        };
        self.held.standing().find(differs)
    }

    /// There is nothing of the order that a document could say.
    fn posts_nothing(&self) -> bool {
        self.held.documents.is_empty() && self.target.lines.is_empty()
    }

    // ---- lines -----------------------------------------------------------------------------------------------------

    fn lines(self, next: Move) -> Plan {
        let standing: Vec<&Document> =
            self.held.standing().filter(|document| document.kind == DocumentKind::Order).collect();
        if !standing.is_empty() && !self.is_read() {
            let read = self.reading(&standing);
            return self.read(read, "read");
        }
        let deleted = self.held.documents.iter().find(|document| document.deleted_there);
        if let Some(deleted) = deleted.filter(|_| !self.stock.settings.recreate_deleted) {
            let detail = format!(
                "{} was deleted at Unleashed by hand: nothing is made again; make the order there, or set `recreate_deleted = \
                 true` and replay it",
                deleted.number
            );
            // Of a cancelled order nothing is missing.
            let is_missed = !self.target.lines.is_empty();
            return self.settled(is_missed.then_some((REMOTE_DELETED, Some(detail))));
        }
        let edited = self.held.documents.iter().find(|document| document.stands() && document.edited);
        if let Some(edited) = edited {
            let detail = format!(
                "{} was changed at Unleashed by hand, and the order has changed since: correct it there",
                edited.number
            );
            return self.settled(Some((REMOTE_EDITED, Some(detail))));
        }
        let customer_id = match self.customer() {
            Ok(customer_id) => customer_id,
            Err(plan) => return *plan,
        };
        if let Some(plan) = self.products(&next) {
            return plan;
        }
        let mut this = self;
        let in_place = matches!(next, Move::Update { .. } | Move::Delete { .. });
        if in_place && this.held.counted_for != Some(this.view.version.0) {
            let adjustment = &this.stock.settings.products.adjustment.code;
            this.held.corrections_avoided += cost_of_new(&this.held.documents, &this.target.lines, adjustment);
            this.held.counted_for = Some(this.view.version.0);
        }
        match next {
            Move::Post { kind, role, lines } => this.post(kind, role, lines, customer_id),
            Move::Update { at, lines } => this.update(at, lines),
            Move::Delete { at } => this.delete(at),
        }
    }

    fn is_read(&self) -> bool {
        let is_fresh = |at: DateTime<Utc>| (self.view.now - at).to_std().unwrap_or_default() < READING_GOOD_FOR;
        self.held.read.is_some_and(|read| read.version == self.view.version.0 && is_fresh(read.at))
    }

    fn reading(&self, documents: &[&Document]) -> Read {
        let orders = documents.iter().filter(|one| one.kind == DocumentKind::Order).map(|one| self.on(one));
        let credits = documents.iter().filter(|one| one.kind == DocumentKind::Credit);
        let credits = credits.map(|one| (self.on(one), one.since.unwrap_or(one.date)));
        Read { orders: orders.collect(), credits: credits.collect(), version: self.view.version.0 }
    }

    fn read(self, read: Read, what: &str) -> Plan {
        let held = self.held.clone();
        self.step(&Call::Read(read), Repeat::Safe, what, held)
    }

    /// Unleashed's GUID of the customer, or the step that finds it.
    fn customer(&self) -> Result<String, Box<Plan>> {
        let settings = self.stock.settings;
        if let Some(document) = self.held.documents.first() {
            return Ok(document.customer_id.clone());
        }
        if let Some(customer) = &self.held.customer {
            return Ok(customer.id.clone());
        }
        let per_customer = settings.customer_mode == CustomerMode::PerCustomer;
        let customer = per_customer.then(|| customer_of(&settings.customers, self.view.payload)).flatten();
        let Some(customer) = customer else { return Ok(settings.house_customer.clone()) };
        let call = Call::Customer(call::Customer { customer });
        let held = self.held.clone();
        Err(Box::new(self.step(&call, Repeat::Safe, "customer", held)))
    }

    /// The step that makes products that lines name; none: they are there.
    fn products(&self, next: &Move) -> Option<Plan> {
        let Stock { settings, facts } = self.stock;
        let adjustment = &settings.products.adjustment;
        let lines = match next {
            Move::Post { lines, .. } | Move::Update { lines, .. } => lines.as_slice(),
            Move::Delete { .. } => return None,
        };
        let mut missing = self.target.missing.clone();
        let is_known = facts.has_product(&adjustment.code)
            || self.held.products.contains(&adjustment.code)
            || missing.iter().any(|missing| missing.code == adjustment.code);
        if adjustment.is_ours && !is_known && lines.iter().any(|line| line.code == adjustment.code) {
            missing.push(Missing::service(settings, adjustment));
        }
        missing.retain(|missing| lines.iter().any(|line| line.code == missing.code));
        if missing.is_empty() {
            return None;
        }
        let product = |missing: &Missing| call::Product {
            code: missing.code.clone(),
            guid: missing.guid.clone(),
            is_dish: missing.is_dish,
            body: body::product(missing),
        };
        let products = missing.iter().map(product).collect();
        let held = self.held.clone();
        Some(self.step(&Call::Products(call::Products { products }), Repeat::Safe, "products", held))
    }

    // ---- the end ---------------------------------------------------------------------------------------------------

    /// Lines are as they should be: what is due is completed.
    fn finish(self) -> Plan {
        let Some(at) = self.held.documents.iter().position(|one| one.stands() && one.is_open_order()) else {
            return self.ended();
        };
        let open = &self.held.documents[at];
        if open.edited {
            let detail = format!("{} was changed at Unleashed by hand: complete it there", open.number);
            return self.settled(Some((REMOTE_EDITED, Some(detail))));
        }
        let wait = match self.stock.settings.complete {
            Complete::Never => return self.ended(),
            Complete::Immediately => Duration::ZERO,
            // What came on top of a completed order follows it at once.
            Complete::After(_) if open.role == Role::Part => Duration::ZERO,
            Complete::After(wait) => {
                let made_at = open.made_at;
                let age = made_at.map(|at| (self.view.now - at).to_std().unwrap_or_default());
                age.map_or(Duration::ZERO, |age| wait.saturating_sub(age))
            }
        };
        if !wait.is_zero() {
            return Plan::wait(wait, WaitingFor::Shipment);
        }
        if let Some(plan) = self.refused(|step| step == name::COMPLETE) {
            return plan;
        }
        self.complete(at)
    }

    fn ended(self) -> Plan {
        let notice = self.notice();
        self.settled(notice)
    }

    /// The weightiest thing that a person should know.
    fn notice(&self) -> Option<(&'static str, Option<String>)> {
        if self.posts_nothing() {
            return Some((NOTHING_TO_POST, None));
        }
        if let Some(waiting) = self.held.standing().find(|document| document.status == Standing::Backordered) {
            let detail = format!("{} is backordered at Unleashed: too little is in stock", waiting.number);
            return Some((BACKORDERED, Some(detail)));
        }
        let of_this = |document: &&Document| document.version == self.view.version.0;
        let mut credits = self.held.standing().filter(|document| document.kind == DocumentKind::Credit).filter(of_this);
        let has_goods = |document: &Document| document.lines.iter().any(|line| line.units != 0);
        if let Some(credit) = credits.find(|document| has_goods(document))
            && !self.stock.settings.returns_to_stock
        {
            let detail = format!(
                "{} has goods on it: check at Unleashed whether they are in stock again, and set `returns_to_stock = true` \
                 where they always are",
                credit.told_number.as_ref().unwrap_or(&credit.number)
            );
            return Some((CHECK_STOCK, Some(detail)));
        }
        self.target.remarks.iter().find_map(|remark| match remark {
            Remark::Unexplained(minor) => {
                let detail = format!("its lines and its total differ by {minor} minor units, and nothing says why");
                Some(("unexplained", Some(detail)))
            }
            Remark::Goodwill(_) => Some(("goodwill", None)),
            Remark::UnknownItemType => Some(("unknown_item_type", None)),
            Remark::PaymentsCapped(_) | Remark::UnknownTender(_) => None,
        })
    }

    /// The version is brought, or as much of it as can be.
    fn settled(self, notice: Option<(&'static str, Option<String>)>) -> Plan {
        let held = Held {
            refusals: Vec::new(),
            currency: Some(self.target.currency),
            declared_minor: self.target.declared_minor,
            ..self.held
        };
        let alert = notice
            .as_ref()
            .and_then(|(cause, detail)| Some(Alert { cause, about: About::Order, detail: detail.clone()? }));
        let notice = notice.map(|(cause, _)| cause.to_owned());
        Plan::Settled(Receipt { notice, alert, ..held.known() })
    }

    fn on(&self, document: &Document) -> On {
        On {
            order_id: self.view.key.order.order_id.as_str().to_owned(),
            guid: document.guid.clone(),
            number: document.number.clone(),
        }
    }

    /// A step, with the receipt as it is once it is confirmed. `what` and the version tell its key from those of others.
    fn step(&self, call: &Call, repeat: Repeat, what: &str, held: Held) -> Plan {
        let key = &self.view.key;
        let body = call.written();
        let digest = hex::encode(Sha256::digest(&body));
        let parts = format!("{} | {} | {what} | {} | {digest}", key.sink, key.order, self.view.version);
        let version = self.view.version.0;
        let is_of_this_version = held.tried_for == Some(version);
        let stays = |refusal: &Refusal| is_of_this_version && refusal.step != call.name();
        let held = Held {
            currency: Some(self.target.currency),
            declared_minor: self.target.declared_minor,
            refusals: held.refusals.into_iter().filter(stays).collect(),
            tried_for: Some(version),
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

fn is_unfinished_credit(document: &Document) -> bool {
    document.kind == DocumentKind::Credit && document.status.is_open()
}

#[cfg(test)]
mod tests;
