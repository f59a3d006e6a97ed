//! The lines of orders and credit notes, and that everything in a document adds up.
//!
//! Source: Unleashed API documentation, `/SalesOrders`. Observed: totals that do not agree are refused; a client moves the
//! last penny of tax onto one line. Assumed: the tax of a line may therefore differ by so many pennies as there are lines.

use chrono::NaiveDate;
use chrono::{DateTime, Utc};

use super::{Account, Desk, Refusal, Tax, catalogue::stored, read_guid};
use crate::simulator::{
    amount::{Cents, Fine},
    unleashed::{
        Guid,
        body::{CreditLineBody, CurrencyName, OrderLineBody, ProductName, TaxName},
        query::time,
        rules::{MixedTax, RequiredFields},
    },
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub guid: Guid,
    pub number: u32,
    pub product_guid: Guid,
    /// As it was when the line was written.
    pub product_code: String,
    pub quantity: Fine,
    /// Without tax.
    pub unit_price: Fine,
    /// A fraction.
    pub discount_rate: Fine,
    /// Without tax.
    pub total: Cents,
    pub tax: Cents,
    /// A fraction.
    pub tax_rate: Fine,
    pub tax_code: String,
    pub comments: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Without tax.
    pub sub_total: Cents,
    pub tax: Cents,
    pub total: Cents,
}

impl Totals {
    pub(super) fn of(lines: &[Line]) -> Self {
        let (sub_total, tax) = (lines.iter().map(|line| line.total).sum(), lines.iter().map(|line| line.tax).sum());
        Self { sub_total, tax, total: sub_total + tax }
    }
}

/// A line as it was sent, of whichever document.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    guid: Option<&'a str>,
    number: Option<u32>,
    product: Option<&'a ProductName>,
    quantity: Option<Fine>,
    price: Option<Fine>,
    discount_rate: Option<Fine>,
    total: Option<Fine>,
    tax: Option<Fine>,
    tax_rate: Option<Fine>,
    tax_code: Option<&'a str>,
    comments: Option<&'a str>,
    /// Whether it carries all that a careful client sends.
    is_full: bool,
}

impl<'a> From<&'a OrderLineBody> for Sent<'a> {
    fn from(line: &'a OrderLineBody) -> Self {
        let amounts = [line.line_total, line.line_tax, line.tax_rate, line.discount_rate];
        Self {
            guid: line.guid.as_deref(),
            number: line.line_number,
            product: line.product.as_ref(),
            quantity: line.order_quantity,
            price: line.unit_price,
            discount_rate: line.discount_rate,
            total: line.line_total,
            tax: line.line_tax,
            tax_rate: line.tax_rate,
            tax_code: line.line_tax_code.as_deref(),
            comments: line.comments.as_deref(),
            is_full: line.line_number.is_some() && amounts.iter().all(Option::is_some),
        }
    }
}

impl<'a> From<&'a CreditLineBody> for Sent<'a> {
    fn from(line: &'a CreditLineBody) -> Self {
        Self {
            guid: line.guid.as_deref(),
            number: line.line_number,
            product: line.product.as_ref(),
            quantity: line.credit_quantity,
            price: line.credit_price,
            discount_rate: None,
            total: line.line_total,
            tax: line.line_tax,
            tax_rate: line.tax_rate,
            tax_code: line.line_tax_code.as_deref(),
            comments: line.comments.as_deref(),
            is_full: line.line_total.is_some() && line.line_tax.is_some(),
        }
    }
}

/// Totals as they were sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentTotals {
    pub sub_total: Option<Fine>,
    pub tax: Option<Fine>,
    pub total: Option<Fine>,
}

impl Account {
    pub(super) fn read_lines(&mut self, sent: &[Sent<'_>], tax: &Tax, desk: Desk<'_>) -> Result<Vec<Line>, Refusal> {
        let mut lines: Vec<Line> = Vec::with_capacity(sent.len());
        for (at, one) in sent.iter().enumerate() {
            let line = self.read_line(one, at as u32 + 1, sent.len(), tax, desk)?;
            if lines.iter().any(|other| other.guid == line.guid || other.number == line.number) {
                return Err(Refusal::bad(format!("Line {}: its Guid or LineNumber is there twice", line.number)));
            }
            lines.push(line);
        }
        Ok(lines)
    }

    pub(super) fn read_line(
        &mut self,
        sent: &Sent<'_>,
        number: u32,
        n_lines: usize,
        tax: &Tax,
        desk: Desk<'_>,
    ) -> Result<Line, Refusal> {
        let number = sent.number.unwrap_or(number);
        let bad = |text: &str| Refusal::bad(format!("Line {number}: {text}"));
        if desk.rules.required_fields == RequiredFields::All && !sent.is_full {
            return Err(bad("LineNumber, DiscountRate, LineTotal, LineTax or TaxRate is missing"));
        }
        let product = self.named_product(sent.product).map_err(|refusal| bad(&refusal.text))?;
        let (product_guid, product_code) = (product.guid, product.code.clone());
        let quantity =
            sent.quantity.filter(|quantity| quantity.0 > 0).ok_or_else(|| bad("the quantity is not above 0"))?;
        let unit_price = sent.price.ok_or_else(|| bad("the price is missing"))?;
        if unit_price.0 < 0 && !desk.rules.takes_negative_prices {
            return Err(bad("the price is below nothing"));
        }
        let discount_rate = sent.discount_rate.unwrap_or_default();
        if !(0..=Fine::ONE.0).contains(&discount_rate.0) {
            return Err(bad("DiscountRate is no fraction"));
        }
        let of_line = match sent.tax_code {
            Some(code) => self.settings.tax(code).ok_or_else(|| bad("LineTaxCode was not found"))?,
            None => tax,
        };
        let is_mixed = of_line.rate != tax.rate;
        if is_mixed && desk.rules.mixed_tax == MixedTax::Refused {
            return Err(bad("its tax is not that of the order"));
        }
        if sent.tax_rate.is_some_and(|rate| rate != of_line.rate) {
            return Err(bad("TaxRate is not that of the tax code"));
        }
        let is_flattened = is_mixed && desk.rules.mixed_tax == MixedTax::Flattened;
        let taxed_as = if is_flattened { tax } else { of_line }.clone();
        let computed = quantity.times(discounted(unit_price, discount_rate));
        let total = match cents(sent.total).map_err(bad)? {
            Some(total) if total != computed && !desk.rules.line_totals_rule => {
                return Err(bad(&format!("LineTotal is not {computed}")));
            }
            total => total.unwrap_or(computed),
        };
        let computed = total.tax_on_top(Fine(taxed_as.rate.0 * 100));
        let tax = match cents(sent.tax).map_err(bad)? {
            _ if is_flattened => computed,
            Some(tax) if (tax - computed).0.unsigned_abs() > n_lines as u64 => {
                return Err(bad(&format!("LineTax is not {computed}")));
            }
            tax => tax.unwrap_or(computed),
        };
        let guid = match sent.guid {
            Some(text) => read_guid("Guid of a line", text)?,
            None => self.new_guid(),
        };
        Ok(Line {
            guid,
            number,
            product_guid,
            product_code,
            quantity,
            unit_price,
            discount_rate,
            total,
            tax,
            tax_rate: taxed_as.rate,
            tax_code: taxed_as.code,
            comments: sent.comments.map(str::to_owned),
        })
    }

    /// What the lines add up to, which must be what was sent. `lines` are only those that were sent.
    pub(super) fn check_totals(lines: &[Line], sent: SentTotals, desk: Desk<'_>) -> Result<Totals, Refusal> {
        let found = Totals::of(lines);
        let is_flattened = desk.rules.mixed_tax == MixedTax::Flattened;
        for (name, sent, found, is_tax) in [
            ("SubTotal", sent.sub_total, found.sub_total, false),
            ("TaxTotal", sent.tax, found.tax, true),
            ("Total", sent.total, found.total, true),
        ] {
            let sent = cents(sent).map_err(Refusal::bad)?;
            if sent.is_some_and(|sent| sent != found) && !(is_tax && is_flattened) {
                return Err(Refusal::bad(format!("{name} is not the {found} its lines add up to")));
            }
        }
        check_sum(found, desk)?;
        Ok(found)
    }

    /// The tax of a document. The first of all where none is named.
    pub(super) fn named_tax(&self, name: Option<&TaxName>, rate: Option<Fine>) -> Result<Tax, Refusal> {
        let code = name.and_then(|name| name.tax_code.as_deref());
        let tax = match code {
            Some(code) => self.settings.tax(code),
            None => self.settings.taxes.first(),
        };
        let tax = tax.ok_or_else(|| Refusal::bad("Tax was not found"))?;
        if rate.is_some_and(|rate| rate != tax.rate) {
            return Err(Refusal::bad("TaxRate is not that of the tax code"));
        }
        Ok(tax.clone())
    }

    /// The currency of a document and its rate, which is 1 for the base.
    pub(super) fn named_currency(
        &self,
        name: Option<&CurrencyName>,
        rate: Option<Fine>,
    ) -> Result<(String, Fine), Refusal> {
        let base = &self.settings.base_currency;
        let code = name.and_then(|name| name.currency_code.as_ref()).unwrap_or(base);
        if !self.settings.currencies.contains(code) {
            return Err(Refusal::bad(format!("Currency {code} is not used here")));
        }
        let rate = rate.unwrap_or(Fine::ONE);
        let is_right = if code == base { rate == Fine::ONE } else { rate.0 > 0 };
        if is_right { Ok((code.clone(), rate)) } else { Err(Refusal::bad("ExchangeRate is wrong")) }
    }
}

pub(super) fn check_sum(totals: Totals, desk: Desk<'_>) -> Result<(), Refusal> {
    match totals.total.0 {
        ..0 => Err(Refusal::bad("Total is below nothing")),
        0 if !desk.rules.takes_zero_totals => Err(Refusal::bad("Total is nothing")),
        _ => Ok(()),
    }
}

/// Names the members that a careful client sends and that are missing, if they are required.
pub(super) fn check_required(expected: &[(&'static str, bool)], desk: Desk<'_>) -> Result<(), Refusal> {
    let missing: Vec<&str> = expected.iter().filter(|(_, is_there)| !is_there).map(|(name, _)| *name).collect();
    match desk.rules.required_fields {
        RequiredFields::All if !missing.is_empty() => Err(Refusal::bad(format!("{} missing", missing.join(", ")))),
        RequiredFields::All | RequiredFields::Few => Ok(()),
    }
}

/// Today where nothing is said.
pub(super) fn read_date(what: &str, text: Option<&str>, now: DateTime<Utc>) -> Result<NaiveDate, Refusal> {
    let Some(text) = text else { return Ok(now.date_naive()) };
    time(text).map(|at| at.date_naive()).ok_or_else(|| Refusal::bad(format!("{what} is no ISO date without a zone")))
}

/// Adds a line, or puts it in the place of the one with its GUID.
pub(super) fn put_line(lines: &mut Vec<Line>, line: Line) {
    let place = lines.iter().position(|other| other.guid == line.guid);
    stored(lines, place, line);
}

fn discounted(price: Fine, rate: Fine) -> Fine {
    let exact = i128::from(price.0) * i128::from(Fine::ONE.0 - rate.0);
    Fine((exact / i128::from(Fine::ONE.0)) as i64)
}

fn cents(amount: Option<Fine>) -> Result<Option<Cents>, &'static str> {
    amount.map(|amount| amount.cents().ok_or("an amount has more than two places")).transpose()
}
