//! From an order to what GoDataFeed is told of it. Pure.
//!
//! No items, prices or customers: no documented request has a place for them, and what is compared with Scoffable is the
//! order number alone.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::config::{DestinationNumber, GodatafeedSettings, Tracking};
use crate::{
    domain::order::{DeliveryProvider, ItemType, Order, OrderType},
    sinks::{Counterpart, Since},
};

/// The marketplace's number of an order.
pub fn marketplace_number(order_id: &str, settings: &GodatafeedSettings) -> String {
    let order_id = order_id.trim();
    settings.matching.as_ref().map_or_else(|| order_id.to_owned(), |matching| matching.of(order_id).trim().to_owned())
}

/// The number under which the other sink's system holds the order. Never the Scoffable id: it would tell the marketplace
/// its own number and hide that nothing was inserted.
pub fn destination_number<'a>(
    other: Option<Counterpart<'a>>,
    order_id: &str,
    settings: &GodatafeedSettings,
) -> Option<&'a str> {
    let other = other?;
    let number = match settings.destination_number {
        DestinationNumber::Id => other.external_id,
        DestinationNumber::DisplayId => other.receipt.and_then(|receipt| receipt.get("display_id")?.as_str()),
    };
    number.filter(|number| !number.trim().is_empty() && number.trim() != order_id.trim())
}

/// Whether an order counts as shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    Yes,
    In(Duration),
    /// Once a newer version says so.
    Told,
}

/// An order is shipped once it was dispatched or delivered. Where Scoffable may never tell that, it is once `ship_after`
/// has passed since its acceptance.
pub fn shipped(order: &Order, since: Since, settings: &GodatafeedSettings, now: DateTime<Utc>) -> Shipped {
    if order.dispatched_at.or(order.delivered_at).is_some() {
        return Shipped::Yes;
    }
    let is_tracked = order.order_type != Some(OrderType::Collection)
        && order.delivery_provider.as_ref().is_some_and(|provider| *provider != DeliveryProvider::Vendor);
    if is_tracked {
        return Shipped::Told;
    }
    let accepted = match order.accepted_at {
        Some(at) => (now - at).to_std().unwrap_or_default(),
        None => since.received,
    };
    match settings.ship_after.checked_sub(accepted).filter(|left| !left.is_zero()) {
        Some(left) => Shipped::In(left),
        None => Shipped::Yes,
    }
}

/// The time of shipment, or how long there can be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShipDate {
    /// Whole seconds, after the purchase and not in the future.
    At(DateTime<Utc>),
    In(Duration),
}

/// When it was dispatched, else delivered, else now; but after the purchase, by the later of both systems' words, and
/// never in the future.
///
/// Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API": a time before the purchase fails; where the time is
/// not known the current one may be used.
pub fn ship_date(order: &Order, purchased_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> ShipDate {
    let whole = |at: DateTime<Utc>| at.trunc_subsecs(0);
    let happened = order.dispatched_at.or(order.delivered_at).unwrap_or(now).min(now);
    let at = match order.placed_at.max(purchased_at) {
        Some(purchase) if whole(happened) <= purchase => {
            purchase.checked_add_signed(TimeDelta::seconds(1)).unwrap_or(purchase)
        }
        _ => happened,
    };
    match (at - now).to_std() {
        Ok(wait) if !wait.is_zero() => ShipDate::In(wait),
        _ => ShipDate::At(whole(at)),
    }
}

/// None where nobody is known: a carrier is never invented.
pub fn carrier<'a>(order: &Order, settings: &'a GodatafeedSettings) -> Option<&'a str> {
    if order.order_type == Some(OrderType::Collection) {
        return Some(&settings.carriers.collection);
    }
    match order.delivery_provider.as_ref()? {
        DeliveryProvider::Uber => Some(&settings.carriers.uber),
        DeliveryProvider::Vendor => Some(&settings.carriers.vendor),
        DeliveryProvider::Other(_) => None,
    }
}

/// Scoffable has no tracking numbers.
pub fn tracking_number<'a>(order_id: &'a str, settings: &GodatafeedSettings) -> Option<&'a str> {
    match settings.tracking {
        Tracking::Omit => None,
        Tracking::OrderId => Some(order_id),
    }
}

/// How much of what was ordered was supplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fulfilment {
    All,
    /// Something is missing or was replaced.
    Partial,
    Nothing,
}

/// Only what is certain counts: a line that does not say is taken for supplied.
pub fn fulfilment(order: &Order) -> Fulfilment {
    let goods = order.items.iter().filter(|item| matches!(item.item_type, None | Some(ItemType::Product)));
    let (mut n_lines, mut n_empty, mut is_short) = (0, 0, false);
    for line in goods {
        n_lines += 1;
        let Some(fulfilled) = line.quantity_fulfilled else { continue };
        n_empty += u32::from(!fulfilled.is_positive());
        is_short |= line.quantity_ordered.is_some_and(|ordered| ordered.is_positive() && ordered != fulfilled);
    }
    match (n_lines, n_empty) {
        (lines, empty) if lines > 0 && lines == empty => Fulfilment::Nothing,
        _ if is_short => Fulfilment::Partial,
        _ => Fulfilment::All,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::order::sample::{goods, order, replaced, substitute};

    fn instants() -> impl Strategy<Value = DateTime<Utc>> {
        // Around one moment, to the millisecond, so that all orders of before and after come up.
        (-5_000_i64..5_000).prop_map(|ms| DateTime::from_timestamp_millis(1_770_000_000_000 + ms).unwrap())
    }

    fn maybe() -> impl Strategy<Value = Option<DateTime<Utc>>> {
        proptest::option::of(instants())
    }

    proptest! {
        #[test]
        fn a_ship_date_is_after_the_purchase_and_never_in_the_future(
            dispatched_at in maybe(), delivered_at in maybe(), placed_at in maybe(), purchased_at in maybe(),
            now in instants(),
        ) {
            let order = Order { placed_at, dispatched_at, delivered_at, ..order(100, [goods("a", 100, 1)]) };
            match ship_date(&order, purchased_at, now) {
                ShipDate::At(at) => {
                    prop_assert!(at <= now);
                    prop_assert_eq!(at, at.trunc_subsecs(0));
                    for purchase in [placed_at, purchased_at].into_iter().flatten() {
                        prop_assert!(at > purchase, "{at} {purchase}");
                    }
                    if let Some(happened) = dispatched_at.or(delivered_at)
                        && happened <= now && placed_at.max(purchased_at).is_none_or(|p| happened.trunc_subsecs(0) > p)
                    {
                        prop_assert_eq!(at, happened.trunc_subsecs(0));
                    }
                }
                ShipDate::In(wait) => {
                    let later = now + TimeDelta::from_std(wait).unwrap();
                    prop_assert!(matches!(ship_date(&order, purchased_at, later), ShipDate::At(_)), "one wait is enough");
                }
            }
        }
    }

    #[test]
    fn goods_are_counted_and_nothing_else() {
        let fulfilled = |items: Vec<crate::domain::order::Item>| fulfilment(&order(100, items));

        assert_eq!(fulfilled(vec![goods("a", 100, 1)]), Fulfilment::All);
        assert_eq!(fulfilled(vec![]), Fulfilment::All, "an order without lines says nothing");
        let swapped = vec![replaced("a", 100, 1, &["b"]), substitute("b", 100, 1, &["a"])];
        assert_eq!(fulfilled(swapped), Fulfilment::Partial);
        let missing = || replaced("a", 100, 2, &[]);
        assert_eq!(fulfilled(vec![missing(), goods("b", 100, 1)]), Fulfilment::Partial);
        assert_eq!(fulfilled(vec![missing()]), Fulfilment::Nothing);
    }
}
