use super::*;
use crate::simulator::world::WorldOptions;

/// Number, status, total.
type Truth = (i64, &'static str, i64);

/// A world with the single order `a`.
fn world(versions: &[Truth]) -> World {
    let readable: Vec<(Truth, Readability)> = versions.iter().map(|truth| (*truth, Readability::Clear)).collect();
    world_of(&readable)
}

fn world_of(versions: &[(Truth, Readability)]) -> World {
    let mut world = World::generate(WorldOptions { orders: 0, ..WorldOptions::default() });
    let versions = versions.iter().enumerate().map(|(position, ((number, status, total_minor), readability))| {
        let (status, currency) = ((*status).to_owned(), "GBP".to_owned());
        VersionTruth {
            number: *number,
            status,
            total_minor: *total_minor,
            currency,
            readability: *readability,
            position,
        }
    });
    let (id, cases) = ("a".to_owned(), std::collections::BTreeSet::new());
    world.orders.insert("a".to_owned(), OrderTruth { id, cases, versions: versions.collect() });
    world
}

fn sale(version: i64, total_minor: i64) -> Sale {
    let lines = vec![Line { name: "soup".to_owned(), minor: total_minor }];
    Sale { version, lines, total_minor, currency: "GBP".to_owned() }
}

enum Do {
    Open(i64, i64),
    Amend(i64, i64),
    Pay(i64),
    Void,
}
use Do::{Amend, Open, Pay, Void};

/// All of it on the newest ticket.
fn ledger(done: &[Do]) -> Ledger {
    let mut ledger = Ledger::new(Duration::ZERO);
    let mut ticket = String::new();
    let mut reference = String::new();
    for (n, one) in done.iter().enumerate() {
        let now = Duration::from_secs(n as u64);
        let outcome = match one {
            Open(version, total) => {
                reference = format!("a-{n}");
                ticket = ledger.open(reference.clone(), "main/a".to_owned(), sale(*version, *total), now);
                Ok(())
            }
            Amend(version, total) => ledger.amend(&ticket, &reference, "main/a", sale(*version, *total), now),
            Pay(minor) => {
                let payment = Payment { reference: format!("p-{n}"), minor: *minor, currency: "GBP".to_owned() };
                ledger.pay(&ticket, payment, now).map(|_| ())
            }
            Void => ledger.void(&ticket, &reference, now),
        };
        assert_eq!(outcome, Ok(()));
    }
    ledger
}

fn is_right(versions: &[Truth], done: &[Do]) -> bool {
    ledger(done).compare("main", &world(versions)).is_empty()
}

const PLACED: Truth = (1, "placed", 900);
const ACCEPTED: Truth = (2, "accepted", 900);
const CHEAPER: Truth = (3, "accepted", 700);
const CANCELLED: Truth = (4, "cancelled", 700);

#[test]
fn an_accepted_order_stands_once_with_its_total_paid() {
    let versions = [PLACED, ACCEPTED, CHEAPER];

    assert!(is_right(&versions, &[Open(3, 700), Pay(700)]));
    assert!(is_right(&versions, &[Open(2, 900), Pay(900), Amend(3, 700), Pay(-200)]));
    for wrong in [
        &[][..],
        &[Open(3, 700)],
        &[Open(3, 700), Pay(699)],
        &[Open(2, 900), Pay(900)],
        &[Open(2, 900), Pay(900), Amend(3, 700)],
        &[Open(3, 700), Pay(700), Void],
        &[Open(3, 700), Pay(700), Open(3, 700), Pay(700)],
        &[Open(3, 700), Pay(700), Amend(2, 900), Pay(200)],
    ] {
        assert!(!is_right(&versions, wrong));
    }
}

#[test]
fn a_version_that_changes_no_amount_may_be_left_out() {
    let versions = [ACCEPTED, (3, "accepted", 900)];

    assert!(is_right(&versions, &[Open(2, 900), Pay(900)]));
    assert!(is_right(&versions, &[Open(2, 900), Pay(900), Amend(3, 900)]));
}

#[test]
fn a_cancelled_order_has_no_standing_ticket() {
    let versions = [ACCEPTED, CHEAPER, CANCELLED];

    assert!(is_right(&versions, &[]));
    assert!(is_right(&versions, &[Open(2, 900), Void]));
    assert!(is_right(&versions, &[Open(2, 900), Pay(900), Void]));
    assert!(!is_right(&versions, &[Open(2, 900), Pay(900)]));
    assert!(!is_right(&versions, &[Open(2, 900), Void, Open(3, 700), Pay(700)]));
}

#[test]
fn an_order_accepted_again_stands_on_its_second_ticket() {
    let versions = [ACCEPTED, CANCELLED, (5, "accepted", 700)];

    assert!(is_right(&versions, &[Open(2, 900), Pay(900), Void, Open(5, 700), Pay(700)]));
    assert!(is_right(&versions, &[Open(5, 700), Pay(700)]));
    assert!(!is_right(&versions, &[Open(2, 900), Pay(900), Void]));
}

#[test]
fn an_order_that_was_never_accepted_has_no_ticket() {
    assert!(is_right(&[PLACED], &[]));
    assert!(is_right(&[PLACED, (2, "rejected", 900)], &[]));
    assert!(is_right(&[(1, "mystery", 900)], &[]));
    assert!(!is_right(&[PLACED, (2, "cancelled", 900)], &[Open(1, 900)]));
}

#[test]
fn what_is_unknown_owes_nothing_and_forbids_nothing() {
    let versions = [ACCEPTED, (3, "mystery", 900)];

    assert!(is_right(&versions, &[]));
    assert!(is_right(&versions, &[Open(2, 900)]));
    assert!(!is_right(&versions, &[Open(2, 900), Open(2, 900)]));
}

#[test]
fn a_version_is_not_made_up() {
    assert!(!is_right(&[ACCEPTED], &[Open(7, 900), Pay(900)]), "no such version");
    assert!(!is_right(&[PLACED, ACCEPTED], &[Open(1, 900), Pay(900), Amend(2, 900)]), "not accepted");
    assert!(!is_right(&[ACCEPTED, CHEAPER], &[Open(2, 901), Amend(3, 700), Pay(700)]), "another total");
}

#[test]
fn a_version_that_may_be_set_aside_is_tried_both_ways() {
    let world = world_of(&[(ACCEPTED, Readability::Clear), (CHEAPER, Readability::Odd)]);

    assert_eq!(ledger(&[Open(2, 900), Pay(900)]).compare("main", &world), []);
    assert_eq!(ledger(&[Open(3, 700), Pay(700)]).compare("main", &world), []);
    assert_eq!(ledger(&[]).compare("main", &world).len(), 1);
}

#[test]
fn an_order_unknown_to_the_world_is_found_in_its_own_source_only() {
    let empty = World::generate(WorldOptions { orders: 0, ..WorldOptions::default() });
    let ledger = ledger(&[Open(2, 900), Void]);

    assert_eq!(ledger.compare("main", &empty).len(), 1);
    assert_eq!(ledger.compare("other", &empty), []);
}

#[test]
fn what_was_doubled_and_put_right_again_is_found_all_the_same() {
    let mut ledger = ledger(&[Open(2, 900), Open(2, 900), Pay(900)]);
    ledger.void("T-1", "a-0", Duration::ZERO).expect("it stands");

    let found = ledger.compare("main", &world(&[ACCEPTED]));

    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].expected, "each effect once");
}
