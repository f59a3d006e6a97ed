//! What the ledger says of families, doubles, and a world.

use super::*;
use crate::simulator::world::{OrderTruth, Readability, StreamVersion, VersionTruth};

#[tokio::test]
async fn a_family_is_its_orders_without_the_deleted_minus_completed_credit_notes() {
    let desk = start().await;
    desk.completed(&desk.order("SCF-so-1", &[("BHUNA", 3, 500), ("FEE", 1, 100)])).await;
    desk.posted(&desk.order("SCF-so-1-S1", &[("NAAN", 2, 100)])).await;
    desk.posted(&desk.order("SCF-so-1-S2", &[("NAAN", 9, 100)])).await;
    assert_eq!(desk.act("DELETE", &format!("SalesOrders/{}", guid("SCF-so-1-S2"))).await.0, 200);
    desk.credited(&desk.credit("SCF-so-1-C1", &[("BHUNA", 1, 500)])).await;
    desk.write("POST", "CreditNotes/FreeCredit", &desk.credit("SCF-so-1-C2", &[("BHUNA", 1, 500)])).await;

    let ledger = desk.ledger();
    assert_eq!(ledger.orders(), ["so-1"]);
    assert_eq!(ledger.stands("so-1"), Cents(1920 + 240 - 600));
    assert_eq!(ledger.invoiced("so-1"), Cents(1920 - 600));
    assert_eq!(ledger.unfinished("so-1"), 1);
    let goods: Vec<(String, i64)> =
        ledger.goods("so-1").into_iter().map(|(code, of)| (code, of.0 / Fine::ONE.0)).collect();
    assert_eq!(goods, [("BHUNA".to_owned(), 2), ("FEE".to_owned(), 1), ("NAAN".to_owned(), 2)]);
    assert!(ledger.doubled().is_empty() && ledger.violations().is_empty());
}

#[tokio::test]
async fn what_stands_twice_is_doubled_and_what_was_taken_back_is_not() {
    let desk = start().await;
    desk.posted(&desk.order("SCF-1", &[("NAAN", 1, 100)])).await;
    desk.posted(&desk.order("SCF-1-R2", &[("NAAN", 1, 100)])).await;
    desk.posted(&desk.order("SCF-2", &[("NAAN", 1, 100)])).await;
    desk.act("DELETE", &format!("SalesOrders/{}", guid("SCF-2"))).await;
    desk.completed(&desk.order("SCF-2-R2", &[("NAAN", 1, 100)])).await;
    desk.credited(&desk.credit("SCF-2-C1", &[("NAAN", 1, 100)])).await;
    desk.completed(&desk.order("SCF-2-R3", &[("NAAN", 3, 100)])).await;
    for _ in 0..2 {
        desk.credited(&desk.credit("SCF-2-C2", &[("NAAN", 1, 100)])).await;
    }

    assert_eq!(
        desk.doubled(),
        [
            Doubled::Order { order: "1".to_owned(), number: "SCF-1-R2".to_owned() },
            Doubled::Credit { order: "2".to_owned(), reference: "SCF-2-C2".to_owned() },
        ]
    );
}

#[tokio::test]
async fn foreign_names_missing_guids_and_details_of_customers_are_noted() {
    let desk = start().await;
    desk.posted(&desk.order("WEB-1", &[("NAAN", 1, 100)])).await;
    desk.write("POST", "CreditNotes/FreeCredit", &desk.credit("sorry", &[("NAAN", 1, 100)])).await;
    let order = without(&desk.order("SCF-1", &[("NAAN", 1, 100)]), "Guid");
    desk.change_rules(|rules| rules.required_fields = RequiredFields::Few);
    assert_eq!(desk.write("POST", "SalesOrders", &order).await.0, 201);
    let mut detailed = desk.order("SCF-2", &[("NAAN", 1, 100)]);
    detailed["Customer"]["CustomerName"] = json!("Ann Other");
    desk.posted(&detailed).await;

    assert_eq!(
        desk.violations(),
        [
            Violation::ForeignNumber { number: "WEB-1".to_owned() },
            Violation::ForeignReference { reference: "sorry".to_owned() },
            Violation::NoGuid { operation: Operation::Save(Resource::SalesOrders) },
            Violation::CustomerDetails { document: "SCF-2".to_owned() },
        ]
    );
}

#[tokio::test]
async fn an_id_that_no_number_holds_is_told_by_the_source_id() {
    let desk = start().await;
    let mut order = desk.order("SCF-4d2f-R2", &[("NAAN", 1, 100)]);
    order["SourceId"] = json!("scoffable:so-0b1c2d3e-000017");
    desk.posted(&order).await;
    desk.credited(&desk.credit("SCF-so-0b1c2d3e-000017-C1", &[("NAAN", 1, 50)])).await;

    let ledger = desk.ledger();
    assert_eq!(ledger.orders(), ["so-0b1c2d3e-000017"]);
    assert_eq!(ledger.stands("so-0b1c2d3e-000017"), Cents(60));
    assert!(ledger.violations().is_empty());
}

/// A world of one order, whose versions have a status, a total and what their lines add up to.
fn world(currency: &str, versions: &[(&str, i64, i64)]) -> World {
    let mut world = World::empty();
    let mut truths = Vec::new();
    for (position, (status, total_minor, lines)) in versions.iter().copied().enumerate() {
        let payload = json!({"items": [{"price": {"amount": lines}, "quantity": 1}]});
        world.versions.push(StreamVersion {
            at: Duration::ZERO,
            order_id: Some("1".to_owned()),
            vendor: None,
            number: position as i64 + 1,
            payload: payload.to_string().into(),
            flag: None,
        });
        truths.push(VersionTruth {
            number: position as i64 + 1,
            status: status.to_owned(),
            total_minor,
            currency: currency.to_owned(),
            readability: Readability::Clear,
            position,
        });
    }
    world.orders.insert("1".to_owned(), OrderTruth { id: "1".to_owned(), cases: BTreeSet::new(), versions: truths });
    world
}

#[tokio::test]
async fn an_account_is_right_when_it_comes_to_the_newest_version() {
    let desk = start().await;
    let nothing = BTreeSet::new();
    let all: BTreeSet<String> = BTreeSet::from(["1".to_owned()]);
    let n_wrong = |versions: &[(&str, i64, i64)]| desk.compare(&world("GBP", versions), &nothing).len();
    assert_eq!(n_wrong(&[("accepted", 600, 600)]), 1, "it was never posted");
    assert_eq!(desk.compare(&world("GBP", &[("accepted", 600, 600)]), &all), []);
    assert_eq!([n_wrong(&[("placed", 600, 600)]), n_wrong(&[("accepted", 600, 600), ("cancelled", 600, 600)])], [0, 0]);

    desk.completed(&desk.order("SCF-1", &[("NAAN", 5, 100)])).await;
    assert_eq!(n_wrong(&[("accepted", 600, 600)]), 0);
    assert_eq!(n_wrong(&[("accepted", 600, 601)]), 0, "it is only rounded");
    assert_eq!(n_wrong(&[("accepted", 550, 600)]), 0, "the rest is goodwill, or nobody knows what");
    assert_eq!(n_wrong(&[("accepted", 600, 603)]), 1);
    assert_eq!(n_wrong(&[("accepted", 600, 600), ("cancelled", 600, 600)]), 1);
    assert_eq!(n_wrong(&[("placed", 600, 600)]), 1);
    assert_eq!(n_wrong(&[("accepted", 500, 500), ("rejected", 500, 500)]), 0);
    let other_currency = world("JPY", &[("accepted", 600, 600)]);
    assert_eq!(desk.compare(&other_currency, &nothing).len(), 1, "it was to be held");
    assert_eq!(desk.compare(&World::empty(), &nothing)[0].expected, "no such order");

    desk.write("POST", "CreditNotes/FreeCredit", &desk.credit("SCF-1-C1", &[("NAAN", 5, 100)])).await;
    let cancelled = [("accepted", 600, 600), ("cancelled", 600, 600)];
    assert_eq!(n_wrong(&cancelled), 2, "it stands, and a credit note is not finished");
    let path = format!("CreditNotes/{}/Complete", guid("SCF-1-C1"));
    assert_eq!(desk.act("POST", &path).await.0, 200);
    assert_eq!(n_wrong(&cancelled), 0);
}

/// Cause: an order whose goods were taken back, and what replaced them was refused, passed for wrong while a person was asked.
#[tokio::test]
async fn what_waits_for_a_person_may_lack_what_replaces_its_newest_credit_note() {
    let desk = start().await;
    let (nothing, all) = (BTreeSet::new(), BTreeSet::from(["1".to_owned()]));
    desk.completed(&desk.order("SCF-1", &[("NAAN", 5, 100)])).await;
    desk.write("POST", "CreditNotes/FreeCredit", &desk.credit("SCF-1-C1", &[("NAAN", 2, 100)])).await;
    assert_eq!(desk.act("POST", &format!("CreditNotes/{}/Complete", guid("SCF-1-C1"))).await.0, 200);

    let corrected = world("GBP", &[("accepted", 600, 600), ("accepted", 640, 640)]);
    let other = world("GBP", &[("accepted", 610, 610), ("accepted", 640, 640)]);
    let n_wrong = |world, excused| desk.compare(world, excused).len();

    assert_eq!([n_wrong(&corrected, &all), n_wrong(&corrected, &nothing), n_wrong(&other, &all)], [0, 1, 1]);
}
