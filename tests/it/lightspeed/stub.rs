//! A shop in a test's hand.

use std::ops::Deref;

use serde_json::{Value, json};

use super::{NO_TAX, ONLINE, REGISTER, TAX, USER, path};
use crate::harness::stub::Stub;
pub use crate::harness::stub::{Reply, ok, reply};

pub struct ShopStub {
    stub: Stub,
}

impl Deref for ShopStub {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}

impl ShopStub {
    pub async fn start() -> Self {
        Self { stub: Stub::start("", Box::new(|_| None)).await }
    }

    /// A shop that has all that the usual settings name.
    pub fn has_a_shop(&self) -> &Self {
        let page = |data: Value| ok(&json!({"data": data, "version": {"min": 1, "max": 9}}));
        let ids = |ids: &[&str]| Value::Array(ids.iter().map(|id| json!({"id": id, "deleted_at": null})).collect());
        let payments = ["2", "3", "4"].map(|n| format!("44444444-aaaa-4bbb-8ccc-00000000000{n}"));
        let payments: Vec<&str> = payments.iter().map(String::as_str).chain([ONLINE]).collect();
        let listings = [
            (
                "registers",
                json!([{
                    "id": REGISTER, "name": "Online", "is_open": true, "invoice_prefix": "", "invoice_suffix": "",
                    "register_open_sequence_id": "monday",
                }]),
            ),
            ("users", ids(&[USER])),
            (
                "taxes",
                json!([{"id": TAX, "rates": [{"rate": 0.2}]}, {"id": NO_TAX, "name": "No Tax", "rates": [{"rate": 0}]}]),
            ),
            ("payment_types", ids(&payments)),
        ];
        for (name, data) in listings {
            // A page and the empty one that ends the listing.
            self.stub.answers("GET", &path(name), page(data));
            self.stub.always_answers("GET", &path(name), page(json!([])));
        }
        let retailer = json!({"data": {
            "name": "Old Mill Kitchen", "no_tax_group_id": NO_TAX, "timezone": "Europe/London", "tax_exclusive": false,
            "currency": {"code": "GBP", "symbol": "£"},
        }});
        self.stub.always_answers("GET", &path("retailer"), ok(&retailer));
        self
    }
}
