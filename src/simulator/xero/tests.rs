mod access;
mod documents;
mod journals;
mod ledger;
mod money;
mod reads;

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::*;
use crate::simulator::test_client::{client, secs};

/// A server with a client that has a token.
struct Desk {
    xero: XeroSim,
    clock: Clock,
    token: String,
    n_keys: AtomicU64,
}

impl std::ops::Deref for Desk {
    type Target = XeroSim;
    fn deref(&self) -> &XeroSim {
        &self.xero
    }
}

async fn start() -> Desk {
    start_with(XeroOptions { limits: XeroLimits::NONE, ..XeroOptions::default() }).await
}

async fn start_with(options: XeroOptions) -> Desk {
    let clock = options.clock.clone();
    let xero = XeroSim::start(options).await.expect("a free port");
    let token = token(&xero, "").await;
    Desk { xero, clock, token, n_keys: AtomicU64::new(0) }
}

async fn token(xero: &XeroSim, scope: &str) -> String {
    let request = client()
        .post(xero.token_url())
        .basic_auth("xero-client", Some("xero-secret"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("grant_type=client_credentials&scope={scope}"));
    let (status, body) = ask(request).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().expect("a token").to_owned()
}

async fn ask(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

impl Desk {
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        client()
            .request(method, format!("{}/{path}", self.url()))
            .header("accept", "application/json")
            .bearer_auth(&self.token)
    }

    /// A key of its own for each.
    fn write(&self, method: &str, path: &str, body: &Value) -> RequestBuilder {
        let key = self.n_keys.fetch_add(1, Ordering::Relaxed);
        self.request(method, path).header("idempotency-key", format!("key-{key}")).json(body)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = ask(self.request("GET", path)).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The elements are refused one by one.
    async fn put(&self, resource: &str, elements: Value) -> Value {
        let path = format!("{resource}?summarizeErrors=false");
        let (status, body) = ask(self.write("PUT", &path, &json!({ resource: elements }))).await;
        assert_eq!(status, 200, "{path}: {body}");
        body[resource].clone()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        ask(self.write("POST", path, &body)).await
    }

    /// An approved invoice that must be taken.
    async fn invoiced(&self, number: &str, lines: Value) -> Value {
        let answer = self.put("Invoices", json!([self.invoice(number, lines)])).await;
        assert_eq!(answer[0]["HasErrors"], json!(false), "{answer}");
        answer[0].clone()
    }

    async fn credited(&self, number: &str, lines: Value) -> Value {
        let mut note = self.invoice("", lines);
        note["Type"] = json!("ACCRECCREDIT");
        note["CreditNoteNumber"] = json!(number);
        note.as_object_mut().expect("an object").retain(|name, _| name != "InvoiceNumber" && name != "DueDate");
        let answer = self.put("CreditNotes", json!([note])).await;
        assert_eq!(answer[0]["HasErrors"], json!(false), "{answer}");
        answer[0].clone()
    }

    async fn paid(&self, invoice: &Value, account: &str, amount: Value, reference: &str) -> Value {
        let payment = payment("Invoice", "InvoiceID", invoice, account, amount, reference);
        self.put("Payments", json!([payment])).await[0].clone()
    }

    async fn refunded(&self, note: &Value, account: &str, amount: Value, reference: &str) -> Value {
        let payment = payment("CreditNote", "CreditNoteID", note, account, amount, reference);
        self.put("Payments", json!([payment])).await[0].clone()
    }

    fn house_contact(&self) -> String {
        self.contact_id("Scoffable customers").expect("it is there from the start")
    }

    /// Approved, with prices that include tax.
    fn invoice(&self, number: &str, lines: Value) -> Value {
        let mut invoice = json!({
            "Type": "ACCREC", "Status": "AUTHORISED", "InvoiceNumber": number, "Reference": "Scoffable 812345 v3",
            "Contact": {"ContactID": self.house_contact()}, "Date": "2025-10-09", "DueDate": "2025-10-09",
            "LineAmountTypes": "Inclusive", "CurrencyCode": "GBP",
        });
        invoice["LineItems"] = lines;
        invoice
    }
}

fn payment(kind: &str, id: &str, document: &Value, account: &str, amount: Value, reference: &str) -> Value {
    let mut payment = json!({
        kind: {id: document[id]}, "Account": {"Code": account}, "Date": "2025-10-09", "Reference": reference,
    });
    payment["Amount"] = amount;
    payment
}

fn line(quantity: i64, unit: Value) -> Value {
    let mut line =
        json!({"Description": "Lamb bhuna", "Quantity": quantity, "AccountCode": "200", "TaxType": "OUTPUT2"});
    line["UnitAmount"] = unit;
    line
}

fn messages(element: &Value) -> String {
    let all = element["ValidationErrors"].as_array().into_iter().flatten();
    all.filter_map(|one| one["Message"].as_str()).collect::<Vec<_>>().join("; ")
}

/// What stands in the way of the only element of a body that was refused as a whole.
fn refusal((status, body): (u16, Value)) -> String {
    assert_eq!((status, &body["Type"]), (400, &json!("ValidationException")), "{body}");
    messages(&body["Elements"][0])
}
