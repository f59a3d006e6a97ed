use chrono::TimeDelta;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{feed::LATE, *};
use crate::simulator::{
    faults::{Reach, cut_after, cut_before, plainly, slow_to_start, status},
    test_client::{client, secs},
    world::WorldOptions,
};

/// A simulator whose clock the test has.
struct Scene {
    sim: GoDataFeedSim,
    clock: Clock,
    /// An hour before the start, to the second.
    purchase: DateTime<Utc>,
}

impl std::ops::Deref for Scene {
    type Target = GoDataFeedSim;
    fn deref(&self) -> &GoDataFeedSim {
        &self.sim
    }
}

async fn start_with(change: impl FnOnce(&mut GoDataFeedOptions)) -> Scene {
    let clock = Clock::default();
    let mut options = GoDataFeedOptions { clock: clock.clone(), ..GoDataFeedOptions::default() };
    change(&mut options);
    let an_hour_ago = clock.wall() - TimeDelta::hours(1);
    let purchase = an_hour_ago - TimeDelta::nanoseconds(i64::from(an_hour_ago.timestamp_subsec_nanos()));
    Scene { sim: GoDataFeedSim::start(options).await.expect("a free port"), clock, purchase }
}

async fn start() -> Scene {
    start_with(|_| {}).await
}

impl Scene {
    /// The counterpart of a Scoffable order comes in now.
    fn arrives(&self, order_id: &str) -> String {
        self.import(Import::of(order_id, self.purchase))
    }

    fn after_purchase(&self, secs: i64) -> String {
        instant(self.purchase + TimeDelta::seconds(secs))
    }

    fn shipped(&self) -> Value {
        json!({"status": "SHIPPED", "shipDate": self.after_purchase(60)})
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> RequestBuilder {
        let request = client().request(method, format!("{}/v1/gdf-token{path}", self.url()));
        match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        ask(self.request(Method::GET, path, None)).await
    }

    async fn put(&self, path: &str, body: &Value) -> u16 {
        ask(self.request(Method::PUT, path, Some(body))).await.0
    }

    async fn acknowledge(&self, id: &str, number: &str) -> u16 {
        self.put(&format!("/orders/{id}/acknowledge"), &json!({"destinationOrderNumber": number})).await
    }

    async fn update(&self, id: &str, body: &Value) -> u16 {
        self.put(&format!("/orders/{id}/status"), body).await
    }

    async fn cancel(&self, id: &str) -> u16 {
        self.update(id, &json!({"status": "CANCELLED"})).await
    }

    /// The ids that are listed as `NEW`.
    async fn new_orders(&self) -> Vec<String> {
        let (status, body) = self.get("/orders?status=NEW").await;
        assert_eq!(status, 200, "{body}");
        ids(&body["orders"])
    }

    fn states(&self, id: &str) -> Vec<OrderState> {
        self.ledger().order(id).expect("an order").states()
    }
}

async fn ask(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

fn ids(orders: &Value) -> Vec<String> {
    let orders = orders.as_array().expect("a list");
    orders.iter().map(|order| order["id"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn an_order_is_listed_acknowledged_and_shipped_and_leaves_the_list_on_the_way() {
    let gdf = start().await;
    let id = gdf.arrives("5512087");
    gdf.arrives("5512088");

    let (_, listing) = gdf.get("/orders?status=NEW").await;
    assert_eq!(gdf.acknowledge(&id, "ord-4K0W9").await, 200);
    assert_eq!(gdf.new_orders().await, ["G-300002"]);
    let shipment = json!({"status": "SHIPPED", "shipDate": gdf.after_purchase(60), "carrier": "Merchant delivery"});
    assert_eq!(gdf.update(&id, &shipment).await, 200);
    let (_, read_back) = gdf.get(&format!("/orders/{id}")).await;

    let listed = &listing["orders"][0];
    assert_eq!((&listed["id"], &listed["marketplaceOrderNumber"]), (&json!("G-300001"), &json!("5512087")));
    assert_eq!((&listed["marketplace"], &listed["status"]), (&json!("Scoffable"), &json!("NEW")));
    assert_eq!(listed["orderDate"], instant(gdf.purchase));
    assert_eq!((&read_back["status"], &read_back["destinationOrderNumber"]), (&json!("SHIPPED"), &json!("ord-4K0W9")));
    assert_eq!(gdf.states(&id), [OrderState::New, OrderState::Acknowledged, OrderState::Shipped]);
    let order = gdf.find("5512087").expect("a counterpart");
    assert_eq!(order.destination_number.as_deref(), Some("ord-4K0W9"));
    assert_eq!(order.shipment.expect("a shipment").carrier.as_deref(), Some("Merchant delivery"));
    let calls = [Operation::Get, Operation::Acknowledge, Operation::UpdateStatus, Operation::List];
    assert_eq!(calls.map(|operation| gdf.find("5512087").expect("it").calls(operation)), [1, 1, 1, 0]);
    assert_eq!(gdf.violations(), []);
}

#[tokio::test]
async fn an_order_may_be_cancelled_from_new_and_once_acknowledged() {
    let gdf = start().await;
    let (first, second) = (gdf.arrives("1"), gdf.arrives("2"));

    assert_eq!(gdf.cancel(&first).await, 200);
    assert_eq!(gdf.acknowledge(&second, "ord-2").await, 200);
    assert_eq!(gdf.cancel(&second).await, 200);

    assert_eq!(gdf.states(&first), [OrderState::New, OrderState::Cancelled]);
    assert_eq!(gdf.states(&second), [OrderState::New, OrderState::Acknowledged, OrderState::Cancelled]);
    assert_eq!(gdf.new_orders().await, Vec::<String>::new());
    assert_eq!(gdf.violations(), []);
}

#[tokio::test]
async fn every_write_is_kept_with_its_time_and_what_became_of_it() {
    let gdf = start().await;
    let id = gdf.arrives("1");

    gdf.acknowledge(&id, "ord-1").await;
    gdf.clock.advance(secs(60));
    gdf.acknowledge(&id, "ord-1").await;
    gdf.acknowledge(&id, "ord-2").await;

    let ledger = gdf.ledger();
    let writes: Vec<_> = ledger.writes().into_iter().map(|(_, write)| write.result).collect();
    assert_eq!(writes, [Ok(Done::Applied), Ok(Done::Repeated), Err(Refused::AnotherNumber)]);
    let order = ledger.order(&id).expect("it");
    assert_eq!(order.applied().collect::<Vec<_>>(), [&Content::Acknowledge { number: "ord-1".to_owned() }]);
    assert!(order.writes()[1].at >= order.writes()[0].at + secs(60));
    assert_eq!((order.history()[0].by, order.history()[1].by), (By::SomebodyElse, By::Client));
    assert_eq!(ledger.n_repeats(), 1);
}

#[tokio::test]
async fn what_the_state_does_not_allow_is_refused_and_a_violation() {
    let order = || "G-300001".to_owned();
    let update = Operation::UpdateStatus;
    for (steps, expected, violation) in [
        (vec!["ship"], 409, Violation::ShippedBeforeAcknowledged { order: order() }),
        (
            vec!["ack", "ack another"],
            409,
            Violation::SecondNumber { order: order(), first: "ord-1".to_owned(), second: "ord-2".to_owned() },
        ),
        (vec!["ack", "ship", "cancel"], 409, Violation::CancelledAfterShipped { order: order() }),
        (vec!["ack", "ship", "ship otherwise"], 409, Violation::ShipmentChanged { order: order() }),
        (vec!["ack", "ship", "ack"], 409, Violation::AcknowledgedAfter { order: order(), state: OrderState::Shipped }),
        (vec!["cancel", "ack"], 409, Violation::AcknowledgedAfter { order: order(), state: OrderState::Cancelled }),
        (vec!["ack", "cancel", "ship"], 409, Violation::ShippedAfterCancelled { order: order() }),
        (vec!["taken", "ship"], 409, Violation::NotOurs { order: order(), operation: update }),
        (vec!["taken", "ack", "cancel"], 409, Violation::NotOurs { order: order(), operation: update }),
    ] {
        let gdf = start().await;
        let id = gdf.arrives("1");
        let mut answer = 0;
        for step in &steps {
            answer = match *step {
                "ack" => gdf.acknowledge(&id, "ord-1").await,
                "ack another" => gdf.acknowledge(&id, "ord-2").await,
                "ship" => gdf.update(&id, &gdf.shipped()).await,
                "ship otherwise" => {
                    let shipment = json!({"status": "SHIPPED", "shipDate": gdf.after_purchase(61)});
                    gdf.update(&id, &shipment).await
                }
                "cancel" => gdf.cancel(&id).await,
                _ => {
                    gdf.take_elsewhere(&id);
                    0
                }
            };
        }
        assert_eq!(answer, expected, "{steps:?}");
        assert_eq!(gdf.violations(), [violation], "{steps:?}");
        let effects = steps.iter().filter(|step| ["ack", "ship", "cancel", "taken"].contains(*step)).count();
        assert!(gdf.states(&id).len() <= effects + 1, "{steps:?}");
    }
}

#[tokio::test]
async fn what_happened_elsewhere_in_the_meantime_is_refused_and_no_violation() {
    let gdf = start().await;
    let ids: Vec<String> = (0..4).map(|n| gdf.arrives(&n.to_string())).collect();
    gdf.acknowledge(&ids[3], "ord-3").await;
    gdf.take_elsewhere(&ids[0]);
    gdf.take_elsewhere(&ids[1]);
    gdf.cancel_elsewhere(&ids[2]);
    gdf.cancel_elsewhere(&ids[3]);

    assert_eq!(gdf.new_orders().await, Vec::<String>::new());
    assert_eq!(gdf.acknowledge(&ids[0], "ord-0").await, 409);
    assert_eq!(gdf.cancel(&ids[1]).await, 409);
    assert_eq!(gdf.acknowledge(&ids[2], "ord-2").await, 409);
    assert_eq!(gdf.update(&ids[3], &gdf.shipped()).await, 409);
    assert_eq!(gdf.cancel(&ids[3]).await, 200, "it is what the client wants");

    assert_eq!(gdf.states(&ids[0]), [OrderState::New, OrderState::Acknowledged]);
    assert_eq!(gdf.violations(), []);
}

#[tokio::test]
async fn who_never_heard_what_became_of_an_acknowledgement_may_take_the_order_for_its_own() {
    let ships = |gdf: Scene, id: String| async move {
        gdf.take_elsewhere(&id);
        assert_eq!(gdf.new_orders().await, Vec::<String>::new());
        assert_eq!(gdf.update(&id, &gdf.shipped()).await, 409);
        gdf.violations()
    };
    for lost in [cut_before(), cut_after(), status(503), status(408)] {
        let gdf = start().await;
        let id = gdf.arrives("1");
        if lost.reach() == Reach::Effect {
            gdf.take_elsewhere(&id);
        }
        gdf.answer_next([lost]);
        let body = json!({"destinationOrderNumber": "ord-1"});
        let _ = gdf.request(Method::PUT, &format!("/orders/{id}/acknowledge"), Some(&body)).send().await; // perhaps cut

        assert_eq!(ships(gdf, id).await, []);
    }
    let gdf = start().await;
    let id = gdf.arrives("1");
    gdf.answer_next([status(429)]);
    assert_eq!(gdf.acknowledge(&id, "ord-1").await, 429);

    let violation = Violation::NotOurs { order: id.clone(), operation: Operation::UpdateStatus };
    assert_eq!(ships(gdf, id).await, [violation], "that was an answer");
}

#[tokio::test]
async fn an_identical_repeat_succeeds_or_is_refused_and_changes_nothing() {
    let gdf = start().await;
    let (id, other) = (gdf.arrives("1"), gdf.arrives("2"));
    for _ in 0..2 {
        assert_eq!(gdf.acknowledge(&id, "ord-1").await, 200);
    }
    for _ in 0..2 {
        assert_eq!(gdf.update(&id, &gdf.shipped()).await, 200);
    }

    gdf.answer_repeats(Repeats::AreRefused(StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(gdf.update(&id, &gdf.shipped()).await, 422);
    assert_eq!([gdf.cancel(&other).await, gdf.cancel(&other).await], [200, 422]);

    assert_eq!(gdf.states(&id), [OrderState::New, OrderState::Acknowledged, OrderState::Shipped]);
    assert_eq!(gdf.states(&other), [OrderState::New, OrderState::Cancelled]);
    assert_eq!(gdf.violations(), []);
}

#[tokio::test]
async fn a_ship_time_is_after_the_purchase_and_not_in_the_future() {
    for (after_purchase, expected, n_violations) in
        [(-1, 422, 1), (0, 200, 1), (1, 200, 0), (3600, 200, 0), (3600 + 60, 422, 1)]
    {
        let gdf = start().await;
        let id = gdf.arrives("1");
        gdf.acknowledge(&id, "ord-1").await;
        let shipment = json!({"status": "SHIPPED", "shipDate": gdf.after_purchase(after_purchase)});
        assert_eq!(gdf.update(&id, &shipment).await, expected, "{after_purchase}");
        assert_eq!(gdf.violations().len(), n_violations, "{after_purchase}: {:?}", gdf.violations());
        let is_shipped = gdf.states(&id).contains(&OrderState::Shipped);
        assert_eq!(is_shipped, expected == 200, "{after_purchase}");
    }
}

#[tokio::test]
async fn a_date_alone_is_midnight_which_is_before_a_purchase_of_the_same_day() {
    let gdf = start().await;
    let noon = Utc::now().date_naive().and_hms_opt(12, 0, 0).expect("an hour").and_utc() - TimeDelta::days(2);
    let id = gdf.import(Import::of("1", noon));
    gdf.acknowledge(&id, "ord-1").await;
    let on = |days: i64| json!({"status": "SHIPPED", "shipDate": (noon + TimeDelta::days(days)).format("%Y-%m-%d").to_string()});

    assert_eq!(gdf.update(&id, &on(0)).await, 422);
    assert_eq!(gdf.update(&id, &on(1)).await, 200);

    let violations = gdf.violations();
    let without_time =
        violations.iter().filter(|violation| matches!(violation, Violation::ShipDateWithoutTime { .. })).count();
    assert_eq!(without_time, 2, "{violations:?}");
    let midnight = noon - TimeDelta::hours(12);
    assert!(violations.iter().any(
        |violation| matches!(violation, Violation::ShipDateNotAfterPurchase { ship_date, .. } if *ship_date == midnight)
    ));
}

#[tokio::test]
async fn a_time_without_offset_is_refused_unless_the_account_reads_it_as_its_own() {
    let naive = |gdf: &Scene, hours: i64| {
        let at = gdf.purchase + TimeDelta::hours(hours) + TimeDelta::minutes(1);
        json!({"status": "SHIPPED", "shipDate": at.format("%Y-%m-%dT%H:%M:%S").to_string()})
    };

    let gdf = start().await;
    let id = gdf.arrives("1");
    gdf.acknowledge(&id, "ord-1").await;
    assert_eq!(gdf.update(&id, &naive(&gdf, 0)).await, 400);
    assert!(matches!(gdf.violations()[..], [Violation::ShipDateWithoutOffset { .. }]), "{:?}", gdf.violations());

    let two_hours_east = FixedOffset::east_opt(2 * 3600).expect("two hours");
    let gdf = start_with(|options| options.local_times = Some(two_hours_east)).await;
    let id = gdf.arrives("1");
    gdf.acknowledge(&id, "ord-1").await;
    assert_eq!(gdf.update(&id, &naive(&gdf, 2)).await, 200);
    let shipment = gdf.find("1").expect("it").shipment.expect("a shipment");
    assert_eq!(shipment.ship_date.at, gdf.purchase + TimeDelta::minutes(1));
    assert_eq!(gdf.violations(), []);
}

#[tokio::test]
async fn a_tracking_number_may_be_required_and_is_the_orders_own_or_a_violation() {
    let gdf = start_with(|options| options.tracking_is_required = true).await;
    let id = gdf.arrives("5512087");
    gdf.acknowledge(&id, "ord-1").await;

    assert_eq!(gdf.update(&id, &gdf.shipped()).await, 422);
    assert_eq!(gdf.violations(), [], "nobody can know");
    let mut shipment = gdf.shipped();
    shipment["trackingNumber"] = json!("5512087");
    assert_eq!(gdf.update(&id, &shipment).await, 200);
    assert_eq!(gdf.violations(), []);
    shipment["trackingNumber"] = json!("1Z999");
    gdf.update(&id, &shipment).await;

    let (order, tracking_number) = (id, "1Z999".to_owned());
    assert!(gdf.violations().contains(&Violation::InventedTracking { order, tracking_number }));
}

#[tokio::test]
async fn the_marketplaces_own_number_as_the_destinations_is_a_violation() {
    let gdf = start().await;
    let plain = gdf.arrives("5512087");
    let decorated = Import::of("5512088", gdf.purchase).with(&Oddity::Decorated { prefix: "SCF-".to_owned() });
    let decorated = gdf.import(decorated.into_iter().next().expect("one order"));

    gdf.acknowledge(&plain, "5512087").await;
    gdf.acknowledge(&decorated, "5512088").await;

    let own = |order: &str, number: &str| Violation::OwnNumber { order: order.to_owned(), number: number.to_owned() };
    assert_eq!(gdf.violations(), [own(&plain, "5512087"), own(&decorated, "5512088")]);
    assert_eq!(gdf.find("5512088").expect("it").number, "SCF-5512088");
}

#[tokio::test]
async fn a_write_for_another_channels_order_is_a_violation_although_its_number_is_the_same() {
    let gdf = start().await;
    let imports = Import::of("5512087", gdf.purchase).with(&Oddity::NumberUsedElsewhere);
    let ids: Vec<String> = imports.into_iter().map(|import| gdf.import(import)).collect();

    let (_, listing) = gdf.get("/orders?status=NEW").await;
    assert_eq!(ids, super::tests::ids(&listing["orders"]));
    assert_eq!(listing["orders"][0]["marketplaceOrderNumber"], listing["orders"][1]["marketplaceOrderNumber"]);
    assert_eq!(listing["orders"][0]["marketplace"], feed::OTHER_MARKETPLACE);
    gdf.acknowledge(&ids[1], "ord-1").await;
    assert_eq!(gdf.violations(), []);
    gdf.acknowledge(&ids[0], "ord-1").await;

    let (order, operation) = (ids[0].clone(), Operation::Acknowledge);
    assert_eq!(gdf.violations(), [Violation::OtherChannel { order, operation }]);
}

#[tokio::test]
async fn to_choose_among_two_orders_of_one_number_is_a_violation_once_a_listing_showed_both() {
    let gdf = start().await;
    let first = gdf.arrives("1");
    assert_eq!(gdf.new_orders().await.len(), 1);
    let second = gdf.arrives("1");
    gdf.acknowledge(&first, "ord-1").await;
    assert_eq!(gdf.violations(), [], "the client has not seen the second");

    gdf.new_orders().await;
    gdf.update(&first, &gdf.shipped()).await;
    assert_eq!(gdf.violations(), [], "the first is the client's by now");
    gdf.acknowledge(&second, "ord-1").await;

    let (order, operation) = (second, Operation::Acknowledge);
    assert_eq!(gdf.violations(), [Violation::Ambiguous { order, operation }]);
}

#[tokio::test]
async fn orders_appear_in_time_late_never_or_twice_and_may_be_taken() {
    let gdf = start().await;
    let oddities = [Oddity::Late, Oddity::Never, Oddity::Twice, Oddity::TakenElsewhere { after: secs(30) }];
    for (n, oddity) in oddities.iter().enumerate() {
        let import = Import { appears_after: secs(60), ..Import::of(&n.to_string(), gdf.purchase) };
        for import in import.with(oddity) {
            gdf.import(import);
        }
    }
    let numbers = async || {
        let (_, listing) = gdf.get("/orders?status=NEW").await;
        let orders = listing["orders"].as_array().expect("a list").clone();
        orders
            .iter()
            .map(|order| order["marketplaceOrderNumber"].as_str().expect("a text").to_owned())
            .collect::<Vec<_>>()
    };

    assert_eq!(numbers().await, Vec::<String>::new());
    assert_eq!(gdf.acknowledge("G-300001", "ord-0").await, 404, "not there yet");
    gdf.clock.advance(secs(60));
    assert_eq!(numbers().await, ["2", "2", "3"]);
    gdf.clock.advance(secs(30));
    assert_eq!(numbers().await, ["2", "2"]);
    gdf.clock.advance(LATE);
    assert_eq!(numbers().await, ["0", "2", "2"]);
    let taken = gdf.find("3").expect("it");
    let taken_at = taken.history()[0].at + secs(30);
    assert_eq!((taken.history()[1].by, taken.history()[1].at), (By::SomebodyElse, taken_at));
    assert_eq!(gdf.find("1").map(|order| order.id), None);
    assert_eq!(gdf.violations(), [Violation::UnknownOrder { order: "G-300001".to_owned() }]);
}

#[tokio::test]
async fn a_worlds_orders_come_in_with_the_number_and_time_of_purchase_the_stream_gives() {
    let gdf = start().await;
    let world = World::generate(WorldOptions { orders: 60, ..WorldOptions::default() });

    gdf.import_world(&world, &Feed { delay: secs(900), ..Feed::default() });

    assert_eq!(gdf.new_orders().await.len(), 0);
    gdf.clock.advance(secs(900));
    assert_eq!(gdf.new_orders().await.len(), world.orders.len());
    for order in world.orders.values() {
        let counterpart = gdf.find(&order.id).expect("each has one");
        let payload = &world.versions_of(&order.id).next().expect("a version").payload;
        let placed = serde_json::from_slice::<Value>(payload).expect("JSON")["placedAt"].clone();
        let millis = match &placed {
            Value::Number(millis) => millis.as_i64().expect("whole"),
            text => DateTime::parse_from_rfc3339(text.as_str().expect("a text")).expect("a time").timestamp_millis(),
        };
        assert_eq!(counterpart.number, order.id);
        assert_eq!(counterpart.purchased_at.timestamp(), millis / 1000);
    }
}

#[tokio::test]
async fn one_seed_deals_the_same_oddities_and_all_kinds_of_them() {
    let world = World::generate(WorldOptions { orders: 200, ..WorldOptions::default() });
    let counts = |seed: u64| {
        let feed = Feed { oddities: Oddities::Dealt { seed }, ..Feed::default() };
        let imports = feed.imports(&world);
        let count = |condition: fn(&Import) -> bool| imports.iter().filter(|import| condition(import)).count();
        let known: std::collections::BTreeSet<_> =
            imports.iter().filter_map(|import| import.order_id.clone()).collect();
        let own = count(|import| import.order_id.is_some());
        [
            count(|import| import.appears_after == LATE),
            world.orders.len() - known.len(),
            own - known.len(),
            count(|import| import.marketplace.is_some()),
            count(|import| import.taken_after.is_some()),
        ]
    };

    let dealt = counts(7);
    assert!(dealt.iter().all(|n| (2..30).contains(n)), "{dealt:?}");
    assert_eq!(dealt, counts(7));
    assert_ne!(dealt, counts(8));
}

#[tokio::test]
async fn a_listing_has_its_orders_where_the_account_puts_them() {
    for (answer, pointer) in
        [(ListAnswer::Root, ""), (ListAnswer::Member("orders"), "/orders"), (ListAnswer::Member("data"), "/data")]
    {
        let gdf = start_with(|options| options.list_answer = answer).await;
        gdf.arrives("1");
        let (_, listing) = gdf.get("/orders?status=NEW").await;
        assert_eq!(ids(listing.pointer(pointer).expect(pointer)), ["G-300001"]);
    }
}

#[tokio::test]
async fn pages_are_cut_from_what_is_new_when_each_is_asked_for() {
    let gdf = start_with(|options| options.paging = Some(2)).await;
    for n in 0..5 {
        gdf.arrives(&n.to_string());
    }
    let page = async |query: &str| {
        let (status, body) = gdf.get(&format!("/orders?status=NEW{query}")).await;
        assert_eq!(status, 200, "{query}");
        ids(&body["orders"])
    };

    assert_eq!(page("").await, ["G-300001", "G-300002"]);
    assert_eq!(page("&page=3").await, ["G-300005"]);
    assert_eq!(page("&page=4").await, Vec::<String>::new());
    assert_eq!(page("&page=2&pageSize=1").await, ["G-300002"]);
    gdf.acknowledge("G-300001", "ord-1").await;
    assert_eq!(page("&page=2").await, ["G-300004", "G-300005"], "the third has moved up");
    for query in ["&page=0", "&pageSize=3", "&page=x", "&page=1&page=1"] {
        assert_eq!(gdf.get(&format!("/orders?status=NEW{query}")).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn listing_too_often_is_a_violation_and_pages_and_lost_answers_are_no_listings() {
    let gdf = start_with(|options| {
        options.paging = Some(2);
        options.listing_interval = secs(240);
    })
    .await;
    let list = async |page: usize| gdf.get(&format!("/orders?status=NEW&page={page}")).await.0;

    gdf.answer_next([status(500)]);
    assert_eq!([list(1).await, list(1).await, list(2).await], [500, 200, 200]);
    gdf.clock.advance(secs(240));
    list(1).await;
    assert_eq!(gdf.violations(), []);
    gdf.clock.advance(secs(100));
    list(1).await;

    assert!(matches!(gdf.violations()[..], [Violation::ListedTooOften { after }] if after < secs(110)));
    assert_eq!(gdf.ledger().n_listings(), 3);
}

#[tokio::test]
async fn to_look_up_one_order_is_right_only_when_a_change_of_its_status_may_be_in_doubt() {
    let gdf = start().await;
    let id = gdf.arrives("1");
    let path = format!("/orders/{id}");

    assert_eq!(gdf.get(&path).await.1["status"], "NEW");
    gdf.acknowledge(&id, "ord-1").await;
    assert_eq!(gdf.get(&path).await.1["status"], "ACKNOWLEDGED");
    assert_eq!(gdf.violations(), vec![Violation::LookedUp { order: id.clone() }; 2]);
    gdf.answer_next_to(Operation::UpdateStatus, [status(500).after_the_effect()]);
    assert_eq!(gdf.update(&id, &gdf.shipped()).await, 500);
    assert_eq!(gdf.get(&path).await.1["status"], "SHIPPED");

    assert_eq!(gdf.violations().len(), 2);
}

#[tokio::test]
async fn each_broken_rule_of_form_is_refused_recorded_and_without_effect() {
    let gdf = start().await;
    let id = gdf.arrives("1");
    let (acknowledge, update) = (format!("/orders/{id}/acknowledge"), format!("/orders/{id}/status"));
    let shipped = |name: &str, value: Value| {
        let mut body = gdf.shipped();
        body[name] = value;
        body
    };
    let cases: Vec<(Method, &str, Option<Value>, u16)> = vec![
        (Method::PUT, &acknowledge, Some(json!({})), 400),
        (Method::PUT, &acknowledge, Some(json!([])), 400),
        (Method::PUT, &acknowledge, Some(json!({"destinationOrderNumber": ""})), 400),
        (Method::PUT, &acknowledge, Some(json!({"destinationOrderNumber": " ord-1"})), 400),
        (Method::PUT, &acknowledge, Some(json!({"destinationOrderNumber": 7})), 400),
        (Method::PUT, &acknowledge, Some(json!({"destinationOrderNumber": "x".repeat(201)})), 400),
        (Method::PUT, &acknowledge, Some(json!({"destinationOrderNumber": "ord-1", "extra": 1})), 400),
        (Method::PUT, &acknowledge, None, 415),
        (Method::POST, &acknowledge, Some(json!({"destinationOrderNumber": "ord-1"})), 405),
        (Method::GET, &acknowledge, None, 405),
        (Method::PUT, &update, Some(json!({"status": "shipped"})), 400),
        (Method::PUT, &update, Some(json!({"status": "CANCEL"})), 400),
        (Method::PUT, &update, Some(json!({"status": "CANCELLED", "cancelReason": "x"})), 400),
        (Method::PUT, &update, Some(json!({"status": "CANCELLED", "carrier": "Uber"})), 400),
        (Method::PUT, &update, Some(json!({"status": "SHIPPED"})), 400),
        (Method::PUT, &update, Some(shipped("shipDate", json!("yesterday"))), 400),
        (Method::PUT, &update, Some(shipped("shipDate", json!(1_700_000_000))), 400),
        (Method::PUT, &update, Some(shipped("carrier", json!(""))), 400),
        (Method::PUT, &update, Some(shipped("trackingNumber", Value::Null)), 400),
        (Method::PUT, &update, Some(shipped("items", json!([]))), 400),
        (Method::PATCH, &update, Some(gdf.shipped()), 405),
        (Method::PUT, "/orders/G-1/status", Some(gdf.shipped()), 404),
        (Method::POST, "/orders", Some(json!({})), 405),
        (Method::GET, "/orders", None, 400),
        (Method::GET, "/orders?status=new", None, 400),
        (Method::GET, "/orders?status=NEW&status=NEW", None, 400),
        (Method::GET, "/orders?status=NEW&page=1", None, 400),
        (Method::GET, "/orders?status=NEW", Some(json!({})), 400),
        (Method::GET, "/orders/G-300001?expand=items", None, 400),
        (Method::PUT, "/orders/G-300001/acknowledge?x=1", Some(json!({"destinationOrderNumber": "ord-1"})), 400),
        (Method::GET, "/order", None, 404),
    ];
    for (n, (method, path, body, expected)) in cases.into_iter().enumerate() {
        let (status, answer) = ask(gdf.request(method.clone(), path, body.as_ref())).await;
        assert_eq!(status, expected, "{method} {path} {body:?}: {answer}");
        assert_eq!(gdf.violations().len(), n + 1, "{method} {path} {body:?}");
    }
    assert_eq!(gdf.states(&id), [OrderState::New]);
    assert_eq!(gdf.received(), []);
}

#[tokio::test]
async fn the_word_for_cancelled_is_the_accounts() {
    let gdf = start_with(|options| options.cancelled = "CANCEL".to_owned()).await;
    let id = gdf.arrives("1");

    assert_eq!(gdf.cancel(&id).await, 400);
    assert_eq!(gdf.update(&id, &json!({"status": "CANCEL"})).await, 200);
    assert_eq!(gdf.states(&id), [OrderState::New, OrderState::Cancelled]);
}

#[tokio::test]
async fn a_write_is_answered_with_nothing_a_text_or_an_object() {
    for (answer, expected) in [
        (WriteAnswer::Nothing, String::new()),
        (WriteAnswer::Text, "Order updated".to_owned()),
        (
            WriteAnswer::Object,
            json!({"id": "G-300001", "status": "CANCELLED", "error": null, "errors": [], "Error": ""}).to_string(),
        ),
    ] {
        let gdf = start_with(|options| options.write_answer = answer).await;
        let id = gdf.arrives("1");
        let body = json!({"status": "CANCELLED"});
        let answer = gdf.request(Method::PUT, &format!("/orders/{id}/status"), Some(&body)).send().await.expect("it");
        assert_eq!((answer.status().as_u16(), answer.text().await.expect("a text")), (200, expected));
    }
}

#[tokio::test]
async fn version_two_wants_a_bearer_token_and_knows_no_authorization_call() {
    let gdf = start_with(|options| options.api = Api::V2).await;
    gdf.arrives("1");
    let get = |path: &str| client().get(format!("{}{path}", gdf.url()));
    let list = "/v2/orders?status=NEW";

    assert_eq!(ask(get(list).bearer_auth("gdf-token")).await.0, 200);
    assert_eq!(ask(get(list)).await.0, 401);
    assert_eq!(ask(get(list).bearer_auth("another")).await.0, 401);
    assert_eq!(ask(get("/v2/authorization?consumerKey=gdf-consumer-key").bearer_auth("gdf-token")).await.0, 404);
    assert_eq!(ask(get("/v1/gdf-token/orders?status=NEW")).await.0, 404);

    assert_eq!(gdf.violations().len(), 4);
}

#[tokio::test]
async fn a_token_is_given_for_the_consumer_key_in_each_of_the_ways_it_may_be_written() {
    for answer in [
        TokenAnswer::Bare,
        TokenAnswer::JsonString,
        TokenAnswer::Member("token"),
        TokenAnswer::Member("Token"),
        TokenAnswer::Member("access_token"),
        TokenAnswer::Member("accessToken"),
    ] {
        let gdf = start_with(|options| options.token_answer = answer).await;
        let authorize = |key: &str| client().get(format!("{}/v1/authorization?consumerKey={key}", gdf.url()));

        let text = authorize("gdf-consumer-key").send().await.expect("it").text().await.expect("a text");
        let token = match answer {
            TokenAnswer::Bare => text.clone(),
            TokenAnswer::JsonString => serde_json::from_str(&text).expect("a JSON string"),
            TokenAnswer::Member(name) => {
                serde_json::from_str::<Value>(&text).expect("JSON")[name].as_str().expect("a text").to_owned()
            }
        };
        let orders = client().get(format!("{}/v1/{token}/orders?status=NEW", gdf.url()));
        assert_eq!(ask(orders).await.0, 200, "{answer:?} {text}");
        assert_eq!(ask(authorize("another")).await.0, 401);
        assert_eq!(gdf.violations(), [Violation::WrongConsumerKey]);
        assert_eq!(gdf.ledger().n_tokens(), 1);
    }
}

#[tokio::test]
async fn a_token_expires_after_its_life_and_a_new_one_may_kill_the_old() {
    let day = secs(24 * 3600);
    let gdf = start_with(|options| {
        options.token_life = Some(7 * day);
        options.unauthorized = StatusCode::FORBIDDEN;
    })
    .await;
    gdf.clock.advance(6 * day);
    assert_eq!(gdf.get("/orders?status=NEW").await.0, 200);
    gdf.clock.advance(day);
    assert_eq!(gdf.get("/orders?status=NEW").await.0, 403);
    assert_eq!((gdf.violations(), gdf.ledger().n_dead_tokens_shown()), (vec![], 1));

    for (old, expected) in [(OldTokens::LiveOn, 200), (OldTokens::AreKilled, 401)] {
        let gdf = start_with(|options| options.old_tokens = old).await;
        let token = gdf.make_token();
        let with_the_new = client().get(format!("{}/V1/{token}/orders?status=NEW", gdf.url()));
        assert_eq!(ask(with_the_new).await.0, 200);
        assert_eq!(gdf.get("/orders?status=NEW").await.0, expected, "{old:?}");
        gdf.kill_tokens();
        assert_eq!(gdf.get("/orders?status=NEW").await.0, 401);
    }
}

#[tokio::test]
async fn to_ask_for_tokens_too_often_or_side_by_side_is_a_violation() {
    let gdf = start().await;
    let authorize =
        async || ask(client().get(format!("{}/v1/authorization?consumerKey=gdf-consumer-key", gdf.url()))).await.0;

    authorize().await;
    gdf.clock.advance(secs(600));
    authorize().await;
    assert_eq!(gdf.violations(), []);
    gdf.clock.advance(secs(300));
    authorize().await;
    assert!(matches!(gdf.violations()[..], [Violation::TokensTooOften { .. }]));

    gdf.clock.advance(secs(600));
    let gate = CancellationToken::new();
    gdf.answer_next([plainly().answered_when(&gate), status(500)]);
    let meanwhile = async {
        gdf.wait_until(|ledger| ledger.n_tokens() == 4, secs(20)).await.expect("the first is being worked on");
        authorize().await;
        gate.cancel();
    };
    tokio::join!(authorize(), meanwhile);
    assert_eq!(gdf.violations()[1..], [Violation::TokensSideBySide]);
}

#[tokio::test]
async fn the_fifty_first_call_at_once_is_turned_away_and_two_a_second_pass_from_then_on() {
    for (hint, expected) in [(Hint::Nothing, None), (Hint::RetryAfter, Some("1"))] {
        let gdf = start_with(|options| options.bucket = Some(Bucket { hint, ..Bucket::DOCUMENTED })).await;
        // The bucket leaks while the test asks.
        let mut passed = 0;
        let begun = std::time::Instant::now();
        let turned_away = loop {
            let answer = gdf.request(Method::GET, "/orders?status=NEW", None).send().await.expect("an answer");
            if answer.status() == 429 {
                break answer;
            }
            passed += 1;
        };
        let most = 50 + 2 * (begun.elapsed().as_secs() + 1);
        assert!((50..=most).contains(&passed), "{passed}");
        assert_eq!(turned_away.headers().get("retry-after").map(|value| value.to_str().expect("a text")), expected);
        assert_eq!(gdf.ledger().n_overflows(), 1);
        assert_eq!(gdf.violations(), []);

        gdf.clock.advance(secs(1));
        assert_eq!([gdf.get("/orders?status=NEW").await.0, gdf.get("/orders?status=NEW").await.0], [200, 200]);
    }
}

#[tokio::test]
async fn no_credential_is_kept_and_one_in_a_query_is_a_violation() {
    let gdf = start().await;
    let id = gdf.arrives("1");
    gdf.acknowledge(&id, "ord-1").await;
    for path in [
        "/v1/authorization?consumerKey=gdf-consumer-key",
        "/v1/gdf-token/orders?status=NEW&token=gdf-token",
        "/v1/gdf-token/orders?status=NEW&x=gdf-consumer-key",
        "//v1/gdf-token/orders",
        "/v1/unknown-secret/orders",
    ] {
        ask(client().get(format!("{}{path}", gdf.url()))).await;
    }

    let kept = format!("{:?} {:?} {} {:?}", gdf.journal().entries(), gdf.received(), gdf.state(), gdf.violations());
    for secret in ["gdf-token", "gdf-consumer-key", "unknown-secret", "gdf-0"] {
        assert!(!kept.contains(secret), "{secret}: {kept}");
    }
    assert!(kept.contains("/v1/{token}/orders/G-300001/acknowledge"), "{kept}");
    let in_query = gdf.violations().iter().filter(|violation| **violation == Violation::CredentialInQuery).count();
    assert_eq!(in_query, 2);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_effect_and_a_cut_before_it_none() {
    let gdf = start().await;
    let ids: Vec<String> = (0..6).map(|n| gdf.arrives(&n.to_string())).collect();
    let body = json!({"destinationOrderNumber": "ord-1"});
    let acknowledge = |id: &str| gdf.request(Method::PUT, &format!("/orders/{id}/acknowledge"), Some(&body));
    gdf.answer_next_to(
        Operation::Acknowledge,
        [
            cut_after(),
            cut_before(),
            status(500).after_the_effect(),
            status(500),
            error_inside(),
            error_inside().after_the_effect(),
        ],
    );

    gdf.new_orders().await;
    for id in &ids[..2] {
        assert!(acknowledge(id).send().await.is_err());
    }
    assert_eq!([gdf.acknowledge(&ids[2], "ord-1").await, gdf.acknowledge(&ids[3], "ord-1").await], [500, 500]);
    for id in &ids[4..] {
        assert_eq!(ask(acknowledge(id)).await, (200, json!({"error": "simulated"})));
    }

    assert_eq!(gdf.new_orders().await, [&*ids[1], &*ids[3], &*ids[4]]);
    assert_eq!(gdf.received().iter().filter(|received| received.operation == Operation::Acknowledge).count(), 5);
    assert_eq!(gdf.violations(), []);
}

#[tokio::test]
async fn writes_on_one_order_side_by_side_are_a_violation_and_on_two_or_listings_not() {
    let gdf = start().await;
    let (id, other) = (gdf.arrives("1"), gdf.arrives("2"));
    let gate = CancellationToken::new();
    gdf.answer_next_to(Operation::Acknowledge, [plainly().answered_when(&gate)]);

    let meanwhile = async {
        let is_applied = |ledger: &Ledger| ledger.orders()[0].state() == OrderState::Acknowledged;
        gdf.wait_until(is_applied, secs(20)).await.expect("the write is being worked on");
        gdf.new_orders().await;
        gdf.cancel(&other).await;
        assert_eq!(gdf.violations(), []);
        gdf.update(&id, &gdf.shipped()).await;
        gate.cancel();
    };
    tokio::join!(gdf.acknowledge(&id, "ord-1"), meanwhile);

    let (order, operation, running) = (id.clone(), Operation::UpdateStatus, Operation::Acknowledge);
    assert_eq!(gdf.violations(), [Violation::SideBySide { order, operation, running }]);
    assert_eq!(gdf.ledger().running(&id), 0);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_effect_has_caused_nothing_and_is_forgotten() {
    let gdf = start().await;
    let id = gdf.arrives("1");
    gdf.answer_next([slow_to_start(Duration::from_mins(10))]);

    tokio::select! {
        status = gdf.acknowledge(&id, "ord-1") => panic!("{status}"),
        arrived = gdf.wait_until(|ledger| ledger.running("G-300001") == 1, secs(20)) => arrived.expect("it arrives"),
    }
    gdf.wait_until(|ledger| ledger.running("G-300001") == 0, secs(20)).await.expect("its connection is gone");

    assert_eq!(gdf.acknowledge(&id, "ord-2").await, 200);
    assert_eq!(gdf.violations(), []);
}

#[tokio::test]
async fn the_dice_hit_each_request_by_itself() {
    let gdf = start_with(|options| {
        (options.chaos, options.seed, options.bucket) = (Chaos::Hard, 7, None);
    })
    .await;

    for n in 0..60 {
        let id = gdf.arrives(&n.to_string());
        let body = json!({"destinationOrderNumber": format!("ord-{n}")});
        let request = gdf.request(Method::PUT, &format!("/orders/{id}/acknowledge"), Some(&body));
        let _ = request.timeout(Duration::from_millis(500)).send().await;
    }

    let hits: u64 = gdf.journal().faults().values().sum();
    assert!(hits > 10, "{hits}");
    assert_eq!(gdf.state()["violations"], json!([]));
}

#[tokio::test]
async fn a_correct_client_ends_with_a_right_ledger_and_without_violations_whatever_goes_wrong() {
    let gdf = start_with(|options| {
        (options.chaos, options.seed, options.bucket) = (Chaos::Hard, 3, None);
    })
    .await;
    let world = World::generate(WorldOptions { orders: 25, ..WorldOptions::default() });
    gdf.import_world(&world, &Feed::default());
    let insist = async |id: &str, operation: Operation, request: RequestBuilder| {
        for _ in 0..10 {
            gdf.wait_until(|ledger| ledger.running(id) == 0, secs(20)).await.expect("the last try is over");
            let request = request.try_clone().expect("a body in memory").timeout(secs(1));
            let Ok(answer) = request.send().await else { continue };
            if answer.status() == 200 && answer.text().await.is_ok() {
                return;
            }
        }
        panic!("the faults of {operation:?} do not end");
    };

    let mut numbers = std::collections::BTreeMap::new();
    for order in world.orders.values() {
        let newest = order.newest().map_or("", |newest| newest.status.as_str());
        let id = gdf.find(&order.id).expect("it").id;
        let (acknowledge, update) = (format!("/orders/{id}/acknowledge"), format!("/orders/{id}/status"));
        if newest == "accepted" {
            let number = format!("ord-{}", order.id);
            let body = json!({ "destinationOrderNumber": number });
            numbers.insert(order.id.clone(), vec![number]);
            insist(&id, Operation::Acknowledge, gdf.request(Method::PUT, &acknowledge, Some(&body))).await;
            insist(&id, Operation::UpdateStatus, gdf.request(Method::PUT, &update, Some(&gdf.shipped()))).await;
        } else if newest == "cancelled" {
            let body = json!({"status": "CANCELLED"});
            insist(&id, Operation::UpdateStatus, gdf.request(Method::PUT, &update, Some(&body))).await;
        }
    }

    assert_eq!(gdf.compare(&world, &numbers), []);
    assert_eq!(gdf.violations(), []);
    assert!(gdf.journal().faults().len() > 3, "{:?}", gdf.journal().faults());
    gdf.sim.stop().await;
}
