//! Free-entry credit notes.

use super::*;

#[tokio::test]
async fn a_credit_note_is_made_parked_completed_once_and_found_by_its_number() {
    let desk = start().await;
    desk.completed(&desk.order("SCF-1", &[("NAAN", 3, 100)])).await;
    let done = desk.credited(&desk.credit("SCF-1-C1", &[("NAAN", 1, 100)])).await;

    assert_eq!((&done["Status"], &done["Total"]), (&json!("Completed"), &json!(1.2)));
    assert_eq!(text(&done["Guid"]), guid("SCF-1-C1"));
    let found = desk.items(&format!("CreditNotes?creditNumber={}", text(&done["CreditNumber"]))).await;
    assert_eq!((found.len(), &found[0]["Reference"]), (1, &json!("SCF-1-C1")));
    let path = format!("CreditNotes/{}", guid("SCF-1-C1"));
    assert!(refusal(desk.act("POST", &format!("{path}/Complete")).await).contains("Completed"));
    assert!(refusal(desk.act("DELETE", &path).await).contains("Completed"));
    assert_eq!((desk.on_hand("NAAN"), desk.ledger().stands("1")), (99_997, Cents(240)));
}

#[tokio::test]
async fn a_free_credit_returns_goods_only_where_the_rules_say_so() {
    let desk = start().await;
    desk.change_rules(|rules| rules.free_credit_returns_stock = true);
    desk.credited(&desk.credit("SCF-1-C1", &[("NAAN", 2, 100), ("FEE", 1, 100)])).await;

    assert_eq!((desk.on_hand("NAAN"), desk.on_hand("FEE")), (100_002, 100_000));
}

#[tokio::test]
async fn nothing_keeps_a_second_credit_note_from_coming_about() {
    let desk = start().await;
    let note = desk.credit("SCF-1-C1", &[("NAAN", 1, 100)]);
    let first = desk.write("POST", "CreditNotes/FreeCredit", &note).await.1;
    let second = desk.write("POST", "CreditNotes/FreeCredit", &note).await.1;

    assert_ne!(first["Guid"], second["Guid"]);
    assert_eq!(desk.ledger().unfinished("1"), 2);
    desk.change_rules(|rules| rules.keeps_credit_guids = false);
    let third = desk.write("POST", "CreditNotes/FreeCredit", &desk.credit("SCF-2-C1", &[("NAAN", 1, 100)])).await.1;
    assert_ne!(text(&third["Guid"]), guid("SCF-2-C1"));
}

#[tokio::test]
async fn lines_come_and_go_one_by_one_while_it_is_parked() {
    let desk = start().await;
    let note = desk.credit("SCF-1-C1", &[("NAAN", 1, 100)]);
    let made = desk.write("POST", "CreditNotes/FreeCredit", &note).await.1;
    let path = format!("CreditNotes/{}", text(&made["Guid"]));
    let first = text(&made["CreditLines"][0]["Guid"]).to_owned();
    let line = desk.credit("", &[("BHUNA", 2, 500)])["CreditLines"][0].clone();

    let (status, body) = desk.write("POST", &format!("{path}/Lines"), &line).await;
    assert_eq!((status, &body["Total"]), (200, &json!(13.2)));
    let (_, body) = desk.write("PUT", &format!("{path}/Lines/{first}"), &line).await;
    assert_eq!(body["Total"], json!(24.0));
    let (_, body) = desk.act("DELETE", &format!("{path}/Lines/{first}")).await;
    assert_eq!(body["Total"], json!(12.0));
    assert_eq!(desk.act("DELETE", &format!("{path}/Lines/{first}")).await.0, 404);
    assert_eq!(desk.write("PUT", &path, &note).await.1["Total"], json!(1.2));
    assert_eq!(desk.act("DELETE", &path).await.0, 200);
    assert!(desk.items("CreditNotes").await.is_empty());
    assert_eq!(desk.ledger().stands("1"), Cents::ZERO);
}

#[tokio::test]
async fn it_adds_up_names_what_there_is_and_has_all_fields() {
    let desk = start().await;
    let note = desk.credit("SCF-1-C1", &[("NAAN", 1, 100)]);
    for (pointer, value, found) in [
        ("/Total", json!(1.3), "Total"),
        ("/CreditLines/0/CreditPrice", json!(2), "LineTotal"),
        ("/CreditLines/0/Product/ProductCode", json!("KORMA"), "Product"),
        ("/CreditDate", json!("10/10/2025"), "CreditDate"),
    ] {
        let told = refusal(desk.write("POST", "CreditNotes/FreeCredit", &with(&note, pointer, value)).await);
        assert!(told.contains(found), "{pointer}: {told}");
    }
    let told = refusal(desk.write("POST", "CreditNotes/FreeCredit", &without(&note, "Warehouse")).await);
    assert!(told.contains("Warehouse"), "{told}");
    let mut with_order = note.clone();
    with_order["SalesOrder"] = json!({"OrderNumber": "SCF-1"});
    assert!(refusal(desk.write("POST", "CreditNotes/FreeCredit", &with_order).await).contains("SalesOrder"));
    let mut empty = desk.credit("SCF-1-C1", &[]);
    empty["CreditLines"] = json!([]);
    let made = desk.write("POST", "CreditNotes/FreeCredit", &empty).await.1;
    let complete = format!("CreditNotes/{}/Complete", text(&made["Guid"]));
    assert!(refusal(desk.act("POST", &complete).await).contains("without lines"));
}
