use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::sinks::unleashed::{amounts::Rate, config::Tax, receipt::Standing};

const ADJUSTMENT: &str = "SCF-ADJUSTMENT";

fn line(key: &str, units: i64, gross_minor: i64) -> Line {
    let code = format!("code of {key}");
    Line { key: key.to_owned(), code, units, gross_minor, comments: String::new() }
}

fn document(kind: DocumentKind, role: Role, status: Standing, lines: Vec<Line>) -> Document {
    Document {
        kind,
        role,
        n: 1,
        number: "SCF-1".to_owned(),
        guid: String::new(),
        version: 1,
        date: NaiveDate::from_ymd_opt(2025, 10, 9).unwrap(),
        customer_id: String::new(),
        warehouse: String::new(),
        tax: Tax { code: String::new(), rate: Rate::of("0.2").unwrap() },
        status,
        gross_minor: 0,
        lines,
        told_minor: None,
        since: None,
        made_at: None,
        modified_at: None,
        checked: true,
        updated: false,
        edited: false,
        deleted_there: false,
        left_over: Vec::new(),
        told_number: None,
    }
}

fn whole(status: Standing, lines: Vec<Line>) -> Document {
    document(DocumentKind::Order, Role::Whole, status, lines)
}

fn next(documents: &[Document], target: &[Line]) -> Option<Move> {
    correct(documents, target, ADJUSTMENT)
}

fn post(kind: DocumentKind, role: Role, lines: Vec<Line>) -> Move {
    Move::Post { kind, role, lines }
}

#[test]
fn what_is_not_completed_is_changed_in_place_and_deleted_where_nothing_is_left() {
    let standing = [whole(Standing::Parked, vec![line("goods:naan", 2, 600)])];
    let target = vec![line("goods:naan", 1, 300)];

    assert_eq!(next(&standing, &target), Some(Move::Update { at: 0, lines: target.clone() }));
    assert_eq!(next(&standing, &[]), Some(Move::Delete { at: 0 }));
    assert_eq!(next(&standing, &[line("goods:naan", 2, 600)]), None);
}

#[test]
fn what_is_completed_is_credited_for_what_goes_and_ordered_on_top_for_what_comes() {
    let standing = vec![whole(Standing::Completed, vec![line("goods:naan", 2, 600), line("service_fee", 0, 99)])];

    let fewer = next(&standing, &[line("goods:naan", 1, 300), line("service_fee", 0, 99)]);
    assert_eq!(fewer, Some(post(DocumentKind::Credit, Role::Part, vec![line("goods:naan", -1, -300)])));
    let more = next(&standing, &[line("goods:naan", 3, 900), line("service_fee", 0, 99)]);
    assert_eq!(more, Some(post(DocumentKind::Order, Role::Part, vec![line("goods:naan", 1, 300)])));
    // First what goes.
    let other = next(&standing, &[line("goods:rice", 2, 600), line("service_fee", 0, 99)]);
    assert_eq!(other, Some(post(DocumentKind::Credit, Role::Part, vec![line("goods:naan", -2, -600)])));
    let nothing = next(&standing, &[]);
    let all = vec![line("goods:naan", -2, -600), line("service_fee", 0, -99)];
    assert_eq!(nothing, Some(post(DocumentKind::Credit, Role::Part, all)));
    assert_eq!(next(&[whole(Standing::Backordered, Vec::new())], &[]), None);
}

#[test]
fn a_change_of_price_alone_moves_no_goods() {
    let standing = vec![whole(Standing::Completed, vec![line("goods:naan", 2, 600)])];

    let cheaper = next(&standing, &[line("goods:naan", 2, 500)]);

    let Some(Move::Post { kind: DocumentKind::Credit, lines, .. }) = cheaper else { panic!("{cheaper:?}") };
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].code.as_str(), lines[0].units, lines[0].gross_minor), (ADJUSTMENT, 0, -100));
    assert_eq!(lines[0].key, "goods:naan");
}

#[test]
fn an_order_that_was_credited_whole_is_made_again_as_a_whole() {
    let credit = document(DocumentKind::Credit, Role::Part, Standing::Completed, vec![line("goods:naan", -2, -600)]);
    let standing = [whole(Standing::Completed, vec![line("goods:naan", 2, 600)]), credit];
    let target = vec![line("goods:naan", 1, 300), line("discount", 0, -50)];

    assert_eq!(next(&standing, &target), Some(post(DocumentKind::Order, Role::Whole, target.clone())));
}

#[test]
fn what_came_on_top_and_is_still_open_gives_way_to_what_has_to_go() {
    let on_top = document(DocumentKind::Order, Role::Part, Standing::Parked, vec![line("goods:rice", 1, 200)]);
    let standing = [whole(Standing::Completed, vec![line("goods:naan", 2, 600)]), on_top];

    assert_eq!(next(&standing, &[line("goods:naan", 1, 300)]), Some(Move::Delete { at: 1 }));
    let more = vec![line("goods:naan", 2, 600), line("goods:rice", 2, 400)];
    let lines = vec![line("goods:rice", 2, 400)];
    assert_eq!(next(&standing, &more), Some(Move::Update { at: 1, lines }));
    assert_eq!(next(&standing, &[line("goods:naan", 2, 600)]), Some(Move::Delete { at: 1 }));
}

fn basket() -> impl Strategy<Value = Vec<Line>> {
    let one = ("[abc]", 0..4_i64, 0..2_000_i64).prop_map(|(key, units, gross)| match key.as_str() {
        "c" => line("fee", 0, gross),
        key => line(&format!("goods:{key}"), units, if units == 0 { 0 } else { gross }),
    });
    prop::collection::vec(one, 0..5)
}

proptest! {
    #[test]
    fn moves_lead_to_exactly_what_is_wanted_thing_by_thing(
        versions in prop::collection::vec((basket(), any::<bool>()), 1..6),
    ) {
        let mut documents: Vec<Document> = Vec::new();
        for (target, completes) in versions {
            for round in 0.. {
                prop_assert!(round < 8, "{documents:?} never comes to {target:?}");
                let Some(next) = next(&documents, &target) else { break };
                match next {
                    Move::Update { at, lines } => documents[at].lines = lines,
                    Move::Delete { at } => documents[at].status = Standing::Deleted,
                    Move::Post { kind, role, lines } => {
                        let is_credit = kind == DocumentKind::Credit;
                        prop_assert!(!lines.is_empty());
                        prop_assert!(lines.iter().all(|line| !is_credit || line.units < 0 || line.gross_minor < 0));
                        let status = if is_credit { Standing::Completed } else { Standing::Parked };
                        documents.push(document(kind, role, status, lines));
                    }
                }
            }
            let standing = documents.iter().filter(|document| document.stands()).flat_map(|document| &document.lines);
            let (have, want) = (sums(standing), sums(&target));
            for key in have.keys().chain(want.keys()) {
                let of = |sums: &Sums<'_>| sums.get(key).map_or((0, 0), |sum| (sum.units, sum.gross));
                prop_assert_eq!(of(&have), of(&want), "{}", key);
            }
            if completes {
                for document in documents.iter_mut().filter(|document| document.status == Standing::Parked) {
                    document.status = Standing::Completed;
                }
            }
        }
    }
}
