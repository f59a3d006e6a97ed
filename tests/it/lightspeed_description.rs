//! What the simulated Lightspeed is asked and answers, held against the published description.
//!
//! `LIGHTSPEED_OPENAPI` names the file of API 2.0; without it only a line is printed. Every test that talks to the simulator may
//! end with [`check`].
//!
//! # What is not held against it
//!
//! * Sales in the dated and the legacy dialect, and searches and returns under a dated version: they are not in the description
//!   of 2.0, whose sales have another form. Everything else under a dated version is taken to have the form that it has there.
//! * Of what is, [`DEVIATIONS`].

use std::sync::LazyLock;

use reqwest::{Client, RequestBuilder};
use scoffable_sync::simulator::lightspeed::{LightspeedOptions, LightspeedSim, Operation, Resource, ids};
use serde_json::{Value, json};

use crate::harness::openapi::{Description, report};

static DESCRIPTION: LazyLock<Option<Description>> =
    LazyLock::new(|| Description::from_environment("LIGHTSPEED_OPENAPI"));

/// Where an answer is right although the description says otherwise: the operation, the beginning of what is found, and why.
const DEVIATIONS: [(&str, &str, &str); 3] = [
    ("POST /products", "/data/0: ", "its schema wants objects, its own example has ids, which is what is documented"),
    ("GET /retailer", "/data/timezone: ", "its schema wants an object, its own text gives a name as the example"),
    (
        "/sales",
        "\"OPEN\" is not one of",
        "a pending sale has the status OPEN, which the list of states has and the enumeration lacks",
    ),
];

/// What an empty page of a dated version has and the description, which is of 2.0, does not: bounds that are `null`.
/// Source: Lightspeed X-Series, Pagination.
const DATED_AND_EMPTY: [&str; 2] =
    ["/version/min: null is not of type \"integer\"", "/version/max: null is not of type \"integer\""];

/// Holds all that this simulator was asked and answered against the description.
pub fn check(lightspeed: &LightspeedSim) {
    let Some(description) = DESCRIPTION.as_ref() else { return };
    let mut found = Vec::new();
    for received in lightspeed.received() {
        let Some((method, path)) = place(received.operation, &received.path) else { continue };
        let problems = description.problems_of_request(method, &path, &received.query, &received.body);
        found.push((format!("asked {method} {path}"), problems));
    }
    for answered in lightspeed.answered() {
        let Some((method, path)) = place(answered.operation, &answered.path) else { continue };
        let mut problems = description.problems_of_answer(method, &path, answered.status, &answered.body);
        let place = format!("{method} {path}");
        problems.retain(|problem| !DEVIATIONS.iter().any(|(of, told, _)| place.contains(of) && problem.contains(told)));
        if !is_of_2_0(&answered.path) {
            problems.retain(|problem| !DATED_AND_EMPTY.contains(&problem.as_str()));
        }
        found.push((format!("answered {place}"), problems));
    }
    assert!(!found.is_empty(), "nothing was asked");
    let report = report(&found);
    assert!(report.is_empty(), "{report}");
}

/// Where the description has an operation.
fn place(operation: Operation, path: &str) -> Option<(&'static str, String)> {
    let is_of_2_0 = is_of_2_0(path);
    let list = |resource: Resource| format!("/{}", resource.segment());
    let one = |resource: Resource| {
        let name = resource.segment();
        format!("/{name}/{{{}_id}}", name.trim_end_matches('s'))
    };
    Some(match operation {
        Operation::CreateSale | Operation::UpdateSale | Operation::ReadLegacySale | Operation::SaveLegacySale => {
            return None;
        }
        Operation::List(Resource::Sales)
        | Operation::Read(Resource::Sales)
        | Operation::Search
        | Operation::StartReturn
            if !is_of_2_0 =>
        {
            return None;
        }
        Operation::Retailer => ("GET", "/retailer".to_owned()),
        Operation::CurrentUser => ("GET", "/user".to_owned()),
        Operation::Search => ("GET", "/search".to_owned()),
        Operation::List(resource) => ("GET", list(resource)),
        Operation::Read(resource) => ("GET", one(resource)),
        Operation::ReadStock => ("GET", format!("{}/inventory", one(Resource::Products))),
        Operation::StartReturn => ("PUT", format!("{}/actions/return", one(Resource::Sales))),
        Operation::CreateCustomer => ("POST", list(Resource::Customers)),
        Operation::UpdateCustomer => ("PUT", one(Resource::Customers)),
        Operation::DeleteCustomer => ("DELETE", one(Resource::Customers)),
        Operation::CreateProduct => ("POST", list(Resource::Products)),
        Operation::DeleteProduct => ("DELETE", one(Resource::Products)),
        Operation::OpenRegister => ("PUT", format!("{}/actions/open", one(Resource::Registers))),
        Operation::CloseRegister => ("PUT", format!("{}/actions/close", one(Resource::Registers))),
    })
}

fn is_of_2_0(path: &str) -> bool {
    path.starts_with("/api/2.0/")
}

struct Walker {
    lightspeed: LightspeedSim,
    client: Client,
}

impl Walker {
    async fn start() -> Self {
        let products = ["Lamb Jalfrezi", "Garlic Naan"].map(str::to_owned).into();
        let options = LightspeedOptions { limits: None, products, ..LightspeedOptions::default() };
        let lightspeed = LightspeedSim::start(options).await.expect("a free port");
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { lightspeed, client: Client::new() }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client
            .request(method.parse().expect("a method"), format!("{}/api/{path}", self.lightspeed.url()))
            .bearer_auth("lightspeed-token")
            .header("user-agent", "scoffable-sync test")
    }

    async fn get(&self, path: &str) -> Value {
        self.done(self.request("GET", path), 200).await
    }

    async fn send(&self, method: &str, path: &str, body: &Value, expected: u16) -> Value {
        self.done(self.request(method, path).json(body), expected).await
    }

    async fn done(&self, request: RequestBuilder, expected: u16) -> Value {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap_or_default();
        assert_eq!(status, expected, "{body}");
        body
    }

    /// Two dishes at 10.95 with 20 % tax inside, paid online, of which one is given a note.
    async fn sale(&self, order: &str, state: &str, dish: &str) -> String {
        let line = json!({"product": {"id": dish}, "quantity": 2, "pricing": {"price": "9.12500"},
            "tax": {"id": ids::TAXES[0], "amount": "1.82500"}, "attributes": [{"name": "line_note", "value": "hot"}]});
        let sale = json!({
            "source": {"author_id": ids::USERS[0], "register_id": ids::REGISTERS[0], "type": "Scoffable", "id": order},
            "state": state, "date": "2025-10-09T08:53:20Z", "invoice_number": format!("SCF-{order}"), "line_items": [line],
            "payments": [{"amount": "21.90", "type": {"config_id": ids::PAYMENT_TYPES[0]}}],
        });
        let answer = self.send("POST", "2026-07/sales", &sale, 200).await;
        answer["data"]["id"].as_str().expect("an id").to_owned()
    }

    /// Every operation of the description, on things with much and with little to them.
    async fn walk(&self) {
        let dish = self.get("2.0/products").await["data"][1]["id"].as_str().expect("a dish").to_owned();
        let mut sales = Vec::new();
        for (order, state) in [("1", "closed"), ("2", "parked"), ("3", "pending"), ("4", "voided")] {
            sales.push(self.sale(order, state, &dish).await);
        }
        let product =
            json!({"name": "Ramen", "sku": "SCF-0123456789ab", "source_id": "r", "price_including_tax": 11.5});
        let made = self.send("POST", "2.0/products", &product, 200).await;
        let ramen = made["data"][0].as_str().expect("an id").to_owned();
        let full = json!({"first_name": "Ada", "last_name": "Example", "customer_code": "SCF-C-1",
            "email": "ada@example.org", "phone": "900123", "do_not_email": true, "physical_postcode": "EX4 4QJ",
            "physical_country_id": "GB", "custom_field_1": "one"});
        let made = self.send("POST", "2.0/customers", &full, 201).await;
        let ada = made["data"]["id"].as_str().expect("an id").to_owned();
        self.send("POST", "2026-07/customers", &json!({"first_name": null, "last_name": null}), 201).await;
        self.send("PUT", &format!("2.0/customers/{ada}"), &full, 200).await;
        self.done(self.request("PUT", &format!("2.0/sales/{}/actions/return", sales[0])), 200).await;
        let register = format!("2.0/registers/{}/actions", ids::REGISTERS[1]);
        self.send("PUT", &format!("{register}/close"), &json!({"payments": []}), 200).await;
        let lists =
            ["sales", "customers", "products", "inventory", "registers", "outlets", "users", "taxes", "payment_types"];
        for list in lists {
            self.get(&format!("2.0/{list}?page_size=200")).await;
            self.get(&format!("2.0/{list}?after=99999999")).await;
        }
        self.send("PUT", &format!("{register}/open"), &json!({"register_open_time": "2025-10-09T08:00:00Z"}), 200)
            .await;
        for sale in &sales {
            self.get(&format!("2.0/sales/{sale}")).await;
        }
        for path in [
            format!("2.0/registers/{}", ids::REGISTERS[0]),
            format!("2.0/outlets/{}", ids::OUTLETS[0]),
            format!("2.0/users/{}", ids::USERS[1]),
            format!("2.0/products/{dish}/inventory"),
            format!("2026-07/customers/{ada}"),
            "2.0/retailer".to_owned(),
            "2.0/user".to_owned(),
            "2.0/search?type=sales&date_from=2025-10-09T00:00:00Z&date_to=2025-10-10T00:00:00Z".to_owned(),
            "2.0/search?type=products&sku=scf-0123456789ab".to_owned(),
            "2.0/search?type=customers&customer_code=SCF-C-1&deleted=true".to_owned(),
        ] {
            self.get(&path).await;
        }
        self.done(self.request("DELETE", &format!("2.0/customers/{ada}")), 204).await;
        self.done(self.request("DELETE", &format!("2.0/products/{ramen}")), 200).await;
        self.get("2.0/customers?deleted=true").await;
        self.get("2.0/products?deleted=true").await;
        self.get(&format!("2.0/products/{ramen}")).await;
    }
}

#[tokio::test]
async fn every_answer_and_every_request_of_a_walk_fits_the_description() {
    let walker = Walker::start().await;

    walker.walk().await;

    assert_eq!(walker.lightspeed.ledger().standing("1").total.0, 2190);
    check(&walker.lightspeed);
}
