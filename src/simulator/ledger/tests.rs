use axum::body::Bytes;

use super::*;
use crate::simulator::{
    conduct::KEPT_VIOLATIONS,
    world::{StreamVersion, WorldOptions, find_flag},
};

/// Number, status, and a text that stands for all other content.
type Line = (i64, &'static str, &'static str);

fn payload(id: &str, (number, status, content): Line) -> Bytes {
    format!(r#"{{"id":"{id}","version":{number},"latestVersion":true,"status":"{status}","content":"{content}"}}"#)
        .into()
}

/// A world with the single order `a`.
fn world(lines: &[Line]) -> World {
    let readable: Vec<(Line, Readability)> = lines.iter().map(|line| (*line, Readability::Clear)).collect();
    world_of(&readable)
}

fn world_of(lines: &[(Line, Readability)]) -> World {
    let mut world = World::generate(WorldOptions { orders: 0, ..WorldOptions::default() });
    let mut versions = Vec::new();
    for (position, (line, readability)) in lines.iter().enumerate() {
        let payload = payload("a", *line);
        world.versions.push(StreamVersion {
            at: std::time::Duration::from_secs(position as u64),
            order_id: Some("a".to_owned()),
            vendor: None,
            number: line.0,
            flag: find_flag(&payload),
            payload,
        });
        versions.push(VersionTruth {
            number: line.0,
            status: line.1.to_owned(),
            total_minor: 0,
            currency: "GBP".to_owned(),
            readability: *readability,
            position,
        });
    }
    let truth = OrderTruth { id: "a".to_owned(), cases: std::collections::BTreeSet::new(), versions };
    world.orders.insert("a".to_owned(), truth);
    world
}

fn request(id: &str, line: Line) -> Request {
    Request {
        order: OrderName::new("main", id),
        version: line.0,
        status: line.1.to_owned(),
        key: format!("{id}:{}", line.0),
        body_hash: line.0 as u64,
        content: content_hash(&payload(id, line), &["latestVersion"]),
    }
}

fn perform(ledger: &mut Ledger, request: &Request) {
    let _working = ledger.enter(request).expect("its key was not used with another body");
    ledger.apply(request);
}

fn ledger(lines: &[Line]) -> Ledger {
    let mut ledger = Ledger::default();
    for line in lines {
        perform(&mut ledger, &request("a", *line));
    }
    ledger
}

/// What is wrong with a ledger that applied these, in the world of those.
fn wrong(world: &World, applied: &[Line]) -> Option<String> {
    ledger(applied).compare("main", world).pop().map(|mismatch| mismatch.expected)
}

const PLACED: Line = (1, "placed", "x");
const ACCEPTED: Line = (2, "accepted", "x");
const CHANGED: Line = (3, "accepted", "y");
const CANCELLED: Line = (4, "cancelled", "y");

#[test]
fn an_accepted_order_has_to_stand_in_its_newest_version() {
    let world = world(&[PLACED, ACCEPTED, CHANGED]);

    assert_eq!(wrong(&world, &[CHANGED]), None);
    assert_eq!(wrong(&world, &[ACCEPTED, CHANGED]), None);
    assert_eq!(wrong(&world, &[ACCEPTED]), Some("version 3 accepted".to_owned()));
    assert_eq!(wrong(&world, &[]), Some("version 3 accepted".to_owned()));
}

#[test]
fn a_newest_version_without_visible_change_need_not_be_sent() {
    let world = world(&[PLACED, ACCEPTED, (3, "accepted", "x"), (5, "accepted", "x")]);

    assert_eq!(wrong(&world, &[ACCEPTED]), None);
    assert_eq!(wrong(&world, &[(5, "accepted", "x")]), None);
    assert!(wrong(&world, &[]).is_some());
}

#[test]
fn an_order_that_came_back_to_earlier_content_has_to_be_sent_when_the_change_was() {
    let world = world(&[ACCEPTED, CHANGED, (4, "accepted", "x")]);

    assert_eq!(wrong(&world, &[ACCEPTED]), None);
    assert!(wrong(&world, &[ACCEPTED, CHANGED]).is_some());
    assert_eq!(wrong(&world, &[ACCEPTED, CHANGED, (4, "accepted", "x")]), None);
}

#[test]
fn a_cancelled_order_is_reversed_if_it_was_ever_applied() {
    let world = world(&[PLACED, ACCEPTED, CANCELLED]);

    assert_eq!(wrong(&world, &[]), None);
    assert_eq!(wrong(&world, &[CANCELLED]), None, "a cancel may be owed for an answer that was lost");
    assert_eq!(wrong(&world, &[ACCEPTED, CANCELLED]), None);
    assert_eq!(wrong(&world, &[ACCEPTED]), Some("cancelled by version 4".to_owned()));
}

#[test]
fn an_order_never_accepted_is_absent() {
    let rejected = world(&[PLACED, (2, "rejected", "x")]);

    assert_eq!(wrong(&rejected, &[]), None);
    assert_eq!(wrong(&rejected, &[PLACED]), Some("nothing".to_owned()));
    assert_eq!(wrong(&world(&[PLACED]), &[]), None);
}

#[test]
fn an_unknown_status_leaves_standing_what_was_right_at_any_time_before() {
    let world = world(&[PLACED, ACCEPTED, CHANGED, CANCELLED, (6, "on_hold", "y")]);

    for right in [&[][..], &[ACCEPTED], &[CHANGED], &[ACCEPTED, CHANGED, CANCELLED]] {
        assert_eq!(wrong(&world, right), None, "{right:?}");
    }
    assert!(wrong(&world, &[(6, "on_hold", "y")]).is_some());
    assert!(wrong(&world, &[PLACED]).is_some());
}

#[test]
fn a_known_status_after_an_unknown_one_decides_again() {
    let world = world(&[PLACED, (2, "on_hold", "x"), CHANGED]);

    assert_eq!(wrong(&world, &[CHANGED]), None);
    assert!(wrong(&world, &[]).is_some());
}

#[test]
fn the_highest_number_is_the_newest_in_whatever_order_versions_come() {
    let world = world(&[PLACED, CHANGED, ACCEPTED]);

    assert_eq!(wrong(&world, &[CHANGED]), None);
    assert!(wrong(&world, &[ACCEPTED]).is_some());
}

#[test]
fn a_broken_newest_version_does_not_hide_the_one_before_and_an_odd_one_may_go_either_way() {
    let with = |readability| {
        let versions = [(ACCEPTED, Readability::Clear), (CHANGED, readability)];
        world_of(&versions)
    };

    assert_eq!(wrong(&with(Readability::Broken), &[ACCEPTED]), None);
    assert!(wrong(&with(Readability::Broken), &[]).is_some());
    assert_eq!(wrong(&with(Readability::Odd), &[ACCEPTED]), None);
    assert_eq!(wrong(&with(Readability::Odd), &[CHANGED]), None);
    assert!(wrong(&with(Readability::Odd), &[]).is_some());
}

#[test]
fn what_was_made_up_on_the_way_is_a_mismatch() {
    let world = world(&[ACCEPTED, CHANGED]);

    let made_up: [Line; 3] = [(7, "accepted", "y"), (2, "cancelled", "x"), (2, "accepted", "altered")];
    for line in made_up {
        assert!(wrong(&world, &[line, CHANGED]).is_some() || line.0 == 7, "{line:?}");
        assert!(wrong(&world, &[line]).is_some(), "{line:?}");
    }
    let mut ledger = ledger(&[CHANGED]);
    perform(&mut ledger, &request("stranger", ACCEPTED));
    let mismatches = ledger.compare("main", &world);
    assert_eq!(mismatches.len(), 1);
    assert_eq!(mismatches[0].to_string(), "order stranger: expected no such order, found version 2 accepted");
    assert_eq!(ledger.compare("other", &world).len(), 1, "another source has another order a, which is missing");
}

#[test]
fn a_repeat_has_no_second_effect_and_is_no_violation() {
    let mut ledger = ledger(&[ACCEPTED, ACCEPTED, CHANGED, CHANGED]);

    assert_eq!(ledger.violations(), []);
    assert_eq!(ledger.repeats(), 2);
    assert_eq!(ledger.applied("main", "a").len(), 2);
    perform(&mut ledger, &request("b", ACCEPTED));
    assert_eq!(ledger.orders().count(), 2);
    assert_eq!(ledger.statuses()["accepted"], 2);
}

#[test]
fn an_older_version_after_a_newer_one_is_a_violation_repeated_or_not() {
    let older = |version| Violation::OlderAfterNewer { order: OrderName::new("main", "a"), version, applied: 3 };

    assert_eq!(ledger(&[CHANGED, ACCEPTED]).violations(), [older(2)]);
    assert_eq!(ledger(&[ACCEPTED, CHANGED, ACCEPTED]).violations(), [older(2)]);
    assert_eq!(ledger(&[CHANGED, CHANGED]).violations(), []);
}

#[test]
fn an_older_version_is_no_violation_while_the_newer_one_had_no_effect() {
    let mut ledger = Ledger::default();
    let newer = request("a", CHANGED);
    drop(ledger.enter(&newer));

    perform(&mut ledger, &request("a", ACCEPTED));

    assert_eq!(ledger.violations(), []);
}

#[test]
fn two_requests_of_one_order_side_by_side_are_a_violation_and_of_two_orders_not() {
    let mut ledger = Ledger::default();
    let _working = [ledger.enter(&request("a", ACCEPTED)), ledger.enter(&request("b", ACCEPTED))];
    assert_eq!(ledger.violations(), []);

    ledger.enter(&request("a", CHANGED));

    let order = OrderName::new("main", "a");
    assert_eq!(ledger.violations(), [Violation::SideBySide { order, version: 3, running: 2 }]);
}

#[test]
fn one_version_under_two_keys_is_a_violation() {
    let mut ledger = ledger(&[ACCEPTED]);

    perform(&mut ledger, &Request { key: "other".to_owned(), ..request("a", ACCEPTED) });

    assert!(matches!(ledger.violations(), [Violation::TwoKeys { version: 2, .. }]));
    assert_eq!(ledger.applied("main", "a").len(), 2, "a receiver cannot know that it is the same");
}

#[test]
fn one_key_for_two_bodies_is_refused() {
    let mut ledger = ledger(&[ACCEPTED]);

    let admission = ledger.enter(&Request { body_hash: 99, ..request("a", ACCEPTED) });

    assert!(admission.is_none());
    assert_eq!(ledger.violations(), [Violation::KeyReused { key: "a:2".to_owned() }]);
}

#[test]
fn violations_are_kept_up_to_a_bound_and_counted_beyond() {
    let mut ledger = Ledger::default();
    for _ in 0..KEPT_VIOLATIONS + 5 {
        ledger.violate(Violation::BadSignature);
    }

    assert_eq!(ledger.violations().len(), KEPT_VIOLATIONS);
    assert_eq!(ledger.n_violations(), KEPT_VIOLATIONS + 5);
}
