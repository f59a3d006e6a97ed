//! Orders for tests, built from few words. All amounts are pence.

use super::{
    super::{
        ids::{OrderId, Version},
        money::{Currency, Money},
    },
    Collector, Item, ItemId, ItemOption, ItemType, OptionCategory, Order, Payment, PaymentType, Quantity, Status,
};

pub(crate) fn pounds(pence: i64) -> Money {
    Money::new(pence, Currency::parse("GBP").unwrap())
}

pub(crate) fn ids(ids: &[&str]) -> Vec<ItemId> {
    ids.iter().copied().map(ItemId::new).collect()
}

/// An accepted order with this total and these lines, unpaid.
pub(crate) fn order(total: i64, items: impl IntoIterator<Item = Item>) -> Order {
    Order {
        id: OrderId::new("71"),
        version: Version(3),
        status: Status::Accepted,
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
        total: Some(pounds(total)),
        items: items.into_iter().collect(),
        payments: Vec::new(),
        delivery_provider: None,
        warnings: Vec::new(),
    }
}

pub(crate) fn line(id: &str, item_type: ItemType, price: i64, ordered: i64, fulfilled: i64) -> Item {
    Item {
        id: Some(ItemId::new(id)),
        name: Some(id.into()),
        item_type: Some(item_type),
        quantity_ordered: Some(Quantity::whole(ordered)),
        quantity_fulfilled: Some(Quantity::whole(fulfilled)),
        price: Some(pounds(price)),
        ..Item::default()
    }
}

/// Goods supplied as ordered.
pub(crate) fn goods(id: &str, price: i64, units: i64) -> Item {
    line(id, ItemType::Product, price, units, units)
}

/// Goods ordered and replaced.
pub(crate) fn replaced(id: &str, price: i64, units: i64, by: &[&str]) -> Item {
    Item { substituted_by: ids(by), ..line(id, ItemType::Product, price, units, 0) }
}

/// Goods supplied in place of others.
pub(crate) fn substitute(id: &str, price: i64, units: i64, instead_of: &[&str]) -> Item {
    Item { substituted_for: ids(instead_of), ..line(id, ItemType::Product, price, 0, units) }
}

pub(crate) fn adjustment(id: &str, price: i64, about: &[&str]) -> Item {
    Item { items_adjusted: ids(about), ..line(id, ItemType::Adjustment, price, 0, 1) }
}

pub(crate) fn paid(payment_type: PaymentType, collected_by: Collector, amount: i64) -> Payment {
    Payment { payment_type: Some(payment_type), collected_by: Some(collected_by), amount: Some(pounds(amount)) }
}

impl Item {
    pub(crate) fn with_total(self, total: i64) -> Self {
        Self { total: Some(pounds(total)), ..self }
    }

    pub(crate) fn adjusted_by(self, id: &str) -> Self {
        Self { related_price_adjustment: Some(ItemId::new(id)), ..self }
    }

    pub(crate) fn with_surcharge(mut self, price: i64) -> Self {
        let option = ItemOption { name: Some("extra".into()), price: Some(pounds(price)) };
        self.option_categories.push(OptionCategory { name: None, options: vec![option] });
        self
    }
}

impl Order {
    pub(crate) fn with_fees(self, delivery: i64, service: i64) -> Self {
        Self { delivery_fee: Some(pounds(delivery)), service_fee: Some(pounds(service)), ..self }
    }

    pub(crate) fn with_payments(self, payments: impl IntoIterator<Item = Payment>) -> Self {
        Self { payments: payments.into_iter().collect(), ..self }
    }
}
