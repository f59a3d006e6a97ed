//! What the ledger says of families, doubles, and a world.

use super::*;
use crate::simulator::world::{OrderTruth, Readability, StreamVersion, VersionTruth};

/// A world with the single order `1`: of each version its status, total, and payload beside that.
fn world(versions: &[(&str, i64, Value)]) -> World {
    let mut world = World::empty();
    let mut truths = Vec::new();
    for (position, (status, total_minor, payload)) in versions.iter().enumerate() {
        let number = position as i64 + 1;
        world.versions.push(StreamVersion {
            at: Duration::ZERO,
            order_id: Some("1".to_owned()),
            vendor: None,
            number,
            payload: payload.to_string().into(),
            flag: None,
        });
        truths.push(VersionTruth {
            number,
            status: (*status).to_owned(),
            total_minor: *total_minor,
            currency: "GBP".to_owned(),
            readability: Readability::Clear,
            position,
        });
    }
    let order = OrderTruth { id: "1".to_owned(), cases: BTreeSet::new(), versions: truths };
    world.orders.insert("1".to_owned(), order);
    world
}

fn dishes(n: i64, tenders: &[(&str, &str, i64)]) -> Value {
    let tender = |(kind, collector, minor): &(&str, &str, i64)| json!({"type": kind, "collectedBy": collector, "payment": {"amount": minor}});
    json!({"items": [{"price": {"amount": 1095}, "quantity": n, "quantityFulfilled": n}],
        "customerPayments": tenders.iter().map(tender).collect::<Vec<_>>()})
}

fn wrong(desk: &Desk, world: &World) -> Vec<String> {
    desk.compare(world, &Tenders::default(), &BTreeSet::new()).iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_shop_is_right_where_each_tender_is_under_its_payment_type() {
    let desk = start().await;
    let of = |tenders: &[(&str, &str, i64)]| world(&[("accepted", 2190, dishes(2, tenders))]);
    let paid = of(&[("online", "scoffable", 1690), ("voucher", "scoffable", 500)]);
    assert_eq!(wrong(&desk, &paid).len(), 1, "nothing stands");
    let mut sale = desk.sale("1", 2);
    sale["payments"] = json!([payment(0, "16.90"), payment(1, "5.00")]);
    desk.sold(&sale).await;

    assert_eq!(wrong(&desk, &paid), [""; 0]);
    let told = wrong(&desk, &of(&[("online", "scoffable", 2190)]));
    assert!(told[0].starts_with("order 1: expected 21.90 with [21.90 by 44444444"), "{told:?}");
    assert_eq!(wrong(&desk, &of(&[("online", "nobody", 2190)])).len(), 1, "to be held: but this stands otherwise");
    assert_eq!(wrong(&desk, &world(&[("placed", 2190, json!({}))])).len(), 1);
    assert_eq!(
        wrong(
            &desk,
            &world(&[("accepted", 2190, dishes(2, &[("cash", "vendor", 2190)])), ("cancelled", 0, json!({}))])
        )
        .len(),
        1
    );
}

#[tokio::test]
async fn goodwill_is_paid_under_a_type_of_its_own() {
    let desk = start().await;
    let mut payload = dishes(2, &[("cash", "vendor", 2000)]);
    payload["items"][0]["substitutionDetails"] = json!({});
    let world = world(&[("accepted", 2000, payload)]);
    let mut sale = desk.sale("1", 2);
    sale["payments"] = json!([payment(2, "20.00"), payment(4, "1.90")]);
    desk.sold(&sale).await;

    assert_eq!(wrong(&desk, &world), [""; 0]);
}

#[tokio::test]
async fn an_order_that_is_to_be_held_may_have_nothing_or_what_it_calls_for() {
    let desk = start().await;
    let short = world(&[("accepted", 2190, dishes(2, &[("online", "scoffable", 2000)]))]);
    assert_eq!(wrong(&desk, &short), [""; 0], "it is held");

    let mut sale = desk.sale("1", 2);
    sale["state"] = json!("pending");
    sale["attributes"] = json!(["onaccount"]);
    sale["payments"] = json!([payment(0, "20.00")]);
    sale["customer_id"] =
        json!(desk.by_hand(|store, now| store.add_customer_by_hand("House", "H", "h@example.org", now)));
    desk.sold(&sale).await;

    assert_eq!(wrong(&desk, &short), [""; 0], "it is on account");
    assert_eq!(wrong(&desk, &world(&[("accepted", 1095, dishes(1, &[("online", "scoffable", 1000)]))])).len(), 1);
}

#[tokio::test]
async fn void_and_replace_is_right_and_a_second_sale_beside_the_first_is_doubled() {
    let desk = start().await;
    let newest = world(&[("accepted", 2190, dishes(2, &[("online", "scoffable", 2190)]))]);
    let mut first = desk.sale("1", 2);
    desk.sold(&first).await;
    let mut second = desk.sale("1", 2);
    second["id"] = json!(store::id_for("sale of", "1, again"));
    second["invoice_number"] = json!("SCF-1-R2");

    desk.sold(&second).await;
    assert_eq!(desk.doubled(), [Doubled::Sale { order: "1".to_owned(), sale: text(&second["id"]) }]);
    assert_eq!(wrong(&desk, &newest).len(), 2);
    first["state"] = json!("voided");
    assert_eq!(desk.put(&first).await.0, 200);
    assert_eq!(wrong(&desk, &newest).len(), 1, "the money is right, but it stood twice");
    assert_eq!(desk.total("1"), 2190);
}

#[tokio::test]
async fn what_people_do_is_seen_and_what_is_of_no_order_is_told() {
    let desk = start().await;
    let sold = desk.sold(&desk.sale("1", 1)).await;
    let path = format!("2026-07/sales/{}", sale_id("1"));

    desk.clock.advance(secs(60));
    assert!(desk.by_hand(|store, now| {
        store.edit_sale_by_hand(&sale_id("1"), now, |sale| sale.lines[0].quantity = Fine(2 * Fine::ONE.0))
    }));
    let edited = desk.get(&path).await["data"].clone();
    assert_eq!((desk.total("1"), desk.stock()), (2190, 198));
    assert_ne!(edited["updated_at"], sold["updated_at"]);
    assert!(desk.by_hand(|store, now| store.void_sale_by_hand(&sale_id("1"), now)));
    assert_eq!((desk.total("1"), desk.stock()), (0, 200));
    let unknown = desk.compare(&World::empty(), &Tenders::default(), &BTreeSet::new());
    assert_eq!(unknown.iter().map(|one| one.order_id.as_str()).collect::<Vec<_>>(), ["1"]);

    let mut foreign = desk.sale("2", 1);
    foreign["source"]["type"] = json!("Elsewhere");
    foreign["invoice_number"] = json!("17");
    desk.sold(&foreign).await;
    assert_eq!(desk.violations(), [Violation::ForeignSource { sale: sale_id("2") }]);
}
