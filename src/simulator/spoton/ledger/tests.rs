use std::collections::BTreeSet;

use chrono::TimeZone;

use super::*;
use crate::simulator::{
    spoton::{Fulfillment, Totals, VendorMapping},
    world::{OrderTruth, Readability, Vendor, VersionTruth, World, WorldOptions},
};

/// Number, status, total.
type Truth = (i64, &'static str, i64);

/// A world with the single order `a` of the vendor `v`.
fn world_of(versions: &[(Truth, Readability)]) -> World {
    let mut world = World::generate(WorldOptions { orders: 1, ..WorldOptions::default() });
    let mut version = world.versions[0].clone();
    version.vendor = Some("v".to_owned());
    world.versions = vec![version];
    world.vendors = vec![Vendor { id: "v".to_owned(), name: "V".to_owned() }];
    let versions = versions.iter().map(|((number, status, total_minor), readability)| VersionTruth {
        number: *number,
        status: (*status).to_owned(),
        total_minor: *total_minor,
        currency: "GBP".to_owned(),
        readability: *readability,
        position: 0,
    });
    let (id, cases) = ("a".to_owned(), BTreeSet::new());
    world.orders = BTreeMap::from([("a".to_owned(), OrderTruth { id, cases, versions: versions.collect() })]);
    world
}

fn world(versions: &[Truth]) -> World {
    let readable: Vec<(Truth, Readability)> = versions.iter().map(|truth| (*truth, Readability::Clear)).collect();
    world_of(&readable)
}

fn vendors() -> BTreeMap<String, VendorMapping> {
    let mapping = VendorMapping {
        location_id: "BL-1".to_owned(),
        menu_id: "m".to_owned(),
        currency: "GBP".to_owned(),
        time_zone: "Europe/London".to_owned(),
        fallback_item_id: "open".to_owned(),
        items: BTreeMap::new(),
        modifiers: BTreeMap::new(),
    };
    BTreeMap::from([("v".to_owned(), mapping)])
}

fn content(reference: &str, total: i64) -> Order {
    Order {
        reference: reference.to_owned(),
        display_id: None,
        menu: "m".to_owned(),
        source: "Scoffable".to_owned(),
        placed_at: None,
        customer: None,
        fulfillment: Fulfillment { kind: Kind::Pickup, schedule: Schedule::Asap, address: None },
        lines: Vec::new(),
        discounts: Vec::new(),
        fees: Vec::new(),
        payments: Vec::new(),
        totals: Totals { grand_total: total, ..Totals::default() },
    }
}

enum Do {
    /// At the location of the vendor, with this number and total.
    Submit(u32, i64),
    Elsewhere(u32, i64),
    /// The newest.
    Cancel,
}
use Do::{Cancel, Elsewhere, Submit};

fn ledger(done: &[Do]) -> Ledger {
    let mut ledger = Ledger::new(Duration::ZERO);
    let pace = Pace { kitchen: Duration::from_mins(20), drive: Duration::from_mins(20) };
    let now = Utc.with_ymd_and_hms(2026, 3, 14, 18, 0, 0).single().expect("a valid instant");
    let mut id = String::new();
    for one in done {
        match one {
            Submit(number, total) => {
                id.clone_from(&ledger.submit("BL-1", content(&format!("scoffable-a-{number}"), *total), pace, now).id);
            }
            Elsewhere(number, total) => {
                id.clone_from(&ledger.submit("BL-2", content(&format!("scoffable-a-{number}"), *total), pace, now).id);
            }
            Cancel => ledger.cancel(&id, CancelledBy::Client, now).expect("it stands"),
        }
    }
    ledger
}

fn is_right(versions: &[Truth], done: &[Do]) -> bool {
    ledger(done).compare(&world(versions), &vendors(), &BTreeSet::new()).is_empty()
}

fn is_excused(versions: &[Truth], done: &[Do]) -> bool {
    ledger(done).compare(&world(versions), &vendors(), &BTreeSet::from(["a".to_owned()])).is_empty()
}

const PLACED: Truth = (1, "placed", 900);
const ACCEPTED: Truth = (2, "accepted", 900);
const CHEAPER: Truth = (3, "accepted", 700);
const CANCELLED: Truth = (4, "cancelled", 700);

#[test]
fn a_reference_names_its_order_and_number_also_where_the_id_has_hyphens() {
    let parsed = |text| Reference::parse(text).map(|reference| (reference.order, reference.number));

    assert_eq!(parsed("scoffable-5512087-1"), Some(("5512087".to_owned(), 1)));
    assert_eq!(parsed("scoffable-a-b-c-12"), Some(("a-b-c".to_owned(), 12)));
    for foreign in
        ["5512087", "scoffable-1", "scoffable--1", "scoffable-a-0", "scoffable-a-01", "scoffable-a-", "scoffable-a-x"]
    {
        assert_eq!(parsed(foreign), None, "{foreign}");
    }
}

#[test]
fn an_accepted_order_stands_once_with_its_newest_total() {
    let versions = [PLACED, ACCEPTED, CHEAPER];

    assert!(is_right(&versions, &[Submit(1, 700)]));
    assert!(is_right(&versions, &[Submit(1, 900), Cancel, Submit(2, 700)]));
    for wrong in [
        &[][..],
        &[Submit(1, 900)],
        &[Submit(1, 700), Cancel],
        &[Submit(1, 700), Submit(2, 700)],
        &[Submit(1, 700), Cancel, Submit(1, 700)],
        &[Submit(1, 900), Submit(2, 700)],
        &[Elsewhere(1, 700)],
        &[Submit(1, 701)],
    ] {
        assert!(!is_right(&versions, wrong));
    }
}

#[test]
fn an_excused_order_may_be_missing_or_stand_as_it_was_but_never_twice() {
    let versions = [PLACED, ACCEPTED, CHEAPER];

    assert!(is_excused(&versions, &[]));
    assert!(is_excused(&versions, &[Submit(1, 900)]));
    assert!(is_excused(&versions, &[Submit(1, 700)]));
    assert!(!is_excused(&versions, &[Submit(1, 900), Submit(2, 700)]));
    assert!(!is_excused(&versions, &[Submit(1, 800)]));
    assert!(is_excused(&[ACCEPTED, CANCELLED], &[Submit(1, 900)]));
}

#[test]
fn a_cancelled_order_does_not_stand() {
    let versions = [ACCEPTED, CHEAPER, CANCELLED];

    assert!(is_right(&versions, &[]));
    assert!(is_right(&versions, &[Submit(1, 900), Cancel]));
    assert!(!is_right(&versions, &[Submit(1, 900)]));
    assert!(is_right(&[ACCEPTED, CANCELLED, (5, "accepted", 700)], &[Submit(1, 900), Cancel, Submit(2, 700)]));
}

#[test]
fn an_order_that_was_never_accepted_was_never_cooked() {
    assert!(is_right(&[PLACED], &[]));
    assert!(is_right(&[PLACED, (2, "rejected", 900)], &[]));
    assert!(!is_right(&[PLACED, (2, "rejected", 900)], &[Submit(1, 900), Cancel]));
    assert!(
        is_right(&[ACCEPTED, (3, "mystery", 900)], &[Submit(1, 900)]),
        "the unknown owes nothing and forbids nothing"
    );
}

#[test]
fn a_version_that_may_be_set_aside_is_tried_both_ways() {
    let world = world_of(&[(ACCEPTED, Readability::Clear), (CHEAPER, Readability::Odd)]);
    let wrong = |done: &[Do]| ledger(done).compare(&world, &vendors(), &BTreeSet::new()).len();

    assert_eq!((wrong(&[Submit(1, 900)]), wrong(&[Submit(1, 700)]), wrong(&[])), (0, 0, 1));
}

#[test]
fn an_order_unknown_to_the_world_and_an_unmapped_vendor_are_found() {
    let empty = World::empty();

    assert_eq!(ledger(&[Submit(1, 900), Cancel]).compare(&empty, &vendors(), &BTreeSet::new()).len(), 1);
    assert_eq!(ledger(&[Submit(1, 900)]).compare(&world(&[ACCEPTED]), &BTreeMap::new(), &BTreeSet::new()).len(), 1);
}

#[test]
fn what_was_cooked_twice_and_put_right_again_is_found_all_the_same() {
    let ledger = ledger(&[Submit(1, 900), Submit(2, 900), Cancel]);

    let found = ledger.compare(&world(&[ACCEPTED]), &vendors(), &BTreeSet::new());

    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].expected.as_str(), ledger.tickets("a")), ("each order once", 2));
}
