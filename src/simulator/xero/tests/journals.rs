//! Manual journals: what is taken, what is not, and what they come to.

use super::*;

fn entry(account: &str, amount: f64) -> Value {
    json!({"LineAmount": amount, "AccountCode": account})
}

fn taxed(account: &str, amount: f64, tax_type: &str) -> Value {
    json!({"LineAmount": amount, "AccountCode": account, "TaxType": tax_type})
}

fn journal(narration: &str, amounts: &str, lines: &Value) -> Value {
    json!({
        "Narration": narration, "Date": "2025-10-09", "Status": "POSTED", "LineAmountTypes": amounts, "JournalLines": lines,
    })
}

impl Desk {
    async fn entered(&self, narration: &str, lines: Value) -> Value {
        self.put("ManualJournals", json!([journal(narration, "NoTax", &lines)])).await[0].clone()
    }
}

#[tokio::test]
async fn a_journal_balances_has_a_narration_and_touches_neither_bank_nor_what_customers_owe() {
    let desk = start().await;

    let posted = desk.entered("SCF-1-J1: delta", json!([entry("611", 2.9), entry("200", -2.9)])).await;
    for (lines, expected) in [
        (json!([entry("611", 2.9), entry("200", -2.8)]), "debits (2.90) must equal total credits (-2.80)"),
        (json!([entry("090", 2.9), entry("200", -2.9)]), "'090' is not a valid code"),
        (json!([entry("610", 2.9), entry("200", -2.9)]), "'610' is not a valid code"),
        (json!([entry("611", 0.0)]), "two lines at least"),
        (json!([entry("611", 2.905), entry("200", -2.905)]), "two places"),
        (json!([{"LineAmount": 1}, entry("200", -1.0)]), "by AccountCode or by AccountID"),
    ] {
        let refused = desk.entered("SCF-1-J2: delta", lines).await;
        assert!(messages(&refused).contains(expected), "{expected}: {refused}");
    }
    let untaxable = json!([taxed("611", 1.0, "NONE"), taxed("200", -1.0, "OUTPUT9")]);
    let untaxable = desk.put("ManualJournals", json!([journal("SCF-1-J2: delta", "Inclusive", &untaxable)])).await;
    let nameless = desk.entered(" ", json!([entry("611", 2.9), entry("200", -2.9)])).await;

    assert_eq!(posted["Status"], "POSTED");
    assert!(messages(&nameless).contains("Narration is required"), "{nameless}");
    assert!(messages(&untaxable[0]).contains("'OUTPUT9' does not exist"), "{untaxable}");
}

#[tokio::test]
async fn tax_is_inside_or_on_top_as_the_journal_says_and_both_sides_are_equal_with_it() {
    let desk = start().await;
    let lines = json!([taxed("200", 12.0, "OUTPUT2"), taxed("611", -12.0, "NONE")]);
    let of = |amounts: &str| desk.put("ManualJournals", json!([journal("SCF-1-J1: delta", amounts, &lines)]));

    let inclusive = of("Inclusive").await;
    let on_top = of("Exclusive").await;

    let taxes: Vec<&Value> =
        inclusive[0]["JournalLines"].as_array().unwrap().iter().map(|line| &line["TaxAmount"]).collect();
    assert_eq!(taxes, [&json!(2.0), &json!(0.0)]);
    assert_eq!(inclusive[0]["LineAmountTypes"], "Inclusive");
    assert!(messages(&on_top[0]).contains("debits (14.40) must equal total credits (-12.00)"), "{on_top}");
}

#[tokio::test]
async fn a_posted_journal_is_only_voided_and_none_is_of_a_closed_period() {
    let desk = start().await;
    let lines = json!([entry("611", 2.9), entry("200", -2.9)]);
    let posted = desk.entered("SCF-1-J1: delta", lines.clone()).await;
    let path = format!("ManualJournals/{}", posted["ManualJournalID"].as_str().expect("an id"));
    let change = |change: Value| json!({"ManualJournals": [change]});

    let name = "SCF-1-J1: delta";
    for refused in [
        json!({"Narration": "SCF-1-J1: other", "Status": "VOIDED"}),
        json!({"Narration": name, "JournalLines": lines, "Status": "POSTED"}),
        json!({"Narration": name, "Status": "DRAFT"}),
    ] {
        let answer = desk.post(&path, change(refused)).await;
        assert!(refusal(answer).contains("not of valid status for modification"));
    }
    let nameless = desk.post(&path, change(json!({"Status": "VOIDED"}))).await;
    let (_, voided) = desk.post(&path, change(json!({"Narration": name, "Status": "VOIDED"}))).await;
    let again = desk.post(&path, change(json!({"Narration": name, "Status": "VOIDED"}))).await;
    desk.lock_until(chrono::NaiveDate::from_ymd_opt(2025, 10, 9));
    let late = desk.entered("SCF-1-J2: delta", lines).await;

    assert!(refusal(nameless).contains("Narration is required"));
    assert_eq!(voided["ManualJournals"][0]["Status"], "VOIDED");
    assert!(refusal(again).contains("not of valid status for modification"));
    assert!(messages(&late).contains("lock date"), "{late}");
}

#[tokio::test]
async fn a_journal_is_revenue_and_money_of_its_order_as_long_as_it_stands() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(12.50))])).await;
    desk.paid(&invoice, "611", json!(12.50), "SCF-1-P1-1").await;
    let lines = json!([entry("200", 2.5), entry("201", 1.0), entry("611", -4.5), entry("612", 1.0)]);
    desk.entered("SCF-1-J1: delta", lines).await;

    let on =
        |pairs: &[(&str, i64)]| pairs.iter().map(|(account, cents)| ((*account).to_owned(), Cents(*cents))).collect();
    {
        let ledger = desk.ledger();
        assert_eq!(ledger.revenue("1"), Cents(1250 - 350));
        assert_eq!(ledger.revenue_by_account("1"), on(&[("200", 1000), ("201", -100)]));
        assert_eq!(ledger.payments_by_account("1"), on(&[("611", 800), ("612", 100)]));
        assert_eq!(ledger.clearing_balances(), on(&[("611", 800), ("612", 100)]));
    }
    assert_eq!(desk.by_hand(|books, now| books.void_journal_by_hand("SCF-1-J1: delta", now)), 1);
    assert_eq!(desk.ledger().revenue("1"), Cents(1250));
}

#[tokio::test]
async fn the_same_narration_again_is_doubled_and_one_of_no_order_is_foreign() {
    let desk = start().await;
    let lines = || json!([entry("611", 2.9), entry("200", -2.9)]);
    for narration in ["SCF-1-J1: delta", "SCF-1-J2: delta", "SCF-1-J1: delta", "Depreciation"] {
        desk.entered(narration, lines()).await;
    }

    let again = Doubled::Journal { order: "1".to_owned(), narration: "SCF-1-J1: delta".to_owned() };
    assert_eq!(desk.doubled(), [again]);
    assert_eq!(desk.violations(), [Violation::ForeignNarration { narration: "Depreciation".to_owned() }]);
}
