//! How much of each product lies in each warehouse. Source: Unleashed API documentation, `/StockOnHand`: what never had a
//! transaction is not listed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Account, Line, SalesOrder};
use crate::simulator::{amount::Fine, unleashed::Guid};

/// By product and warehouse. What has no transaction has no level.
pub(super) type Stock = BTreeMap<(Guid, Guid), Level>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub on_hand: Fine,
    pub modified_at: DateTime<Utc>,
}

/// Whether goods leave or come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

impl Account {
    /// None where nothing ever came or went.
    pub fn on_hand(&self, product: &str, warehouse: &str) -> Option<Fine> {
        let (product, warehouse) = (self.product(product)?.guid, self.warehouse(warehouse)?.guid);
        self.stock.get(&(product, warehouse)).map(|level| level.on_hand)
    }

    /// Products and warehouses with a level, which is told last.
    pub(in crate::simulator::unleashed) fn levels(&self) -> impl Iterator<Item = (Guid, Guid, Level)> {
        self.stock.iter().map(|((product, warehouse), level)| (*product, *warehouse, *level))
    }

    /// What orders that are placed or backordered will take.
    pub(in crate::simulator::unleashed) fn allocated(&self, product: Guid, warehouse: Guid) -> Fine {
        let orders = self.orders.iter().filter(|order| order.status.allocates() && order.warehouse_guid == warehouse);
        let lines = orders.flat_map(|order| &order.lines).filter(|line| line.product_guid == product);
        Fine(lines.map(|line| line.quantity.0).sum())
    }

    /// Whether all that an order takes is there.
    pub(super) fn is_there(&self, order: &SalesOrder) -> bool {
        let mut wanted: BTreeMap<Guid, i64> = BTreeMap::new();
        for line in order.lines.iter().filter(|line| self.is_counted(line)) {
            *wanted.entry(line.product_guid).or_default() += line.quantity.0;
        }
        let on_hand = |product| self.stock.get(&(product, order.warehouse_guid)).map_or(0, |level| level.on_hand.0);
        wanted.into_iter().all(|(product, wanted)| on_hand(product) >= wanted)
    }

    pub(super) fn move_goods(&mut self, lines: &[Line], warehouse: Guid, way: Way, now: DateTime<Utc>) {
        let moved_at = self.touch(now);
        let counted: Vec<&Line> = lines.iter().filter(|line| self.is_counted(line)).collect();
        for line in counted {
            let level = self.stock.entry((line.product_guid, warehouse));
            let level = level.or_insert(Level { on_hand: Fine(0), modified_at: moved_at });
            level.modified_at = moved_at;
            level.on_hand.0 += match way {
                Way::Out => -line.quantity.0,
                Way::In => line.quantity.0,
            };
        }
    }

    /// A product that is gone is not.
    fn is_counted(&self, line: &Line) -> bool {
        self.product_of(line.product_guid).is_some_and(|product| !product.never_diminishing)
    }
}
