use chrono::DateTime;

use super::*;
use crate::{
    domain::money::Currency,
    sinks::lightspeed::amounts::{Rate, Unit},
};

fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

/// Name, units, price of one.
type Things<'a> = &'a [(&'a str, i64, i64)];

fn target(things: Things<'_>) -> Target {
    let line = |(name, quantity, unit_minor): &(&str, i64, i64)| target::Line {
        kind: Kind::Sales,
        key: (*name).to_owned(),
        name: (*name).to_owned(),
        reference: None,
        notes: Vec::new(),
        quantity: *quantity,
        unit_minor: *unit_minor,
        tax_id: String::new(),
        unit: Unit::of(*unit_minor, gbp(), Rate::none()).unwrap(),
    };
    Target {
        lines: things.iter().map(line).collect(),
        payments: paid(things),
        ..Target::nothing(gbp(), DateTime::UNIX_EPOCH)
    }
}

fn paid(things: Things<'_>) -> BTreeMap<String, i64> {
    let sum: i64 = things.iter().map(|(_, quantity, unit)| quantity * unit).sum();
    [("online".to_owned(), sum)].into_iter().filter(|(_, sum)| *sum != 0).collect()
}

fn sold(id: &str, state: State, things: Things<'_>) -> Sale {
    let line = |(name, quantity, unit_minor): &(&str, i64, i64)| Line {
        kind: Kind::Sales,
        key: (*name).to_owned(),
        quantity: *quantity,
        unit_minor: *unit_minor,
        product_id: String::new(),
        tax_id: String::new(),
        price: String::new(),
        tax: String::new(),
    };
    Sale {
        document: Document::Sale,
        id: Some(id.to_owned()),
        number: id.to_owned(),
        of: None,
        version: 1,
        register_id: String::new(),
        date: DateTime::UNIX_EPOCH,
        state,
        lines: things.iter().map(line).collect(),
        payments: paid(things),
        told_minor: None,
        mark: None,
        opening: None,
        edited: false,
    }
}

fn returned(id: &str, of: &str, things: Things<'_>) -> Sale {
    Sale { document: Document::Return, of: Some(of.to_owned()), ..sold(id, State::Closed, things) }
}

/// The openings of all registers are over.
fn over(sales: &[Sale], things: Things<'_>) -> Next {
    next(sales, &vec![false; sales.len()], &target(things))
}

fn given_back(next: Next) -> (usize, Vec<(String, i64, i64)>, i64) {
    let Next::Return { at, lines, payments } = next else { panic!("{next:?}") };
    let lines = lines.into_iter().map(|line| (line.key, line.quantity, line.unit_minor)).collect();
    (at, lines, payments.values().sum())
}

fn posted(next: Next) -> (Vec<(String, i64)>, i64) {
    let Next::Post { lines, payments } = next else { panic!("{next:?}") };
    (lines.into_iter().map(|line| (line.key, line.quantity)).collect(), payments.values().sum())
}

const ALL: Things<'_> = &[("bhuna", 2, 1095), ("naan", 1, 290)];

#[test]
fn what_stands_and_is_wanted_is_left_alone() {
    assert_eq!(over(&[sold("a", State::Closed, ALL)], ALL), Next::Nothing);
    assert_eq!(over(&[], &[]), Next::Nothing);
    assert_eq!(over(&[sold("a", State::Voided, ALL)], &[]), Next::Nothing);
}

#[test]
fn an_order_of_which_nothing_stands_is_posted_whole() {
    let whole = (vec![("bhuna".to_owned(), 2), ("naan".to_owned(), 1)], 2480);

    assert_eq!(posted(over(&[], ALL)), whole);
    assert_eq!(posted(over(&[sold("a", State::Voided, ALL)], ALL)), whole);
    let back: Things<'_> = &[("bhuna", -2, 1095), ("naan", -1, 290)];
    assert_eq!(posted(over(&[sold("a", State::Closed, ALL), returned("b", "a", back)], ALL)), whole);
}

#[test]
fn an_open_sale_is_changed_in_place_and_taken_back_with_its_order() {
    let open = [sold("a", State::Pending, ALL)];

    assert_eq!(over(&open, &[("bhuna", 1, 1095)]), Next::Update { at: 0 });
    assert_eq!(over(&open, &[]), Next::Void { at: 0 });
}

#[test]
fn closed_sales_are_taken_back_while_their_openings_are_not_over() {
    let sales = [sold("a", State::Closed, ALL), sold("b", State::Closed, &[("cola", 1, 150)])];

    assert_eq!(next(&sales, &[true, true], &target(ALL)), Next::Void { at: 1 });
    assert_eq!(next(&sales[..1], &[true], &target(&[("bhuna", 2, 1095)])), Next::Void { at: 0 });
    assert!(matches!(next(&sales, &[true, false], &target(ALL)), Next::Return { at: 1, .. }), "one of them is over");
}

#[test]
fn what_has_to_go_is_returned_and_nothing_else() {
    let sales = [sold("a", State::Closed, ALL)];

    assert_eq!(given_back(over(&sales, &[("bhuna", 2, 1095)])), (0, vec![("naan".to_owned(), -1, 290)], -290));
    assert_eq!(
        given_back(over(&sales, &[("bhuna", 1, 1095), ("naan", 1, 290)])),
        (0, vec![("bhuna".to_owned(), -1, 1095)], -1095)
    );
}

#[test]
fn what_was_missing_is_one_more_sale() {
    let sales = [sold("a", State::Closed, &[("bhuna", 1, 1095)])];

    assert_eq!(posted(over(&sales, ALL)), (vec![("bhuna".to_owned(), 1), ("naan".to_owned(), 1)], 1385));
}

#[test]
fn what_changes_both_ways_is_returned_whole_and_posted_anew() {
    let sales = [sold("a", State::Closed, ALL)];
    let wanted: Things<'_> = &[("bhuna", 2, 1000), ("naan", 1, 290)];

    let (at, lines, money) = given_back(over(&sales, wanted));

    assert_eq!((at, lines.len(), money), (0, 2, -2480));
}

#[test]
fn how_it_was_paid_cannot_be_changed_in_a_closed_sale() {
    let sales = [sold("a", State::Closed, ALL)];
    let mut wanted = target(ALL);
    wanted.payments = [("cash".to_owned(), 2480)].into();

    let (_, lines, money) = given_back(next(&sales, &[false], &wanted));

    assert_eq!((lines.len(), money), (2, -2480));
}

#[test]
fn what_is_left_of_a_sale_is_returned_with_a_cancellation() {
    let sales = [sold("a", State::Closed, ALL), returned("b", "a", &[("naan", -1, 290)])];

    assert_eq!(given_back(over(&sales, &[])), (0, vec![("bhuna".to_owned(), -2, 1095)], -2190));
}

#[test]
fn a_discount_is_returned_with_all_of_its_sale() {
    let sales = [sold("a", State::Closed, &[("bhuna", 1, 1095), ("save3", 1, -300)])];

    let (_, lines, money) = given_back(over(&sales, &[]));

    assert_eq!((lines.iter().map(|(_, units, unit)| units * unit).sum::<i64>(), money), (-795, -795));
}
