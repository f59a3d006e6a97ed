//! Steps that make sales, change them, take them back or return them.

use std::collections::BTreeMap;

use uuid::{Uuid, uuid};

use super::{Planner, called, park};
use crate::{
    domain::{
        delivery::{Plan, Repeat},
        money::Money,
        sale::Kind,
    },
    sinks::lightspeed::{
        call::{self, Call},
        receipt::{self, Document, Sale},
        target::Line,
        wire::{LineBody, PaymentBody, SaleBody, State},
    },
};

/// Of all names that ids follow from: version 5 of the URL namespace and the address of the order stream.
const NAMESPACE: Uuid = uuid!("df43840a-ad1b-55b9-b6cb-4d065c5dd5af");

/// The id of an order's sale, counted from 1. `order` names it among all orders: its id, behind an account's where there are
/// several.
pub(super) fn sale_id(order: &str, revision: usize) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("order:{order}:sale:{revision}").as_bytes())
}

impl Planner<'_> {
    /// A new sale.
    pub(super) fn post(self, lines: &[Line], payments: BTreeMap<String, i64>) -> Plan {
        let Some(place) = self.place else {
            return park("no_register", "no register is known for its vendor: add it to `vendors`, then retry", true);
        };
        if let Some(plan) = self.resolve(lines) {
            return plan;
        }
        let is_whole = payments == self.target.payments;
        let state = if is_whole { self.target.state } else { State::Closed };
        let revision = self.held.revisions() + 1;
        let id = sale_id(&self.order_name(), revision).to_string();
        let number = self.number(&place.register_id, revision);
        let author_id = place.author_id.as_ref().unwrap_or(&self.shop.settings.author_id).clone();
        let sale = Sale {
            document: Document::Sale,
            id: Some(id.clone()),
            number,
            of: None,
            version: self.view.version.0,
            register_id: place.register_id.clone(),
            date: self.target.date,
            state,
            lines: Vec::new(),
            payments,
            told_minor: None,
            mark: None,
            opening: None,
            edited: false,
        };
        let (sale, body) = match self.filled(sale, lines, author_id) {
            Ok(filled) => filled,
            Err(plan) => return *plan,
        };
        let post =
            call::Post { total_minor: sale.gross_minor(), currency: self.target.currency, sale: body, before: None };
        let mut held = self.held.clone();
        held.sales.push(sale);
        held.read = None;
        self.step(&Call::Sale(post), Repeat::Never, held)
    }

    /// An open sale with all that it says anew.
    pub(super) fn update(self, at: usize) -> Plan {
        if let Some(plan) = self.resolve(&self.target.lines) {
            return plan;
        }
        let before = self.held.sales[at].clone();
        let author_id = self.place.and_then(|place| place.author_id.as_ref());
        let author_id = author_id.unwrap_or(&self.shop.settings.author_id).clone();
        let changed = Sale {
            version: self.view.version.0,
            state: self.target.state,
            payments: self.target.payments.clone(),
            told_minor: None,
            ..before.clone()
        };
        let (changed, body) = match self.filled(changed, &self.target.lines, author_id) {
            Ok(filled) => filled,
            Err(plan) => return *plan,
        };
        let post = call::Post {
            total_minor: changed.gross_minor(),
            currency: self.target.currency,
            sale: body,
            before: Some(before),
        };
        let mut held = self.held.clone();
        held.sales[at] = changed;
        held.read = None;
        held.corrections_avoided += 1;
        self.step(&Call::Update(post), Repeat::Never, held)
    }

    pub(super) fn void(self, at: usize) -> Plan {
        let before = self.held.sales[at].clone();
        let Some(id) = before.id.clone() else { return unknown_id(&before) };
        let mut held = self.held.clone();
        held.sales[at].state = State::Voided;
        held.sales[at].version = self.view.version.0;
        let change = call::Change { id, currency: self.target.currency, before };
        self.step(&Call::Void(change), Repeat::Never, held)
    }

    /// The shop makes a return of all of a sale, which is cut down to what is given back once it is there.
    pub(super) fn begin_return(self, at: usize, lines: Vec<receipt::Line>, payments: BTreeMap<String, i64>) -> Plan {
        let original = self.held.sales[at].clone();
        let Some(id) = original.id.clone() else { return unknown_id(&original) };
        let mut held = self.held.clone();
        // What moves with the return is our own doing.
        held.sales[at].mark = None;
        held.sales.push(Sale {
            document: Document::Return,
            id: None,
            number: String::new(),
            of: Some(id.clone()),
            version: self.view.version.0,
            state: State::Parked,
            lines,
            payments,
            told_minor: None,
            mark: None,
            opening: None,
            edited: false,
            register_id: original.register_id.clone(),
            date: original.date,
        });
        let change = call::Change { id, currency: self.target.currency, before: original };
        self.step(&Call::BeginReturn(change), Repeat::Never, held)
    }

    pub(super) fn finish_return(self, at: usize) -> Plan {
        let before = self.held.sales[at].clone();
        let Some(id) = before.id.clone() else { return unknown_id(&before) };
        let line = |line: &receipt::Line| LineBody {
            id: None,
            product_id: line.product_id.clone(),
            quantity: line.quantity,
            price: line.price.clone(),
            tax_id: line.tax_id.clone(),
            tax: line.tax.clone(),
            note: None,
        };
        let money = |minor: i64| Money::new(minor, self.target.currency);
        let finish = call::Finish {
            id,
            currency: self.target.currency,
            total_minor: before.gross_minor(),
            lines: before.lines.iter().map(line).collect(),
            payments: before.payments.iter().map(|(id, minor)| PaymentBody::new(id, money(*minor))).collect(),
            before,
        };
        let mut held = self.held.clone();
        held.sales[at].state = State::Closed;
        held.sales[at].version = self.view.version.0;
        for original in held.sales.iter_mut().filter(|sale| sale.id.is_some() && sale.id == finish.before.of) {
            original.mark = None;
        }
        self.step(&Call::FinishReturn(finish), Repeat::Never, held)
    }

    /// A sale with its lines, and the same as it goes out.
    fn filled(&self, sale: Sale, lines: &[Line], author_id: String) -> Result<(Sale, SaleBody), Box<Plan>> {
        let mut sale = Sale { lines: Vec::new(), ..sale };
        let mut bodies = Vec::new();
        for line in lines {
            let Some(product) = self.product(line) else {
                return Err(Box::new(park(super::PRODUCT_MISSING, "a product is not known: retry it", true)));
            };
            bodies.push(LineBody {
                id: None,
                product_id: product.id.clone(),
                quantity: line.quantity,
                price: line.price(),
                tax_id: line.tax_id.clone(),
                tax: line.tax(),
                note: note(line, product.generic),
            });
            sale.lines.push(receipt::Line {
                kind: line.kind,
                key: line.key.clone(),
                quantity: line.quantity,
                unit_minor: line.unit_minor,
                product_id: product.id,
                tax_id: line.tax_id.clone(),
                price: line.price(),
                tax: line.tax(),
            });
        }
        let customer_id = self.customer().unwrap_or_default();
        if sale.state == State::Pending && customer_id.is_none() {
            let hint = "it is not paid in full, and there is no customer on whose account the rest could stay: name one in \
                        `house_customer`, then retry";
            return Err(Box::new(park("customer_missing", hint, true)));
        }
        let order_id = self.view.key.order.order_id.as_str();
        let mut text = format!("Scoffable {order_id} v{}", self.view.version);
        if self.target.distributed_minor != 0 {
            text = format!("{text}; discounts of {} are in the prices", self.shown(self.target.distributed_minor));
        }
        // As the order has them; others, of parts of it, after.
        let known = self.target.payment_order.iter().filter_map(|id| sale.payments.get_key_value(id));
        let others = sale.payments.iter().filter(|(id, _)| !self.target.payment_order.contains(id));
        let money = |minor: i64| Money::new(minor, self.target.currency);
        let body = SaleBody {
            id: sale.id.clone().unwrap_or_default(),
            register_id: sale.register_id.clone(),
            author_id,
            order_id: order_id.to_owned(),
            state: sale.state,
            attributes: self.target.attributes.iter().filter(|_| sale.state == self.target.state).cloned().collect(),
            date: sale.date,
            customer_id,
            invoice_number: sale.number.clone(),
            note: text,
            lines: bodies,
            payments: known.chain(others).map(|(id, minor)| PaymentBody::new(id, money(*minor))).collect(),
        };
        Ok((sale, body))
    }

    /// Among the orders of all accounts.
    fn order_name(&self) -> String {
        let key = &self.view.key.order;
        match self.shop.settings.accounts.get(&key.source) {
            Some(account) => format!("{account}/{}", key.order_id),
            None => key.order_id.to_string(),
        }
    }

    /// Numbers are never used again, not even those of sales that were taken back.
    fn number(&self, register_id: &str, revision: usize) -> String {
        let order_id = &self.view.key.order.order_id;
        let number = if revision == 1 { format!("SCF-{order_id}") } else { format!("SCF-{order_id}-R{revision}") };
        let register = self.shop.facts.registers.get(register_id).filter(|_| self.shop.settings.use_register_affixes);
        register.map_or_else(|| number.clone(), |register| format!("{}{number}{}", register.prefix, register.suffix))
    }
}

/// What a line says beside its product; where that stands for all dishes that have none, also which dish it is.
fn note(line: &Line, is_generic: bool) -> Option<String> {
    let says_name = line.kind == Kind::Other || is_generic;
    let name = says_name.then_some(line.name.as_str());
    let parts: Vec<&str> = name.into_iter().chain(line.notes.iter().map(String::as_str)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn unknown_id(sale: &Sale) -> Plan {
    park(
        "sale_id_missing",
        format!("the shop's id of {} is not known: correct it there by hand, then discard this", called(sale)),
        false,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_the_order_as_the_documentation_of_this_sink_has_them() {
        assert_eq!(sale_id("812345", 1).to_string(), "b05927e1-1c5b-55cc-8bd1-8e990aef7862");
        assert_eq!(sale_id("812345", 2).to_string(), "b046ce5c-825d-5c23-9f4c-58e17ee88410");
        let line = Uuid::new_v5(&NAMESPACE, b"order:812345:sale:1:line:0");
        assert_eq!(line.to_string(), "c4969fdb-a5c0-5797-a9cf-62c595df3f3e");
        let source = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://partners-api.scoffable.com/");
        assert_eq!(source, NAMESPACE);
        assert_ne!(sale_id("north/1", 1), sale_id("south/1", 1));
    }
}
