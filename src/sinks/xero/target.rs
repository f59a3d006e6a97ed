//! What Xero should hold for one version of an order: lines and payments, in minor units. Pure.
//!
//! | The order | What is posted |
//! | --- | --- |
//! | adds up | its lines, which come to its total |
//! | misses its total by pennies | a line `rounding` as well |
//! | was made dearer by a substitute that the platform pays for | lines above its total; the rest stays open, or is paid from the account `goodwill` |
//! | does not add up, and nothing says why | a line `difference` as well, and a person is told; or the order is parked |
//! | was paid more than it comes to | payments cut back to it |
//! | was cancelled | nothing |
//!
//! Whatever cannot be posted truthfully is a [`Lack`]: told with a reason, never guessed.

use chrono::NaiveDate;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    config::{Goodwill, ItemMode, Unexplained, XeroSettings},
    organisation::Facts,
    receipt::{Line, TrackingOption},
};
pub use crate::domain::sale::{Lack, Remark, Wanted};
use crate::domain::{
    money::{Breakdown, Currency, Money},
    order::Order,
    sale::{self, Balance, Countable, Kind, Tender, normalised},
};

/// What there is to post.
#[derive(Debug, Clone, Copy)]
pub struct Sale<'a> {
    pub order: &'a Order,
    pub money: &'a Breakdown,
    /// The order as received, JSON text.
    pub payload: &'a str,
    pub settings: &'a XeroSettings,
    pub facts: &'a Facts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub currency: Currency,
    /// Of the order, in the organisation's time zone.
    pub date: NaiveDate,
    pub lines: Vec<Line>,
    pub tracking: Vec<TrackingOption>,
    /// One for each tender of the order, zero never.
    pub payments: Vec<Wanted>,
    /// What the lines come to beside the order's total, in minor units.
    pub declared_minor: i64,
    pub remarks: Vec<Remark>,
    /// Items that lines name and the organisation lacks.
    pub missing_items: Vec<MissingItem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingItem {
    pub code: String,
    pub name: String,
    pub account: String,
    pub tax_type: String,
}

impl Target {
    /// Of an order that is cancelled: nothing, whatever its amounts say.
    pub fn nothing(currency: Currency, date: NaiveDate) -> Self {
        Self {
            currency,
            date,
            lines: Vec::new(),
            tracking: Vec::new(),
            payments: Vec::new(),
            declared_minor: 0,
            remarks: Vec::new(),
            missing_items: Vec::new(),
        }
    }

    /// What the lines come to, in minor units.
    pub fn gross_minor(&self) -> i64 {
        self.lines.iter().map(|line| line.gross_minor).sum()
    }
}

/// What Xero should hold of an order that is accepted.
pub fn target(sale: Sale<'_>) -> Result<Target, Lack> {
    let Sale { order, money, settings, .. } = sale;
    let countable = sale::countable(order, money)?;
    // Source: Xero Accounting API: unit amounts have two decimals.
    if countable.currency.exponent() > 2 {
        let currency = countable.currency;
        let hint = format!("{currency} has more decimals than Xero keeps: post the order by hand and discard this");
        return Err(Lack::new("currency_too_fine", hint));
    }
    let mut remarks = Vec::new();
    let mut lines = lines(sale, &countable, &mut remarks)?;
    let (balancing, declared_minor) = balance(sale, &countable, &mut remarks)?;
    lines.extend(balancing);
    let total_minor = lines.iter().try_fold(0_i64, |sum, line| sum.checked_add(line.gross_minor));
    let Some(total_minor) = total_minor else { return Err(Lack::unreadable("an amount is too large")) };
    let payments = payments(sale, total_minor, declared_minor, &mut remarks)?;
    let missing_items = missing_items(sale, &lines);
    remarks.sort_unstable();
    remarks.dedup();
    let placed = sale::placed_at(order)?;
    debug_assert_eq!(total_minor, countable.total + declared_minor, "{:?}", money.verdict);
    let tracking = settings.tracking.iter().filter_map(|(name, tracking)| {
        let option = tracking.option(order)?.to_owned();
        Some(TrackingOption { name: name.clone(), option })
    });
    Ok(Target {
        currency: countable.currency,
        date: placed.with_timezone(&settings.time_zone).date_naive(),
        lines,
        tracking: tracking.collect(),
        payments,
        declared_minor,
        remarks,
        missing_items,
    })
}

/// One for each line of the order that was supplied, and one for each fee.
fn lines(sale: Sale<'_>, countable: &Countable, remarks: &mut Vec<Remark>) -> Result<Vec<Line>, Lack> {
    let Sale { order, settings, .. } = sale;
    let payload: Value = if settings.items.mode == ItemMode::None {
        Value::Null
    } else {
        serde_json::from_str(sale.payload).unwrap_or(Value::Null)
    };
    // An entry that is no object is no item, and then nothing of the order is countable.
    let raw = payload.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_order = sale::lines(order, countable, remarks);
    of_order.into_iter().map(|line| posted(sale, &line, line.at.and_then(|at| raw.get(at)))).collect()
}

/// `raw` is the item as received.
fn posted(sale: Sale<'_>, line: &sale::Line<'_>, raw: Option<&Value>) -> Result<Line, Lack> {
    let tax_types = &sale.settings.tax_types;
    let kind = line.kind;
    let mut posted = plain_line(sale.settings, kind, line.description(), line.gross_minor)?;
    posted.quantity = line.quantity;
    if line.at.is_some() {
        posted.key = normalised(line.name);
    }
    if kind == Kind::Sales {
        posted.item_code = item_code(sale, line.name, raw);
    }
    // An adjustment is taxed as what it adjusts, where that is taxed in one way.
    if let (Kind::Adjustment, [first, others @ ..]) = (kind, line.adjusts.as_slice())
        && others.iter().all(|other| tax_types.of(*other) == tax_types.of(*first))
    {
        tax_types.of(*first).clone_into(&mut posted.tax_type);
        posted.key = format!("{}\u{1f}{first:?}", posted.key);
    }
    Ok(posted)
}

fn plain_line(
    settings: &XeroSettings,
    kind: Kind,
    description: impl Into<String>,
    gross_minor: i64,
) -> Result<Line, Lack> {
    let hint = "accounts.difference is not set, and the order does not add up: set it, then retry";
    let account = settings.accounts.of(kind).ok_or_else(|| Lack::new("account_missing", hint))?;
    Ok(Line {
        kind,
        key: String::new(),
        description: description.into(),
        account: account.to_owned(),
        tax_type: settings.tax_types.of(kind).to_owned(),
        item_code: None,
        quantity: 1,
        gross_minor,
        tracking: Vec::new(),
    })
}

/// The code of the item that a line names; none: it names none.
fn item_code(sale: Sale<'_>, name: &str, raw: Option<&Value>) -> Option<String> {
    let items = &sale.settings.items;
    let known = |code: &String| sale.facts.items.contains(code);
    let linked = items.item_codes.iter().find(|(dish, _)| normalised(dish) == normalised(name)).map(|(_, code)| code);
    if items.mode == ItemMode::None {
        return None;
    }
    if let Some(code) = linked {
        return Some(code.clone()).filter(|code| known(code));
    }
    let code = code_of(&items.item_fields.key(name, raw));
    (items.mode == ItemMode::Create || known(&code)).then_some(code)
}

/// A key of at most 30 characters as it is; else 20 characters that can be read, and 8 that tell it from others.
///
/// Source: Xero Accounting API, Items: `Code` has at most 30 characters.
fn code_of(key: &str) -> String {
    const LONGEST: usize = 30;

    if key.chars().count() <= LONGEST {
        return key.to_owned();
    }
    let slug: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(20).collect();
    let digest = hex::encode(Sha256::digest(key));
    format!("{slug}-{}", &digest[..8])
}

fn missing_items(sale: Sale<'_>, lines: &[Line]) -> Vec<MissingItem> {
    /// Source: Xero Accounting API, Items: `Name` has at most 50 characters.
    const LONGEST_NAME: usize = 50;

    let mut missing: Vec<MissingItem> = Vec::new();
    for line in lines {
        let Some(code) = line.item_code.as_ref().filter(|code| !sale.facts.items.contains(*code)) else { continue };
        if missing.iter().all(|item| item.code != *code) {
            missing.push(MissingItem {
                code: code.clone(),
                name: line.description.chars().take(LONGEST_NAME).collect(),
                account: line.account.clone(),
                tax_type: line.tax_type.clone(),
            });
        }
    }
    missing
}

/// The line that makes lines come to what is posted, and what that is beside the order's total.
fn balance(sale: Sale<'_>, countable: &Countable, remarks: &mut Vec<Remark>) -> Result<(Option<Line>, i64), Lack> {
    let Sale { money, settings, .. } = sale;
    let line = |kind, text: &str, missing| Ok((Some(plain_line(settings, kind, text, missing)?), 0));
    match sale::balance(money, countable, settings.rounding_tolerance)? {
        Balance::Even => Ok((None, 0)),
        Balance::Rounding(missing) => line(Kind::Rounding, "Rounding", missing),
        Balance::Goodwill(more) => {
            remarks.push(Remark::Goodwill(more));
            Ok((None, more))
        }
        Balance::Unexplained(missing) if settings.unexplained == Unexplained::Suspense => {
            remarks.push(Remark::Unexplained(missing));
            line(Kind::Difference, "Difference to the order's total", missing)
        }
        Balance::Unexplained(_) => {
            let hint = format!(
                "its lines come to {} more than its total, and nothing says why: post it by hand and discard this, or set \
                 `unexplained = \"suspense\"` and retry",
                Money::new(countable.delta, countable.currency)
            );
            Err(Lack::new("unexplained_difference", hint))
        }
    }
}

/// What was paid, cut back to what is posted.
fn payments(
    sale: Sale<'_>,
    total_minor: i64,
    declared_minor: i64,
    remarks: &mut Vec<Remark>,
) -> Result<Vec<Wanted>, Lack> {
    let on_top = if sale.settings.goodwill == Goodwill::Receivable { declared_minor } else { 0 };
    let mut wanted = sale::payments(sale.order, total_minor.saturating_sub(on_top), remarks)?;
    if on_top != 0 {
        wanted.push(Wanted { tender: Tender::Goodwill, amount_minor: on_top });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests;
