//! What Unleashed should hold for one version of an order: lines of products, in minor units with tax. Pure.
//!
//! | The order | What is posted |
//! | --- | --- |
//! | has offers, vouchers or adjustments that lower it | its goods get cheaper, each by its share; or lines of their own |
//! | is adjusted upwards | a line on the adjustment product |
//! | misses its total by pennies | they go to the largest line |
//! | does not add up otherwise, or the platform pays a part | its lines as they are; a comment says so |
//! | was cancelled | nothing |
//!
//! Stock and the value of sales are what this is about; who paid what stands in a comment. Goods that were not supplied get no
//! line. Whatever cannot be posted truthfully is a [`Stop`]: told with a reason, never guessed.

use chrono::NaiveDate;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    config::{Discounts, MissingProduct, Service, ThirdParty, UnleashedSettings},
    facts::Facts,
    guid,
    receipt::{GOODS, Held, Line},
    spread::spread,
};
use crate::{
    config::problems::nearest,
    domain::{
        delivery::DeliveryKey,
        ids::Version,
        money::{Breakdown, Currency, Money},
        order::{Collector, Order, PaymentType},
        sale::{self, Balance, Countable, Kind, Lack, Remark, normalised},
    },
    sinks::customers::cut,
};

/// Minor units by which an order's amounts may miss its total and still count as rounding.
const ROUNDING_TOLERANCE: u32 = 2;
/// Source: Unleashed API documentation, Products: `ProductDescription` has at most so many characters.
const LONGEST_DESCRIPTION: usize = 500;
/// Assumed: how long a comment may be is not documented.
const LONGEST_COMMENT: usize = 1_000;

/// What there is to post.
#[derive(Debug, Clone, Copy)]
pub struct Sale<'a> {
    pub key: &'a DeliveryKey,
    pub version: Version,
    pub order: &'a Order,
    pub money: &'a Breakdown,
    /// The order as received, JSON text.
    pub payload: &'a str,
    pub settings: &'a UnleashedSettings,
    pub facts: &'a Facts,
    pub held: &'a Held,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub currency: Currency,
    /// Of the order, in the business's time zone.
    pub date: NaiveDate,
    pub lines: Vec<Line>,
    /// What the lines come to beside the order's total, in minor units.
    pub declared_minor: i64,
    /// Of the whole order, for people.
    pub comments: String,
    pub remarks: Vec<Remark>,
    /// Products that lines name and the account lacks, to be made.
    pub missing: Vec<Missing>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub code: String,
    pub guid: String,
    pub description: String,
    /// Else it stands for what is no goods, and no stock of it is counted.
    pub is_dish: bool,
}

impl Missing {
    /// Of a service product that is ours.
    pub fn service(settings: &UnleashedSettings, product: &Service) -> Self {
        let described = settings.products.all().into_iter().find(|(_, other, _)| other.code == product.code);
        Self {
            code: product.code.clone(),
            guid: guid::of_product(&product.code.to_lowercase()),
            description: described.map(|(.., description)| description.to_owned()).unwrap_or_default(),
            is_dish: false,
        }
    }
}

/// Why an order cannot be posted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A newer version may cure it, or a person.
    Lack(Lack),
    /// It waits for a person to mend this.
    Hold { subject: String, detail: String },
}

impl From<Lack> for Stop {
    fn from(lack: Lack) -> Self {
        Self::Lack(lack)
    }
}

impl Target {
    /// Of an order that is cancelled: nothing, whatever its amounts say.
    pub fn nothing(currency: Currency, date: NaiveDate, comments: String) -> Self {
        Self {
            currency,
            date,
            lines: Vec::new(),
            declared_minor: 0,
            comments,
            remarks: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// What the lines come to, in minor units.
    pub fn gross_minor(&self) -> i64 {
        self.lines.iter().map(|line| line.gross_minor).sum()
    }
}

/// How the comment of every document begins.
pub fn heading(key: &DeliveryKey, version: Version) -> String {
    format!("Scoffable {} v{version}", key.order.order_id)
}

/// What Unleashed should hold of an order that is accepted.
pub fn target(sale: Sale<'_>) -> Result<Target, Stop> {
    let Sale { order, money, settings, .. } = sale;
    let countable = sale::countable(order, money)?;
    let placed = sale::placed_at(order)?;
    let balance = sale::balance(money, &countable, ROUNDING_TOLERANCE)?;
    let mut draft = Draft { sale, currency: countable.currency, lines: Vec::new(), goods: 0, missing: Vec::new() };
    let mut remarks = Vec::new();
    let discounts = draft.take(&countable, &mut remarks)?;
    let mut comments = vec![heading(sale.key, sale.version)];
    comments.extend(draft.apply(&discounts)?);
    if let (Balance::Rounding(missing), Some(largest)) =
        (balance, draft.lines.iter_mut().max_by_key(|line| line.gross_minor))
    {
        largest.gross_minor += missing;
    }
    comments.extend(paid(order, countable.currency));
    match balance {
        Balance::Even | Balance::Rounding(_) => {}
        Balance::Goodwill(more) => {
            remarks.push(Remark::Goodwill(more));
            comments.push(format!("the platform pays {} of it", Money::new(more, countable.currency).to_decimal()));
        }
        Balance::Unexplained(missing) => {
            remarks.push(Remark::Unexplained(missing));
            let delta = Money::new(countable.delta, countable.currency).to_decimal();
            comments.push(format!("comes to {delta} more than its total, and nothing says why"));
        }
    }
    let total = draft.lines.iter().try_fold(0_i64, |sum, line| sum.checked_add(line.gross_minor));
    let Some(declared_minor) = total.and_then(|total| total.checked_sub(countable.total)) else {
        return Err(Lack::unreadable("an amount is too large").into());
    };
    remarks.sort_unstable();
    remarks.dedup();
    Ok(Target {
        currency: countable.currency,
        date: placed.with_timezone(&settings.time_zone).date_naive(),
        lines: draft.lines,
        declared_minor,
        comments: cut(&comments.join("; "), LONGEST_COMMENT),
        remarks,
        missing: draft.missing,
    })
}

/// What lowers the order, by what it is called.
#[derive(Debug, Default)]
struct Taken {
    offer: i64,
    voucher: i64,
    adjustment: i64,
    other: i64,
}

impl Taken {
    fn all(&self) -> [(&'static str, i64); 4] {
        [("offer", self.offer), ("voucher", self.voucher), ("adjustment", self.adjustment), ("other", self.other)]
    }
}

struct Draft<'a> {
    sale: Sale<'a>,
    currency: Currency,
    /// Goods first.
    lines: Vec<Line>,
    /// How many of them are goods that discounts may be spread over.
    goods: usize,
    missing: Vec<Missing>,
}

impl Draft<'_> {
    /// The lines of the order, but for what lowers it.
    fn take(&mut self, countable: &Countable, remarks: &mut Vec<Remark>) -> Result<Taken, Stop> {
        let payload: Value = serde_json::from_str(self.sale.payload).unwrap_or(Value::Null);
        // An entry that is no object is no item, and then nothing of the order is countable.
        let raw = payload.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut taken = Taken::default();
        let (mut goods, mut options, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for line in sale::lines(self.sale.order, countable, remarks) {
            let gross = line.gross_minor;
            if gross < 0 {
                let sum = match line.kind {
                    Kind::Offer => &mut taken.offer,
                    Kind::VendorVoucher => &mut taken.voucher,
                    Kind::Adjustment => &mut taken.adjustment,
                    _ => &mut taken.other,
                };
                *sum = sum.checked_add(gross).ok_or_else(|| Lack::unreadable("an amount is too large"))?;
                continue;
            }
            let products = &self.sale.settings.products;
            match line.kind {
                Kind::Sales => {
                    let (made, of_options) = self.dish(&line, line.at.and_then(|at| raw.get(at)))?;
                    goods.push(made);
                    options.extend(of_options);
                }
                Kind::Other => goods.push(self.service(&products.item, "other", &line)),
                Kind::ServiceFee => rest.push(self.service(&products.service_fee, "service_fee", &line)),
                Kind::DeliveryFee => rest.push(self.service(&products.delivery_fee, "delivery_fee", &line)),
                Kind::DeliveryFeeThirdParty => match &products.delivery_fee_third_party {
                    Some(ThirdParty::Skip) => {}
                    Some(ThirdParty::Product(product)) => rest.push(self.service(product, "delivery_fee", &line)),
                    None => rest.push(self.service(&products.delivery_fee, "delivery_fee", &line)),
                },
                Kind::Offer | Kind::VendorVoucher | Kind::Adjustment | Kind::Rounding | Kind::Difference => {
                    let mut made = self.service(&products.adjustment, "adjustment", &line);
                    made.comments = cut(&line.description(), LONGEST_COMMENT);
                    rest.push(made);
                }
            }
        }
        self.goods = goods.len();
        self.lines = [goods, options, rest].concat();
        Ok(taken)
    }

    /// Takes discounts off the goods, or gives them lines. Returns what is to be said of them.
    fn apply(&mut self, taken: &Taken) -> Result<Option<String>, Stop> {
        let all: Vec<(&str, i64)> = taken.all().into_iter().filter(|(_, sum)| *sum < 0).collect();
        let sum: i64 = all.iter().map(|(_, sum)| sum).sum();
        if sum == 0 {
            return Ok(None);
        }
        if self.sale.settings.discounts == Discounts::Lines {
            for (what, gross_minor) in all {
                let code = self.own(&self.sale.settings.products.adjustment);
                self.lines.push(Line { key: what.to_owned(), code, units: 0, gross_minor, comments: what.to_owned() });
            }
            return Ok(None);
        }
        let goods = &mut self.lines[..self.goods];
        let weights: Vec<i64> = goods.iter().map(|line| line.gross_minor).collect();
        let Some(shares) = spread(-sum, &weights) else {
            let hint = format!(
                "what is taken off it comes to {}, more than its goods do: post it by hand and discard this, or set \
                 `discounts = \"lines\"` and retry",
                Money::new(-sum, self.currency)
            );
            return Err(Lack::new("discounts_exceed_goods", hint).into());
        };
        for (line, share) in goods.iter_mut().zip(shares) {
            line.gross_minor -= share;
        }
        let said = |(what, sum): &(&str, i64)| format!("{what} {}", Money::new(*sum, self.currency).to_decimal());
        let said: Vec<String> = all.iter().map(said).collect();
        let said = match said.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            all => all.concat(),
        };
        Ok(Some(format!("{said} spread over goods")))
    }

    /// A line of what is no goods.
    fn service(&mut self, product: &Service, key: &str, line: &sale::Line<'_>) -> Line {
        let is_named = line.kind == Kind::Other;
        Line {
            key: key.to_owned(),
            code: self.own(product),
            units: 0,
            gross_minor: line.gross_minor,
            comments: if is_named { cut(&line.description(), LONGEST_COMMENT) } else { String::new() },
        }
    }

    /// The code of a service product, which is made if it is ours and missing.
    fn own(&mut self, product: &Service) -> String {
        if product.is_ours {
            self.lacks(Missing::service(self.sale.settings, product));
        }
        product.code.clone()
    }

    fn lacks(&mut self, missing: Missing) {
        let Sale { facts, held, .. } = self.sale;
        let is_there = facts.has_product(&missing.code) || held.products.contains(&missing.code);
        if !is_there && self.missing.iter().all(|other| other.code != missing.code) {
            self.missing.push(missing);
        }
    }

    /// `raw` is the item as received.
    fn dish(&mut self, line: &sale::Line<'_>, raw: Option<&Value>) -> Result<(Line, Vec<Line>), Stop> {
        let Sale { settings, order, .. } = self.sale;
        let key = settings.item_fields.key(line.name, raw);
        let (code, is_generic) = match self.product(line.name, raw)? {
            Some(code) => (code, false),
            None => (self.own(&settings.products.item), true),
        };
        let comments = if is_generic { line.description() } else { line.notes.join("; ") };
        let dish = Line {
            key: format!("{GOODS}{key}"),
            code,
            units: line.quantity,
            gross_minor: line.gross_minor,
            comments: cut(&comments, LONGEST_COMMENT),
        };
        let mut options: Vec<Line> = Vec::new();
        let item = line.at.map(|at| &order.items[at]).filter(|_| settings.option_products);
        let chosen = item.into_iter().flat_map(|item| &item.option_categories).flat_map(|category| &category.options);
        for name in chosen.filter_map(|option| option.name.as_deref()) {
            let Some(code) = self.known(name, None) else { continue };
            let key = format!("option:{}", normalised(name));
            match options.iter_mut().find(|line| line.key == key) {
                Some(again) => again.units += line.quantity,
                None => options.push(Line {
                    key,
                    code,
                    units: line.quantity,
                    gross_minor: 0,
                    comments: cut(&format!("option of {}", line.name), LONGEST_COMMENT),
                }),
            }
        }
        Ok((dish, options))
    }

    /// The code of a dish's product; none: the generic one stands for it.
    fn product(&mut self, name: &str, raw: Option<&Value>) -> Result<Option<String>, Stop> {
        let Sale { settings, facts, held, .. } = self.sale;
        if let Some(code) = self.known(name, raw) {
            return Ok(Some(code));
        }
        let key = settings.item_fields.key(name, raw);
        let own = code_of(&key);
        if held.products.contains(&own) {
            return Ok(Some(own));
        }
        match settings.missing_product {
            MissingProduct::Create if !held.refused_products.contains(&own) => {
                self.lacks(Missing {
                    code: own.clone(),
                    guid: guid::of_product(&key),
                    description: cut(name, LONGEST_DESCRIPTION),
                    is_dish: true,
                });
                Ok(Some(own))
            }
            MissingProduct::Generic | MissingProduct::Create => Ok(None),
            MissingProduct::Hold => {
                let names = facts.products.iter().map(|product| product.shown.as_str());
                let near = match nearest(name, names) {
                    Some(near) => format!("the nearest is {near:?}"),
                    None => "none is near".to_owned(),
                };
                let detail = format!(
                    "no product is found for {name:?}, {near}: name its code in `items`, or add the product in Unleashed; its \
                     orders wait"
                );
                Err(Stop::Hold { subject: format!("product {name:?}"), detail })
            }
        }
    }

    /// A product that is linked or found, in the order in which it is looked for.
    fn known(&self, name: &str, raw: Option<&Value>) -> Option<String> {
        let Sale { settings, facts, .. } = self.sale;
        let normal = normalised(name);
        if let Some((_, code)) = settings.items.iter().find(|(dish, _)| normalised(dish) == normal) {
            // A person's word: whether it is there is held against the facts, and nothing else is tried.
            return Some(code.clone());
        }
        if let Some(told) = settings.item_fields.told(raw) {
            let is_it = |product: &&super::facts::KnownProduct| product.code == told;
            let by_code = facts.products.iter().find(is_it);
            let by_barcode = || facts.only_product(|product| product.barcode.as_deref() == Some(told));
            if let Some(product) = by_code.or_else(by_barcode) {
                return Some(product.code.clone());
            }
        }
        let own = code_of(&settings.item_fields.key(name, raw));
        if facts.has_product(&own) {
            return Some(own);
        }
        facts.only_product(|product| product.name == normal).map(|product| product.code.clone())
    }
}

/// What a product of ours is called: 20 characters that can be read, and 8 that tell it from others.
fn code_of(key: &str) -> String {
    let slug: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(20).collect();
    let digest = hex::encode(Sha256::digest(key));
    format!("{slug}-{}", &digest[..8])
}

/// Who paid what, as people read it.
fn paid(order: &Order, currency: Currency) -> Option<String> {
    let tender = |payment: &crate::domain::order::Payment| {
        let kind = payment.payment_type.as_ref().map_or("unknown", PaymentType::as_str);
        let holder = payment.collected_by.as_ref().map_or("unknown", Collector::as_str);
        let amount =
            payment.amount.map_or_else(|| "?".to_owned(), |amount| Money::new(amount.amount, currency).to_decimal());
        format!("{kind}/{holder} {amount}")
    };
    let all: Vec<String> = order.payments.iter().map(tender).collect();
    (!all.is_empty()).then(|| format!("paid {}", all.join("; ")))
}

#[cfg(test)]
mod tests;
