//! The next step for one version, from the receipt alone. Pure.
//!
//! | What stands | What is wanted | Step |
//! | --- | --- | --- |
//! | nothing, or a void ticket | accepted | `open` the next one |
//! | a ticket that says something else, or that a repeatable step may have changed | accepted | `amend` it |
//! | a ticket not paid to the penny | accepted | `pay` the difference |
//! | a ticket | cancelled | `void` it |
//!
//! A step completes the version only where nothing can be owed after it whatever is answered: an amendment may learn
//! that its ticket is void.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::wire::{Line, Payment, Sale, TicketState, Void};
use crate::{
    domain::{
        delivery::{Plan, Receipt, Repeat, STANDS, SkipReason, Step},
        money::Money,
        order::{Item, Order, Status},
    },
    sinks::View,
};

pub const OPEN: &str = "open";
pub const AMEND: &str = "amend";
pub const PAY: &str = "pay";
pub const VOID: &str = "void";

/// What is known of the order's newest ticket, as the receipt keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// None while it is being opened, and after a person adopted it: then its id is the delivery's.
    pub ticket: Option<String>,
    /// Which ticket of the order, from 1.
    pub n: u32,
    /// Newest version that it is known to say.
    pub version: i64,
    pub total_minor: i64,
    pub paid_minor: i64,
    pub currency: String,
    pub state: TicketState,
    /// Of what it says, without the version's number.
    pub digest: String,
}

impl Held {
    pub fn is_standing(&self) -> bool {
        self.state == TicketState::Open
    }

    pub fn receipt(&self) -> Value {
        let mut receipt = serde_json::to_value(self).expect("plain data");
        let posted = if self.is_standing() { self.paid_minor } else { 0 };
        receipt[STANDS] = self.is_standing().into();
        receipt["money"] = json!({ "posted_minor": posted, "declared_minor": 0 });
        receipt
    }
}

/// Plans the one step that is next.
pub fn plan(view: &View<'_>) -> Plan {
    let held = match view.receipt.filter(|receipt| **receipt != json!({})) {
        None => None,
        Some(receipt) => match Held::deserialize(receipt) {
            Ok(held) => Some(Held { ticket: held.ticket.or_else(|| view.external_id.map(str::to_owned)), ..held }),
            Err(_) => return park("unreadable_receipt", "what stands at the till is not known: report it"),
        },
    };
    match view.order.status {
        Status::Cancelled => cancel(view, held),
        _ => bring(view, held),
    }
}

fn cancel(view: &View<'_>, held: Option<Held>) -> Plan {
    match held {
        // No step that could have opened a ticket is without a trace.
        None => Plan::skip(SkipReason::CancelledBeforeSent),
        Some(held) if held.is_standing() => {
            let reference = reference(view, held.n);
            Plan::Send(Step {
                name: VOID.to_owned(),
                key: format!("{reference}-void"),
                body: written(&Void { reference: &reference }),
                repeat: Repeat::Safe,
                completes: true,
                receipt: Some(Held { state: TicketState::Void, version: view.version.0, ..held }.receipt()),
            })
        }
        Some(held) => settled(view, held),
    }
}

fn bring(view: &View<'_>, held: Option<Held>) -> Plan {
    let Some(total) = view.order.total else {
        return park("total_missing", "the order has no total to ring up: it goes on by itself once a version has one");
    };
    if total.amount < 0 {
        return park("total_negative", "no ticket takes a negative total: ring it up by hand, then discard this");
    }
    let said = Said::of(view.order, total);
    let n_tickets = held.as_ref().map_or(0, |held| held.n);
    let Some(held) = held.filter(Held::is_standing) else {
        return open(view, n_tickets + 1, total, said);
    };
    if held.currency != total.currency.as_str() {
        return park("currency_changed", "a ticket keeps its currency: void it at the till, then retry this");
    }
    let may_be_otherwise = view.progress.sent.is_some_and(|sent| sent.0 > held.version);
    let is_untold = view.every_version && held.version != view.version.0;
    if said.digest != held.digest || may_be_otherwise || is_untold {
        return amend(view, held, total, said);
    }
    let owed = i128::from(total.amount) - i128::from(held.paid_minor);
    match i64::try_from(owed) {
        Ok(0) => settled(view, held),
        Ok(owed) => pay(view, held, total, owed),
        Err(_) => park("amount_too_large", "the payment does not fit: settle it at the till, then discard this"),
    }
}

fn open(view: &View<'_>, n: u32, total: Money, said: Said) -> Plan {
    let reference = reference(view, n);
    let held = Held {
        ticket: None,
        n,
        version: view.version.0,
        total_minor: total.amount,
        paid_minor: 0,
        currency: total.currency.to_string(),
        state: TicketState::Open,
        digest: said.digest.clone(),
    };
    Plan::Send(Step {
        name: OPEN.to_owned(),
        key: reference.clone(),
        body: said.sale(view, reference, total),
        repeat: Repeat::Never,
        completes: total.amount == 0,
        receipt: Some(held.receipt()),
    })
}

fn amend(view: &View<'_>, held: Held, total: Money, said: Said) -> Plan {
    let reference = reference(view, held.n);
    let amended = Held { version: view.version.0, total_minor: total.amount, digest: said.digest.clone(), ..held };
    Plan::Send(Step {
        name: AMEND.to_owned(),
        key: format!("{reference}-v{}-amend", view.version),
        body: said.sale(view, reference, total),
        repeat: Repeat::Safe,
        completes: false,
        receipt: Some(amended.receipt()),
    })
}

fn pay(view: &View<'_>, held: Held, total: Money, owed: i64) -> Plan {
    let reference = format!("{}-v{}", reference(view, held.n), view.version);
    let body = Payment { reference: reference.clone(), minor: owed, currency: total.currency.to_string() };
    Plan::Send(Step {
        name: PAY.to_owned(),
        key: reference,
        body: written(&body),
        repeat: Repeat::Never,
        completes: true,
        receipt: Some(Held { version: view.version.0, paid_minor: total.amount, ..held }.receipt()),
    })
}

/// The ticket says all of this version: from now on it counts as saying that one.
fn settled(view: &View<'_>, held: Held) -> Plan {
    let held = Held { version: view.version.0, ..held };
    Plan::Settled(Receipt { receipt: Some(held.receipt()), ..Receipt::default() })
}

fn park(reason: &'static str, hint: &str) -> Plan {
    Plan::Park { reason, hint: hint.to_owned(), curable: true }
}

/// What a ticket says of an order.
struct Said {
    lines: Vec<Line>,
    digest: String,
}

impl Said {
    fn of(order: &Order, total: Money) -> Self {
        let lines = lines(order, total);
        let told = written(&(&lines, total));
        Self { lines, digest: hex::encode(Sha256::digest(told)) }
    }

    fn sale(self, view: &View<'_>, reference: String, total: Money) -> String {
        written(&Sale {
            reference,
            order: order_name(view),
            version: view.version.0,
            lines: self.lines,
            total_minor: total.amount,
            currency: total.currency.to_string(),
        })
    }
}

/// What was supplied, the fees, and whatever else it takes to come to the total.
fn lines(order: &Order, total: Money) -> Vec<Line> {
    let fee = |name: &str, fee: Option<Money>| fee.map(|fee| (name.to_owned(), fee));
    let fees = [fee("delivery fee", order.delivery_fee), fee("service fee", order.service_fee)];
    let amounts = order.items.iter().filter_map(supplied).chain(fees.into_iter().flatten());
    let mut lines: Vec<Line> = amounts
        .filter(|(_, money)| money.currency == total.currency && money.amount != 0)
        .map(|(name, money)| Line { name, minor: money.amount })
        .collect();
    let sum: i128 = lines.iter().map(|line| i128::from(line.minor)).sum();
    match i64::try_from(i128::from(total.amount) - sum) {
        Ok(0) => {}
        Ok(missing) => lines.push(Line { name: "difference".to_owned(), minor: missing }),
        Err(_) => lines = vec![Line { name: "order".to_owned(), minor: total.amount }],
    }
    lines
}

fn supplied(item: &Item) -> Option<(String, Money)> {
    let price = item.unit_price()?.ok()?;
    let amount = price.checked_times(item.quantity_fulfilled?).ok()?;
    let name = item.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("item");
    Some((name.to_owned(), amount))
}

/// Finds the ticket again. At most 95 characters, so that a payment's reference keeps within the till's 120.
fn reference(view: &View<'_>, n: u32) -> String {
    let id = view.key.order.order_id.as_str();
    let is_plain = id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let id = if is_plain { id.to_owned() } else { hashed(id) };
    format!("scoffable-{}-{id}-{n}", view.key.order.source)
}

/// The till takes 200 characters, none of them a control character.
fn order_name(view: &View<'_>) -> String {
    let name = view.key.order.to_string();
    let fits = name.chars().count() <= 200 && !name.chars().any(char::is_control);
    if fits { name } else { format!("{}/{}", view.key.order.source, hashed(view.key.order.order_id.as_str())) }
}

/// Begins with a sign that no plain id has.
fn hashed(id: &str) -> String {
    format!(".{}", hex::encode(&Sha256::digest(id)[..16]))
}

/// The order that an `open` or `amend` is about.
pub fn order_of(step: &Step) -> Option<String> {
    serde_json::from_str::<Sale>(&step.body).ok().map(|sale| sale.order)
}

fn written(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("plain data")
}
