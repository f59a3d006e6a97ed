//! What people do in Unleashed, and what happens there without a word.

use chrono::{DateTime, Utc};

use super::{Account, Customer, Desk, OrderStatus, Product, SalesOrder, Totals, Warehouse, stock::Level};
use crate::simulator::{
    amount::Fine,
    unleashed::{
        Guid,
        rules::{Rules, WithoutStock},
    },
};

impl Account {
    /// A customer whose code is the first free one.
    pub fn add_customer(&mut self, name: &str, now: DateTime<Utc>) -> Guid {
        let customer = Customer {
            guid: Guid::of("customer", name),
            code: format!("CUST{:04}", self.customers.len() + 1),
            name: name.to_owned(),
            email: None,
            first_name: None,
            last_name: None,
            phone: None,
            mobile: None,
            notes: None,
            currency: self.settings.base_currency.clone(),
            taxable: true,
            tax_code: None,
            source_id: None,
            prints_packing_slip: false,
            stop_credit: false,
            obsolete: false,
            modified_at: self.touch(now),
        };
        let guid = customer.guid;
        self.customers.push(customer);
        guid
    }

    /// A product whose stock is counted, of which there never was any.
    pub fn add_product(&mut self, code: &str, description: &str, now: DateTime<Utc>) -> Guid {
        let product = Product {
            guid: Guid::of("product", code),
            code: code.to_owned(),
            description: description.to_owned(),
            never_diminishing: false,
            sell_price: None,
            barcode: None,
            notes: None,
            source_id: None,
            obsolete: false,
            modified_at: self.touch(now),
        };
        let guid = product.guid;
        self.products.push(product);
        guid
    }

    pub fn add_warehouse(&mut self, code: &str, now: DateTime<Utc>) -> Guid {
        let guid = Guid::of("warehouse", code);
        let modified_at = self.touch(now);
        self.warehouses.push(Warehouse { guid, code: code.to_owned(), modified_at });
        guid
    }

    /// So much is counted. Returns whether there are such a product and such a warehouse.
    pub fn count_stock(&mut self, product: &str, warehouse: &str, on_hand: Fine, now: DateTime<Utc>) -> bool {
        let named = (self.product(product).map(|one| one.guid), self.warehouse(warehouse).map(|one| one.guid));
        let (Some(product), Some(warehouse)) = named else { return false };
        let modified_at = self.touch(now);
        self.stock.insert((product, warehouse), Level { on_hand, modified_at });
        true
    }

    /// Whatever its status; what its lines add up to is what it comes to. Returns whether there is such a one, as do the
    /// others here.
    pub fn edit_order(&mut self, number: &str, now: DateTime<Utc>, edit: impl FnOnce(&mut SalesOrder)) -> bool {
        let Some(at) = self.numbered(number) else { return false };
        edit(&mut self.orders[at]);
        self.orders[at].totals = Totals::of(&self.orders[at].lines);
        self.orders[at].modified_at = self.touch(now);
        true
    }

    /// Only where it is open.
    pub fn delete_order_by_hand(&mut self, number: &str, now: DateTime<Utc>) -> bool {
        let Some(guid) = self.numbered(number).map(|at| self.orders[at].guid) else { return false };
        self.delete_order(guid, now).is_ok()
    }

    /// With or without stock, only where it is open or backordered.
    pub fn complete_order_by_hand(&mut self, number: &str, now: DateTime<Utc>) -> bool {
        let Some(guid) = self.numbered(number).map(|at| self.orders[at].guid) else { return false };
        let rules = Rules { without_stock: WithoutStock::Completed, ..Rules::default() };
        self.complete_order(guid, Desk { rules: &rules, now }).is_ok()
    }

    /// Gives an open order a status of the merchant's.
    pub fn name_status(&mut self, number: &str, status: &str, now: DateTime<Utc>) -> bool {
        self.edit_order(number, now, |order| order.status = OrderStatus::Custom(status.to_owned()))
    }

    pub fn edit_product(&mut self, code: &str, now: DateTime<Utc>, edit: impl FnOnce(&mut Product)) -> bool {
        let modified_at = self.touch(now);
        self.edit_product_silently(code, |product| {
            edit(product);
            product.modified_at = modified_at;
        })
    }

    /// It is never listed as changed.
    pub fn edit_product_silently(&mut self, code: &str, edit: impl FnOnce(&mut Product)) -> bool {
        let product = self.products.iter_mut().find(|product| product.code == code);
        product.map(edit).is_some()
    }

    /// It is gone, and was never listed as changed.
    pub fn remove_product(&mut self, code: &str) -> bool {
        let Some(guid) = self.product(code).map(|product| product.guid) else { return false };
        self.products.retain(|product| product.guid != guid);
        self.stock.retain(|(product, _), _| *product != guid);
        true
    }

    pub fn edit_customer(&mut self, guid: Guid, now: DateTime<Utc>, edit: impl FnOnce(&mut Customer)) -> bool {
        let modified_at = self.touch(now);
        let Some(customer) = self.customers.iter_mut().find(|customer| customer.guid == guid) else { return false };
        edit(customer);
        customer.modified_at = modified_at;
        true
    }

    /// Nothing may be sold to it any more.
    pub fn stop_customer(&mut self, guid: Guid, now: DateTime<Utc>) -> bool {
        self.edit_customer(guid, now, |customer| customer.stop_credit = true)
    }

    /// One customer takes the documents of another, which is gone without a word of who took them.
    pub fn merge_customers(&mut self, gone: Guid, into: Guid, now: DateTime<Utc>) -> bool {
        if self.customer(gone).is_none() || self.customer(into).is_none() {
            return false;
        }
        self.customers.retain(|customer| customer.guid != gone);
        let modified_at = self.touch(now);
        for order in self.orders.iter_mut().filter(|order| order.customer_guid == gone) {
            (order.customer_guid, order.modified_at) = (into, modified_at);
        }
        for note in self.credits.iter_mut().filter(|note| note.customer_guid == gone) {
            (note.customer_guid, note.modified_at) = (into, modified_at);
        }
        self.edit_customer(into, now, |_| ())
    }

    fn numbered(&self, number: &str) -> Option<usize> {
        self.orders.iter().rposition(|order| order.number == number)
    }
}
