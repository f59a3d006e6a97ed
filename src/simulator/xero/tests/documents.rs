//! Invoices, credit notes, contacts, items: what is taken, changed and taken back.

use super::*;

/// The worked example of the mapping.
fn example() -> Value {
    let line = |description: &str, quantity: i64, unit: Value, account: &str| {
        json!({
            "Description": description, "Quantity": quantity, "UnitAmount": unit, "AccountCode": account,
            "TaxType": "OUTPUT2",
        })
    };
    json!([
        line("Lamb bhuna", 2, json!(10.95), "200"),
        line("Plain naan (substitute for garlic naan)", 1, json!(2.90), "200"),
        line("Adjustment: late delivery", 1, json!(-2.00), "200"),
        line("Voucher SAVE3 (vendor)", 1, json!(-3.00), "205"),
        line("Service fee", 1, json!(0.99), "201"),
        line("Delivery fee", 1, json!(2.50), "202"),
    ])
}

#[tokio::test]
async fn an_order_becomes_an_invoice_to_the_penny_with_the_tax_inside() {
    let desk = start().await;

    let invoice = desk.invoiced("SCF-812345", example()).await;

    assert_eq!(
        [&invoice["Total"], &invoice["TotalTax"], &invoice["SubTotal"], &invoice["AmountDue"]],
        // 3.65 + 0.48 - 0.33 - 0.50 + 0.17 + 0.42, each rounded by itself.
        [&json!(23.29), &json!(3.89), &json!(19.40), &json!(23.29)]
    );
    assert_eq!(invoice["StatusAttributeString"], "OK");
    assert_eq!(desk.ledger().revenue("812345"), Cents(2329));
    assert!(desk.violations().is_empty(), "{:?}", desk.violations());
}

#[tokio::test]
async fn tax_comes_on_top_or_not_at_all_as_the_document_says() {
    let desk = start().await;
    let total = async |number: &str, types: Value| {
        let mut invoice = desk.invoice(number, json!([line(3, json!(0.33))]));
        invoice["LineAmountTypes"] = types;
        let answer = desk.put("Invoices", json!([invoice])).await;
        (answer[0]["SubTotal"].clone(), answer[0]["TotalTax"].clone(), answer[0]["Total"].clone())
    };

    assert_eq!(total("SCF-1", Value::Null).await, (json!(0.99), json!(0.20), json!(1.19)), "exclusive by default");
    assert_eq!(total("SCF-2", json!("Inclusive")).await, (json!(0.82), json!(0.17), json!(0.99)));
    assert_eq!(total("SCF-3", json!("NoTax")).await, (json!(0.99), json!(0.0), json!(0.99)));
}

#[tokio::test]
async fn unit_amounts_have_two_places_unless_four_are_asked_for() {
    let desk = start().await;
    let body = |number: &str| json!({"Invoices": [desk.invoice(number, json!([line(3, json!(0.3333))]))]});

    let (_, two) = ask(desk.write("PUT", "Invoices?summarizeErrors=false", &body("SCF-1"))).await;
    let (_, four) = ask(desk.write("PUT", "Invoices?summarizeErrors=false&unitdp=4", &body("SCF-2"))).await;

    assert_eq!([&two["Invoices"][0]["Total"], &four["Invoices"][0]["Total"]], [&json!(0.99), &json!(1.0)]);
    assert_eq!(four["Invoices"][0]["LineItems"][0]["UnitAmount"], json!(0.3333));
    assert_eq!(two["Invoices"][0]["LineItems"][0]["UnitAmount"], json!(0.33));
}

#[tokio::test]
async fn a_number_is_taken_once_by_put_and_overwritten_by_post() {
    let desk = start().await;
    let first = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;

    let again = desk.put("Invoices", json!([desk.invoice("SCF-1", json!([line(1, json!(6))]))])).await;
    let body = json!({"Invoices": [desk.invoice("SCF-1", json!([line(1, json!(7))]))]});
    let (status, posted) = desk.post("Invoices?summarizeErrors=false", body).await;

    assert!(messages(&again[0]).contains("must be unique"), "{again}");
    assert_eq!(again[0]["InvoiceID"], "00000000-0000-0000-0000-000000000000");
    assert_eq!(again[0]["InvoiceNumber"], "SCF-1");
    assert_eq!((status, &posted["Invoices"][0]["InvoiceID"]), (200, &first["InvoiceID"]));
    assert_eq!(desk.ledger().revenue("1"), Cents(700));
    let saved = Violation::SavedByNumber { operation: Operation::Save(Resource::Invoices) };
    assert!(desk.violations().contains(&saved));
}

#[tokio::test]
async fn one_bad_element_refuses_itself_or_the_whole_as_was_asked() {
    let desk = start().await;
    let good = |number: &str| desk.invoice(number, json!([line(1, json!(5))]));
    let mut bad = good("SCF-2");
    bad["LineItems"][0]["AccountCode"] = json!("999");

    let answer = desk.put("Invoices", json!([good("SCF-1"), bad])).await;
    let (status, whole) =
        ask(desk.write("PUT", "Invoices?summarizeErrors=true", &json!({"Invoices": [good("SCF-3"), bad]}))).await;

    assert_eq!([&answer[0]["StatusAttributeString"], &answer[1]["StatusAttributeString"]], ["OK", "ERROR"]);
    assert!(messages(&answer[1]).contains("Account code '999'"), "{answer}");
    assert_eq!((status, &whole["ErrorNumber"]), (400, &json!(10)));
    assert_eq!(whole["Elements"].as_array().map(Vec::len), Some(1));
    let ledger = desk.ledger();
    assert!(ledger.books().invoice("SCF-1").is_some() && ledger.books().invoice("SCF-3").is_none());
}

#[tokio::test]
async fn each_thing_that_is_wrong_with_a_document_is_told() {
    let desk = start().await;
    let good = || desk.invoice("SCF-1", json!([line(1, json!(5))]));
    let with = |pointer: &str, value: Value| {
        let mut invoice = good();
        *invoice.pointer_mut(pointer).expect("the place is there") = value;
        invoice
    };
    desk.by_hand(|books, _| {
        books.organisation.account_mut("202").expect("it is there").is_archived = true;
    });

    for (invoice, expected) in [
        (with("/Type", json!("ACCPAY")), "Type must be ACCREC"),
        (with("/Date", json!("2025-10-09T00:00:00")), "Date is no date"),
        (with("/DueDate", Value::Null), "DueDate is required"),
        (with("/DueDate", json!("2025-10-08")), "must not be before Date"),
        (with("/Status", json!("PAID")), "PAID is no status"),
        (with("/CurrencyCode", json!("JPY")), "not subscribed to currency JPY"),
        (with("/LineItems", json!([])), "line items must be specified"),
        (with("/LineItems/0/Description", json!("")), "Description is required"),
        (with("/LineItems/0/UnitAmount", json!(-5)), "must not be negative"),
        (with("/LineItems/0/AccountCode", Value::Null), "must be specified for every line"),
        (with("/LineItems/0/AccountCode", json!("202")), "archived"),
        (with("/LineItems/0/AccountCode", json!("090")), "not a valid code"),
        (with("/LineItems/0/TaxType", json!("INPUT2")), "cannot be used"),
        (with("/LineItems/0/TaxType", json!("OUTPUT9")), "does not exist"),
        (with("/Contact", Value::Null), "Contact must be specified"),
        (with("/Contact/ContactID", json!("0b7d5a4c-7d0f-4a43-8e4f-3a6f2f0c1101")), "could not be found"),
    ] {
        let answer = desk.put("Invoices", json!([invoice])).await;
        assert!(messages(&answer[0]).contains(expected), "{expected}: {answer}");
    }
    assert!(desk.ledger().books().documents().is_empty());
}

#[tokio::test]
async fn what_the_rules_leave_open_can_be_decided_the_other_way() {
    let desk = start().await;
    desk.change_rules(|rules| {
        rules.takes_zero_totals = false;
        rules.takes_negative_lines = false;
    });

    let zero = desk.put("Invoices", json!([desk.invoice("SCF-1", json!([line(1, json!(0))]))])).await;
    let lines = json!([line(1, json!(5)), line(1, json!(-1))]);
    let negative = desk.put("Invoices", json!([desk.invoice("SCF-2", lines)])).await;
    desk.change_rules(|rules| *rules = Rules::default());
    let taken = desk.invoiced("SCF-1", json!([line(1, json!(0))])).await;

    assert!(messages(&zero[0]).contains("must not be zero"), "{zero}");
    assert!(messages(&negative[0]).contains("must not be negative"), "{negative}");
    assert_eq!(taken["Status"], "PAID");
}

#[tokio::test]
async fn a_draft_may_be_changed_and_deleted_and_an_approved_one_voided_while_nothing_is_applied() {
    let desk = start().await;
    let mut draft = desk.invoice("SCF-1", json!([line(1, json!(5))]));
    draft["Status"] = json!("DRAFT");
    let draft = desk.put("Invoices", json!([draft])).await[0].clone();
    let approved = desk.invoiced("SCF-2", json!([line(1, json!(5))])).await;
    let update = async |invoice: &Value, change: Value| {
        let id = invoice["InvoiceID"].as_str().expect("an id");
        desk.post(&format!("Invoices/{id}"), json!({"Invoices": [change]})).await
    };

    let (_, changed) = update(&draft, json!({"LineItems": [line(2, json!(4))]})).await;
    assert_eq!((&changed["Invoices"][0]["Total"], &changed["Invoices"][0]["Status"]), (&json!(8.0), &json!("DRAFT")));
    assert!(
        refusal(update(&draft, json!({"Status": "VOIDED"})).await).contains("not of valid status for modification")
    );
    assert_eq!(update(&draft, json!({"Status": "DELETED"})).await.0, 200);
    assert!(refusal(update(&draft, json!({"Status": "DRAFT"})).await).contains("not of valid status for modification"));

    let lines = json!({"LineItems": [line(2, json!(4))]});
    assert!(refusal(update(&approved, lines.clone()).await).contains("not of valid status"), "without the status");
    let (_, changed) = update(&approved, json!({"LineItems": [line(2, json!(4))], "Status": "AUTHORISED"})).await;
    assert_eq!(changed["Invoices"][0]["Total"], json!(8.0));
    assert!(refusal(update(&approved, json!({"Status": "DELETED"})).await).contains("not of valid status"));
    assert_eq!(update(&approved, json!({"Status": "VOIDED"})).await.0, 200);
    assert!(refusal(update(&approved, json!({"Status": "AUTHORISED"})).await).contains("not of valid status"));
    let again = desk.put("Invoices", json!([desk.invoice("SCF-2", json!([line(1, json!(5))]))])).await;
    assert!(messages(&again[0]).contains("must be unique"), "the number of what is voided is not free: {again}");
}

#[tokio::test]
async fn lines_keep_their_ids_or_are_replaced_or_added_as_the_rule_says() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(5)), line(1, json!(6))])).await;
    let path = format!("Invoices/{}", invoice["InvoiceID"].as_str().expect("an id"));
    let kept = invoice["LineItems"][1]["LineItemID"].clone();
    let update = async |lines: Value| {
        let (status, body) =
            desk.post(&path, json!({"Invoices": [{"Status": "AUTHORISED", "LineItems": lines}]})).await;
        (status, body["Invoices"][0].clone())
    };

    let mut same = line(1, json!(7));
    same["LineItemID"] = kept.clone();
    let (_, changed) = update(json!([same])).await;
    assert_eq!((&changed["LineItems"][0]["LineItemID"], &changed["Total"]), (&kept, &json!(7.0)));
    let (_, replaced) = update(json!([line(1, json!(8))])).await;
    assert_ne!(replaced["LineItems"][0]["LineItemID"], kept);
    desk.change_rules(|rules| rules.lines_without_ids = LinesWithoutIds::Add);
    let (_, added) = update(json!([line(1, json!(1))])).await;
    assert_eq!(added["Total"], json!(9.0));
    let mut foreign = line(1, json!(1));
    foreign["LineItemID"] = kept;
    assert_eq!(update(json!([foreign])).await.0, 400, "it is gone by now");
}

#[tokio::test]
async fn nothing_happens_on_or_before_a_lock_date() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    let other = desk.invoiced("SCF-2", json!([line(1, json!(5))])).await;
    desk.paid(&other, "611", json!(2), "SCF-2-P1-1").await;
    desk.lock_until(NaiveDate::from_ymd_opt(2025, 10, 9));
    let path = format!("Invoices/{}", invoice["InvoiceID"].as_str().expect("an id"));

    let created = desk.put("Invoices", json!([desk.invoice("SCF-3", json!([line(1, json!(5))]))])).await;
    let voided = desk.post(&path, json!({"Invoices": [{"Status": "VOIDED"}]})).await;
    let paid = desk.paid(&invoice, "611", json!(5), "SCF-1-P1-1").await;
    let first_payment = desk.ledger().books().payments()[0].id.clone();
    let removed = desk.post(&format!("Payments/{first_payment}"), json!({"Status": "DELETED"})).await;
    let mut later = desk.invoice("SCF-4", json!([line(1, json!(5))]));
    (later["Date"], later["DueDate"]) = (json!("2025-10-10"), json!("2025-10-10"));
    let later = desk.put("Invoices", json!([later])).await;
    let organisation = desk.get("Organisation").await;

    for text in [messages(&created[0]), refusal(voided), messages(&paid), refusal(removed)] {
        assert!(text.contains("lock date"), "{text}");
    }
    assert_eq!(later[0]["Status"], "AUTHORISED");
    assert_eq!(organisation["Organisations"][0]["PeriodLockDate"], "/Date(1759968000000+0000)/");
}

#[tokio::test]
async fn details_of_a_contact_in_a_document_overwrite_it_and_are_noted() {
    let desk = start().await;
    let mut invoice = desk.invoice("SCF-1", json!([line(1, json!(5))]));
    invoice["Contact"]["EmailAddress"] = json!("ada@example.org");

    desk.put("Invoices", json!([invoice])).await;

    let ledger = desk.ledger();
    assert_eq!(ledger.books().contacts()[0].email.as_deref(), Some("ada@example.org"));
    let overwrite = &ledger.books().overwrites()[0];
    assert_eq!((overwrite.document.as_str(), &overwrite.members), ("SCF-1", &vec!["EmailAddress"]));
    assert_eq!(ledger.violations(), [Violation::ContactDetails { document: "SCF-1".to_owned() }]);
}

#[tokio::test]
async fn names_of_active_contacts_are_unique_and_archived_ones_get_no_documents() {
    let desk = start().await;
    let (house, now) = (desk.house_contact(), desk.clock.wall());

    let clash = desk.put("Contacts", json!([{"Name": " scoffable CUSTOMERS"}])).await;
    let created =
        desk.put("Contacts", json!([{"Name": "Ada", "ContactNumber": "SCF-C-1"}, {"Name": "x".repeat(256)}])).await;
    let by_number = desk.get("Contacts/SCF-C-1").await;
    let ada = created[0]["ContactID"].as_str().expect("an id").to_owned();
    desk.by_hand(|books, _| books.merge_contacts_by_hand(&house, &ada, now));
    let merged = desk.get(&format!("Contacts/{house}")).await;
    let refused = desk.put("Invoices", json!([desk.invoice("SCF-1", json!([line(1, json!(5))]))])).await;
    let active = desk.get("Contacts").await;
    let all = desk.get("Contacts?includeArchived=true").await;

    assert!(messages(&clash[0]).contains("already assigned to another contact"), "{clash}");
    assert!(messages(&created[1]).contains("Name is longer than 255"), "{created}");
    assert_eq!(by_number["Contacts"][0]["ContactID"], json!(ada));
    assert_eq!(merged["Contacts"][0]["MergedToContactID"], json!(ada));
    assert!(messages(&refused[0]).contains("archived"), "{refused}");
    let count = |body: &Value| body["Contacts"].as_array().map(Vec::len);
    assert_eq!([count(&active), count(&all)], [Some(1), Some(2)]);
}

#[tokio::test]
async fn items_have_short_unique_codes_and_lines_name_only_known_ones() {
    let desk = start().await;
    let item = |code: &str| json!({"Code": code, "Name": "Naan", "IsSold": true, "IsPurchased": false});
    // The usual scopes only let one read items.
    assert_eq!(ask(desk.write("PUT", "Items?summarizeErrors=false", &json!({"Items": [item("naan")]}))).await.0, 401);
    let scopes = ["accounting.settings", "accounting.transactions"].map(str::to_owned).into();
    let desk = start_with(XeroOptions { scopes, limits: XeroLimits::NONE, ..XeroOptions::default() }).await;

    let answer = desk.put("Items", json!([item("naan"), item("naan"), item(&"n".repeat(31))])).await;
    let mut known = line(1, json!(5));
    known["ItemCode"] = json!("naan");
    let mut unknown = known.clone();
    unknown["ItemCode"] = json!("roti");
    let invoice = desk.invoiced("SCF-1", json!([known])).await;
    let refused = desk.put("Invoices", json!([desk.invoice("SCF-2", json!([unknown]))])).await;

    assert_eq!(answer[0]["IsTrackedAsInventory"], json!(false));
    assert!(messages(&answer[1]).contains("already exists") && messages(&answer[2]).contains("longer than 30"));
    assert_eq!(invoice["LineItems"][0]["Item"]["Code"], "naan");
    assert!(messages(&refused[0]).contains("'roti'"), "{refused}");
}

#[tokio::test]
async fn a_note_is_written_into_the_history_of_an_invoice() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    let path = format!("Invoices/{}/History", invoice["InvoiceID"].as_str().expect("an id"));

    let note = json!({"HistoryRecords": [{"Details": "version 3"}]});
    let (status, _) = ask(desk.write("PUT", &path, &note)).await;
    let history = desk.get(&path).await;
    let refused = ask(desk.write("PUT", &path, &json!({"HistoryRecords": [{}]}))).await;

    assert_eq!((status, &history["HistoryRecords"][0]["Details"]), (200, &json!("version 3")));
    assert!(refusal(refused).contains("Details is required"));
}
