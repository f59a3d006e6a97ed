use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::sinks::xero::testing::{CONTACT, day, line};

fn document(kind: DocumentKind, role: Role, lines: Vec<Line>) -> Document {
    let sign = if kind == DocumentKind::Invoice { 1 } else { -1 };
    let gross: i64 = lines.iter().map(|line| line.gross_minor).sum();
    Document {
        kind,
        role,
        number: "SCF-1".to_owned(),
        id: Some("id".to_owned()),
        version: 1,
        date: day("2025-10-09"),
        contact_id: CONTACT.to_owned(),
        status: Standing::Authorised,
        lines,
        tracking: Vec::new(),
        gross_minor: sign * gross,
        told_minor: None,
        applied_minor: 0,
        updated_at: None,
        touched: false,
        edited: false,
        shared: None,
    }
}

fn invoice(lines: &[(&str, i64)]) -> Document {
    document(DocumentKind::Invoice, Role::Whole, goods(lines))
}

fn goods(lines: &[(&str, i64)]) -> Vec<Line> {
    lines.iter().map(|(key, minor)| line(Kind::Sales, key, *minor)).collect()
}

/// Names and amounts.
fn shown(lines: &[Line]) -> Vec<(&str, i64)> {
    lines.iter().map(|line| (line.key.as_str(), line.gross_minor)).collect()
}

fn corrected(documents: &[Document], editable: &[bool], target: &[Line]) -> Vec<Move> {
    correct(documents, &[], editable, target, Otherwise::Delta).moves
}

fn post_of(one: &Move) -> (DocumentKind, Role, Vec<(&str, i64)>) {
    match one {
        Move::Post { kind, role, lines } => (*kind, *role, shown(lines)),
        other => panic!("not posted: {other:?}"),
    }
}

// ---- what may be changed ----------------------------------------------------------------------------------------------

#[test]
fn a_document_is_changed_only_while_nothing_hangs_on_it() {
    let with = |status, applied_minor| Document { status, applied_minor, ..invoice(&[("naan", 290)]) };
    let open = |document: &Document| is_editable(document, None);

    assert!(open(&with(Standing::Draft, 0)) && open(&with(Standing::Submitted, 0)));
    assert!(open(&with(Standing::Authorised, 0)));
    assert!(!open(&with(Standing::Authorised, 1)), "something is paid or credited");
    assert!(
        !open(&with(Standing::Paid, 290)) && !open(&with(Standing::Voided, 0)) && !open(&with(Standing::Deleted, 0))
    );
    assert!(!open(&Document { edited: true, ..with(Standing::Authorised, 0) }), "a person has changed it");
    assert!(!open(&Document { id: None, ..with(Standing::Authorised, 0) }));
}

#[test]
fn a_locked_day_is_the_last_one_that_is_not_changed() {
    let document = invoice(&[("naan", 290)]);

    assert!(!is_editable(&document, Some(day("2025-10-09"))));
    assert!(is_editable(&document, Some(day("2025-10-08"))));
}

// ---- what is done -----------------------------------------------------------------------------------------------------

#[test]
fn an_order_that_was_never_posted_is_one_invoice_and_one_of_less_than_nothing_a_credit_note() {
    let plus = corrected(&[], &[], &goods(&[("naan", 290), ("voucher", -100)]));
    let minus = corrected(&[], &[], &goods(&[("naan", 100), ("refund", -290)]));

    assert_eq!(post_of(&plus[0]), (DocumentKind::Invoice, Role::Whole, vec![("naan", 290), ("voucher", -100)]));
    assert_eq!(post_of(&minus[0]), (DocumentKind::CreditNote, Role::Whole, vec![("naan", 100), ("refund", -290)]));
    assert_eq!((plus.len(), minus.len()), (1, 1));
}

#[test]
fn what_says_the_same_is_left_alone_however_its_lines_are_cut() {
    let posted = [invoice(&[("wrap", 2340)])];

    assert_eq!(corrected(&posted, &[true], &goods(&[("wrap", 1560), ("wrap", 780)])), []);
}

#[test]
fn what_may_be_changed_is_changed_in_place_with_all_its_lines() {
    let posted = [invoice(&[("naan", 290), ("lamb", 900)])];
    let target = goods(&[("lamb", 900), ("rice", 300)]);

    let moves = corrected(&posted, &[true], &target);

    assert_eq!(moves, [Move::Update { at: 0, lines: target }]);
}

#[test]
fn a_cancelled_order_is_voided_while_nothing_hangs_on_it_and_credited_as_a_whole_otherwise() {
    let posted = [invoice(&[("naan", 290), ("voucher", -100)])];

    assert_eq!(corrected(&posted, &[true], &[]), [Move::Void { at: 0 }]);
    let credited = corrected(&posted, &[false], &[]);
    assert_eq!(post_of(&credited[0]), (DocumentKind::CreditNote, Role::Whole, vec![("naan", -290), ("voucher", 100)]));
    assert_eq!(credited.len(), 1);
}

#[test]
fn what_has_to_go_is_credited_and_what_was_missing_is_invoiced() {
    let posted = [invoice(&[("naan", 290), ("lamb", 900)])];

    let moves = corrected(&posted, &[false], &goods(&[("lamb", 950), ("rice", 300)]));

    let all: Vec<_> = moves.iter().map(post_of).collect();
    assert_eq!(
        all,
        [
            (DocumentKind::CreditNote, Role::Part, vec![("naan", -290)]),
            (DocumentKind::Invoice, Role::Part, vec![("lamb", 50), ("rice", 300)]),
        ]
    );
}

#[test]
fn an_order_that_is_accepted_again_is_invoiced_anew() {
    let paid = invoice(&[("naan", 290)]);
    let back = document(DocumentKind::CreditNote, Role::Whole, goods(&[("naan", -290)]));

    let moves = corrected(&[paid, back], &[false, false], &goods(&[("naan", 290)]));

    assert_eq!(
        moves.iter().map(post_of).collect::<Vec<_>>(),
        [(DocumentKind::Invoice, Role::Whole, vec![("naan", 290)])]
    );
}

#[test]
fn a_credit_that_nobody_has_used_is_taken_back_rather_than_an_invoice_made() {
    let paid = invoice(&[("naan", 290)]);
    let back = document(DocumentKind::CreditNote, Role::Whole, goods(&[("naan", -290)]));

    assert_eq!(corrected(&[paid, back], &[false, true], &goods(&[("naan", 290)])), [Move::Void { at: 1 }]);
}

#[test]
fn the_second_half_of_a_correction_follows_from_the_first() {
    let posted = invoice(&[("naan", 290), ("lamb", 900)]);
    let note = document(DocumentKind::CreditNote, Role::Part, goods(&[("naan", -290)]));

    let moves = corrected(&[posted, note], &[false, true], &goods(&[("lamb", 950)]));

    assert_eq!(
        moves.iter().map(post_of).collect::<Vec<_>>(),
        [(DocumentKind::Invoice, Role::Part, vec![("lamb", 50)])]
    );
}

#[test]
fn reversing_credits_all_that_stands_and_invoices_the_order_anew() {
    let posted = [invoice(&[("naan", 290), ("lamb", 900)])];

    let moves = correct(&posted, &[], &[false], &goods(&[("lamb", 900)]), Otherwise::ReverseAndReplace).moves;

    let all: Vec<_> = moves.iter().map(post_of).collect();
    assert_eq!(
        all,
        [
            (DocumentKind::CreditNote, Role::Whole, vec![("naan", -290), ("lamb", -900)]),
            (DocumentKind::Invoice, Role::Whole, vec![("lamb", 900)]),
        ]
    );
}

#[test]
fn units_are_kept_where_they_explain_the_amount() {
    let two = Line { quantity: 2, ..line(Kind::Sales, "naan", 580) };
    let posted =
        [document(DocumentKind::Invoice, Role::Whole, vec![Line { quantity: 3, ..line(Kind::Sales, "naan", 870) }])];

    let moves = corrected(&posted, &[false], &[two]);

    let Move::Post { lines, .. } = &moves[0] else { panic!("{moves:?}") };
    assert_eq!((lines[0].quantity, lines[0].gross_minor), (1, -290));
}

#[test]
fn a_credit_goes_to_the_account_that_was_credited_then_whatever_settings_say_now() {
    let posted = [invoice(&[("naan", 290)])];
    let moved = |minor| vec![Line { account: "210".to_owned(), ..line(Kind::Sales, "naan", minor) }];

    let less = corrected(&posted, &[false], &moved(90));
    let more = corrected(&posted, &[false], &moved(390));

    let account = |moves: &[Move]| match &moves[0] {
        Move::Post { lines, .. } => lines[0].account.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((account(&less).as_str(), account(&more).as_str()), ("200", "210"));
    assert_eq!(corrected(&posted, &[false], &moved(290)), [], "another account is no other order");
}

#[test]
fn what_is_changed_in_place_counts_as_a_document_that_was_avoided() {
    let posted = [invoice(&[("naan", 290), ("lamb", 900)])];
    let target = goods(&[("lamb", 950)]);

    assert_eq!(correct(&posted, &[], &[true], &target, Otherwise::Delta).avoided, 2);
    assert_eq!(correct(&posted, &[], &[false], &target, Otherwise::Delta).avoided, 0);
    assert_eq!(correct(&[], &[], &[], &target, Otherwise::Delta).avoided, 0);
}

#[test]
fn as_many_count_as_avoided_as_the_mode_would_have_taken() {
    let posted = [invoice(&[("naan", 290), ("voucher", -100)])];

    // What is cancelled is credited by one document, whatever signs its lines have.
    assert_eq!(correct(&posted, &[], &[true], &[], Otherwise::Delta).avoided, 1);
    assert_eq!(correct(&posted, &[], &[true], &goods(&[("naan", 290)]), Otherwise::Delta).avoided, 1);
    assert_eq!(correct(&posted, &[], &[true], &goods(&[("naan", 290)]), Otherwise::ReverseAndReplace).avoided, 2);
}

// ---- never more than needed -------------------------------------------------------------------------------------------

const THINGS: [&str; 2] = ["a", "b"];

/// What a document says of two things.
type Says = [i64; 2];

fn lines_of(says: Says) -> Vec<Line> {
    THINGS.iter().zip(says).filter(|(_, minor)| *minor != 0).map(|(key, minor)| line(Kind::Sales, key, minor)).collect()
}

fn says_of(lines: &[Line]) -> Says {
    THINGS.map(|key| lines.iter().filter(|line| line.key == key).map(|line| line.gross_minor).sum())
}

/// Whether a document of this kind and role may say this, as the contract has it.
fn is_allowed(kind: DocumentKind, role: Role, says: Says) -> bool {
    let total = says[0] + says[1];
    let has_one_sign = says.iter().all(|minor| *minor >= 0) || says.iter().all(|minor| *minor <= 0);
    let fits = match kind {
        DocumentKind::Invoice => total > 0 || total == 0 && role == Role::Whole,
        DocumentKind::CreditNote => total < 0,
    };
    says != [0, 0] && fits && (role == Role::Whole || has_one_sign)
}

/// Kind, role, what it says, and whether it may be changed.
type Past = (DocumentKind, Role, Says, bool);

/// The least cost of reaching the target, by trying everything: each document that may be changed is left, taken back or made
/// to say anything; then up to two are made, by the rules of the mode ([`new_ones`]).
fn least_cost(documents: &[Past], target: Says, otherwise: Otherwise) -> Option<(usize, usize)> {
    const FAR: i64 = 8;

    let range = -6..=6_i64;
    let anything: Vec<Says> = range.clone().flat_map(|a| range.clone().map(move |b| [a, b])).collect();
    // What can stand after the documents so far, with the fewest writes.
    let mut reached = HashMap::from([([0, 0], 0_usize)]);
    for &(kind, role, says, editable) in documents {
        let mut next = HashMap::new();
        for (sum, writes) in reached {
            let mut reach = |says: Says, writes: usize| {
                let sum = [sum[0] + says[0], sum[1] + says[1]];
                if sum.iter().all(|minor| minor.abs() <= FAR) {
                    let least = next.entry(sum).or_insert(writes);
                    *least = writes.min(*least);
                }
            };
            reach(says, writes);
            if editable {
                reach([0, 0], writes + 1);
                for &other in anything.iter().filter(|other| is_allowed(kind, role, **other)) {
                    reach(other, writes + 1);
                }
            }
        }
        reached = next;
    }
    let cost = |(sum, writes): (Says, usize)| {
        let new = new_ones(sum, target, otherwise);
        (new, writes + new)
    };
    reached.into_iter().map(cost).min()
}

/// How many documents lead from what stands to the target. One says all of it where nothing else is left standing or wanted; by
/// differences, one says what has to go and one what is missing; reversing, one takes all back and one says all anew, if there
/// is anything that a credit note could take back.
fn new_ones(sum: Says, target: Says, otherwise: Otherwise) -> usize {
    let rest: Says = [target[0] - sum[0], target[1] - sum[1]];
    let is_one =
        |role| [DocumentKind::Invoice, DocumentKind::CreditNote].into_iter().any(|kind| is_allowed(kind, role, rest));
    let is_whole = sum == [0, 0] || target == [0, 0] && rest[0] + rest[1] != 0;
    let reverses = otherwise == Otherwise::ReverseAndReplace && target != [0, 0] && sum[0] + sum[1] > 0;
    match rest {
        [0, 0] => 0,
        _ if is_whole && is_one(Role::Whole) => 1,
        _ if reverses => 2,
        _ if is_one(Role::Part) => 1,
        _ => 2,
    }
}

fn history() -> impl Strategy<Value = Vec<Past>> {
    let says = (-2..=2_i64, -2..=2_i64).prop_map(|(a, b)| [a, b]);
    let document = (any::<bool>(), says, any::<bool>()).prop_filter_map("says nothing", |(whole, says, editable)| {
        let kind = if says[0] + says[1] < 0 { DocumentKind::CreditNote } else { DocumentKind::Invoice };
        let role = if whole { Role::Whole } else { Role::Part };
        is_allowed(kind, role, says).then_some((kind, role, says, editable))
    });
    prop::collection::vec(document, 0..4)
}

fn documents_of(history: &[Past]) -> (Vec<Document>, Vec<bool>) {
    let documents = history.iter().map(|(kind, role, says, _)| document(*kind, *role, lines_of(*says)));
    (documents.collect(), history.iter().map(|(.., editable)| *editable).collect())
}

/// The moves are permitted, and lead there.
fn check(history: &[Past], moves: &[Move], target: Says) -> Result<(), TestCaseError> {
    let mut stand: Vec<Option<Says>> = history.iter().map(|(_, _, says, _)| Some(*says)).collect();
    for one in moves {
        match one {
            Move::Update { at, lines } => {
                prop_assert!(history[*at].3);
                prop_assert!(is_allowed(history[*at].0, history[*at].1, says_of(lines)));
                stand[*at] = Some(says_of(lines));
            }
            Move::Void { at } => {
                prop_assert!(history[*at].3);
                stand[*at] = None;
            }
            Move::Post { kind, role, lines } => {
                prop_assert!(is_allowed(*kind, *role, says_of(lines)), "{:?}", one);
                stand.push(Some(says_of(lines)));
            }
        }
    }
    let sum = stand.into_iter().flatten().fold([0, 0], |sum, says| [sum[0] + says[0], sum[1] + says[1]]);
    prop_assert_eq!(sum, target);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_way_takes_fewer_documents_or_fewer_writes(
        history in history(),
        target in (-2..=2_i64, -2..=2_i64),
        otherwise in prop::sample::select(vec![Otherwise::Delta, Otherwise::ReverseAndReplace]),
    ) {
        let target = [target.0, target.1];
        let (documents, editable) = documents_of(&history);

        let correction = correct(&documents, &[], &editable, &lines_of(target), otherwise);

        check(&history, &correction.moves, target)?;
        prop_assert_eq!(Some(correction.cost()), least_cost(&history, target, otherwise));
    }

    #[test]
    fn payments_are_removed_only_where_that_saves_a_document_and_then_the_most_that_can_be_saved(
        history in history(),
        ours in prop::collection::vec(any::<bool>(), 4),
        target in (-2..=2_i64, -2..=2_i64),
    ) {
        let target = [target.0, target.1];
        let (documents, editable) = documents_of(&history);
        // Without our payments, these could be changed as well.
        let freed: Vec<Past> = history.iter().zip(&ours).map(|(&(kind, role, says, editable), &ours)| {
            (kind, role, says, editable || ours)
        }).collect();
        let unpaid: Vec<bool> = freed.iter().map(|(.., editable)| *editable).collect();
        let correction = correct(&documents, &[], &editable, &lines_of(target), Otherwise::Delta);

        let without = without_payments(&documents, &[], &unpaid, &lines_of(target), &correction);

        let paid = least_cost(&history, target, Otherwise::Delta).unwrap().0;
        let least = least_cost(&freed, target, Otherwise::Delta).unwrap().0;
        prop_assert_eq!(without.is_some(), least < paid);
        let Some(without) = without else { return Ok(()) };
        check(&freed, &without.moves, target)?;
        prop_assert_eq!(without.cost().0, least);
        // Only what changes loses its payments, and then it can be changed.
        let is_changed = |at: usize| without.moves.iter().any(|one| match one {
            Move::Update { at: changed, .. } | Move::Void { at: changed } => *changed == at,
            Move::Post { .. } => false,
        });
        let then: Vec<bool> = editable.iter().enumerate().map(|(at, editable)| *editable || is_changed(at)).collect();
        let then = correct(&documents, &[], &then, &lines_of(target), Otherwise::Delta);
        prop_assert_eq!(then.cost().0, least);
    }
}
