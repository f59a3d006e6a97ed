mod access;
mod catalogue;
mod judged;
mod returns;
mod sales;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::*;
use crate::simulator::test_client::{client, secs};

/// A shop with one dish, and a client that has a token.
struct Desk {
    lightspeed: LightspeedSim,
    clock: Clock,
    dish: String,
}

impl std::ops::Deref for Desk {
    type Target = LightspeedSim;
    fn deref(&self) -> &LightspeedSim {
        &self.lightspeed
    }
}

async fn start() -> Desk {
    start_with(LightspeedOptions { limits: None, ..LightspeedOptions::default() }).await
}

async fn start_with(options: LightspeedOptions) -> Desk {
    let clock = options.clock.clone();
    let lightspeed = LightspeedSim::start(options).await.expect("a free port");
    let dish = lightspeed.by_hand(|store, now| store.add_product_by_hand("Lamb Jalfrezi", "LJ-1", 100, now));
    Desk { lightspeed, clock, dish }
}

async fn ask(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// The id of the first sale of an order, whatever the order.
fn sale_id(order: &str) -> String {
    store::id_for("sale of", order)
}

impl Desk {
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        client()
            .request(method, format!("{}/api/{path}", self.url()))
            .header("user-agent", "scoffable-sync test")
            .bearer_auth("lightspeed-token")
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = ask(self.request("GET", path)).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        ask(self.request(method, path).json(body)).await
    }

    /// Looks for the sale, posts it, and must be answered with it.
    async fn sold(&self, sale: &Value) -> Value {
        let (status, body) = self.posted(sale).await;
        assert_eq!(status, 200, "{body}");
        body["data"].clone()
    }

    async fn posted(&self, sale: &Value) -> (u16, Value) {
        ask(self.request("GET", &format!("2026-07/sales/{}", text(&sale["id"])))).await;
        self.send("POST", "2026-07/sales", sale).await
    }

    async fn put(&self, sale: &Value) -> (u16, Value) {
        self.send("PUT", &format!("2026-07/sales/{}", text(&sale["id"])), sale).await
    }

    /// Closed and paid online: so many dishes at 10.95 with 20 % tax inside.
    fn sale(&self, order: &str, quantity: i64) -> Value {
        json!({
            "id": sale_id(order),
            "source": {"author_id": ids::USERS[0], "register_id": ids::REGISTERS[0], "type": "Scoffable", "id": order},
            "state": "closed", "date": "2025-10-09T08:53:20Z", "invoice_number": format!("SCF-{order}"),
            "note": format!("Scoffable {order} v1"), "line_items": [self.line(quantity)],
            "payments": [payment(0, &format!("{}.{:02}", quantity * 1095 / 100, quantity * 1095 % 100))],
        })
    }

    fn line(&self, quantity: i64) -> Value {
        json!({"product": {"id": self.dish}, "quantity": quantity, "pricing": {"price": "9.12500"},
            "tax": {"id": ids::TAXES[0], "amount": "1.82500"}, "_metadata": {"is_price_override": true, "sequence": 0}})
    }

    /// The same in the legacy dialect.
    fn legacy_sale(&self, order: &str, quantity: i64) -> Value {
        let sale = self.sale(order, quantity);
        json!({
            "id": sale["id"], "register_id": ids::REGISTERS[0], "user_id": ids::USERS[0], "source": "Scoffable",
            "source_id": order, "status": "CLOSED", "sale_date": "2025-10-09 08:53:20",
            "invoice_number": sale["invoice_number"],
            "register_sale_products": [{"product_id": self.dish, "quantity": quantity, "price": 9.125, "tax": 1.825,
                "tax_id": ids::TAXES[0], "price_set": 1, "sequence": 0}],
            "register_sale_payments": [{"retailer_payment_type_id": ids::PAYMENT_TYPES[0], "amount":
                sale["payments"][0]["amount"], "payment_date": "2025-10-09 08:53:20"}],
        })
    }

    fn stock(&self) -> i64 {
        self.ledger().store().stock_of(&self.dish).0 / Fine::ONE.0
    }

    fn total(&self, order: &str) -> i64 {
        self.ledger().standing(order).total.0
    }
}

fn payment(kind: usize, amount: &str) -> Value {
    json!({"amount": amount, "type": {"config_id": ids::PAYMENT_TYPES[kind]}})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
