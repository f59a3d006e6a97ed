mod access;
mod catalogue;
mod credits;
mod ledger;
mod misbehaviour;
mod orders;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::*;
use crate::simulator::{
    amount::Cents,
    digest::id_for,
    family::Member,
    test_client::{client, secs},
};

/// A server with a client that signs.
struct Desk {
    unleashed: UnleashedSim,
    clock: Clock,
}

impl std::ops::Deref for Desk {
    type Target = UnleashedSim;
    fn deref(&self) -> &UnleashedSim {
        &self.unleashed
    }
}

/// With two dishes and a product for fees, of which no stock is counted.
async fn start() -> Desk {
    start_with(UnleashedOptions::default()).await
}

async fn start_with(options: UnleashedOptions) -> Desk {
    let clock = options.clock.clone();
    let products = ["BHUNA", "NAAN", "FEE"].map(str::to_owned).into();
    let unleashed = UnleashedSim::start(UnleashedOptions { products, ..options }).await.expect("a free port");
    unleashed.by_hand(|account, now| account.edit_product("FEE", now, |product| product.never_diminishing = true));
    Desk { unleashed, clock }
}

async fn ask(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// Of a sales order or a line, by its number.
fn guid(of: &str) -> String {
    id_for("test", of)
}

impl Desk {
    /// Signed, with all headers.
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        self.signed(method, path, &sign(&self.options().api_key, query))
    }

    fn signed(&self, method: &str, path: &str, signature: &str) -> RequestBuilder {
        client()
            .request(method.parse().expect("a method"), format!("{}/{path}", self.url()))
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("api-auth-id", &self.options().api_id)
            .header("api-auth-signature", signature)
            .header("client-type", "acme/scoffsync")
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = ask(self.request("GET", path)).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).await["Items"].as_array().expect("items").clone()
    }

    async fn write(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        ask(self.request(method, path).body(body.to_string())).await
    }

    /// Without a body.
    async fn act(&self, method: &str, path: &str) -> (u16, Value) {
        ask(self.request(method, path)).await
    }

    async fn posted(&self, order: &Value) -> Value {
        let (status, body) = self.write("POST", &order_path(order), order).await;
        assert_eq!(status, 201, "{body}");
        body
    }

    async fn completed(&self, order: &Value) -> Value {
        self.posted(order).await;
        let (status, body) = self.act("POST", &format!("{}/Complete", order_path(order))).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// A credit note that is made and completed.
    async fn credited(&self, note: &Value) -> Value {
        let (status, made) = self.write("POST", "CreditNotes/FreeCredit", note).await;
        assert_eq!(status, 201, "{made}");
        let path = format!("CreditNotes/{}/Complete", text(&made["Guid"]));
        let (status, body) = self.act("POST", &path).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    fn house(&self) -> Guid {
        self.customer_guid("Scoffable customers").expect("it is there from the start")
    }

    /// Of lines by product, quantity, price and total in pence; taxed at 20 %.
    fn order(&self, number: &str, lines: &[(&str, i64, i64)]) -> Value {
        let made: Vec<Value> = (1..).zip(lines).map(|(at, line)| order_line(number, at, *line)).collect();
        let (net, tax) = sums(lines);
        json!({
            "Guid": guid(number), "OrderNumber": number, "OrderDate": "2025-10-09T00:00:00",
            "RequiredDate": "2025-10-09T00:00:00", "OrderStatus": "Parked", "Customer": {"Guid": self.house()},
            "CustomerRef": "812345", "Warehouse": {"WarehouseCode": "KITCHEN1"}, "Currency": {"CurrencyCode": "GBP"},
            "ExchangeRate": 1, "Tax": {"TaxCode": "V.A.T."}, "TaxRate": 0.2, "Taxable": true, "DiscountRate": 0,
            "SubTotal": amount(net), "TaxTotal": amount(tax), "Total": amount(net + tax),
            "SourceId": source_id(number), "Comments": "v1", "SalesOrderLines": made,
        })
    }

    fn credit(&self, reference: &str, lines: &[(&str, i64, i64)]) -> Value {
        let made = lines.iter().map(|(product, quantity, price)| {
            let net = quantity * price;
            json!({
                "Product": {"ProductCode": product}, "CreditQuantity": quantity, "CreditPrice": amount(*price),
                "LineTotal": amount(net), "LineTax": amount(net / 5),
            })
        });
        let made: Vec<Value> = made.collect();
        let (net, tax) = sums(lines);
        json!({
            "Guid": guid(reference), "CreditDate": "2025-10-10", "Reference": reference,
            "Customer": {"Guid": self.house()}, "Warehouse": {"WarehouseCode": "KITCHEN1"},
            "Currency": {"CurrencyCode": "GBP"}, "ExchangeRate": 1, "Tax": {"TaxCode": "V.A.T."}, "TaxRate": 0.2,
            "SubTotal": amount(net), "TaxTotal": amount(tax), "Total": amount(net + tax), "CreditLines": made,
        })
    }

    fn on_hand(&self, product: &str) -> i64 {
        self.ledger().account().on_hand(product, "KITCHEN1").expect("a level").0 / Fine::ONE.0
    }
}

/// That of the Scoffable order a number is of.
fn source_id(number: &str) -> String {
    Member::of_document(number, "SCF-").map_or_else(String::new, |member| format!("scoffable:{}", member.order))
}

fn order_line(number: &str, at: usize, (product, quantity, price): (&str, i64, i64)) -> Value {
    let net = quantity * price;
    json!({
        "Guid": guid(&format!("{number}:{at}")), "LineNumber": at, "Product": {"ProductCode": product},
        "OrderQuantity": quantity, "UnitPrice": amount(price), "DiscountRate": 0, "LineTotal": amount(net),
        "TaxRate": 0.2, "LineTax": amount(net / 5), "LineTaxCode": "V.A.T.",
    })
}

/// Without tax, and the tax. The tests choose prices of which a fifth is whole.
fn sums(lines: &[(&str, i64, i64)]) -> (i64, i64) {
    let net = lines.iter().map(|(_, quantity, price)| quantity * price).sum::<i64>();
    (net, lines.iter().map(|(_, quantity, price)| quantity * price / 5).sum())
}

/// Pence as the number of pounds.
fn amount(pence: i64) -> Value {
    serde_json::from_str(&Cents(pence).to_string()).expect("a number")
}

fn order_path(order: &Value) -> String {
    format!("SalesOrders/{}", text(&order["Guid"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// What a request was refused for.
fn refusal((status, body): (u16, Value)) -> String {
    assert_eq!(status, 400, "{body}");
    text(&body["Description"]).to_owned()
}

/// The same with one member otherwise.
fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = body.clone();
    *changed.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")) = value;
    changed
}

fn without(body: &Value, member: &str) -> Value {
    let mut changed = body.clone();
    changed.as_object_mut().expect("an object").remove(member).unwrap_or_else(|| panic!("no {member}"));
    changed
}
