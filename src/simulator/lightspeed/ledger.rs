//! What stands in the shop for each Scoffable order, what stands there twice, and how the client behaved.
//!
//! A *family* are all sales of one order: those that name it as their source, those whose invoice number tells it, and the
//! returns of these. What stands of it are its closed sales and those on account, returns with their negative amounts.

mod compare;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use self::compare::Tenders;
use super::{
    amount::{Fine, Pence},
    route::Operation,
    store::{Sale, Store},
};
use crate::simulator::conduct::{InFlight, Violations, Working};

/// What a correct client never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "violation")]
pub enum Violation {
    /// A write was asked for while another one of the same Scoffable order was being worked on.
    SideBySide {
        order: String,
        operation: Operation,
        running: Operation,
    },
    /// A sale that tells no order.
    ForeignSource {
        sale: String,
    },
    /// A sale was posted under an id that nobody had looked for since it was posted last.
    PostedBlindly {
        sale: String,
    },
    /// A new sale without an id: nobody can find out whether it came.
    NoSaleId,
    /// A new sale under an id that is taken.
    Reposted {
        sale: String,
    },
    /// A sale was voided with other lines or payments than it has.
    VoidedInPart {
        sale: String,
    },
    /// A sale was voided after the opening it was closed in.
    VoidedAfterClosing {
        sale: String,
    },
    /// A return that also sells something.
    ReplacementInReturn {
        sale: String,
    },
    /// Details of a customer were overwritten.
    CustomerUpdated {
        customer: String,
    },
    CustomerDeleted {
        customer: String,
    },
    ProductDeleted {
        product: String,
    },
    /// A count of stock was made up.
    StockInvented {
        product: String,
    },
    /// Something that nobody knows was asked for, and ignored without a word.
    IgnoredParameter {
        name: String,
    },
    /// A call without a bearer token. One that has expired is no violation.
    NoToken,
    NoUserAgent,
    Malformed {
        reason: String,
    },
}

/// What stands twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "doubled")]
pub enum Doubled {
    /// A sale of the same lines as one that stands, all of which was not taken back before.
    Sale { order: String, sale: String },
    /// More was returned than had been sold.
    Return { order: String, sale: String },
}

impl Doubled {
    /// The Scoffable order.
    pub fn order(&self) -> &str {
        match self {
            Self::Sale { order, .. } | Self::Return { order, .. } => order,
        }
    }
}

/// How the client used the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Let in and well-formed.
    pub reads: u64,
    pub writes: u64,
    /// Answers other than 2xx, by status.
    pub refused: BTreeMap<u16, u64>,
    /// The largest body, in bytes.
    pub largest_body: usize,
}

/// What stands of an order, without tenders that come to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    pub total: Pence,
    /// By payment type.
    pub tenders: BTreeMap<String, Pence>,
}

#[derive(Debug)]
pub struct Ledger {
    /// Of invoice numbers.
    prefix: String,
    /// What sales are from.
    source: String,
    pub(super) store: Store,
    /// Ids that were looked for and not posted since.
    looked_for: BTreeSet<String>,
    doubled: Vec<Doubled>,
    violations: Violations<Violation>,
    in_flight: InFlight<String, Operation>,
    pub(super) calls: Calls,
}

impl Ledger {
    pub(super) fn new(prefix: String, source: String, store: Store) -> Self {
        Self {
            prefix,
            source,
            store,
            looked_for: BTreeSet::new(),
            doubled: Vec::new(),
            violations: Violations::default(),
            in_flight: InFlight::default(),
            calls: Calls::default(),
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// For a person at work in the shop.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// A write about an order is being worked on until the returned value is dropped.
    pub(super) fn enter(&mut self, order: String, operation: Operation) -> Working<String, Operation> {
        let (working, running) = self.in_flight.enter(order.clone(), operation);
        if let Some(running) = running {
            self.violate(Violation::SideBySide { order, operation, running });
        }
        working
    }

    /// How many writes about an order are being worked on.
    pub fn running(&self, order: &str) -> usize {
        self.in_flight.count(order)
    }

    pub(super) fn violate(&mut self, violation: Violation) {
        self.violations.add(violation);
    }

    pub fn violations(&self) -> &[Violation] {
        self.violations.kept()
    }

    /// All violations, also those no longer kept.
    pub fn n_violations(&self) -> usize {
        self.violations.count()
    }

    pub fn doubled(&self) -> &[Doubled] {
        &self.doubled
    }

    /// Somebody asked for a sale, which is there or not.
    pub(super) fn was_looked_for(&mut self, id: &str) {
        self.looked_for.insert(id.to_ascii_lowercase());
    }

    /// A new sale is about to be kept under this id.
    pub(super) fn is_posted(&mut self, id: Option<&str>) {
        let Some(id) = id else {
            self.violate(Violation::NoSaleId);
            return;
        };
        if !self.looked_for.remove(&id.to_ascii_lowercase()) {
            self.violate(Violation::PostedBlindly { sale: id.to_owned() });
        }
        if self.store.sale(id).is_some() {
            self.violate(Violation::Reposted { sale: id.to_owned() });
        }
    }

    /// A sale is about to be voided by a body with these lines and payments; none where it leaves them out.
    pub(super) fn is_voided(&mut self, at: usize, n_lines: Option<usize>, n_payments: Option<usize>) {
        let sale = &self.store.sales()[at];
        let is_whole =
            n_lines.is_none_or(|n| n == sale.lines.len()) && n_payments.is_none_or(|n| n == sale.payments.len());
        let (id, is_late) = (sale.id.clone(), self.store.is_after_closing(sale));
        if !is_whole {
            self.violate(Violation::VoidedInPart { sale: id.clone() });
        }
        if is_late {
            self.violate(Violation::VoidedAfterClosing { sale: id });
        }
    }

    /// Notes a sale that was just created or changed, and whether it stood before.
    pub(super) fn was_kept(&mut self, at: usize, stood_before: bool) {
        let sale = &self.store.sales()[at];
        let id = sale.id.clone();
        let mut found = Vec::new();
        let order = self.order_of(sale);
        if order.is_none() {
            found.push(Violation::ForeignSource { sale: id.clone() });
        }
        if sale.is_return() && sale.lines.iter().any(|line| line.quantity > Fine::ZERO) {
            found.push(Violation::ReplacementInReturn { sale: id.clone() });
        }
        let is_newly_standing = sale.stands() && !stood_before;
        let doubled = order.filter(|_| is_newly_standing).and_then(|order| self.doubled_by(sale, order));
        self.doubled.extend(doubled);
        for violation in found {
            self.violate(violation);
        }
    }

    fn doubled_by(&self, sale: &Sale, order: String) -> Option<Doubled> {
        let others: Vec<&Sale> = self.standing_sales(&order).filter(|one| one.id != sale.id).collect();
        let before: Pence = others.iter().map(|one| one.gross()).sum();
        let id = sale.id.clone();
        if sale.is_return() {
            let is_too_much = before >= Pence::ZERO && before + sale.gross() < Pence::ZERO;
            return is_too_much.then_some(Doubled::Return { order, sale: id });
        }
        let is_again = others.iter().any(|one| !one.is_return() && essence(one) == essence(sale));
        let is_there = sale.gross() > Pence::ZERO && before >= sale.gross();
        (is_again && is_there).then_some(Doubled::Sale { order, sale: id })
    }

    /// The Scoffable order a sale is of.
    pub(super) fn order_of(&self, sale: &Sale) -> Option<String> {
        if let Some(original) = &sale.return_for {
            return self.order_of(self.store.sale(original)?);
        }
        if sale.source_type == self.source
            && let Some(id) = &sale.source_id
        {
            return Some(id.clone());
        }
        let register = self.store.register(&sale.register_id)?;
        let number = sale.invoice_number.as_str();
        let number = number.strip_prefix(&register.invoice_prefix).unwrap_or(number);
        let number = number.strip_suffix(&register.invoice_suffix).unwrap_or(number);
        order_in(number, &self.prefix)
    }

    /// All sales of an order ever, with their returns.
    pub fn sales_of<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a Sale> {
        self.store.sales().iter().filter(move |sale| self.order_of(sale).as_deref() == Some(order))
    }

    fn standing_sales<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a Sale> {
        self.sales_of(order).filter(|sale| sale.stands())
    }

    /// Orders of which there was ever a sale.
    pub fn orders(&self) -> BTreeSet<String> {
        self.store.sales().iter().filter_map(|sale| self.order_of(sale)).collect()
    }

    /// What stands of an order.
    pub fn standing(&self, order: &str) -> Standing {
        let mut standing = Standing::default();
        for sale in self.standing_sales(order) {
            standing.total += sale.gross();
            for payment in &sale.payments {
                *standing.tenders.entry(payment.type_id.clone()).or_default() += payment.amount.pence();
            }
        }
        standing.tenders.retain(|_, amount| *amount != Pence::ZERO);
        standing
    }
}

/// What is sold, in no order.
fn essence(sale: &Sale) -> BTreeMap<(&str, Fine, Fine), Fine> {
    let mut all = BTreeMap::new();
    for line in &sale.lines {
        *all.entry((line.product_id.as_str(), line.price, line.tax)).or_default() += line.quantity;
    }
    all
}

/// `SCF-812345`, or `SCF-812345-R2`; an order's id may have hyphens itself.
fn order_in(number: &str, prefix: &str) -> Option<String> {
    let rest = number.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
    let is_revision = |suffix: &str| {
        let digits = suffix.strip_prefix(|letter: char| letter.is_ascii_uppercase()).unwrap_or_default();
        !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match rest.rsplit_once('-') {
        Some((order, suffix)) if is_revision(suffix) && !order.is_empty() => Some(order.to_owned()),
        _ => Some(rest.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_found_in_an_invoice_number_whatever_hyphens_it_has() {
        let of = |number| order_in(number, "SCF-");

        assert_eq!(of("SCF-812345"), Some("812345".to_owned()));
        assert_eq!(of("SCF-so-1a2b-000003"), Some("so-1a2b-000003".to_owned()));
        assert_eq!(of("SCF-so-1a2b-000003-R2"), Some("so-1a2b-000003".to_owned()));
        assert_eq!([of("OM-17"), of("SCF-")], [None, None]);
    }
}
