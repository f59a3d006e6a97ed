//! Steps and their answers.

use scoffable_sync::{
    domain::{delivery::Reason, limits::Window},
    sinks::{
        Doubt, Finding, GroupAnswer,
        xero::{
            call::{Allocate, AllocateTo, Pay, Payments, Read, Removal, RemovePayments, Update, Void},
            receipt::{Allocation, Payment},
            send::{ADOPTION_CONFLICT, cause},
        },
    },
};

use super::{
    stub::{ok, reply},
    *,
};

fn payment(reference: &str, on: &str, amount_minor: i64) -> Payment {
    Payment {
        reference: reference.to_owned(),
        id: None,
        tender: scoffable_sync::sinks::xero::config::Tender::OnlineScoffable,
        account: "611".to_owned(),
        amount_minor,
        on: on.to_owned(),
        date: None,
        removed: false,
        reconciled: false,
    }
}

fn pay(reference: &str, number: &str, amount_minor: i64) -> Pay {
    let body = Exact::of(&json!({"Reference": reference, "Account": {"Code": "611"}}));
    Pay { reference: reference.to_owned(), on: on(DocumentKind::Invoice, number), amount_minor, body }
}

/// The step that pays an invoice in two parts.
fn payments(number: &str) -> Step {
    let (first, second) = (format!("{number}-P1-1"), format!("{number}-P2-1"));
    let mut held = holding(vec![posted(document(DocumentKind::Invoice, number, 2329))]);
    held.payments = vec![payment(&first, number, 1829), payment(&second, number, 500)];
    held.documents[0].applied_minor = 2329;
    let payments = vec![pay(&first, number, 1829), pay(&second, number, 500)];
    step(&Call::Payments(Payments { currency: gbp(), payments }), &held)
}

fn paid(reference: &str, amount: &str) -> Value {
    json!({"PaymentID": id_of(reference), "Reference": reference, "Amount": json_number(amount), "Status": "AUTHORISED"})
}

/// One that stands there.
fn posted(mut document: Document) -> Document {
    document.id = Some(id_of(&document.number));
    document
}

fn group(steps: &[Step]) -> Vec<&Step> {
    steps.iter().collect()
}

impl Case {
    async fn send_group(&self, steps: &[Step]) -> GroupAnswer {
        self.client.send_group(&group(steps), self.app.clock.wall()).await
    }

    async fn look_up(&self, steps: &[Step]) -> Vec<Finding> {
        let key = key("1");
        let doubts: Vec<Doubt<'_>> =
            steps.iter().map(|step| Doubt { key: &key, step, sent: Duration::from_mins(6) }).collect();
        self.client.look_up(&doubts, self.app.clock.wall()).await.findings
    }
}

fn each(answer: GroupAnswer) -> Vec<Answer> {
    match answer {
        GroupAnswer::Each(answers) => answers,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_document_goes_out_word_for_word_with_everything_xero_wants_of_a_request() {
    let case = Case::usual().await;
    case.xero.answers("PUT", "/Invoices", ok(&json!({"Invoices": [shown("SCF-1", "23.29")]})));

    let step = invoice("SCF-1", 2329);
    let answer = case.send(&step).await;

    let asked = &case.xero.asked()[0];
    assert_eq!(asked.body, r#"{"Invoices":[{"InvoiceNumber":"SCF-1","Type":"ACCREC"}]}"#);
    assert_eq!(asked.query, [("summarizeErrors".to_owned(), "false".to_owned())].into());
    for (name, value) in [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("xero-tenant-id", TENANT),
        ("idempotency-key", &step.key),
        ("authorization", "Bearer token-1"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    let document = &held(&answer).documents[0];
    assert_eq!((document.id.clone(), document.told_minor), (Some(id_of("SCF-1")), Some(2329)));
    assert_eq!(document.updated_at.unwrap().timestamp(), 1_760_000_000);
}

#[tokio::test]
async fn records_of_one_call_are_told_apart_by_number_and_one_that_is_bad_refuses_no_other() {
    let case = Case::usual().await;
    let answer = json!({"Invoices": [
        shown("SCF-3", "3.00"),
        refused("SCF-2", "The document cannot be dated before the lock date"),
        shown("SCF-1", "1.00"),
    ]});
    case.xero.answers("PUT", "/Invoices", ok(&answer).with("X-MinLimit-Remaining", "59"));
    let steps = [invoice("SCF-1", 100), invoice("SCF-2", 200), invoice("SCF-3", 300), invoice("SCF-4", 400)];

    let answers = each(case.send_group(&steps).await);

    assert_eq!(held(&answers[0]).documents[0].id, Some(id_of("SCF-1")));
    assert_eq!(causes(&held(&answers[1])), [cause::LOCK_DATE]);
    assert!(held(&answers[1]).documents.is_empty(), "what was refused does not stand");
    assert_eq!(held(&answers[2]).documents[0].id, Some(id_of("SCF-3")));
    assert_eq!(answers[3].outcome, Outcome::Unknown { reason: Reason::UnreadableAnswer }, "nothing was said of it");
    assert_eq!(answers[0].limits.iter().map(|learned| learned.window).collect::<Vec<_>>(), [Window::Minute]);
    let asked = case.xero.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("idempotency-key").len(), 64);
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_says_nothing_of_a_single_record() {
    let case = Case::usual().await;
    case.xero.answers("PUT", "/Invoices", reply(400, &exception("The TaxType 'X' does not exist")));

    let answer = case.send_group(&[invoice("SCF-1", 100), invoice("SCF-2", 200)]).await;

    assert!(matches!(answer, GroupAnswer::RefusedWhole));
}

#[tokio::test]
async fn a_group_that_is_too_large_is_not_sent_as_one() {
    let case = Case::usual().await;
    let mut large = invoice("SCF-1", 100);
    let Ok(Call::Invoice(mut post)) = Call::read(&large.body) else { panic!() };
    post.body = Exact::of(&json!({"InvoiceNumber": "SCF-1", "Reference": "x".repeat(600_000)}));
    large.body = Call::Invoice(post).written();

    let answer = case.send_group(&[large.clone(), large]).await;

    assert!(matches!(answer, GroupAnswer::RefusedWhole));
    assert_eq!(case.xero.lines(), [""; 0]);
}

#[tokio::test]
async fn a_total_of_xeros_own_is_kept_beside_ours() {
    let case = Case::usual().await;
    case.xero.answers("PUT", "/Invoices", ok(&json!({"Invoices": [shown("SCF-1", "23.28")]})));

    let held = held(&case.send(&invoice("SCF-1", 2329)).await);

    assert_eq!((held.documents[0].gross_minor, held.documents[0].told_minor), (2329, Some(2328)));
}

#[tokio::test]
async fn a_number_in_use_is_ours_if_it_says_the_same_and_is_never_touched_if_not() {
    let case = Case::usual().await;
    let in_use = || reply(400, &exception("Invoice # must be unique."));
    let other_contact = {
        let mut other = shown("SCF-1", "23.29");
        other["Contact"]["ContactID"] = json!("11111111-1111-4c1e-9b7d-0d3f5a2b9c01");
        other
    };
    let void = {
        let mut void = shown("SCF-1", "23.29");
        void["Status"] = json!("VOIDED");
        void
    };
    for (there, is_ours) in
        [(shown("SCF-1", "23.29"), true), (shown("SCF-1", "20.00"), false), (other_contact, false), (void, false)]
    {
        case.xero.answers("PUT", "/Invoices", in_use());
        case.xero.answers("GET", "/Invoices", ok(&json!({"Invoices": [there]})));

        let answer = case.send(&invoice("SCF-1", 2329)).await;

        if is_ours {
            assert_eq!(held(&answer).documents[0].id, Some(id_of("SCF-1")));
        } else {
            assert_eq!(answer.outcome, Outcome::Reject { reason: Reason::Conflict });
            assert_eq!(answer.told, Some(&ADOPTION_CONFLICT));
        }
        assert_eq!(answer.calls_beside, 1);
    }
    let asked = case.xero.asked();
    assert!(asked.iter().all(|asked| asked.method == "PUT" || asked.method == "GET"));
    assert_eq!(asked[1].query["InvoiceNumbers"], "SCF-1");
}

#[tokio::test]
async fn refusals_are_told_apart_by_their_text() {
    let case = Case::usual().await;
    for (message, cause) in [
        ("The document date is before the period lock date", cause::LOCK_DATE),
        ("Account code '999' is not a valid code for this document.", cause::MAPPING),
        ("Something that nobody has seen", cause::REJECTED),
    ] {
        case.xero.answers("PUT", "/Invoices", reply(400, &exception(message)));

        let held = held(&case.send(&invoice("SCF-1", 2329)).await);

        assert_eq!(causes(&held), [cause], "{message}");
        assert!(held.documents.is_empty());
    }
}

#[tokio::test]
async fn each_status_is_taken_for_what_the_documentation_says() {
    let case = Case::usual().await;
    let plain = json!({"Title": "no", "Detail": "no"});
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let cases = [
        (reply(403, &plain), Outcome::Blocked { reason: Reason::Forbidden }),
        (reply(500, &plain), Outcome::Unknown { reason: Reason::ServerError }),
        (reply(429, &plain).with("Retry-After", "90"), Outcome::Throttled { not_before: seconds(90) }),
        (reply(302, &plain), Outcome::Reject { reason: Reason::Redirected }),
        (ok(&plain).saying("<Response/>"), Outcome::Unknown { reason: Reason::UnreadableAnswer }),
        (ok(&plain).saying("{}"), Outcome::Unknown { reason: Reason::UnreadableAnswer }),
    ];
    for (reply, outcome) in cases {
        let told = format!("{reply:?}");
        case.xero.answers("PUT", "/Invoices", reply);
        assert_eq!(case.send(&invoice("SCF-1", 2329)).await.outcome, outcome, "{told}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_a_missing_right_is_told_from_it() {
    let case = Case::usual().await;
    let unauthorized = || reply(401, &json!({"Title": "Unauthorized", "Detail": "TokenExpired"}));
    case.xero.answers("PUT", "/Invoices", unauthorized());
    case.xero.answers("PUT", "/Invoices", ok(&json!({"Invoices": [shown("SCF-1", "23.29")]})));
    assert!(matches!(case.send(&invoice("SCF-1", 2329)).await.outcome, Outcome::Delivered(_)));
    assert_eq!(case.xero.n_tokens(), 2);
    assert_eq!(case.xero.asked()[1].header("authorization"), "Bearer token-2");

    let lacking = || reply(401, &json!({"Title": "Unauthorized", "Detail": "AuthorizationUnsuccessful"}));
    case.xero.answers("PUT", "/Invoices", lacking()).answers("PUT", "/Invoices", lacking());
    let answer = case.send(&invoice("SCF-1", 2329)).await;

    assert_eq!(answer.outcome, Outcome::Blocked { reason: Reason::Forbidden });
}

#[tokio::test]
async fn too_many_at_once_waits_some_seconds_although_no_time_is_named() {
    let case = Case::usual().await;
    case.xero.answers("PUT", "/Invoices", reply(429, &json!({})).with("X-Rate-Limit-Problem", "concurrent"));
    case.xero.answers(
        "PUT",
        "/Invoices",
        reply(429, &json!({})).with("X-Rate-Limit-Problem", "Day").with("Retry-After", "7200"),
    );

    let at_once = case.send(&invoice("SCF-1", 2329)).await;
    let day = case.send(&invoice("SCF-1", 2329)).await;

    let Outcome::Throttled { not_before: Some(wait) } = at_once.outcome else { panic!("{:?}", at_once.outcome) };
    assert!((Duration::from_secs(2)..=Duration::from_secs(5)).contains(&wait), "{wait:?}");
    assert_eq!(at_once.limits, []);
    assert_eq!(day.limits.iter().map(|learned| learned.window).collect::<Vec<_>>(), [Window::Day]);
}

#[tokio::test]
async fn payments_are_told_apart_by_reference_and_one_that_is_refused_leaves_the_receipt() {
    let case = Case::usual().await;
    let refused = json!({
        "Reference": "SCF-1-P2-1", "StatusAttributeString": "ERROR",
        "ValidationErrors": [{"Message": "Payment amount exceeds the amount outstanding on this document"}],
    });
    case.xero.answers("PUT", "/Payments", ok(&json!({"Payments": [refused, paid("SCF-1-P1-1", "18.29")]})));

    let held = held(&case.send(&payments("SCF-1")).await);

    assert_eq!(held.payments.len(), 1);
    assert_eq!(held.payments[0].id, Some(id_of("SCF-1-P1-1")));
    assert_eq!(causes(&held), [cause::REJECTED]);
    assert_eq!(held.documents[0].applied_minor, 1829);
}

#[tokio::test]
async fn payments_of_several_orders_share_a_call_and_one_that_is_not_answered_is_in_doubt() {
    let case = Case::usual().await;
    let answer = ["SCF-2-P2-1", "SCF-2-P1-1", "SCF-1-P1-1"].map(|reference| paid(reference, "1.00"));
    case.xero.answers("PUT", "/Payments", ok(&json!({"Payments": answer})));

    let answers = each(case.send_group(&[payments("SCF-1"), payments("SCF-2")]).await);

    assert_eq!(answers[0].outcome, Outcome::Unknown { reason: Reason::UnreadableAnswer });
    assert!(held(&answers[1]).payments.iter().all(|payment| payment.id.is_some()));
    assert_eq!(case.xero.asked()[0].json()["Payments"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn single_records_are_changed_by_their_id_and_without_the_parameter_of_lists() {
    let case = Case::usual().await;
    let id = id_of("SCF-1");
    let path = format!("/Invoices/{id}");
    let mut void = shown("SCF-1", "23.29");
    void["Status"] = json!("VOIDED");
    case.xero.answers("POST", &path, ok(&json!({"Invoices": [shown("SCF-1", "20.39")]})));
    case.xero.answers("POST", &path, ok(&json!({"Invoices": [void]})));
    let held_for = |gross| holding(vec![posted(document(DocumentKind::Invoice, "SCF-1", gross))]);
    let update = Update {
        document: on(DocumentKind::Invoice, "SCF-1"),
        total_minor: 2039,
        currency: gbp(),
        before: posted(document(DocumentKind::Invoice, "SCF-1", 2329)),
        body: Exact::of(&json!({"InvoiceID": id, "Status": "AUTHORISED"})),
    };
    let void = Void {
        document: on(DocumentKind::Invoice, "SCF-1"),
        before: posted(document(DocumentKind::Invoice, "SCF-1", 2039)),
        body: Exact::of(&json!({"InvoiceID": id, "Status": "VOIDED"})),
    };

    let updated = held(&case.send(&step(&Call::Update(update), &held_for(2039))).await);
    let voided = held(&case.send(&step(&Call::Void(void), &held_for(2039))).await);

    assert_eq!(updated.documents[0].told_minor, Some(2039));
    assert_eq!(voided.documents[0].status, Standing::Voided);
    assert!(case.xero.asked().iter().all(|asked| asked.query.is_empty()));
    assert_eq!(case.xero.asked()[1].json(), json!({"Invoices": [{"InvoiceID": id, "Status": "VOIDED"}]}));
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_the_receipt_as_it_was() {
    let case = Case::usual().await;
    let id = id_of("SCF-1");
    let refusal = reply(400, &exception("Invoice not of valid status for modification"));
    case.xero.answers("POST", &format!("/Invoices/{id}"), refusal);
    let before = posted(document(DocumentKind::Invoice, "SCF-1", 2329));
    let update = Update {
        document: on(DocumentKind::Invoice, "SCF-1"),
        total_minor: 2039,
        currency: gbp(),
        before: before.clone(),
        body: Exact::of(&json!({"InvoiceID": id})),
    };

    let after = holding(vec![posted(document(DocumentKind::Invoice, "SCF-1", 2039))]);
    let held = held(&case.send(&step(&Call::Update(update), &after)).await);

    assert_eq!(held.documents, [before]);
    assert_eq!(causes(&held), [cause::NOT_MODIFIABLE]);
}

#[tokio::test]
async fn an_allocation_that_is_refused_is_taken_out_of_the_receipt() {
    let case = Case::usual().await;
    let path = format!("/CreditNotes/{}/Allocations", id_of("SCF-1-C1"));
    case.xero.answers("PUT", &path, reply(400, &exception("The amount exceeds the amount outstanding")));
    let mut invoice = posted(document(DocumentKind::Invoice, "SCF-1", 2329));
    invoice.applied_minor = 290;
    let mut credit_note = posted(document(DocumentKind::CreditNote, "SCF-1-C1", 290));
    (credit_note.applied_minor, credit_note.status) = (290, Standing::Paid);
    let mut held_then = holding(vec![invoice, credit_note]);
    held_then.allocations =
        vec![Allocation { credit_note: "SCF-1-C1".to_owned(), invoice: "SCF-1".to_owned(), amount_minor: 290 }];
    let allocate = Allocate {
        credit_note: on(DocumentKind::CreditNote, "SCF-1-C1"),
        currency: gbp(),
        invoices: vec![AllocateTo { invoice: on(DocumentKind::Invoice, "SCF-1"), amount_minor: 290 }],
        body: Exact::of(&json!({"Allocations": [{"Amount": 2}]})),
    };

    let held = held(&case.send(&step(&Call::Allocate(allocate), &held_then)).await);

    assert_eq!(held.allocations, []);
    assert_eq!(held.documents.iter().map(|one| one.applied_minor).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(held.documents[1].status, Standing::Authorised);
    assert_eq!(case.xero.asked()[0].query["summarizeErrors"], "false");
    assert_eq!(causes(&held), [cause::REJECTED]);
}

#[tokio::test]
async fn a_reading_brings_what_a_person_did_there() {
    let case = Case::usual().await;
    let mut there = shown("SCF-1", "25.00");
    there["Status"] = json!("PAID");
    there["AmountPaid"] = json_number("25.00");
    case.xero.answers("GET", &format!("/Invoices/{}", id_of("SCF-1")), ok(&json!({"Invoices": [there]})));
    let held_before = holding(vec![posted(document(DocumentKind::Invoice, "SCF-1", 2329))]);
    let read = Read { documents: vec![on(DocumentKind::Invoice, "SCF-1")], version: 5 };

    let held = held(&case.send(&step(&Call::Read(read), &held_before)).await);

    assert_eq!((held.documents[0].status, held.documents[0].applied_minor), (Standing::Paid, 2500));
    assert!(held.documents[0].edited);
    assert_eq!(held.read.map(|read| read.version), Some(5));
}

/// An invoice of which these payments are to be removed, and what comes of it.
async fn after_removal(case: &Case, payments: &[(&str, i64)]) -> Held {
    let mut held_then = holding(vec![posted(document(DocumentKind::Invoice, "SCF-1", 2329))]);
    let mut removals = RemovePayments { payments: Vec::new() };
    for (reference, amount_minor) in payments {
        let mut payment = payment(reference, "SCF-1", *amount_minor);
        payment.id = Some(id_of(reference));
        payment.removed = true;
        held_then.payments.push(payment);
        removals.payments.push(Removal { id: id_of(reference), reference: (*reference).to_owned() });
    }
    held(&case.send(&step(&Call::RemovePayments(removals), &held_then)).await)
}

fn path_of_payment(reference: &str) -> String {
    format!("/Payments/{}", id_of(reference))
}

#[tokio::test]
async fn payments_are_removed_once_all_of_them_were_looked_at() {
    let case = Case::usual().await;
    let listed = |reference: &str| ok(&json!({"Payments": [paid(reference, "5.00")]}));
    let mut removed_before = paid("SCF-1-P2-1", "5.00");
    removed_before["Status"] = json!("DELETED");
    case.xero.answers("GET", &path_of_payment("SCF-1-P1-1"), listed("SCF-1-P1-1"));
    case.xero.answers("GET", &path_of_payment("SCF-1-P2-1"), ok(&json!({"Payments": [removed_before]})));
    case.xero.answers("POST", &path_of_payment("SCF-1-P1-1"), listed("SCF-1-P1-1"));

    let held = after_removal(&case, &[("SCF-1-P1-1", 500), ("SCF-1-P2-1", 500)]).await;

    assert!(held.payments.iter().all(|payment| payment.removed) && causes(&held).is_empty());
    assert_eq!(case.xero.asked().last().unwrap().json(), json!({"Status": "DELETED"}));
}

#[tokio::test]
async fn one_reconciled_payment_keeps_them_all_and_is_remembered() {
    let case = Case::usual().await;
    let mut reconciled = paid("SCF-1-P2-1", "5.00");
    reconciled["IsReconciled"] = json!(true);
    case.xero.answers("GET", &path_of_payment("SCF-1-P1-1"), ok(&json!({"Payments": [paid("SCF-1-P1-1", "18.29")]})));
    case.xero.answers("GET", &path_of_payment("SCF-1-P2-1"), ok(&json!({"Payments": [reconciled]})));

    let held = after_removal(&case, &[("SCF-1-P1-1", 1829), ("SCF-1-P2-1", 500)]).await;

    assert!(case.xero.asked().iter().all(|asked| asked.method == "GET"));
    let marks: Vec<_> = held.payments.iter().map(|payment| (payment.removed, payment.reconciled)).collect();
    assert_eq!((marks, causes(&held)), (vec![(false, false), (false, true)], vec![]));
    assert_eq!(held.documents[0].applied_minor, 2329);
}

#[tokio::test]
async fn many_lost_documents_are_looked_up_by_number_forty_at_a_time() {
    let case = Case::usual().await;
    let numbers: Vec<String> = (100..145).map(|n| format!("SCF-{n}")).collect();
    let steps: Vec<Step> = numbers.iter().map(|number| invoice(number, 2329)).collect();
    let first: Vec<Value> = numbers[..40].iter().skip(2).map(|number| shown(number, "23.29")).collect();
    let second = [shown("SCF-140", "23.29"), shown("SCF-141", "20.00")];
    case.xero.answers("GET", "/Invoices", ok(&json!({"Invoices": first})));
    case.xero.answers("GET", "/Invoices", ok(&json!({"Invoices": second})));

    let findings = case.look_up(&steps).await;

    assert!(matches!(findings[..2], [Finding::NotFound, Finding::NotFound]));
    for (finding, number) in findings[2..41].iter().zip(&numbers[2..]) {
        let Finding::Stands(receipt) = finding else { panic!("{number}: {finding:?}") };
        assert_eq!(receipt.external_id, Some(id_of(number)));
    }
    let Finding::Ambiguous { hint } = &findings[41] else { panic!("{:?}", findings[41]) };
    assert!(hint.starts_with("adoption_conflict"), "{hint}");
    let counts =
        case.xero.asked().iter().map(|asked| asked.query["InvoiceNumbers"].split(',').count()).collect::<Vec<_>>();
    assert_eq!(counts, [40, 5]);
}

#[tokio::test]
async fn a_lost_credit_note_is_looked_up_by_its_number() {
    let case = Case::usual().await;
    let there = json!({
        "Type": "ACCRECCREDIT", "CreditNoteID": id_of("SCF-1-C1"), "CreditNoteNumber": "SCF-1-C1", "Status": "AUTHORISED",
        "Contact": {"ContactID": CONTACT}, "CurrencyCode": "GBP", "Total": json_number("2.90"),
    });
    case.xero.answers("GET", "/CreditNotes", ok(&json!({"CreditNotes": [there]})));

    let findings = case.look_up(&[post(DocumentKind::CreditNote, "SCF-1-C1", 290)]).await;

    assert!(matches!(findings[..], [Finding::Stands(_)]), "{findings:?}");
    assert_eq!(case.xero.asked()[0].query["where"], r#"CreditNoteNumber=="SCF-1-C1""#);
}

#[tokio::test]
async fn where_filters_are_refused_what_changed_lately_is_searched() {
    let case = Case::usual().await;
    let there = |number: &str| {
        json!({
            "Type": "ACCRECCREDIT", "CreditNoteID": id_of(number), "CreditNoteNumber": number, "Status": "AUTHORISED",
            "Contact": {"ContactID": CONTACT}, "CurrencyCode": "GBP", "Total": json_number("2.90"),
        })
    };
    let page = |number: &str| json!({"CreditNotes": [there(number)], "pagination": {"page": 1, "pageCount": 2}});
    case.xero.answers("GET", "/CreditNotes", reply(400, &exception("High volume")));
    case.xero.answers("GET", "/CreditNotes", ok(&page("SCF-9-C1"))).answers(
        "GET",
        "/CreditNotes",
        ok(&page("SCF-1-C1")),
    );

    let findings = case.look_up(&[post(DocumentKind::CreditNote, "SCF-1-C1", 290)]).await;

    assert!(matches!(findings[..], [Finding::Stands(_)]), "{findings:?}");
    let asked = case.xero.asked();
    assert!(asked[1].header("if-modified-since").starts_with("20"), "{}", asked[1].header("if-modified-since"));
    assert_eq!((asked.len(), asked[2].query["page"].as_str()), (3, "2"));
}

#[tokio::test]
async fn lost_payments_are_known_by_their_reference_and_of_a_call_in_part_the_rest_was_refused() {
    let case = Case::usual().await;
    let with = |number: &str, payments: Value| {
        let mut invoice = shown(number, "23.29");
        invoice["Payments"] = payments;
        invoice
    };
    let listed = json!({"Invoices": [
        with("SCF-1", json!([paid("SCF-1-P1-1", "18.29"), paid("SCF-1-P2-1", "5.00")])),
        with("SCF-2", json!([paid("SCF-2-P1-1", "18.29")])),
        with("SCF-3", json!([paid("SCF-3-P1-9", "18.29")])),
        with("SCF-4", json!([paid("SCF-4-P1-1", "1.00")])),
    ]});
    case.xero.answers("GET", "/Invoices", ok(&listed));

    let findings = case.look_up(&["SCF-1", "SCF-2", "SCF-3", "SCF-4"].map(payments)).await;

    let of = |finding: &Finding| match finding {
        Finding::Stands(receipt) => Held::of(receipt.receipt.as_ref()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(of(&findings[0]).payments.iter().all(|payment| payment.id.is_some()));
    assert_eq!((of(&findings[1]).payments.len(), causes(&of(&findings[1]))), (1, vec![cause::LOST]));
    assert!(matches!(findings[2], Finding::NotFound));
    assert!(matches!(findings[3], Finding::Ambiguous { .. }), "another amount under our reference");
    assert_eq!(case.xero.asked().len(), 1);
}

#[tokio::test]
async fn an_allocation_is_there_if_the_credit_note_has_it() {
    let case = Case::usual().await;
    let credit_note = on(DocumentKind::CreditNote, "SCF-1-C1");
    let invoice = on(DocumentKind::Invoice, "SCF-1");
    let mut held = holding(vec![
        posted(document(DocumentKind::Invoice, "SCF-1", 2329)),
        posted(document(DocumentKind::CreditNote, "SCF-1-C1", 290)),
    ]);
    held.allocations =
        vec![Allocation { credit_note: "SCF-1-C1".to_owned(), invoice: "SCF-1".to_owned(), amount_minor: 290 }];
    let allocate = Allocate {
        credit_note,
        currency: gbp(),
        invoices: vec![AllocateTo { invoice, amount_minor: 290 }],
        body: Exact::of(&json!({"Allocations": []})),
    };
    let step = step(&Call::Allocate(allocate), &held);
    let path = format!("/CreditNotes/{}", id_of("SCF-1-C1"));
    let allocated = json!([{"Amount": json_number("2.90"), "Invoice": {"InvoiceID": id_of("SCF-1")}}]);
    for allocations in [json!([]), allocated] {
        let there = json!({"CreditNoteID": id_of("SCF-1-C1"), "Allocations": allocations});
        case.xero.answers("GET", &path, ok(&json!({"CreditNotes": [there]})));
    }

    let before = case.look_up(std::slice::from_ref(&step)).await;
    let after = case.look_up(std::slice::from_ref(&step)).await;

    assert!(matches!(before[..], [Finding::NotFound]), "{before:?}");
    assert!(matches!(after[..], [Finding::Stands(_)]), "{after:?}");
}

/// Cause: it was taken for an empty list, so what stood there was taken for proven absent, and sent again.
#[tokio::test]
async fn a_list_that_is_not_there_says_nothing_of_what_it_would_list() {
    let case = Case::usual().await;
    case.xero.answers("GET", "/Invoices", reply(404, &json!({})));

    let findings = case.look_up(&[invoice("SCF-1", 100)]).await;

    assert!(matches!(&findings[..], [Finding::Failed(_)]), "{findings:?}");
}

#[tokio::test]
async fn a_look_up_that_fails_fails_for_all_that_needed_it() {
    let case = Case::usual().await;
    case.xero.answers("GET", "/Invoices", reply(429, &json!({})).with("Retry-After", "60"));

    let findings = case.look_up(&[invoice("SCF-1", 100), invoice("SCF-2", 100)]).await;

    let throttled = Outcome::Throttled { not_before: Some(Duration::from_mins(1)) };
    for finding in findings {
        assert!(matches!(finding, Finding::Failed(answer) if answer.outcome == throttled));
    }
}
