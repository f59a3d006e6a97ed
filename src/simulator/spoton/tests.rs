mod access;
mod form;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::simulator::{
    faults::{cut_after, cut_before, not_json, plainly, slow_to_start, status, truncated},
    limits::MINUTE,
    test_client::{client, secs},
    world::WorldOptions,
};

const LAG: Duration = Duration::from_mins(2);
const HERE: &str = "BL-7Q2M-0ZK4-88TD";

/// A server with a client that has a token.
struct Sim {
    spoton: SpotonSim,
    clock: Clock,
    token: String,
}

impl std::ops::Deref for Sim {
    type Target = SpotonSim;
    fn deref(&self) -> &SpotonSim {
        &self.spoton
    }
}

async fn start() -> Sim {
    start_with(SpotonOptions::default()).await
}

async fn start_unlimited() -> Sim {
    start_with(SpotonOptions { limits: Vec::new(), ..SpotonOptions::default() }).await
}

async fn start_lagging() -> Sim {
    start_with(SpotonOptions { lag: LAG, ..SpotonOptions::default() }).await
}

async fn start_with(options: SpotonOptions) -> Sim {
    let clock = options.clock.clone();
    let spoton = SpotonSim::start(options).await.expect("a free port");
    let token = token(&spoton, "").await;
    Sim { spoton, clock, token }
}

async fn token(spoton: &SpotonSim, scope: &str) -> String {
    let request = client()
        .post(spoton.token_url())
        .basic_auth("spoton-client", Some("spoton-secret"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("grant_type=client_credentials&scope={scope}"));
    let (status, body) = ask(request).await;
    assert_eq!((status, &body["expires_in"]), (200, &json!(86400)), "{body}");
    body["access_token"].as_str().expect("a token").to_owned()
}

async fn ask(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// The worked example of the mapping.
fn order(reference: &str) -> Value {
    json!({
        "external_reference_id": reference,
        "display_id": "5512087",
        "location_id": HERE,
        "menu_id": "menu-takeaway-01",
        "state": "ORDER_STATE_CLOSED",
        "placed_at": "2026-03-14T18:02:11Z",
        "source": {"name": "Scoffable"},
        "customer": {"first_name": "Ines", "phone": "+442079460123"},
        "fulfillment": {"type": "FULFILLMENT_TYPE_PICKUP", "schedule_type": "ASAP"},
        "line_items": [
            {
                "line_id": "line-1", "item_id": "itm-jalfrezi", "name": "Lamb Jalfrezi", "quantity": 2, "price": 1095,
                "modifiers": [
                    {"name": "Extra hot", "quantity": 1, "price": 0},
                    {"id": "mod-pilau", "name": "Pilau rice", "quantity": 1, "price": 250},
                ],
            },
            {"line_id": "line-3", "item_id": "itm-open-food", "name": "Rose Lassi", "quantity": 1, "price": 395},
        ],
        "discounts": [{"name": "Substitution price match", "amount": 45}, {"name": "Spring voucher", "amount": 300}],
        "fees": [{"name": "Service fee", "amount": 99}],
        "payments": [{"type": "EXTERNAL", "provider_name": "Scoffable", "amount": 2839}],
        "totals": {
            "subtotal": 3085, "discounts_total": 345, "fees_total": 99, "tax_total": 0, "tip_total": 0,
            "grand_total": 2839,
        },
    })
}

/// Another value at a place of an order; `Null` leaves the member out.
fn with(mut order: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = order.pointer_mut(parent).expect("the place is there");
    match (parent, value) {
        (Value::Object(fields), Value::Null) => {
            fields.remove(name);
        }
        (Value::Object(fields), value) => {
            fields.insert(name.to_owned(), value);
        }
        (Value::Array(values), value) => values[name.parse::<usize>().expect("a number")] = value,
        (other, _) => panic!("{other} has no members"),
    }
    order
}

fn a() -> Value {
    order("scoffable-a-1")
}

impl Sim {
    fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        client().request(method, format!("{}{path}", self.url())).bearer_auth(&self.token)
    }

    fn to_submit(&self, body: &Value) -> RequestBuilder {
        let path = format!("/order/v1/locations/{HERE}/orders/submit");
        self.request(reqwest::Method::POST, &path).header("content-type", "application/json").body(body.to_string())
    }

    async fn submit(&self, body: &Value) -> (u16, Value) {
        ask(self.to_submit(body)).await
    }

    async fn propose(&self, body: &Value) -> (u16, Value) {
        let path = format!("/order/v1/locations/{HERE}/orders/propose");
        let request = self.request(reqwest::Method::POST, &path);
        ask(request.header("content-type", "application/json").body(body.to_string())).await
    }

    async fn cancel(&self, id: &str) -> (u16, Value) {
        ask(self.request(reqwest::Method::POST, &format!("/order/v1/locations/{HERE}/orders/{id}/cancel"))).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        ask(self.request(reqwest::Method::GET, path)).await
    }

    /// The first page of the report since long ago.
    async fn report(&self) -> Vec<Value> {
        let path = format!("/reporting/v1/locations/{HERE}/orders?last_updated_from=2020-01-01T00:00:00Z");
        let (status, body) = self.get(&path).await;
        assert_eq!(status, 200, "{body}");
        body["orders"].as_array().expect("a list").clone()
    }

    fn assert_no_wrong(&self) {
        assert_eq!((self.violations(), self.doubled(), self.tokens().violations()), (vec![], vec![], vec![]));
    }
}

#[tokio::test]
async fn an_order_is_submitted_reported_and_cancelled() {
    let sim = start().await;

    let (status, answer) = sim.submit(&a()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["order"]["id"], "ord-1");
    assert_eq!(answer["order"]["state"], "ORDER_STATE_CLOSED");
    assert_eq!(answer["order"]["fulfillment"]["status"], "ACCEPTED");
    assert_eq!(answer["order"]["fulfillment"]["estimated_delivery_at"], "0001-01-01T00:00:00Z");
    assert_eq!(answer["order"]["totals"]["grand_total"], 2839);
    let reported = sim.report().await;
    assert_eq!((&reported[0]["id"], &reported[0]["source"]), (&json!("ord-1"), &json!("Scoffable")));
    assert_eq!(sim.ledger().total("a"), 2839);

    let (status, answer) = sim.cancel("ord-1").await;
    assert_eq!((status, &answer["order"]["state"]), (200, &json!("ORDER_STATE_CANCELED")));
    assert_eq!(sim.report().await[0]["state"], "ORDER_STATE_CANCELED");
    assert_eq!(sim.ledger().total("a"), 0);
    assert_eq!(sim.ledger().tickets("a"), 1, "it was cooked");
    assert_eq!(sim.find("scoffable-a-1").expect("it is stored").cancelled_by(), Some(CancelledBy::Client));
    sim.assert_no_wrong();
}

#[tokio::test]
async fn each_submit_is_cooked_also_under_the_same_reference() {
    let sim = start().await;

    for id in ["ord-1", "ord-2"] {
        assert_eq!(sim.submit(&a()).await.1["order"]["id"], id);
    }

    assert_eq!(sim.ledger().tickets("a"), 2);
    assert_eq!(sim.ledger().standing_of("a").len(), 2);
    let (order, first, second) = ("a".to_owned(), "ord-1".to_owned(), "ord-2".to_owned());
    assert_eq!(sim.doubled(), [Doubled::Standing { order, first, second }]);
    assert_eq!(sim.violations(), [], "no error of form");
}

#[tokio::test]
async fn a_repeated_reference_is_refused_where_the_rules_say_so() {
    let sim = start().await;
    sim.change_rules(|rules| rules.takes_repeated_references = false);

    assert_eq!(sim.submit(&a()).await.0, 200);
    assert_eq!(sim.submit(&a()).await.0, 409);

    assert_eq!(sim.ledger().tickets("a"), 1);
    assert_eq!(sim.doubled(), []);
    assert_eq!(sim.violations(), [Violation::SubmittedAgain { reference: "scoffable-a-1".to_owned() }]);
}

#[tokio::test]
async fn a_second_number_is_right_after_the_first_was_cancelled_and_a_double_before() {
    for (is_cancelled_first, n_doubled) in [(true, 0), (false, 1)] {
        let sim = start().await;
        sim.submit(&a()).await;
        if is_cancelled_first {
            sim.cancel("ord-1").await;
        }

        sim.submit(&order("scoffable-a-2")).await;

        assert_eq!(sim.doubled().len(), n_doubled);
        assert_eq!(sim.ledger().tickets("a"), 2);
    }
}

#[tokio::test]
async fn a_cancel_is_of_a_standing_order_of_this_location_and_has_no_body() {
    let sim = start().await;
    sim.submit(&a()).await;

    let path = format!("/order/v1/locations/{HERE}/orders/ord-1/cancel");
    let with_body = sim.request(reqwest::Method::POST, &path).header("content-type", "application/json").body("{}");
    assert_eq!(ask(with_body).await.0, 400);
    assert_eq!(sim.cancel("ord-2").await.0, 404);
    assert_eq!(sim.cancel("ord-01").await.0, 404);
    assert_eq!(sim.violations().len(), 3);
    assert!(sim.find("scoffable-a-1").expect("it is stored").is_standing());

    assert_eq!(sim.cancel("ord-1").await.0, 200);
    assert_eq!(sim.cancel("ord-1").await.0, 409);
    sim.change_rules(|rules| rules.repeated_cancel = RepeatedCancel::Fails(400));
    assert_eq!(sim.cancel("ord-1").await.0, 400);
    sim.change_rules(|rules| rules.repeated_cancel = RepeatedCancel::Succeeds);
    assert_eq!(sim.cancel("ord-1").await.1["order"]["state"], "ORDER_STATE_CANCELED");
    assert_eq!(sim.ledger().repeats(), 3);
    assert_eq!(sim.violations().len(), 3, "a client whose cancel was not answered may repeat it");
}

#[tokio::test]
async fn a_merchant_cancels_on_the_pos() {
    let sim = start().await;
    sim.submit(&a()).await;

    assert!(sim.cancel_on_the_pos("ord-1"));
    assert!(!sim.cancel_on_the_pos("ord-1") && !sim.cancel_on_the_pos("ord-7"));
    sim.twist_next([Twist::CancelledByMerchant]);
    let (_, answer) = sim.submit(&order("scoffable-b-1")).await;

    assert_eq!(answer["order"]["state"], "ORDER_STATE_CLOSED", "nobody is told");
    for reference in ["scoffable-a-1", "scoffable-b-1"] {
        assert_eq!(sim.find(reference).expect("it is stored").cancelled_by(), Some(CancelledBy::Merchant));
    }
    assert_eq!(sim.report().await.iter().filter(|order| order["state"] == "ORDER_STATE_CANCELED").count(), 2);
    assert_eq!(sim.cancel("ord-1").await.0, 409);
    sim.assert_no_wrong();
}

#[tokio::test]
async fn answers_are_twisted_one_by_one_and_the_orders_stored_all_the_same() {
    let sim = start().await;
    let twists = [
        Twist::Bare,
        Twist::NumbersAsText,
        Twist::WithoutId,
        Twist::EmptyId,
        Twist::AnotherTotal(-1),
        Twist::Plainly,
        Twist::Wrapped,
    ];
    sim.change_manner(|manner| manner.envelope = Envelope::Wrapped);
    sim.twist_next(twists);

    let mut answers = Vec::new();
    for n in 1..=7 {
        let (status, answer) = sim.submit(&order(&format!("scoffable-{n}-1"))).await;
        assert_eq!(status, 200);
        answers.push(answer);
    }

    assert_eq!(answers[0]["totals"]["grand_total"], 2839);
    assert_eq!(answers[1]["order"]["totals"]["grand_total"], "2839");
    assert_eq!(answers[2]["order"].get("id"), None);
    assert_eq!(answers[3]["order"]["id"], "");
    assert_eq!(answers[4]["order"]["totals"]["grand_total"], 2838);
    assert_eq!(answers[5]["order"]["totals"]["grand_total"], 2839);
    assert_eq!(answers[6]["order"]["id"], "ord-7");
    assert!(sim.ledger().stored().iter().all(|stored| stored.grand_total() == 2839));
}

#[tokio::test]
async fn its_manner_can_be_told_otherwise() {
    let sim = start().await;
    sim.change_manner(|manner| {
        *manner = Manner {
            enum_style: EnumStyle::Short,
            envelope: Envelope::Bare,
            numbers: Numbers::AsText,
            leaves_out_defaults: true,
            reports_reference: false,
            reports_state: false,
            ..Manner::default()
        };
    });

    let (_, answer) = sim.submit(&a()).await;
    sim.cancel("ord-1").await;
    let report = sim.report().await[0].clone();

    assert_eq!((&answer["state"], &answer["fulfillment"]["type"]), (&json!("CLOSED"), &json!("PICKUP")));
    assert_eq!((&answer["totals"]["subtotal"], answer["totals"].get("tax_total")), (&json!("3085"), None));
    assert_eq!(answer["fulfillment"].get("estimated_delivery_at"), None);
    assert_eq!((report.get("external_reference_id"), report.get("state")), (None, None));
    assert!(!report.to_string().contains("scoffable-a-1"));
    assert_eq!(report["payments"][0]["is_void"], true);
    assert_eq!(report["totals"]["voids_amount"], "2839");
}

#[tokio::test]
async fn an_effect_is_reported_once_its_lag_is_over_and_the_staff_see_it_at_once() {
    let sim = start_lagging().await;

    sim.submit(&a()).await;
    assert_eq!(sim.report().await, Vec::<Value>::new());
    assert!(sim.find("scoffable-a-1").is_some());
    sim.clock.advance(LAG);
    assert_eq!(sim.report().await.len(), 1);

    sim.cancel("ord-1").await;
    assert_eq!(sim.report().await[0]["state"], "ORDER_STATE_CLOSED");
    sim.clock.advance(LAG);
    assert_eq!(sim.report().await[0]["state"], "ORDER_STATE_CANCELED");
}

#[tokio::test]
async fn a_script_says_when_an_effect_is_reported() {
    let sim = start_lagging().await;
    sim.show_next([Show::AfterReads(2), Show::Never]);

    sim.submit(&a()).await;
    assert_eq!([sim.report().await.len(), sim.report().await.len(), sim.report().await.len()], [0, 0, 1]);

    sim.submit(&order("scoffable-b-1")).await;
    sim.clock.advance(LAG * 100);
    assert_eq!(sim.report().await.len(), 1);
}

#[tokio::test]
async fn a_report_has_pages_and_begins_where_it_is_asked_to() {
    let sim = start_with(SpotonOptions { page_size: 2, ..SpotonOptions::default() }).await;
    for n in 1..=5 {
        sim.submit(&order(&format!("scoffable-{n}-1"))).await;
        sim.clock.advance(MINUTE);
    }
    let since = (sim.clock.wall() - MINUTE * 3).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let ids = |body: &Value| -> Vec<Value> {
        body["orders"].as_array().expect("a list").iter().map(|order| order["id"].clone()).collect()
    };
    let reports = format!("/reporting/v1/locations/{HERE}/orders");

    let (_, all) = sim.get(&format!("{reports}?last_updated_from=2020-01-01T00:00:00Z&page=3")).await;
    assert_eq!((ids(&all), &all["pagination"]["total_pages"]), (vec![json!("ord-5")], &json!(3)));
    let (_, beyond) = sim.get(&format!("{reports}?last_updated_from=2020-01-01T00:00:00Z&page=4")).await;
    assert_eq!(ids(&beyond), Vec::<Value>::new());
    let (_, late) = sim.get(&format!("{reports}?last_updated_from={since}")).await;
    assert_eq!((ids(&late), &late["pagination"]["total_pages"]), (vec![json!("ord-4"), json!("ord-5")], &json!(1)));
    sim.cancel("ord-1").await;
    let (_, updated) = sim.get(&format!("{reports}?last_updated_from={since}&page=2")).await;
    assert_eq!(ids(&updated), [json!("ord-1")], "a cancel is an update");
    sim.assert_no_wrong();
}

#[tokio::test]
async fn menus_items_location_and_health_can_be_read() {
    let sim = start_with(SpotonOptions { page_size: 2, ..SpotonOptions::default() }).await;

    let (_, menus) = sim.get(&format!("/menu/v1/locations/{HERE}/menus")).await;
    assert_eq!(menus["menus"][0]["id"], "menu-takeaway-01");
    let items = format!("/menu/v1/locations/{HERE}/menus/menu-takeaway-01/items");
    let (_, first) = sim.get(&items).await;
    let (_, second) = sim.get(&format!("{items}?page=2")).await;
    assert_eq!(first["items"].as_array().expect("a list").len(), 2);
    assert_eq!(first["items"][0]["price"], json!({"amount": 1095, "pricing_kind": "FIXED"}));
    assert_eq!(first["items"][0]["modifier_groups"][1]["modifiers"][0]["id"], "mod-extra-hot");
    assert_eq!((&second["items"][0]["id"], &second["pagination"]["total_pages"]), (&json!(OPEN_ITEM), &json!(2)));
    let (_, location) = sim.get(&format!("/business/v1/locations/{HERE}")).await;
    assert_eq!(location["location"]["timezone"], "Europe/London");
    assert_eq!(ask(client().get(format!("{}/business/v1/livez", sim.url()))).await.0, 200);
    sim.assert_no_wrong();

    assert_eq!(sim.get(&format!("/menu/v1/locations/{HERE}/menus/menu-2/items")).await.0, 404);
    assert_eq!(sim.get("/menu/v1/locations/BL-0/menus").await.0, 404);
    let location = "BL-0".to_owned();
    assert_eq!(sim.violations()[1], Violation::UnknownLocation { location });
}

#[tokio::test]
async fn a_lost_answer_leaves_the_order_and_a_cut_before_it_none() {
    let sim = start().await;
    let submit = |name: &str| sim.to_submit(&order(&format!("scoffable-{name}-1")));

    sim.answer_next([cut_after(), cut_before(), status(500).after_the_effect(), status(500), status(429)]);
    for name in ["a", "b"] {
        assert!(submit(name).send().await.is_err());
    }
    assert_eq!([ask(submit("c")).await.0, ask(submit("d")).await.0, ask(submit("e")).await.0], [500, 500, 429]);
    sim.answer_next([truncated(), not_json()]);
    assert!(submit("f").send().await.expect("a head").bytes().await.is_err());
    assert_eq!(ask(submit("g")).await, (200, Value::Null));

    let stored: Vec<String> = sim.ledger().orders().map(str::to_owned).collect();
    assert_eq!(stored, ["a", "c", "f", "g"]);
    sim.assert_no_wrong();
}

#[tokio::test]
async fn a_script_for_one_operation_leaves_others_alone() {
    let sim = start().await;
    sim.answer_next_to(Operation::Cancel, [status(500)]);

    assert_eq!(sim.submit(&a()).await.0, 200);
    assert_eq!(sim.cancel("ord-1").await.0, 500);
    assert_eq!(sim.cancel("ord-1").await.0, 200);
}

#[tokio::test]
async fn effects_on_one_order_side_by_side_are_a_violation_and_on_two_or_look_ups_not() {
    let sim = start().await;
    let gate = CancellationToken::new();
    sim.answer_next_to(Operation::Submit, [plainly().answered_when(&gate)]);

    let meanwhile = async {
        sim.wait_until(|ledger| ledger.tickets("a") == 1, secs(20)).await.expect("it hangs after storing");
        sim.submit(&order("scoffable-b-1")).await;
        sim.report().await;
        assert_eq!(sim.violations(), []);
        sim.cancel("ord-1").await;
        gate.cancel();
    };
    let first = a();
    tokio::join!(sim.submit(&first), meanwhile);

    let (order, operation, running) = ("a".to_owned(), Operation::Cancel, Operation::Submit);
    assert_eq!(sim.violations(), [Violation::SideBySide { order, operation, running }]);
    assert_eq!(sim.ledger().running("a"), 0);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_effect_has_caused_nothing_and_is_forgotten() {
    let sim = start().await;
    sim.answer_next([slow_to_start(Duration::from_mins(10))]);

    tokio::select! {
        answer = sim.to_submit(&a()).send() => panic!("{answer:?}"),
        arrived = sim.wait_until(|ledger| ledger.running("a") == 1, secs(20)) => arrived.expect("it arrives"),
    }
    sim.wait_until(|ledger| ledger.running("a") == 0, secs(20)).await.expect("its connection is gone");

    assert_eq!(sim.submit(&a()).await.1["order"]["id"], "ord-1");
    sim.assert_no_wrong();
}

#[tokio::test]
async fn numbers_that_go_back_foreign_references_and_another_source_are_violations() {
    let sim = start().await;
    sim.submit(&order("scoffable-a-2")).await;
    sim.cancel("ord-1").await;

    sim.submit(&a()).await;
    sim.submit(&order("order a")).await;
    sim.submit(&with(order("scoffable-b-1"), "/source/name", json!("Scoffable 7"))).await;

    let (first, second) = ("Scoffable".to_owned(), "Scoffable 7".to_owned());
    assert_eq!(
        sim.violations(),
        [
            Violation::OlderNumber { order: "a".to_owned(), number: 1, newest: 2 },
            Violation::ForeignReference { reference: "order a".to_owned() },
            Violation::SourceChanged { first, second },
        ]
    );
}

#[tokio::test]
async fn a_world_has_its_locations_and_each_order_can_be_submitted_there() {
    let world = World::generate(WorldOptions { orders: 60, ..WorldOptions::default() });
    let chain = Chain::of(&world);
    let sim = start_with(SpotonOptions { chain: chain.clone(), limits: Vec::new(), ..SpotonOptions::default() }).await;
    let mut n_submitted = 0;

    for truth in world.orders.values() {
        let Some(newest) = truth.newest().filter(|newest| newest.status == "accepted" && newest.total_minor > 0) else {
            continue;
        };
        let version = &world.versions[newest.position];
        let document: Value = serde_json::from_slice(&version.payload).expect("it is clear");
        let mapping = &chain.vendors[version.vendor.as_deref().expect("it has one")];
        let name = document["items"][0]["name"].as_str().expect("a name");
        let total = newest.total_minor;
        let body = json!({
            "external_reference_id": format!("scoffable-{}-1", truth.id),
            "location_id": mapping.location_id,
            "menu_id": mapping.menu_id,
            "state": "CLOSED",
            "source": {"name": "Scoffable"},
            "fulfillment": {"type": "PICKUP", "schedule_type": "ASAP"},
            "line_items": [{"item_id": mapping.items[name], "name": name, "quantity": 1, "price": total}],
            "payments": [{"type": "EXTERNAL", "provider_name": "Scoffable", "amount": total}],
            "totals": {
                "subtotal": total, "discounts_total": 0, "fees_total": 0, "tax_total": 0, "tip_total": 0,
                "grand_total": total,
            },
        });
        let path = format!("/order/v1/locations/{}/orders/submit", mapping.location_id);
        let request = sim.request(reqwest::Method::POST, &path).header("content-type", "application/json");
        let (status, answer) = ask(request.body(body.to_string())).await;
        assert_eq!(status, 200, "{answer}");
        n_submitted += 1;
    }

    assert!(n_submitted > 20, "{n_submitted}");
    assert_eq!(sim.compare(&world, &BTreeSet::new()), []);
    sim.assert_no_wrong();
}

#[tokio::test]
async fn the_dice_hit_each_request_by_itself() {
    let sim = start().await;
    sim.faults().set_chaos(Chaos::Hard);

    for n in 0..40 {
        let request = sim.to_submit(&order(&format!("scoffable-{n}-1")));
        let _ = request.timeout(Duration::from_millis(500)).send().await;
        sim.clock.advance(secs(1));
    }

    let hits: u64 = sim.journal().faults().values().sum();
    assert!(hits > 6, "{hits}");
    assert_eq!(sim.state()["violations"], json!([]));
}

/// Sends an order as a correct client does: whatever may have arrived is looked for before it is sent again.
async fn insist(sim: &Sim, reference: &str) {
    let report = format!("/reporting/v1/locations/{HERE}/orders?last_updated_from=2020-01-01T00:00:00Z");
    for _ in 0..30 {
        let request = sim.to_submit(&order(reference)).timeout(secs(2));
        let answered = match request.send().await {
            Ok(answer) if answer.status() == 429 => continue,
            Ok(answer) if answer.status() == 200 => answer.json::<Value>().await.unwrap_or_default(),
            _ => Value::Null,
        };
        if answered["order"]["id"].is_string() {
            return;
        }
        let seen = loop {
            let request = sim.request(reqwest::Method::GET, &report).timeout(secs(2));
            let Ok(answer) = request.send().await else { continue };
            let is_ok = answer.status() == 200;
            if let (true, Ok(body)) = (is_ok, answer.json::<Value>().await) {
                break body;
            }
        };
        let orders = seen["orders"].as_array().expect("a list");
        if orders.iter().any(|order| order["external_reference_id"] == reference) {
            return;
        }
    }
    panic!("the faults do not end");
}

#[tokio::test]
async fn a_client_that_looks_before_it_sends_again_has_each_order_cooked_once() {
    let options = SpotonOptions { limits: Vec::new(), page_size: 1000, ..SpotonOptions::default() };
    let sim = start_with(options).await;
    sim.faults().set_chaos(Chaos::Hard);
    let references: Vec<String> = (0..60).map(|n| format!("scoffable-{n}-1")).collect();

    futures::future::join_all(references.iter().map(|reference| insist(&sim, reference))).await;

    let played = sim.journal().faults();
    assert!(played.contains_key("cut_after") && played.contains_key("status"), "{played:?}");
    assert_eq!(sim.ledger().orders().count(), 60);
    assert_eq!(sim.ledger().stored().len(), 60);
    sim.assert_no_wrong();
}
