//! Settings, lists, filters, pages and dates.

use super::*;

#[tokio::test]
async fn settings_are_what_the_organisation_has() {
    let desk = start().await;

    let organisation = desk.get("Organisation").await["Organisations"][0].clone();
    let rates = desk.get("TaxRates").await;
    let accounts = desk.get("Accounts").await;
    let currencies = desk.get("Currencies").await;
    let categories = desk.get("TrackingCategories").await;

    assert_eq!([&organisation["BaseCurrency"], &organisation["Timezone"]], ["GBP", "GMTSTANDARDTIME"]);
    assert_eq!(organisation["PeriodLockDate"], Value::Null);
    let named = |list: &Value, member: &str, name: &str| {
        list.as_array().into_iter().flatten().find(|one| one[member] == name).cloned().unwrap_or_default()
    };
    assert_eq!(named(&rates["TaxRates"], "TaxType", "OUTPUT2")["EffectiveRate"], json!(20.0));
    assert_eq!(named(&rates["TaxRates"], "TaxType", "INPUT2")["CanApplyToRevenue"], json!(false));
    assert_eq!(named(&accounts["Accounts"], "Code", "611")["EnablePaymentsToAccount"], json!(true));
    assert_eq!(named(&accounts["Accounts"], "Code", "090")["Type"], "BANK");
    assert_eq!(named(&currencies["Currencies"], "Code", "EUR")["Code"], "EUR");
    assert_eq!(categories["TrackingCategories"][0]["Options"][0]["Name"], "Old Mill Kitchen");
}

#[tokio::test]
async fn lists_are_filtered_by_numbers_ids_and_statuses_and_show_lines_only_on_pages() {
    let desk = start().await;
    let first = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    desk.invoiced("SCF-2", json!([line(1, json!(5))])).await;
    desk.paid(&first, "611", json!(5), "SCF-1-P1-1").await;
    let numbers = async |query: &str| {
        let body = desk.get(&format!("Invoices?{query}")).await;
        let all = body["Invoices"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["InvoiceNumber"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(numbers("InvoiceNumbers=SCF-2,SCF-3").await, ["SCF-2"]);
    assert_eq!(numbers(&format!("IDs={}", first["InvoiceID"].as_str().expect("an id"))).await, ["SCF-1"]);
    assert_eq!(numbers("Statuses=PAID").await, ["SCF-1"]);
    assert_eq!(numbers("where=Status%3D%3D%22AUTHORISED%22").await, ["SCF-2"]);
    assert_eq!(numbers("searchTerm=scf-1").await, ["SCF-1"]);
    let plain = desk.get("Invoices?InvoiceNumbers=SCF-1").await;
    let page = desk.get("Invoices?page=2&pageSize=1").await;
    assert_eq!(plain["Invoices"][0]["LineItems"], json!([]));
    assert_eq!(page["Invoices"][0]["LineItems"][0]["LineAmount"], json!(5.0));
    assert_eq!(page["pagination"], json!({"page": 2, "pageSize": 1, "pageCount": 2, "itemCount": 2}));
}

#[tokio::test]
async fn a_credit_note_is_found_by_its_number_unless_there_are_too_many() {
    let desk = start().await;
    desk.credited("SCF-1-C1", json!([line(1, json!(2))])).await;
    let find = "CreditNotes?where=CreditNoteNumber%3D%3D%22SCF-1-C1%22";

    assert_eq!(desk.get(find).await["CreditNotes"][0]["RemainingCredit"], json!(2.0));
    assert_eq!(desk.get(&find.replace("C1", "C2")).await["CreditNotes"], json!([]));
    desk.change_rules(|rules| rules.takes_where = false);
    let (status, body) = ask(desk.request("GET", find)).await;
    assert!(status == 400 && body["Message"].as_str().is_some_and(|text| text.contains("high volume")), "{body}");
    assert!(desk.violations().is_empty());
}

#[tokio::test]
async fn only_what_changed_since_is_listed() {
    let token_life = Duration::from_hours(24);
    let desk = start_with(XeroOptions { token_life, limits: XeroLimits::NONE, ..XeroOptions::default() }).await;
    desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    desk.clock.advance(secs(3600));
    let since = desk.clock.wall();
    desk.clock.advance(secs(60));
    desk.invoiced("SCF-2", json!([line(1, json!(5))])).await;
    desk.edit_invoice("SCF-1", |invoice| invoice.reference = Some("by hand".to_owned()));
    desk.clock.advance(secs(60));
    let list = async |since: DateTime<Utc>| {
        let since = since.format("%Y-%m-%dT%H:%M:%S").to_string();
        let (_, body) = ask(desk.request("GET", "Invoices").header("if-modified-since", since)).await;
        body["Invoices"].as_array().map(Vec::len)
    };

    assert_eq!(
        [list(since - secs(7200)).await, list(since).await, list(desk.clock.wall()).await],
        [Some(2), Some(2), Some(0)]
    );
    assert_eq!(ask(desk.request("GET", "Invoices").header("if-modified-since", "soon")).await.0, 400);
}

#[tokio::test]
async fn dates_are_written_as_the_server_pleases() {
    let desk = start().await;
    let microsoft = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    desk.change_manner(|manner| manner.dates = DateStyle::Iso);
    let iso = desk.get("Invoices?InvoiceNumbers=SCF-1").await["Invoices"][0].clone();

    assert_eq!([&microsoft["Date"], &microsoft["DateString"]], ["/Date(1759968000000+0000)/", "2025-10-09T00:00:00"]);
    assert!(microsoft["UpdatedDateUTC"].as_str().is_some_and(|text| text.ends_with("+0000)/")));
    assert_eq!([&iso["Date"], &iso["DateString"]], ["2025-10-09T00:00:00", "2025-10-09T00:00:00"]);
    assert!(iso["UpdatedDateUTC"].as_str().is_some_and(|text| text.len() == 23));
}
