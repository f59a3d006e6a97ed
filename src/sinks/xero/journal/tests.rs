use super::*;
use crate::sinks::xero::{
    config::Tender,
    receipt::{Document, DocumentKind, Payment, Role, Shared, Standing},
    target::Wanted,
    testing::{CONTACT, day, facts, gbp, line, settings, settings_with},
};

const DAY: &str = "SCF-DAY-20251009-GBP";

/// An order of a closed day: 12.50, of which so much was paid online.
fn of_a_day(paid_minor: i64) -> Held {
    let document = Document {
        kind: DocumentKind::Invoice,
        role: Role::Whole,
        number: DAY.to_owned(),
        id: Some("the-day".to_owned()),
        version: 1,
        date: day("2025-10-09"),
        contact_id: CONTACT.to_owned(),
        status: Standing::Paid,
        lines: vec![line(Kind::Sales, "naan", 250), line(Kind::Sales, "bhuna", 1000)],
        tracking: Vec::new(),
        gross_minor: 1250,
        told_minor: None,
        applied_minor: paid_minor,
        updated_at: None,
        touched: false,
        edited: false,
        shared: Some(Shared { total_minor: 9900 }),
    };
    let payment = Payment {
        reference: format!("{DAY}-P1-1"),
        id: Some("p1".to_owned()),
        tender: Tender::OnlineScoffable,
        account: "611".to_owned(),
        amount_minor: paid_minor,
        on: DAY.to_owned(),
        date: None,
        removed: false,
        reconciled: false,
    };
    Held { documents: vec![document], payments: vec![payment], currency: Some(gbp()), ..Held::default() }
}

fn wants(lines: &[(Kind, &str, i64)], payments: &[(Tender, i64)]) -> Target {
    Target {
        lines: lines.iter().map(|(kind, key, minor)| line(*kind, key, *minor)).collect(),
        payments: payments.iter().map(|&(tender, amount_minor)| Wanted { tender, amount_minor }).collect(),
        ..Target::nothing(gbp(), day("2025-10-09"))
    }
}

fn of_goods(lines: &[(&str, i64)], payments: &[(Tender, i64)]) -> Target {
    let lines: Vec<(Kind, &str, i64)> = lines.iter().map(|(key, minor)| (Kind::Sales, *key, *minor)).collect();
    wants(&lines, payments)
}

/// Account and amount of each entry.
fn entries(held: &Held, target: &Target) -> Option<Vec<(String, i64)>> {
    let entries = Delta::of(held, target, &settings())?.entries(&[], &settings());
    assert_eq!(entries.iter().map(|entry| entry.amount_minor).sum::<i64>(), 0);
    Some(entries.into_iter().map(|entry| (entry.account, entry.amount_minor)).collect())
}

fn on(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(account, minor)| ((*account).to_owned(), *minor)).collect()
}

/// The receipt once a journal stands.
fn then(held: &Held, target: &Target) -> Held {
    let Delta { lines, money } = Delta::of(held, target, &settings()).expect("for a journal");
    let number = format!("SCF-1-J{}", held.journals.len() + 1);
    let id = Some(number.clone());
    let journal = Journal { number, id, version: 2, date: day("2025-10-10"), lines, money, differs: false };
    Held { journals: [&held.journals[..], &[journal]].concat(), ..held.clone() }
}

#[test]
fn what_is_given_back_is_taken_off_revenue_and_the_clearing_account() {
    let refunded = of_goods(&[("bhuna", 1000)], &[(Tender::OnlineScoffable, 1000)]);

    assert_eq!(entries(&of_a_day(1250), &refunded), Some(on(&[("200", 250), ("611", -250)])));
}

#[test]
fn corrections_are_corrected_by_what_differs_then() {
    let refunded = of_goods(&[("bhuna", 1000)], &[(Tender::OnlineScoffable, 1000)]);
    let cancelled = Target::nothing(gbp(), day("2025-10-09"));
    let dearer = of_goods(&[("bhuna", 1000), ("rice", 300)], &[(Tender::CashVendor, 1300)]);

    let held = then(&of_a_day(1250), &refunded);
    assert_eq!(held.posted_minor(), 1000);
    assert_eq!(entries(&held, &refunded), Some(vec![]), "nothing differs");
    assert_eq!(entries(&held, &cancelled), Some(on(&[("200", 1000), ("611", -1000)])));
    let held = then(&held, &cancelled);
    assert_eq!(held.posted_minor(), 0);
    assert_eq!(entries(&held, &dearer), Some(on(&[("200", -1300), ("612", 1300)])));
    let held = then(&held, &dearer);
    assert_eq!(held.posted_minor(), 1300);
    assert_eq!(entries(&held, &cancelled), Some(on(&[("200", 1300), ("612", -1300)])));
}

#[test]
fn money_moves_between_accounts_although_the_lines_are_the_same() {
    let in_cash = of_goods(&[("naan", 250), ("bhuna", 1000)], &[(Tender::CashVendor, 1250)]);

    assert_eq!(entries(&of_a_day(1250), &in_cash), Some(on(&[("611", -1250), ("612", 1250)])));
}

#[test]
fn what_is_the_same_for_the_books_is_no_journal() {
    let instead = of_goods(&[("rice", 250), ("bhuna", 1000)], &[(Tender::OnlineScoffable, 1250)]);
    let by_voucher = of_goods(&[("naan", 250), ("bhuna", 1000)], &[(Tender::VoucherScoffable, 1250)]);

    assert_eq!(entries(&of_a_day(1250), &instead), Some(vec![]));
    assert_eq!(entries(&of_a_day(1250), &by_voucher), Some(vec![]), "both are held on one account");
}

#[test]
fn what_the_customer_owes_is_out_of_reach() {
    let paid_later = of_goods(&[("naan", 250), ("bhuna", 1000)], &[(Tender::OnlineScoffable, 1250)]);
    let let_off = of_goods(&[("bhuna", 1000)], &[(Tender::OnlineScoffable, 1000)]);

    assert_eq!(entries(&of_a_day(1000), &paid_later), None);
    assert_eq!(entries(&of_a_day(1000), &let_off), None);
}

#[test]
fn each_revenue_class_has_an_entry_with_its_tax_and_money_has_none() {
    let settings = settings_with(&[("payments.cash_vendor", "00000000-0000-4000-8000-000000000612")]);
    let mut target = wants(
        &[(Kind::Sales, "bhuna", 1100), (Kind::ServiceFee, "", 99), (Kind::Rounding, "", 1)],
        &[(Tender::OnlineScoffable, 1000), (Tender::CashVendor, 200)],
    );
    target.lines[1].account = "201".to_owned();
    (target.lines[2].account, target.lines[2].tax_type) = ("498".to_owned(), "NONE".to_owned());
    let tracking = [TrackingOption { name: "Outlet".to_owned(), option: "Leeds".to_owned() }];

    let delta = Delta::of(&of_a_day(1250), &target, &settings).unwrap();
    let entries = delta.entries(&tracking, &settings);
    let url = Some("https://example.org/orders/1".to_owned());
    let body = body("SCF-1-J1: Scoffable 1 v2 of 2025-10-09", day("2025-10-10"), &entries, url, gbp());

    let tracked = r#""Tracking":[{"Name":"Outlet","Option":"Leeds"}]"#;
    let expected = [
        r#"{"Narration":"SCF-1-J1: Scoffable 1 v2 of 2025-10-09","Date":"2025-10-10","Status":"POSTED","#,
        r#""LineAmountTypes":"Inclusive","JournalLines":["#,
        r#"{"LineAmount":1.50,"AccountCode":"200","Description":"Goods","TaxType":"OUTPUT2","#,
        tracked,
        r#"},{"LineAmount":-0.99,"AccountCode":"201","Description":"Service fees","TaxType":"OUTPUT2","#,
        tracked,
        r#"},{"LineAmount":-0.01,"AccountCode":"498","Description":"Rounding","TaxType":"NONE","#,
        tracked,
        r#"},{"LineAmount":2.00,"AccountID":"00000000-0000-4000-8000-000000000612","Description":"Received","TaxType":"NONE"},"#,
        r#"{"LineAmount":-2.50,"AccountCode":"611","Description":"Given back","TaxType":"NONE"}],"#,
        r#""Url":"https://example.org/orders/1"}"#,
    ];
    assert_eq!(body.get(), expected.concat());
}

#[test]
fn a_journal_is_in_the_base_currency() {
    let eur = Currency::parse("EUR").unwrap();

    assert!(takes(gbp(), &facts()) && !takes(eur, &facts()));
}

fn shown(status: &str, types: &str, lines: &[(&str, &str)]) -> ManualJournal {
    let lines: Vec<serde_json::Value> = lines
        .iter()
        .map(|(account, amount)| {
            let amount: serde_json::Number = amount.parse().unwrap();
            serde_json::json!({"AccountCode": account, "AccountID": format!("id-{account}"), "LineAmount": amount})
        })
        .collect();
    let journal = serde_json::json!({"Status": status, "LineAmountTypes": types, "JournalLines": lines});
    serde_json::from_value(journal).unwrap()
}

#[test]
fn what_xero_shows_is_ours_if_it_says_the_same_of_each_account() {
    let refunded = of_goods(&[("bhuna", 1000)], &[(Tender::OnlineScoffable, 1000)]);
    let ours = booked_by(&then(&of_a_day(1250), &refunded).journals[0]);
    let is_ours =
        |status: &str, types: &str, lines: &[(&str, &str)]| is_ours(&shown(status, types, lines), &ours, gbp());

    assert!(is_ours("POSTED", "Inclusive", &[("200", "2.5000"), ("611", "-2.5")]));
    assert!(is_ours("POSTED", "Inclusive", &[("200", "1"), ("611", "-2.5"), ("200", "1.5")]));
    assert!(!is_ours("DRAFT", "Inclusive", &[("200", "2.5"), ("611", "-2.5")]));
    assert!(!is_ours("POSTED", "Exclusive", &[("200", "2.5"), ("611", "-2.5")]));
    assert!(!is_ours("POSTED", "Inclusive", &[("200", "2.5"), ("612", "-2.5")]));
    assert!(!is_ours("POSTED", "Inclusive", &[("200", "2.6"), ("611", "-2.6")]));
}

#[test]
fn a_journal_is_worth_what_it_adds_by_what_xero_shows() {
    let refunded = of_goods(&[("bhuna", 1000)], &[(Tender::OnlineScoffable, 1000)]);
    let journal = then(&of_a_day(1250), &refunded).journals.remove(0);
    let worth =
        |status: &str, types: &str, lines: &[(&str, &str)]| worth(&shown(status, types, lines), &journal, gbp());

    assert_eq!(worth("POSTED", "Inclusive", &[("200", "2.5"), ("611", "-2.5")]), Some(-250));
    assert_eq!(worth("VOIDED", "Inclusive", &[("200", "2.5"), ("611", "-2.5")]), Some(0));
    assert_eq!(worth("POSTED", "Inclusive", &[("200", "2"), ("201", "0.6"), ("611", "-2.6")]), Some(-260));
    assert_eq!(worth("POSTED", "Exclusive", &[("200", "2.5"), ("611", "-2.5")]), None);
}
