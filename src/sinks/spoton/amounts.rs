//! Discounts, fees and what is left over: the parts of an order brought to its total, to the cent, or not at all.

use super::{
    mapping::{Lack, Remark, Sale, Signed, subtotal},
    wire::{Extra, Line, Totals},
};
use crate::domain::{
    money::{Money, Verdict},
    order::{Item, ItemType},
};

const ROUNDING: &str = "Scoffable rounding";
const GOODWILL: &str = "Scoffable goodwill";
const DELIVERY_FEE: &str = "Delivery fee";
const SERVICE_FEE: &str = "Service fee";

/// What stands beside the lines, all of it positive.
#[derive(Debug)]
pub struct Amounts {
    pub discounts: Vec<Extra>,
    pub fees: Vec<Extra>,
    pub totals: Totals,
    pub remarks: Vec<Remark>,
}

/// `extras` are the signed amounts beside the goods: negative ones are discounts, positive ones fees, because a line would
/// be printed in the kitchen.
pub fn balance(sale: Sale<'_>, lines: &[Line], extras: Vec<Signed>, total: Money) -> Result<Amounts, Lack> {
    let (mut discounts, mut fees) = (Vec::new(), Vec::new());
    for (name, amount) in extras {
        let is_discount = amount < 0;
        let extra = Extra { name, amount: amount.checked_abs().ok_or_else(too_large)? };
        if is_discount { discounts.push(extra) } else { fees.push(extra) }
    }
    for (name, fee) in [(DELIVERY_FEE, sale.order.delivery_fee), (SERVICE_FEE, sale.order.service_fee)] {
        match fee.map_or(0, |fee| fee.amount) {
            0 => {}
            amount if amount > 0 => fees.push(Extra { name: name.to_owned(), amount }),
            _ => return Err(unbalanced(sale, total, None)),
        }
    }
    let subtotal = subtotal(lines)?;
    covered(&discounts, subtotal)?;
    let remarks = take_up_residual(sale, subtotal, &mut discounts, &mut fees, total)?;
    let (discounts_total, fees_total) = (covered(&discounts, subtotal)?, sum(&fees)?);
    if total.amount == 0 && !sale.settings.allow_zero_total {
        return Err(Lack::new(
            "zero_total",
            "the order costs nothing, and whether SpotOn takes a payment of nothing is not documented: ring it up by hand, \
             or set `allow_zero_total = true` and retry",
        ));
    }
    let totals =
        Totals { subtotal, discounts_total, fees_total, tax_total: 0, tip_total: 0, grand_total: total.amount };
    Ok(Amounts { discounts, fees, totals, remarks })
}

/// Names what the parts miss of the total: a rounding, or what the platform pays because a substitute was dearer.
fn take_up_residual(
    sale: Sale<'_>,
    subtotal: i64,
    discounts: &mut Vec<Extra>,
    fees: &mut Vec<Extra>,
    total: Money,
) -> Result<Vec<Remark>, Lack> {
    let parts = i128::from(subtotal) - i128::from(sum(discounts)?) + i128::from(sum(fees)?);
    let residual = narrowed(i128::from(total.amount) - parts)?;
    let limit = i64::from(sale.settings.residual_limit);
    let rounding = |amount| Extra { name: ROUNDING.to_owned(), amount };
    match residual {
        0 => Ok(Vec::new()),
        _ if residual > 0 && residual <= limit => {
            fees.push(rounding(residual));
            Ok(vec![Remark::Rounding])
        }
        _ if residual < 0 && residual >= -limit => {
            discounts.push(rounding(-residual));
            Ok(vec![Remark::Rounding])
        }
        _ if residual < 0 && -i128::from(residual) <= substitutes(sale) => {
            discounts.push(Extra { name: GOODWILL.to_owned(), amount: -residual });
            Ok(vec![Remark::Goodwill])
        }
        _ => Err(unbalanced(sale, total, Some(parts))),
    }
}

/// What was supplied in place of something else, at its own price.
fn substitutes(sale: Sale<'_>) -> i128 {
    let value = |item: &Item| {
        let is_one = item.item_type == Some(ItemType::Product) && !item.substituted_for.is_empty();
        let price = item.unit_price().filter(|_| is_one)?.ok()?;
        price.checked_times(item.quantity_fulfilled?).ok().map(|money| i128::from(money.amount))
    };
    sale.order.items.iter().filter_map(value).sum()
}

fn unbalanced(sale: Sale<'_>, total: Money, parts: Option<i128>) -> Lack {
    let parts = parts.map_or_else(|| "a negative fee".to_owned(), |parts| format!("parts of {parts}"));
    let on_totals = match sale.money.verdict {
        Verdict::BalancedOnItemTotals => " (it would balance on the platform's own line totals)",
        Verdict::Balanced | Verdict::Goodwill | Verdict::Unexplained | Verdict::NotComputable => "",
    };
    Lack::new(
        "totals_do_not_add_up",
        format!(
            "a total of {} and {parts}{on_totals}: ring it up by hand and discard this, or raise `residual_limit` (now {}) \
             where that is rounding",
            total.amount, sale.settings.residual_limit
        ),
    )
}

/// The discounts' sum, if the goods cover it.
fn covered(discounts: &[Extra], subtotal: i64) -> Result<i64, Lack> {
    let discounts_total = sum(discounts)?;
    if discounts_total <= subtotal {
        return Ok(discounts_total);
    }
    Err(Lack::new(
        "negative_subtotal",
        format!(
            "discounts of {discounts_total} exceed goods of {subtotal}, which SpotOn does not take: ring it up by hand"
        ),
    ))
}

fn sum(extras: &[Extra]) -> Result<i64, Lack> {
    narrowed(extras.iter().map(|extra| i128::from(extra.amount)).sum())
}

pub(super) fn narrowed(amount: i128) -> Result<i64, Lack> {
    i64::try_from(amount).map_err(|_| too_large())
}

fn too_large() -> Lack {
    Lack::new("amount_unreadable", "an amount is too large: ring the order up by hand and discard this")
}
