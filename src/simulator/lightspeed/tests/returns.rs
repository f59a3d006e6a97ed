//! Returns: parked by the server, closed by the client, one at a time.

use super::*;

impl Desk {
    async fn return_started(&self, order: &str, version: &str) -> Value {
        let path = format!("{version}/sales/{}/actions/return", sale_id(order));
        let (status, body) = ask(self.request("POST", &path)).await;
        assert_eq!(status, 200, "{body}");
        body["data"].clone()
    }
}

/// The parked return with so many of its dishes, given back online.
fn closed(parked: &Value, quantity: i64, amount: &str) -> Value {
    let line = &parked["line_items"][0];
    json!({
        "id": parked["id"], "state": "closed", "invoice_number": parked["invoice_number"],
        "source": {"author_id": ids::USERS[0], "register_id": parked["source"]["register_id"]},
        "line_items": [{"id": line["id"], "product": line["product"], "quantity": -quantity,
            "pricing": {"price": line["pricing"]["price"]},
            "tax": {"id": line["tax"]["id"], "amount": line["tax"]["amount"]}}],
        "payments": [payment(0, amount)],
    })
}

#[tokio::test]
async fn a_return_is_parked_with_everything_the_other_way_round_and_then_closed() {
    let desk = start().await;
    let sold = desk.sold(&desk.sale("1", 3)).await;

    let parked = desk.return_started("1", "2026-07").await;
    assert_eq!([&parked["state"], &parked["return"]["original_sale_id"]], [&json!("parked"), &sold["id"]]);
    assert_eq!((&parked["line_items"][0]["quantity"], &parked["payments"]), (&json!(-3), &json!([])));
    assert_eq!((desk.total("1"), desk.stock()), (3285, 197), "nothing was given back yet");
    let original = desk.get(&format!("2026-07/sales/{}", sale_id("1"))).await["data"].clone();
    assert_eq!(original["return"]["return_sale_ids"], json!([parked["id"]]));
    assert_ne!(original["_metadata"]["version"], sold["_metadata"]["version"]);

    let (status, kept) = desk.put(&closed(&parked, 2, "-21.90")).await;
    assert_eq!((status, &kept["data"]["totals"]["price_incl_tax"]), (200, &json!(-21.9)));
    assert_eq!((desk.total("1"), desk.stock()), (1095, 199));
    let standing = desk.ledger().standing("1");
    assert_eq!(standing.tenders, [(ids::PAYMENT_TYPES[0].to_owned(), Pence(1095))].into());
    assert_eq!((desk.violations(), desk.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn only_a_closed_sale_can_be_returned_and_no_more_of_it_than_was_sold() {
    let desk = start().await;
    let mut sale = desk.sale("1", 1);
    sale["state"] = json!("parked");
    desk.sold(&sale).await;
    let path = format!("2026-07/sales/{}/actions/return", sale_id("1"));
    assert_eq!(ask(desk.request("POST", &path)).await.0, 422);
    sale["state"] = json!("closed");
    assert_eq!(desk.put(&sale).await.0, 200);
    let first = desk.return_started("1", "2026-07").await;
    assert_eq!(desk.put(&closed(&first, 1, "-10.95")).await.0, 200);

    let second = desk.return_started("1", "2026-07").await;
    assert_eq!(desk.put(&closed(&second, 1, "-10.95")).await.0, 422);
    desk.change_rules(|rules| rules.takes_over_returns = true);
    assert_eq!(desk.put(&closed(&second, 1, "-10.95")).await.0, 200);

    assert_eq!(desk.total("1"), -1095);
    assert_eq!(desk.doubled(), [Doubled::Return { order: "1".to_owned(), sale: text(&second["id"]) }]);
}

#[tokio::test]
async fn from_2026_07_on_a_return_voids_the_other_parked_ones() {
    let desk = start().await;
    desk.sold(&desk.sale("1", 2)).await;
    let state =
        async |sale: &Value| desk.get(&format!("2026-07/sales/{}", text(&sale["id"]))).await["data"]["state"].clone();

    let first = desk.return_started("1", "2026-04").await;
    let second = desk.return_started("1", "2026-04").await;
    assert_eq!([state(&first).await, state(&second).await], ["parked", "parked"]);
    let third = desk.return_started("1", "2026-07").await;
    assert_eq!([state(&first).await, state(&second).await, state(&third).await], ["voided", "voided", "parked"]);
    let fourth = desk.return_started("1", "2026-01").await;
    assert_eq!(desk.put(&closed(&third, 1, "-10.95")).await.0, 200);
    assert_eq!(state(&fourth).await, "voided", "by the one that was closed");

    desk.change_rules(|rules| rules.return_rules = false);
    let fifth = desk.return_started("1", "2026-07").await;
    desk.return_started("1", "2026-07").await;
    assert_eq!(state(&fifth).await, "parked");
}

#[tokio::test]
async fn a_return_does_not_give_back_what_the_sale_never_had_and_should_sell_nothing() {
    let desk = start().await;
    desk.sold(&desk.sale("1", 2)).await;
    let other = desk.by_hand(|store, now| store.add_product_by_hand("Ramen", "R-1", 10, now));
    let parked = desk.return_started("1", "2026-07").await;
    let mut mixed = closed(&parked, 1, "-21.90");
    let mut line = desk.line(-1);
    line["product"]["id"] = json!(other);
    mixed["line_items"].as_array_mut().expect("lines").push(line);

    assert_eq!(desk.put(&mixed).await.0, 422);
    mixed["line_items"][1]["quantity"] = json!(1);
    mixed["payments"] = json!([]);
    assert_eq!(desk.put(&mixed).await.0, 200, "an exchange");

    assert_eq!(desk.violations(), [Violation::ReplacementInReturn { sale: text(&parked["id"]) }]);
}

#[tokio::test]
async fn a_return_in_2_0_is_started_by_put_and_answered_in_the_older_form() {
    let desk = start().await;
    desk.sold(&desk.sale("1", 1)).await;

    let (status, started) = ask(desk.request("PUT", &format!("2.0/sales/{}/actions/return", sale_id("1")))).await;
    desk.change_manner(|manner| manner.return_answer = ReturnAnswer::Semantic);
    let dated = desk.return_started("1", "2026-07").await;

    assert_eq!((status, &started["data"]["status"]), (200, &json!("SAVED")));
    assert_eq!([&started["data"]["return_for"], &dated["return_for"]], [&json!(sale_id("1")), &json!(sale_id("1"))]);
    assert_eq!(started["data"]["line_items"][0]["is_return"], json!(true));
}

#[tokio::test]
async fn a_return_that_touches_nothing_leaves_the_version_of_its_sale() {
    let desk = start().await;
    desk.change_rules(|rules| rules.returns_touch = false);
    let sold = desk.sold(&desk.sale("1", 1)).await;

    desk.return_started("1", "2026-07").await;

    let original = desk.get(&format!("2026-07/sales/{}", sale_id("1"))).await["data"].clone();
    assert_eq!(original["_metadata"]["version"], sold["_metadata"]["version"]);
    assert_eq!(original["return"]["return_sale_ids"].as_array().map(Vec::len), Some(1));
}
