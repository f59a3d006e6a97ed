//! What the simulated Xero is asked and answers, held against the published description.
//!
//! `XERO_OPENAPI` names the file `xero_accounting.yaml`; without it only a line is printed. Every test that talks to the
//! simulator may end with [`check`].

use std::sync::LazyLock;

use reqwest::{Client, RequestBuilder};
use scoffable_sync::{
    clock::Clock,
    simulator::xero::{Cents, DateStyle, Operation, Resource, XeroLimits, XeroOptions, XeroSim},
};
use serde_json::{Value, json};

use crate::harness::openapi::{Description, report};

static DESCRIPTION: LazyLock<Option<Description>> = LazyLock::new(|| Description::from_environment("XERO_OPENAPI"));

/// Holds all that this simulator was asked and answered against the description.
pub fn check(xero: &XeroSim) {
    let Some(description) = DESCRIPTION.as_ref() else { return };
    let mut found = Vec::new();
    for received in xero.received() {
        let Some((method, path)) = place(received.operation) else { continue };
        let problems = description.problems_of_request(method, &path, &received.query, &received.body);
        found.push((format!("asked {method} {path}"), problems));
    }
    for answered in xero.answered() {
        let Some((method, path)) = place(answered.operation) else { continue };
        let problems = description.problems_of_answer(method, &path, answered.status, &answered.body);
        found.push((format!("answered {method} {path}"), problems));
    }
    assert!(!found.is_empty(), "nothing was asked");
    let report = report(&found);
    assert!(report.is_empty(), "{report}");
}

/// Where the description has an operation. The connections are of another one.
fn place(operation: Operation) -> Option<(&'static str, String)> {
    let segment = |resource: Resource| resource.segment();
    let id = |resource: Resource| format!("/{0}/{{{1}ID}}", segment(resource), segment(resource).trim_end_matches('s'));
    Some(match operation {
        Operation::Connections => return None,
        Operation::List(resource) => ("GET", format!("/{}", segment(resource))),
        Operation::Create(resource) => ("PUT", format!("/{}", segment(resource))),
        Operation::Save(resource) => ("POST", format!("/{}", segment(resource))),
        Operation::Read(resource) => ("GET", id(resource)),
        Operation::Update(resource) => ("POST", id(resource)),
        Operation::Allocate => ("PUT", format!("{}/Allocations", id(Resource::CreditNotes))),
        Operation::UndoAllocation => ("DELETE", format!("{}/Allocations/{{AllocationID}}", id(Resource::CreditNotes))),
        Operation::ReadHistory(resource) => ("GET", format!("{}/History", id(resource))),
        Operation::Annotate(resource) => ("PUT", format!("{}/History", id(resource))),
    })
}

struct Walker {
    xero: XeroSim,
    client: Client,
    token: String,
    n_keys: std::cell::Cell<u32>,
}

impl Walker {
    async fn start() -> Self {
        let scopes =
            ["accounting.transactions", "accounting.contacts", "accounting.settings"].map(str::to_owned).into();
        let options =
            XeroOptions { scopes, limits: XeroLimits::NONE, clock: Clock::default(), ..XeroOptions::default() };
        let xero = XeroSim::start(options).await.expect("a free port");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new();
        let request = client
            .post(xero.token_url())
            .basic_auth("xero-client", Some("xero-secret"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let token: Value = request.send().await.expect("an answer").json().await.expect("a token");
        let token = token["access_token"].as_str().expect("a token").to_owned();
        Self { xero, client, token, n_keys: std::cell::Cell::new(0) }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.n_keys.set(self.n_keys.get() + 1);
        let url = format!("{}/{path}", self.xero.url());
        self.client
            .request(method.parse().expect("a method"), url)
            .bearer_auth(&self.token)
            .header("accept", "application/json")
            .header("idempotency-key", self.n_keys.get().to_string())
    }

    async fn get(&self, path: &str) -> Value {
        self.done(self.request("GET", path), 200).await
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        self.done(self.request(method, path).json(body), 200).await
    }

    async fn done(&self, request: RequestBuilder, expected: u16) -> Value {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap_or_default();
        assert_eq!(status, expected, "{body}");
        body
    }

    /// An approved document; the number of a credit note ends with `C` and a digit.
    async fn document(&self, kind: Resource, number: &str, amount: Value) -> String {
        let contact = self.xero.contact_id("Scoffable customers").expect("it is there from the start");
        let tracking = json!([{"Name": "Outlet", "Option": "Harbour Noodles"}]);
        let line = json!({
            "Description": "Ramen", "Quantity": 1, "UnitAmount": amount, "AccountCode": "200", "TaxType": "OUTPUT2",
            "Tracking": tracking,
        });
        let (type_name, name, id) = match kind {
            Resource::CreditNotes => ("ACCRECCREDIT", "CreditNoteNumber", "CreditNoteID"),
            _ => ("ACCREC", "InvoiceNumber", "InvoiceID"),
        };
        let document = json!({
            "Type": type_name, name: number, "Status": "AUTHORISED", "Reference": "Scoffable 1 v1", "Date": "2025-10-09",
            "DueDate": "2025-10-09", "LineAmountTypes": "Inclusive", "CurrencyCode": "GBP", "LineItems": [line],
            "Contact": {"ContactID": contact},
        });
        let path = format!("{}?summarizeErrors=false", kind.segment());
        let answer = self.send("PUT", &path, &json!({ kind.segment(): [document] })).await;
        answer[kind.segment()][0][id].as_str().expect("an id").to_owned()
    }

    /// Every operation, with what it takes and with what it refuses.
    async fn walk(&self, round: u32) {
        let number = |suffix: &str| format!("SCF-{round}{suffix}");
        for resource in ["Organisation", "TaxRates", "Currencies", "TrackingCategories", "Items"] {
            self.get(resource).await;
        }
        let accounts = self.get("Accounts").await;
        let contact = json!({"Contacts": [{"Name": format!("Ada {round}"), "ContactNumber": format!("SCF-C-{round}"),
            "EmailAddress": "ada@example.org", "Addresses": [{"AddressType": "STREET", "City": "Exampleton"}],
            "Phones": [{"PhoneType": "MOBILE", "PhoneNumber": "900123"}]}, {"Name": " "}]});
        let contacts = self.send("PUT", "Contacts?summarizeErrors=false", &contact).await;
        let contact = contacts["Contacts"][0]["ContactID"].as_str().expect("an id");
        self.get(&format!("Contacts/{contact}")).await;
        self.get("Contacts?includeArchived=true&page=1&searchTerm=ada").await;
        self.send("POST", &format!("Contacts/{contact}"), &json!({"Contacts": [{"LastName": "Example"}]})).await;
        let item = json!({"Items": [{"Code": format!("ramen-{round}"), "Name": "Ramen", "IsSold": true,
            "IsPurchased": false, "SalesDetails": {"UnitPrice": 11.5, "AccountCode": "200"}}, {"Code": ""}]});
        let items = self.send("PUT", "Items?summarizeErrors=false", &item).await;
        self.get(&format!("Items/{}", items["Items"][0]["ItemID"].as_str().expect("an id"))).await;

        let invoice = self.document(Resource::Invoices, &number(""), json!(23.29)).await;
        self.done(
            self.request("PUT", "Invoices?summarizeErrors=true").json(&json!({"Invoices": [{"Type": "ACCREC"}]})),
            400,
        )
        .await;
        let update = json!({"Invoices": [{"Status": "AUTHORISED", "Reference": "Scoffable 1 v2"}]});
        self.send("POST", &format!("Invoices/{invoice}?unitdp=4"), &update).await;
        let note = json!({"HistoryRecords": [{"Details": "version 2"}]});
        self.send("PUT", &format!("Invoices/{invoice}/History"), &note).await;
        self.get(&format!("Invoices/{invoice}/History")).await;
        let credit_note = self.document(Resource::CreditNotes, &number("-C1"), json!(5)).await;
        let allocations = json!({"Allocations": [
            {"Invoice": {"InvoiceID": invoice}, "Amount": 2, "Date": "2025-10-09"},
            {"Invoice": {"InvoiceID": invoice}, "Amount": 200, "Date": "2025-10-09"},
        ]});
        let path = format!("CreditNotes/{credit_note}/Allocations");
        let applied = self.send("PUT", &format!("{path}?summarizeErrors=false"), &allocations).await;
        self.get(&format!("Invoices/{invoice}")).await;
        self.get(&format!("CreditNotes/{credit_note}")).await;
        let allocation = applied["Allocations"][0]["AllocationID"].as_str().expect("an id");
        self.done(self.request("DELETE", &format!("{path}/{allocation}")), 200).await;
        let payment = |document: Value, amount: Value, number: &str| {
            let mut payment =
                json!({"Account": {"Code": "611"}, "Date": "2025-10-09", "Amount": amount, "Reference": number});
            payment.as_object_mut().expect("an object").extend(document.as_object().expect("an object").clone());
            payment
        };
        let payments = json!({"Payments": [
            payment(json!({"Invoice": {"InvoiceID": invoice}}), json!(23.29), &number("-P1-1")),
            payment(json!({"CreditNote": {"CreditNoteID": credit_note}}), json!(5), &number("-P1-2")),
            payment(json!({"Invoice": {"InvoiceID": invoice}}), json!(1), &number("-P2-1")),
        ]});
        let paid = self.send("PUT", "Payments?summarizeErrors=false", &payments).await;
        for list in ["Invoices", "CreditNotes", "Payments"] {
            self.get(&format!("{list}?page=1&pageSize=10")).await;
            self.get(list).await;
        }
        self.get(&format!("Invoices?InvoiceNumbers={}&Statuses=PAID", number(""))).await;
        let payment = paid["Payments"][0]["PaymentID"].as_str().expect("an id");
        self.get(&format!("Payments/{payment}")).await;
        self.send("POST", &format!("Payments/{payment}"), &json!({"Status": "DELETED"})).await;
        self.done(self.request("POST", &format!("Payments/{payment}")).json(&json!({"Status": "DELETED"})), 400).await;
        let clearing = accounts["Accounts"].as_array().expect("accounts").iter().find(|one| one["Code"] == "611");
        let clearing = &clearing.expect("it is there from the start")["AccountID"];
        let journal = |amount: Value| {
            json!({"Narration": format!("{}: Scoffable {round} v3", number("-J1")), "Date": "2025-10-09", "Status": "POSTED",
            "LineAmountTypes": "Inclusive", "Url": "https://example.org/orders/1", "JournalLines": [
                {"LineAmount": 2.9, "AccountID": clearing, "TaxType": "NONE"},
                {"LineAmount": amount, "AccountCode": "200", "TaxType": "OUTPUT2", "Description": "Goods, 1 line",
                    "Tracking": [{"Name": "Outlet", "Option": "Harbour Noodles"}]},
            ]})
        };
        let journals = json!({"ManualJournals": [journal(json!(-2.9)), journal(json!(2.9))]});
        let journals = self.send("PUT", "ManualJournals?summarizeErrors=false", &journals).await;
        let journal = journals["ManualJournals"][0]["ManualJournalID"].as_str().expect("an id");
        self.get(&format!("ManualJournals/{journal}")).await;
        let narration = &journals["ManualJournals"][0]["Narration"];
        let voided = json!({"ManualJournals": [{"Narration": narration, "Status": "VOIDED"}]});
        self.send("POST", &format!("ManualJournals/{journal}"), &voided).await;
        self.done(self.request("POST", &format!("ManualJournals/{journal}")).json(&voided), 400).await;
        self.get("ManualJournals?page=1").await;
    }
}

#[tokio::test]
async fn every_answer_and_every_request_of_a_walk_fits_the_description() {
    let walker = Walker::start().await;

    walker.walk(1).await;
    walker.xero.change_manner(|manner| manner.dates = DateStyle::Iso);
    walker.xero.lock_until(chrono::NaiveDate::from_ymd_opt(2025, 1, 1));
    walker.walk(2).await;

    assert_eq!(walker.xero.violations(), [], "{:?}", walker.xero.violations());
    assert_eq!(walker.xero.ledger().revenue("2"), Cents(2329 - 500));
    check(&walker.xero);
}
