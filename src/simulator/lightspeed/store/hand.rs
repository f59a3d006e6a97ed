//! What people do at the till and in the back office, and what happens to a shop without anybody being told.

use chrono::{DateTime, Utc};

use super::{Product, Sale, State, Store, catalogue};
use crate::simulator::lightspeed::{
    amount::Fine,
    body::{CustomerDetails, Named},
};

impl Store {
    /// A product with so many in every outlet. Returns its id.
    pub fn add_product_by_hand(&mut self, name: &str, sku: &str, n_in_stock: i64, now: DateTime<Utc>) -> String {
        let product = Product {
            id: self.new_id("product"),
            name: name.to_owned(),
            sku: Some(sku.to_owned()),
            handle: catalogue::handle(name),
            description: None,
            source: "USER".to_owned(),
            source_id: None,
            is_active: true,
            has_inventory: true,
            price_excluding_tax: Fine::ZERO,
            price_including_tax: Fine::ZERO,
            supply_price: Fine::ZERO,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 0,
        };
        let count = Fine(n_in_stock * Fine::ONE.0);
        let counts: Vec<(String, Fine)> = self.shop.outlets.iter().map(|outlet| (outlet.id.clone(), count)).collect();
        let at = self.add_product(product, &counts);
        self.products[at].id.clone()
    }

    /// A person changes a product. Returns whether there is such a one.
    pub fn edit_product_by_hand(&mut self, id: &str, now: DateTime<Utc>, edit: impl FnOnce(&mut Product)) -> bool {
        let Ok(place) = self.product_place(id) else { return false };
        let version = self.next_version();
        let product = &mut self.products[place];
        edit(product);
        (product.updated_at, product.version) = (now, version);
        true
    }

    pub fn delete_product_by_hand(&mut self, id: &str, now: DateTime<Utc>) -> bool {
        self.delete_product(id, now).is_ok()
    }

    /// A product changes, and no list of changes ever tells.
    pub fn drift_product(&mut self, id: &str, edit: impl FnOnce(&mut Product)) -> bool {
        let Ok(place) = self.product_place(id) else { return false };
        let version = self.products[place].version;
        edit(&mut self.products[place]);
        self.products[place].version = version;
        true
    }

    /// A ghost: a product and its stock are gone, and no list of changes ever tells.
    pub fn vanish_product(&mut self, id: &str) -> bool {
        let n_before = self.products.len();
        self.products.retain(|product| product.id != id);
        self.stocks.retain(|stock| stock.product_id != id);
        self.products.len() < n_before
    }

    /// Somebody counts. Returns whether the stock of the product is tracked there.
    pub fn count_stock_by_hand(&mut self, product_id: &str, outlet_id: &str, n: i64) -> bool {
        let found = self.stocks.iter().position(|stock| stock.product_id == product_id && stock.outlet_id == outlet_id);
        let Some(at) = found else { return false };
        self.stocks[at].version = self.next_version();
        self.stocks[at].level = Fine(n * Fine::ONE.0);
        true
    }

    /// Returns the id.
    pub fn add_customer_by_hand(&mut self, first_name: &str, code: &str, email: &str, now: DateTime<Utc>) -> String {
        let details = CustomerDetails {
            first_name: Named::Text(first_name.to_owned()),
            last_name: Named::Null,
            email: Some(email.to_owned()),
            ..CustomerDetails::default()
        };
        let at = self.add_customer(details, Some(code.to_owned()), now);
        self.customers[at].id.clone()
    }

    pub fn edit_customer_by_hand(
        &mut self,
        id: &str,
        now: DateTime<Utc>,
        edit: impl FnOnce(&mut CustomerDetails),
    ) -> bool {
        let Ok(place) = self.customer_place(id) else { return false };
        let version = self.next_version();
        let customer = &mut self.customers[place];
        edit(&mut customer.details);
        (customer.updated_at, customer.version) = (now, version);
        true
    }

    pub fn delete_customer_by_hand(&mut self, id: &str, now: DateTime<Utc>) -> bool {
        let Ok(place) = self.customer_place(id) else { return false };
        self.remove_customer(place, now);
        true
    }

    /// One customer goes, and its sales are the other's. Nothing tells who the other is.
    pub fn merge_customers_by_hand(&mut self, id: &str, into: &str, now: DateTime<Utc>) -> bool {
        let (Ok(place), Ok(_)) = (self.customer_place(id), self.customer_place(into)) else { return false };
        self.remove_customer(place, now);
        let is_of = |sale: &Sale| sale.customer_id.as_deref() == Some(id);
        let of_it: Vec<usize> = (0..self.sales.len()).filter(|at| is_of(&self.sales[*at])).collect();
        for at in of_it {
            self.change(at, now, |sale| sale.customer_id = Some(into.to_owned()));
        }
        true
    }

    /// A person changes a sale, whatever its state. Returns whether there is such a one.
    pub fn edit_sale_by_hand(&mut self, id: &str, now: DateTime<Utc>, edit: impl FnOnce(&mut Sale)) -> bool {
        let Some(at) = self.sale_place(id) else { return false };
        self.change(at, now, edit);
        true
    }

    pub fn void_sale_by_hand(&mut self, id: &str, now: DateTime<Utc>) -> bool {
        let is_live = self.sale(id).is_some_and(|sale| sale.state != State::Voided);
        is_live && self.edit_sale_by_hand(id, now, |sale| sale.state = State::Voided)
    }

    /// Returns whether it was open.
    pub fn close_register_by_hand(&mut self, id: &str, now: DateTime<Utc>) -> bool {
        let place = self.register_place(id).ok().filter(|place| self.registers[*place].is_open());
        place.is_some_and(|place| {
            self.switch(place, None, now);
            true
        })
    }

    /// Returns whether it was closed.
    pub fn open_register_by_hand(&mut self, id: &str, now: DateTime<Utc>) -> bool {
        let place = self.register_place(id).ok().filter(|place| !self.registers[*place].is_open());
        place.is_some_and(|place| {
            self.switch(place, Some(now), now);
            true
        })
    }

    pub fn delete_register_by_hand(&mut self, id: &str, now: DateTime<Utc>) -> bool {
        let Ok(place) = self.register_place(id) else { return false };
        self.registers[place].version = self.next_version();
        self.registers[place].deleted_at = Some(now);
        true
    }
}
