//! From a parsed document to an [`Order`], field by field.
//!
//! Every field may be absent, `null` or of an unexpected kind; only the rules below refuse the whole order, because
//! going on would lose money or identity: no usable id or version, an amount with a fraction, a number beyond 64 bits.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::{Refusal, Undecodable, salvage};
use crate::{
    domain::{
        decimal::{Decimal, Misfit, decimal, is_digits},
        ids::{OrderId, VendorId, Version},
        money::{Currency, Money},
        order::{
            Collector, DeliveryProvider, Item, ItemId, ItemOption, ItemType, OptionCategory, Order, OrderType, Payment,
            PaymentType, Quantity, Status, Warning,
        },
    },
    source::json::{Document, Members, Node, Value},
};

pub(super) const LATEST_VERSION: &str = "latestVersion";
pub(super) const VERSION: &str = "version";

/// Longest id: it is part of index keys in the store.
const MAX_ID_BYTES: usize = 256;

/// From here on a number is milliseconds since 1970, below it seconds. 10^11 ms is March 1973, 10^11 s the year 5138.
/// Source: the published samples show 13 digits, the schema a date-time. Assumed: that seconds may appear at all.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

pub(super) struct Read {
    pub order: Order,
    pub latest_version: Option<bool>,
}

/// Why this order is refused, and where.
pub(super) struct Rejected {
    reason: Refusal,
    field: &'static str,
}

impl Rejected {
    pub(super) fn into_undecodable(self, bytes: &[u8]) -> Undecodable {
        salvage(bytes, self.reason, format!("`{}`: {}", self.field, self.reason))
    }
}

fn rejected<T>(reason: Refusal, field: &'static str) -> Result<T, Rejected> {
    Err(Rejected { reason, field })
}

/// A version number and whether it came as text.
pub(super) struct VersionNumber {
    pub number: i64,
    as_text: bool,
}

pub(super) fn read(document: &Document<'_>) -> Result<Read, Rejected> {
    let Value::Object(members) = document.root().value() else {
        return rejected(Refusal::NotAnObject, "order");
    };
    Reader::default().order(members)
}

/// A number and the same digits as text are one id.
pub(super) fn order_id(node: Node<'_>) -> Result<OrderId, Refusal> {
    let id: Cow<'_, str> = match node.value() {
        Value::Null => return Err(Refusal::OrderIdMissing),
        Value::Number(raw) if is_digits(raw) => raw.into(),
        Value::Number(raw) => match decimal(raw) {
            Ok(Decimal { coefficient, scale: 0 }) => coefficient.to_string().into(),
            _ => return Err(Refusal::OrderIdInvalid),
        },
        // What cannot be text in the store would make two ids one.
        Value::Text(text) if text.is_escaped() && text.content().contains(char::REPLACEMENT_CHARACTER) => {
            return Err(Refusal::OrderIdInvalid);
        }
        Value::Text(text) => text.content(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(Refusal::OrderIdInvalid),
    };
    if id.is_empty() || id.len() > MAX_ID_BYTES { Err(Refusal::OrderIdInvalid) } else { Ok(OrderId::new(id)) }
}

pub(super) fn version(node: Node<'_>) -> Result<VersionNumber, Refusal> {
    let (number, as_text) = match node.value() {
        Value::Null => return Err(Refusal::VersionMissing),
        Value::Number(raw) => (decimal(raw), false),
        Value::Text(text) if is_digits(text.raw()) => (decimal(text.raw()), true),
        _ => return Err(Refusal::VersionInvalid),
    };
    match number {
        Ok(Decimal { coefficient, scale: 0 }) => Ok(VersionNumber { number: coefficient, as_text }),
        Ok(_) | Err(Misfit::TooFine) => Err(Refusal::VersionInvalid),
        Err(Misfit::TooLarge) => Err(Refusal::VersionOutOfRange),
    }
}

/// Collects warnings while reading.
#[derive(Default)]
struct Reader {
    warnings: Vec<Warning>,
}

impl Reader {
    fn order(mut self, members: Members<'_>) -> Result<Read, Rejected> {
        let mut id = None;
        let mut number = None;
        let mut latest_version = None;
        let mut status = None;
        let mut order = Order {
            id: OrderId::new(""),
            version: Version(0),
            status: Status::unknown(),
            order_type: None,
            vendor_id: None,
            placed_at: None,
            accepted_at: None,
            cancelled_at: None,
            dispatched_at: None,
            delivered_at: None,
            returned_at: None,
            delivery_fee: None,
            service_fee: None,
            total: None,
            items: Vec::new(),
            payments: Vec::new(),
            delivery_provider: None,
            warnings: Vec::new(),
        };
        for (key, value) in members {
            match &*key.content() {
                "id" => id = Some(value),
                "version" => number = Some(value),
                LATEST_VERSION => latest_version = boolean(value),
                "vendorId" => order.vendor_id = self.text(value).map(VendorId::new),
                "status" => status = self.text(value),
                "type" => order.order_type = self.text(value).map(|text| OrderType::from_text(&text)),
                "placedAt" => order.placed_at = self.instant(value),
                "acceptedAt" => order.accepted_at = self.instant(value),
                "cancelledAt" => order.cancelled_at = self.instant(value),
                "dispatchedAt" => order.dispatched_at = self.instant(value),
                "deliveredAt" => order.delivered_at = self.instant(value),
                "returnedAt" => order.returned_at = self.instant(value),
                "deliveryFee" => order.delivery_fee = self.money(value, "deliveryFee")?,
                "serviceFee" => order.service_fee = self.money(value, "serviceFee")?,
                "total" => order.total = self.money(value, "total")?,
                "items" => order.items = self.items(value)?,
                "customerPayments" => order.payments = self.payments(value)?,
                "deliveryProvider" => {
                    order.delivery_provider = self.text(value).map(|text| DeliveryProvider::from_text(&text));
                }
                _ => {}
            }
        }

        let Some(id) = id else { return rejected(Refusal::OrderIdMissing, "id") };
        order.id = order_id(id).or_else(|reason| rejected(reason, "id"))?;
        let Some(number) = number else { return rejected(Refusal::VersionMissing, "version") };
        let number = version(number).or_else(|reason| rejected(reason, "version"))?;
        order.version = Version(number.number);
        if number.as_text {
            self.warn(Warning::NumberAsText);
        }
        match status {
            Some(status) => order.status = Status::from_text(&status),
            None => self.warn(Warning::StatusMissing),
        }
        infer_missing_types(&mut order.items);
        self.warn_of_unknown_values(&order);
        self.warnings.sort_unstable();
        order.warnings = self.warnings;
        Ok(Read { order, latest_version })
    }

    fn items(&mut self, node: Node<'_>) -> Result<Vec<Item>, Rejected> {
        let mut items = Vec::new();
        for element in self.list(node, Warning::ItemUnreadable) {
            match element.value() {
                Value::Object(members) => items.push(self.item(members)?),
                _ => self.warn(Warning::ItemUnreadable),
            }
        }
        Ok(items)
    }

    fn item(&mut self, members: Members<'_>) -> Result<Item, Rejected> {
        let mut item = Item::default();
        let mut quantity = None;
        for (key, value) in members {
            match &*key.content() {
                "id" => item.id = self.text(value).map(ItemId::new),
                "name" => item.name = self.text(value),
                "type" => item.item_type = self.text(value).map(|text| ItemType::from_text(&text)),
                "quantityOrdered" => item.quantity_ordered = self.quantity(value, "quantityOrdered")?,
                "quantityFulfilled" => item.quantity_fulfilled = self.quantity(value, "quantityFulfilled")?,
                "quantity" => quantity = self.quantity(value, "quantity")?,
                "price" => item.price = self.money(value, "price")?,
                "total" => item.total = self.money(value, "items.total")?,
                "optionCategories" => item.option_categories = self.option_categories(value)?,
                "substitutionDetails" => self.substitution_details(value, &mut item),
                "priceAdjustmentDetails" => self.price_adjustment_details(value, &mut item),
                _ => {}
            }
        }

        let contradicts = |specific: Option<Quantity>| specific.is_some() && specific != quantity;
        if quantity.is_some() && (contradicts(item.quantity_ordered) || contradicts(item.quantity_fulfilled)) {
            self.warn(Warning::QuantityContradiction);
        }
        item.quantity_ordered = item.quantity_ordered.or(quantity);
        item.quantity_fulfilled = item.quantity_fulfilled.or(quantity);
        Ok(item)
    }

    fn option_categories(&mut self, node: Node<'_>) -> Result<Vec<OptionCategory>, Rejected> {
        let mut categories = Vec::new();
        // An unreadable entry may hide a surcharge, as an unreadable item would hide its price.
        for element in self.list(node, Warning::ItemUnreadable) {
            let Value::Object(members) = element.value() else {
                self.warn(Warning::ItemUnreadable);
                continue;
            };
            let mut category = OptionCategory { name: None, options: Vec::new() };
            for (key, value) in members {
                match &*key.content() {
                    "name" => category.name = self.text(value),
                    "selectedOptions" => category.options = self.options(value)?,
                    _ => {}
                }
            }
            categories.push(category);
        }
        Ok(categories)
    }

    fn options(&mut self, node: Node<'_>) -> Result<Vec<ItemOption>, Rejected> {
        let mut options = Vec::new();
        for element in self.list(node, Warning::ItemUnreadable) {
            let Value::Object(members) = element.value() else {
                self.warn(Warning::ItemUnreadable);
                continue;
            };
            let mut option = ItemOption { name: None, price: None };
            for (key, value) in members {
                match &*key.content() {
                    "name" => option.name = self.text(value),
                    "optionPrice" => option.price = self.money(value, "optionPrice")?,
                    _ => {}
                }
            }
            options.push(option);
        }
        Ok(options)
    }

    fn substitution_details(&mut self, node: Node<'_>, item: &mut Item) {
        for (key, value) in self.object(node) {
            match &*key.content() {
                "substitutedBy" => item.substituted_by = self.item_ids(value),
                "substitutedFor" => item.substituted_for = self.item_ids(value),
                _ => {}
            }
        }
    }

    fn price_adjustment_details(&mut self, node: Node<'_>, item: &mut Item) {
        for (key, value) in self.object(node) {
            match &*key.content() {
                "relatedPriceAdjustment" => item.related_price_adjustment = self.text(value).map(ItemId::new),
                "itemsAdjusted" => item.items_adjusted = self.item_ids(value),
                _ => {}
            }
        }
    }

    fn item_ids(&mut self, node: Node<'_>) -> Vec<ItemId> {
        let elements = self.list(node, Warning::FieldUnreadable);
        elements.filter_map(|element| self.text(element).map(ItemId::new)).collect()
    }

    fn payments(&mut self, node: Node<'_>) -> Result<Vec<Payment>, Rejected> {
        let mut payments = Vec::new();
        for element in self.list(node, Warning::PaymentUnreadable) {
            let Value::Object(members) = element.value() else {
                self.warn(Warning::PaymentUnreadable);
                continue;
            };
            let mut payment = Payment { payment_type: None, collected_by: None, amount: None };
            for (key, value) in members {
                match &*key.content() {
                    "type" => payment.payment_type = self.text(value).map(|text| PaymentType::from_text(&text)),
                    "collectedBy" => payment.collected_by = self.text(value).map(|text| Collector::from_text(&text)),
                    "payment" => {
                        payment.amount =
                            self.money_or(Warning::PaymentUnreadable, value, "customerPayments.payment")?;
                    }
                    _ => {}
                }
            }
            payments.push(payment);
        }
        Ok(payments)
    }

    fn money(&mut self, node: Node<'_>, field: &'static str) -> Result<Option<Money>, Rejected> {
        self.money_or(Warning::MoneyUnreadable, node, field)
    }

    /// Absent, whole or refused; what has no amount or currency at all is left out with a warning.
    fn money_or(&mut self, otherwise: Warning, node: Node<'_>, field: &'static str) -> Result<Option<Money>, Rejected> {
        let members = match node.value() {
            Value::Null => return Ok(None),
            Value::Object(members) => members,
            _ => {
                self.warn(otherwise);
                return Ok(None);
            }
        };
        let mut amount = None;
        let mut currency = None;
        for (key, value) in members {
            match &*key.content() {
                "amount" => amount = self.number(value, otherwise),
                "currency" => currency = self.text(value).and_then(|text| Currency::parse(&text).ok()),
                _ => {}
            }
        }
        let amount = match amount {
            Some(Ok(Decimal { coefficient, scale: 0 })) => Some(coefficient),
            Some(Ok(_) | Err(Misfit::TooFine)) => return rejected(Refusal::AmountNotWhole, field),
            Some(Err(Misfit::TooLarge)) => return rejected(Refusal::AmountOutOfRange, field),
            None => None,
        };
        let money = amount.zip(currency).map(|(amount, currency)| Money { amount, currency });
        if money.is_none() {
            self.warn(otherwise);
        }
        Ok(money)
    }

    fn quantity(&mut self, node: Node<'_>, field: &'static str) -> Result<Option<Quantity>, Rejected> {
        match self.number(node, Warning::QuantityUnreadable) {
            None => Ok(None),
            Some(Err(Misfit::TooLarge)) => rejected(Refusal::QuantityOutOfRange, field),
            Some(Err(Misfit::TooFine)) => Ok(self.unreadable_quantity()),
            Some(Ok(Decimal { coefficient, scale: 0 })) => Ok(Some(Quantity::whole(coefficient))),
            Some(Ok(Decimal { coefficient, scale })) => {
                let Ok(quantity) = Quantity::decimal(coefficient, scale) else { return Ok(self.unreadable_quantity()) };
                self.warn(Warning::QuantityNotWhole);
                Ok(Some(quantity))
            }
        }
    }

    fn unreadable_quantity(&mut self) -> Option<Quantity> {
        self.warn(Warning::QuantityUnreadable);
        None
    }

    fn number(&mut self, node: Node<'_>, otherwise: Warning) -> Option<Result<Decimal, Misfit>> {
        match node.value() {
            Value::Null => None,
            Value::Number(raw) => Some(decimal(raw)),
            Value::Text(text) if is_digits(text.raw()) => {
                self.warn(Warning::NumberAsText);
                Some(decimal(text.raw()))
            }
            _ => {
                self.warn(otherwise);
                None
            }
        }
    }

    fn instant(&mut self, node: Node<'_>) -> Option<DateTime<Utc>> {
        let at = match node.value() {
            Value::Null => return None,
            Value::Number(raw) => self.epoch(raw),
            Value::Text(text) if is_digits(text.raw()) => {
                self.warn(Warning::TimestampAsDigits);
                self.epoch(text.raw())
            }
            Value::Text(text) => DateTime::parse_from_rfc3339(&text.content())
                .ok()
                .and_then(|at| DateTime::from_timestamp_millis(at.timestamp_millis())),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let at = at.filter(|at| (EARLIEST_MS..=LATEST_MS).contains(&at.timestamp_millis()));
        if at.is_none() {
            self.warn(Warning::TimestampUnreadable);
        }
        at
    }

    fn epoch(&mut self, raw: &str) -> Option<DateTime<Utc>> {
        let Ok(Decimal { coefficient, scale: 0 }) = decimal(raw) else { return None };
        if coefficient.unsigned_abs() >= FIRST_MILLISECONDS {
            return DateTime::from_timestamp_millis(coefficient);
        }
        self.warn(Warning::TimestampInSeconds);
        DateTime::from_timestamp(coefficient, 0)
    }

    /// A text, or a number as its text: the platform may change the format of ids.
    fn text(&mut self, node: Node<'_>) -> Option<Box<str>> {
        match node.value() {
            Value::Null => None,
            Value::Text(text) => Some(text.content().into()),
            Value::Number(raw) => Some(raw.into()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.warn(Warning::FieldUnreadable);
                None
            }
        }
    }

    /// The elements of a list; `null` is an empty one.
    fn list<'d>(&mut self, node: Node<'d>, otherwise: Warning) -> impl Iterator<Item = Node<'d>> + use<'d> {
        let elements = match node.value() {
            Value::Null => None,
            Value::Array(elements) => Some(elements),
            _ => {
                self.warn(otherwise);
                None
            }
        };
        elements.into_iter().flatten()
    }

    fn object<'d>(&mut self, node: Node<'d>) -> impl Iterator<Item = <Members<'d> as Iterator>::Item> + use<'d> {
        let members = match node.value() {
            Value::Null => None,
            Value::Object(members) => Some(members),
            _ => {
                self.warn(Warning::FieldUnreadable);
                None
            }
        };
        members.into_iter().flatten()
    }

    fn warn_of_unknown_values(&mut self, order: &Order) {
        let unknown = |known: Option<bool>| known == Some(false);
        if !order.status.is_known() && !self.warnings.contains(&Warning::StatusMissing) {
            self.warn(Warning::StatusUnknown);
        }
        if unknown(order.order_type.as_ref().map(OrderType::is_known)) {
            self.warn(Warning::OrderTypeUnknown);
        }
        if unknown(order.delivery_provider.as_ref().map(DeliveryProvider::is_known)) {
            self.warn(Warning::DeliveryProviderUnknown);
        }
        if order.items.iter().any(|item| unknown(item.item_type.as_ref().map(ItemType::is_known))) {
            self.warn(Warning::ItemTypeUnknown);
        }
        if order.payments.iter().any(|payment| unknown(payment.payment_type.as_ref().map(PaymentType::is_known))) {
            self.warn(Warning::PaymentTypeUnknown);
        }
        if order.payments.iter().any(|payment| unknown(payment.collected_by.as_ref().map(Collector::is_known))) {
            self.warn(Warning::CollectorUnknown);
        }
    }

    fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// No warning, as it is no part of the order.
fn boolean(node: Node<'_>) -> Option<bool> {
    match node.value() {
        Value::Bool(value) => Some(value),
        _ => None,
    }
}

/// 0000-01-01 and the end of 9999: what RFC 3339 and Postgres can both write down.
const EARLIEST_MS: i64 = -62_167_219_200_000;
const LATEST_MS: i64 = 253_402_300_799_999;

/// A line without a type is a product when it has a price of zero or more and is no adjustment: it names no adjusted
/// lines, and no line names it as its adjustment. Assumed: samples omit the type on products only.
fn infer_missing_types(items: &mut [Item]) {
    if items.iter().all(|item| item.item_type.is_some()) {
        return;
    }
    let named: Vec<ItemId> = items.iter().filter_map(|item| item.related_price_adjustment.clone()).collect();
    for item in items.iter_mut().filter(|item| item.item_type.is_none()) {
        let is_adjustment = !item.items_adjusted.is_empty() || item.id.as_ref().is_some_and(|id| named.contains(id));
        if !is_adjustment && item.price.is_some_and(|price| price.amount >= 0) {
            item.item_type = Some(ItemType::Product);
        }
    }
}
