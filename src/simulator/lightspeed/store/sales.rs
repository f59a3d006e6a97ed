//! Sales: what is checked before one is kept, and what it does to the stock.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Desk, Refused, Store};
use crate::simulator::lightspeed::{
    amount::{Fine, Pence},
    body::{LineBody, PaymentBody, SaleBody},
    route::Generation,
    rules::{LeftOut, Reposted},
    text::masked,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Parked,
    Pending,
    Closed,
    Voided,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Pending => "pending",
            Self::Closed => "closed",
            Self::Voided => "voided",
        }
    }

    pub(in super::super) fn named(name: &str) -> Option<Self> {
        [Self::Parked, Self::Pending, Self::Closed, Self::Voided].into_iter().find(|state| state.name() == name)
    }

    /// What a status of the older APIs means. Source: Lightspeed, "Sales states and attributes".
    pub(in super::super) fn of_status(status: &str) -> Option<(Self, Option<Attribute>)> {
        let found = STATUSES.into_iter().find(|(name, _, _)| *name == status);
        found.map(|(_, state, attribute)| (state, attribute))
    }
}

const STATUSES: [(&str, State, Option<Attribute>); 12] = [
    ("SAVED", State::Parked, None),
    ("OPEN", State::Pending, None),
    ("CLOSED", State::Closed, None),
    ("VOIDED", State::Voided, None),
    ("ONACCOUNT", State::Pending, Some(Attribute::OnAccount)),
    ("ONACCOUNT_CLOSED", State::Closed, Some(Attribute::OnAccount)),
    ("LAYBY", State::Pending, Some(Attribute::Layby)),
    ("LAYBY_CLOSED", State::Closed, Some(Attribute::Layby)),
    ("AWAITING_DISPATCH", State::Pending, Some(Attribute::Delivery)),
    ("DISPATCHED_CLOSED", State::Closed, Some(Attribute::Delivery)),
    ("AWAITING_PICKUP", State::Pending, Some(Attribute::Pickup)),
    ("PICKED_UP_CLOSED", State::Closed, Some(Attribute::Pickup)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Attribute {
    OnAccount,
    Layby,
    Delivery,
    Pickup,
}

impl Attribute {
    pub(in super::super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "onaccount" => Self::OnAccount,
            "layby" => Self::Layby,
            "delivery" => Self::Delivery,
            "pickup" => Self::Pickup,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    pub product_id: String,
    pub quantity: Fine,
    /// Of one, without tax.
    pub price: Fine,
    pub tax_id: String,
    /// Of one.
    pub tax: Fine,
    pub cost: Fine,
    pub discount: Fine,
    pub loyalty: Fine,
    pub note: Option<String>,
    pub is_price_set: bool,
    pub sequence: i64,
}

impl Line {
    pub fn is_return(&self) -> bool {
        self.quantity < Fine::ZERO
    }

    pub fn price_total(&self) -> Fine {
        self.quantity.times(self.price)
    }

    pub fn tax_total(&self) -> Fine {
        self.quantity.times(self.tax)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: String,
    /// Of the shop, not the global one.
    pub type_id: String,
    pub amount: Fine,
    pub date: DateTime<Utc>,
    pub register_id: String,
    /// Of the opening in which it was taken.
    pub open_sequence_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub price: Fine,
    pub tax: Fine,
}

impl Totals {
    pub fn with_tax(self) -> Fine {
        self.price + self.tax
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    pub id: String,
    pub source_type: String,
    pub source_id: Option<String>,
    pub author_id: String,
    pub register_id: String,
    pub outlet_id: String,
    pub state: State,
    pub attributes: Vec<Attribute>,
    pub date: DateTime<Utc>,
    pub customer_id: Option<String>,
    pub invoice_number: String,
    pub note: String,
    pub short_code: String,
    pub lines: Vec<Line>,
    pub payments: Vec<Payment>,
    /// The sale that this is a return of.
    pub return_for: Option<String>,
    /// Returns of this sale.
    pub return_ids: Vec<String>,
    /// The opening in which it was closed; none where the register was not open, or it never was closed.
    pub open_sequence_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub version: u64,
}

impl Sale {
    pub fn totals(&self) -> Totals {
        Totals {
            price: self.lines.iter().map(Line::price_total).sum(),
            tax: self.lines.iter().map(Line::tax_total).sum(),
        }
    }

    /// What the customer pays, or gets back.
    pub fn gross(&self) -> Pence {
        self.totals().with_tax().pence()
    }

    pub fn paid(&self) -> Pence {
        self.payments.iter().map(|payment| payment.amount).sum::<Fine>().pence()
    }

    /// It counts for the shop's takings: closed, or on account.
    pub fn stands(&self) -> bool {
        match self.state {
            State::Closed => true,
            State::Pending => self.attributes.contains(&Attribute::OnAccount),
            State::Parked | State::Voided => false,
        }
    }

    pub fn is_return(&self) -> bool {
        self.return_for.is_some()
    }

    /// In the words of the older APIs.
    pub(in super::super) fn status(&self) -> &'static str {
        let of = |attribute: Option<Attribute>| {
            let mut all = STATUSES.into_iter();
            all.find(|(_, state, one)| *state == self.state && *one == attribute).map(|(name, _, _)| name)
        };
        let mut named = self.attributes.iter().filter_map(|attribute| of(Some(*attribute)));
        named.next().or_else(|| of(None)).expect("every state has a status")
    }
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Saved {
    pub at: usize,
    pub is_new: bool,
}

impl Store {
    /// In the dated dialect.
    pub(in super::super) fn create_sale(&mut self, body: &SaleBody, desk: Desk<'_>) -> Result<Saved, Refused> {
        let taken = body.id.as_deref().and_then(|id| self.sale_place(id));
        match (taken, desk.rules.reposted) {
            (None, _) => self.keep_sale(body, None, body.id.clone(), desk),
            (Some(_), Reposted::Refused) => Err(Refused::conflict("a sale with this id is there already")),
            (Some(at), Reposted::Updates) => self.keep_sale(body, Some(at), None, desk),
            (Some(_), Reposted::Doubles) => self.keep_sale(body, None, None, desk),
        }
    }

    /// In the legacy dialect: what has a known id is changed.
    pub(in super::super) fn save_sale(&mut self, body: &SaleBody, desk: Desk<'_>) -> Result<Saved, Refused> {
        let at = body.id.as_deref().and_then(|id| self.sale_place(id));
        self.keep_sale(body, at, body.id.clone(), desk)
    }

    pub(in super::super) fn update_sale(
        &mut self,
        id: &str,
        body: &SaleBody,
        desk: Desk<'_>,
    ) -> Result<Saved, Refused> {
        let at = self.sale_place(id).ok_or_else(|| Refused::missing("sale", id))?;
        self.keep_sale(body, Some(at), None, desk)
    }

    fn keep_sale(
        &mut self,
        body: &SaleBody,
        at: Option<usize>,
        id: Option<String>,
        desk: Desk<'_>,
    ) -> Result<Saved, Refused> {
        let before = at.map(|at| self.sales[at].clone());
        let wanted = |was: Option<State>| body.states.iter().copied().find(|state| Some(*state) != was).or(was);
        let state = wanted(before.as_ref().map(|sale| sale.state)).expect("a body names a state");
        if let (Some(at), Some(before)) = (at, &before) {
            match (before.state, state) {
                (State::Voided, _) => return Err(Refused::conflict("the sale is voided")),
                (State::Closed, State::Voided) => {
                    self.check_voiding(before, desk)?;
                    self.change(at, desk.now, |sale| sale.state = State::Voided);
                    return Ok(Saved { at, is_new: false });
                }
                (State::Closed, _) => return Err(Refused::conflict("a closed sale can only be voided")),
                (State::Parked | State::Pending, _) => {}
            }
        }
        let sale = self.drafted(body, before.as_ref(), state, id, desk)?;
        self.check_sale(&sale, desk)?;
        let closes_return = sale.state == State::Closed && sale.is_return();
        let (own_id, original) = (sale.id.clone(), sale.return_for.clone());
        let saved = match at {
            Some(at) => {
                self.change(at, desk.now, |kept| *kept = sale);
                Saved { at, is_new: false }
            }
            None => Saved { at: self.add_sale(sale), is_new: true },
        };
        if let (true, Some(original)) = (closes_return, original) {
            self.void_other_returns(&original, &own_id, desk);
        }
        Ok(saved)
    }

    fn check_voiding(&self, sale: &Sale, desk: Desk<'_>) -> Result<(), Refused> {
        if !desk.rules.voids_after_closing && self.is_after_closing(sale) {
            return Err(Refused::wrong("the register was closed since"));
        }
        Ok(())
    }

    /// The opening is over in which the sale was closed.
    pub(in super::super) fn is_after_closing(&self, sale: &Sale) -> bool {
        let opening = self.register(&sale.register_id).and_then(|register| register.open_sequence_id.as_ref());
        sale.open_sequence_id.is_some() && opening != sale.open_sequence_id.as_ref()
    }

    pub(super) fn add_sale(&mut self, mut sale: Sale) -> usize {
        sale.version = self.next_version();
        self.apply_stock(&sale, Fine(-Fine::ONE.0));
        self.sales.push(sale);
        self.sales.len() - 1
    }

    /// Changes a sale, and the stock with it.
    pub(super) fn change(&mut self, at: usize, now: DateTime<Utc>, change: impl FnOnce(&mut Sale)) {
        let before = self.sales[at].clone();
        change(&mut self.sales[at]);
        self.sales[at].version = self.next_version();
        self.sales[at].updated_at = now;
        let after = self.sales[at].clone();
        if before.stands() != after.stands() || before.lines != after.lines {
            self.apply_stock(&before, Fine::ONE);
            self.apply_stock(&after, Fine(-Fine::ONE.0));
        }
    }

    /// Source: Lightspeed, "Sales statuses": closed sales and those on account lower the stock.
    fn apply_stock(&mut self, sale: &Sale, sign: Fine) {
        if sale.stands() {
            for line in &sale.lines {
                self.move_stock(&line.product_id, &sale.outlet_id, line.quantity.times(sign));
            }
        }
    }

    /// The sale as it would be kept.
    fn drafted(
        &mut self,
        body: &SaleBody,
        before: Option<&Sale>,
        state: State,
        id: Option<String>,
        desk: Desk<'_>,
    ) -> Result<Sale, Refused> {
        if let Some(id) = &id
            && uuid::Uuid::try_parse(id).is_err()
        {
            return Err(Refused { status: StatusCode::BAD_REQUEST, reason: format!("{id} is no UUID") });
        }
        let author_id = body.author_id.clone().ok_or_else(|| Refused::wrong("the user is missing"))?;
        let is_user = self.shop.users.iter().any(|user| user.id == author_id && !user.is_deleted);
        if !is_user {
            return Err(Refused::wrong(format!("there is no user {author_id}")));
        }
        // Assumed: without a register it is the first that is there.
        let register_id = body.register_id.clone().or_else(|| before.map(|sale| sale.register_id.clone()));
        let register = match &register_id {
            Some(id) => self.register_place(id)?,
            None => self.registers.iter().position(|register| register.deleted_at.is_none()).unwrap_or_default(),
        };
        if let Some(customer) = &body.customer_id {
            self.customer_place(customer)?;
        }
        let keeps = |is_left_out: bool| match desk.generation {
            Generation::Legacy => false,
            Generation::Semantic | Generation::Dated(_) => is_left_out && desk.rules.left_out == LeftOut::Kept,
        };
        let (old_lines, old_payments) =
            before.map(|sale| (sale.lines.clone(), sale.payments.clone())).unwrap_or_default();
        let lines = match &body.lines {
            None if keeps(true) => old_lines,
            lines => self.drafted_lines(lines.as_deref().unwrap_or_default(), &old_lines, before.is_some(), desk)?,
        };
        let payments = match &body.payments {
            None if keeps(true) => old_payments,
            payments => {
                self.drafted_payments(payments.as_deref().unwrap_or_default(), &old_payments, register, desk)?
            }
        };
        let invoice_number =
            match body.invoice_number.clone().or_else(|| before.map(|sale| sale.invoice_number.clone())) {
                Some(number) => number,
                None => self.next_invoice_number(register),
            };
        let own = before.map(|sale| sale.id.as_str());
        let is_taken =
            || self.sales.iter().any(|sale| sale.invoice_number == invoice_number && Some(sale.id.as_str()) != own);
        if desk.rules.unique_invoice_numbers && is_taken() {
            return Err(Refused::wrong(format!("invoice_number {invoice_number} is taken")));
        }
        let closes = state == State::Closed && before.is_none_or(|sale| sale.state != State::Closed);
        let place = &self.registers[register];
        let (outlet_id, register_id) = (place.outlet_id.clone(), place.id.clone());
        let opening = place.open_sequence_id.clone();
        let short_code = body.short_code.clone().or_else(|| before.map(|sale| sale.short_code.clone()));
        let id = match (before, id) {
            (Some(before), _) => before.id.clone(),
            (None, Some(id)) => id.to_ascii_lowercase(),
            (None, None) => self.new_id("sale"),
        };
        let kept = before.cloned();
        let kept = kept.as_ref();
        Ok(Sale {
            source_type: body
                .source_type
                .clone()
                .or_else(|| kept.map(|sale| sale.source_type.clone()))
                .unwrap_or_else(|| "USER".to_owned()),
            source_id: body.source_id.clone().or_else(|| kept.and_then(|sale| sale.source_id.clone())),
            author_id,
            register_id,
            outlet_id,
            state,
            attributes: body
                .attributes
                .clone()
                .or_else(|| kept.map(|sale| sale.attributes.clone()))
                .unwrap_or_default(),
            date: body.date.or_else(|| kept.map(|sale| sale.date)).unwrap_or(desk.now),
            customer_id: body.customer_id.clone().or_else(|| kept.and_then(|sale| sale.customer_id.clone())),
            invoice_number,
            note: masked(body.note.as_deref().or_else(|| kept.map(|sale| sale.note.as_str())).unwrap_or_default()),
            short_code: short_code.unwrap_or_else(|| id[..6].to_owned()),
            lines,
            payments,
            return_for: kept.and_then(|sale| sale.return_for.clone()),
            return_ids: kept.map(|sale| sale.return_ids.clone()).unwrap_or_default(),
            open_sequence_id: if closes { opening } else { None },
            created_at: kept.map_or(desk.now, |sale| sale.created_at),
            updated_at: desk.now,
            version: 0,
            id,
        })
    }

    fn drafted_lines(
        &mut self,
        lines: &[LineBody],
        old: &[Line],
        is_update: bool,
        desk: Desk<'_>,
    ) -> Result<Vec<Line>, Refused> {
        let mut drafted = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            self.product_place(&line.product_id)?;
            self.tax(&line.tax_id)?;
            let id = match &line.id {
                // Source: an id of a line in the body of a new sale means "change that line". Assumed: that is refused.
                Some(id) if !is_update || !old.iter().any(|one| one.id == *id) => {
                    return Err(Refused::wrong(format!("the sale has no line {id}")));
                }
                Some(id) => id.clone(),
                None => self.new_id("line"),
            };
            drafted.push(Line {
                id,
                product_id: line.product_id.clone(),
                quantity: line.quantity,
                price: line.price.rounded(desk.rules.places),
                tax_id: line.tax_id.clone(),
                tax: line.tax.rounded(desk.rules.places),
                cost: line.cost,
                discount: line.discount,
                loyalty: line.loyalty,
                note: line.note.as_deref().map(masked),
                is_price_set: line.is_price_set,
                sequence: line.sequence.unwrap_or(at as i64),
            });
        }
        Ok(drafted)
    }

    fn drafted_payments(
        &mut self,
        payments: &[PaymentBody],
        old: &[Payment],
        register: usize,
        desk: Desk<'_>,
    ) -> Result<Vec<Payment>, Refused> {
        let mut drafted = Vec::new();
        for payment in payments {
            let is_type = self.shop.payment_types.iter().any(|one| one.id == payment.type_id && !one.is_deleted);
            if !is_type {
                return Err(Refused::wrong(format!("there is no payment type {}", payment.type_id)));
            }
            let register = payment.register_id.as_deref().map_or(Ok(register), |id| self.register_place(id))?;
            let known = payment.id.as_ref().map(|id| old.iter().find(|one| one.id == *id).ok_or(id)).transpose();
            let known = known.map_err(|id| Refused::wrong(format!("the sale has no payment {id}")))?;
            let id = known.map_or_else(|| self.new_id("payment"), |known| known.id.clone());
            let register = &self.registers[register];
            drafted.push(Payment {
                id,
                type_id: payment.type_id.clone(),
                amount: payment.amount,
                date: payment.date.or(known.map(|known| known.date)).unwrap_or(desk.now),
                register_id: register.id.clone(),
                open_sequence_id: register.open_sequence_id.clone(),
            });
        }
        Ok(drafted)
    }

    fn check_sale(&self, sale: &Sale, desk: Desk<'_>) -> Result<(), Refused> {
        let refuse = |reason: &str| Err(Refused::wrong(reason));
        let rules = desk.rules;
        let has = |attribute| sale.attributes.contains(&attribute);
        if has(Attribute::OnAccount) && has(Attribute::Layby) {
            return refuse("a sale is on account or a layby, not both");
        }
        if has(Attribute::Delivery) && has(Attribute::Pickup) {
            return refuse("a sale is delivered or picked up, not both");
        }
        // Assumed: nobody owes what is on nobody's account.
        if has(Attribute::OnAccount) && sale.customer_id.is_none() {
            return refuse("a sale on account has a customer");
        }
        let is_open = self.register(&sale.register_id).is_some_and(super::Register::is_open);
        if !is_open && !rules.takes_closed_registers {
            return refuse("the register is closed");
        }
        if !rules.takes_negative_prices && sale.lines.iter().any(|line| line.price < Fine::ZERO) {
            return refuse("a price is negative");
        }
        let gross = sale.gross();
        if gross < Pence::ZERO && !sale.is_return() && !rules.takes_negative_totals {
            return refuse("the total is negative");
        }
        if gross == Pence::ZERO && !rules.takes_zero_totals && sale.state == State::Closed {
            return refuse("the total is zero");
        }
        if sale.state != State::Closed {
            return Ok(());
        }
        if sale.is_return() {
            self.check_return(sale, desk)?;
        }
        // What is given back is short where it is too little, too.
        let (paid, due) = (sale.paid().0.abs(), gross.0.abs());
        let is_other_way = sale.paid().0.signum() * gross.0.signum() < 0;
        if (paid < due || is_other_way) && !rules.closes_short {
            return refuse("the payments are short of the total");
        }
        if paid > due && !rules.closes_over {
            return refuse("the payments are above the total");
        }
        Ok(())
    }
}
