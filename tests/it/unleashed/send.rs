//! Steps and their answers, and what becomes of those that were lost.

use scoffable_sync::{
    domain::{
        delivery::Reason,
        reconciliation::{Holding, Seen},
    },
    sinks::{
        Doubt, Finding, Turns,
        unleashed::{
            call::{DeleteLines, Product, Products, Read, Update},
            send::{ADOPTION_CONFLICT, cause},
        },
    },
};

use super::{
    stub::{listed, ok, reply},
    *,
};

const ORDER: &str = "/SalesOrders/037bcfca-f144-5757-9fe6-81611f2f14a8";
const COMPLETE: &str = "/SalesOrders/037bcfca-f144-5757-9fe6-81611f2f14a8/Complete";
const FREE_CREDIT: &str = "/CreditNotes/FreeCredit";

fn no() -> stub::Reply {
    reply(400, &json!({"Description": "no"}))
}

fn gone() -> stub::Reply {
    reply(404, &json!({}))
}

impl Case {
    async fn look_up(&self, step: &Step) -> Finding {
        let key = key();
        let doubt = Doubt { key: &key, step, sent: Duration::from_mins(6) };
        self.client.look_up(&[doubt], self.app.clock.wall()).await.findings.remove(0)
    }
}

fn with_total(total: f64) -> Value {
    let mut order = shown("Parked");
    order["Total"] = json!(total);
    order
}

#[tokio::test]
async fn an_order_that_is_refused_is_looked_at_and_is_ours_if_it_says_the_same() {
    let case = Case::usual().await;
    case.there.answers("POST", ORDER, reply(409, &json!({}))).answers("GET", ORDER, ok(&shown("Parked")));
    case.there.answers("POST", ORDER, no()).answers("GET", ORDER, ok(&with_total(11.0)));
    case.there.answers("POST", ORDER, no()).answers("GET", ORDER, gone());

    let adopted = case.send(&order()).await;
    assert!(held(&adopted).documents[0].made_at.is_some());
    let other = case.send(&order()).await;
    assert_eq!((other.outcome, other.told), (Outcome::Reject { reason: Reason::Conflict }, Some(&ADOPTION_CONFLICT)));
    let refused = case.send(&order()).await;
    let receipt = held(&refused);
    assert_eq!((causes(&receipt), receipt.documents.len()), (vec![cause::REJECTED], 0));
    assert!(matches!(&refused.outcome, Outcome::Delivered(receipt) if receipt.refused), "{refused:?}");
    assert_eq!((refused.http_status, refused.calls_beside), (Some(400), 2));
}

#[tokio::test]
async fn what_cannot_be_completed_stands_as_it_did_and_what_a_person_completed_is_done() {
    let case = Case::usual().await;
    case.there.answers("POST", COMPLETE, ok(&json!({})));
    case.there.answers("POST", COMPLETE, no()).answers("GET", ORDER, ok(&shown("Placed")));
    case.there.answers("POST", COMPLETE, no()).answers("GET", ORDER, ok(&shown("Completed")));
    case.there.answers("POST", COMPLETE, gone()).answers("GET", ORDER, gone());

    let completed = held(&case.send(&complete()).await);
    assert_eq!((completed.documents[0].status, completed.documents[0].checked), (Standing::Completed, false));
    assert_eq!(case.there.asked()[0].body, "");
    let refused = held(&case.send(&complete()).await);
    assert_eq!((causes(&refused), refused.documents[0].status), (vec![cause::NOT_COMPLETED], Standing::Parked));
    let by_hand = held(&case.send(&complete()).await);
    assert_eq!((causes(&by_hand), by_hand.documents[0].status), (vec![], Standing::Completed));
    let deleted = held(&case.send(&complete()).await);
    assert!(deleted.documents[0].deleted_there && causes(&deleted).is_empty());
}

#[tokio::test]
async fn an_update_that_came_too_late_is_no_refusal() {
    let case = Case::usual().await;
    let before = Document { made_at: Some(case.app.clock.wall()), ..document(DocumentKind::Order) };
    let mut after = before.clone();
    (after.gross_minor, after.lines[0].gross_minor) = (600, 600);
    let body = Exact::of(&json!({"Guid": GUID}));
    let update = step(&Call::Update(Update { on: on(&before), before, body }), &holding(after));
    case.there.answers("PUT", ORDER, no()).answers("GET", ORDER, ok(&shown("Completed")));
    case.there.answers("PUT", ORDER, no()).answers("GET", ORDER, ok(&shown("Parked")));

    let late = held(&case.send(&update).await);
    assert_eq!((late.documents[0].status, late.documents[0].gross_minor), (Standing::Completed, 1200));
    assert_eq!(causes(&late), Vec::<&str>::new());
    let refused = held(&case.send(&update).await);
    assert_eq!((causes(&refused), refused.documents[0].gross_minor), (vec![cause::REJECTED], 1200));
}

#[tokio::test]
async fn what_is_to_go_and_is_gone_is_gone() {
    let case = Case::usual().await;
    let before = Document { made_at: Some(case.app.clock.wall()), ..document(DocumentKind::Order) };
    let after = holding(Document { status: Standing::Deleted, ..before.clone() });
    let delete = step(&Call::Delete(Change { on: on(&before), before: before.clone() }), &after);
    case.there.answers("DELETE", ORDER, ok(&json!({}))).answers("DELETE", ORDER, gone());
    case.there.answers("DELETE", ORDER, no()).answers("GET", ORDER, ok(&shown("Deleted")));
    case.there.answers("DELETE", ORDER, no()).answers("GET", ORDER, ok(&shown("Completed")));

    for _ in 0..3 {
        let held = held(&case.send(&delete).await);
        assert_eq!((held.documents[0].status, held.documents[0].deleted_there), (Standing::Deleted, false));
    }
    assert_eq!(held(&case.send(&delete).await).documents[0].status, Standing::Completed);

    let line = "4e018476-970d-58bd-aabf-2b2342428fd5";
    let path = format!("/SalesOrders/Lines/{line}");
    case.there.answers("DELETE", &path, gone()).answers("DELETE", &path, no());
    let lines = DeleteLines { on: on(&before), lines: vec![line.to_owned()] };
    let lines = step(&Call::DeleteLines(lines), &holding(before));
    assert!(causes(&held(&case.send(&lines).await)).is_empty());
    assert_eq!(causes(&held(&case.send(&lines).await)), [cause::REJECTED]);
}

#[tokio::test]
async fn a_credit_note_is_looked_for_before_and_after_it_is_made() {
    let case = Case::usual().await;
    let other = json!({"Guid": "x", "Reference": "SCF-812345-C10", "Status": "Parked"});
    case.there.answers("GET", "/CreditNotes", listed(std::slice::from_ref(&other)));
    case.there.answers("POST", FREE_CREDIT, ok(&json!({"Guid": null, "CreditNumber": null})));
    case.there.answers("GET", "/CreditNotes", listed(&[other, shown_credit("Parked")]));

    let answer = case.send(&credit()).await;

    assert_eq!(case.there.lines(), ["GET /CreditNotes", "POST /CreditNotes/FreeCredit", "GET /CreditNotes"]);
    assert_eq!(case.there.asked()[0].query, "modifiedSince=2025-10-08&pageSize=200");
    let document = held(&answer).documents.remove(0);
    assert_eq!(document.guid, "99999999-0000-4000-8000-000000000001", "what it calls it");
    assert_eq!((document.told_number.as_deref(), document.made_at.is_some()), (Some("CN-1"), true));

    // A second time it is there.
    case.there.answers("GET", "/CreditNotes", listed(&[shown_credit("Parked")]));
    case.send(&credit()).await;
    assert_eq!(case.there.lines().iter().filter(|line| line.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_credit_note_that_keeps_our_guid_takes_two_calls_and_another_under_our_reference_is_a_conflict() {
    let case = Case::usual().await;
    case.there.answers("GET", "/CreditNotes", listed(&[]));
    case.there.answers("POST", FREE_CREDIT, ok(&json!({"Guid": GUID, "CreditNumber": "CN-7"})));
    let mut another = shown_credit("Completed");
    another["Total"] = json!(11.0);

    let made = held(&case.send(&credit()).await);
    assert_eq!((made.documents[0].guid.as_str(), made.documents[0].told_number.as_deref()), (GUID, Some("CN-7")));
    assert_eq!(case.there.asked().len(), 2);
    case.there.answers("GET", "/CreditNotes", listed(&[another]));
    assert_eq!(case.send(&credit()).await.told, Some(&ADOPTION_CONFLICT));
}

#[tokio::test]
async fn lost_answers_are_looked_up_by_guid_and_by_reference() {
    let case = Case::usual().await;
    let stands = |finding: &Finding| matches!(finding, Finding::Stands(_));
    case.there.answers("GET", ORDER, gone()).answers("GET", ORDER, ok(&shown("Parked")));
    case.there.answers("GET", ORDER, ok(&with_total(9.0)));

    assert!(matches!(case.look_up(&order()).await, Finding::NotFound));
    assert!(stands(&case.look_up(&order()).await));
    assert!(matches!(case.look_up(&order()).await, Finding::Ambiguous { hint } if hint.contains("adoption_conflict")));

    case.there.answers("GET", ORDER, ok(&shown("Parked"))).answers("GET", ORDER, ok(&shown("Backordered")));
    assert!(matches!(case.look_up(&complete()).await, Finding::NotFound));
    let Finding::Stands(receipt) = case.look_up(&complete()).await else { panic!("it stands") };
    let held = Held::of(receipt.receipt.as_ref()).unwrap();
    assert_eq!((held.documents[0].status, held.documents[0].checked), (Standing::Backordered, true));

    case.there.answers("GET", "/CreditNotes", listed(&[]));
    case.there.answers("GET", "/CreditNotes", listed(&[shown_credit("Parked")]));
    assert!(matches!(case.look_up(&credit()).await, Finding::NotFound));
    assert!(stands(&case.look_up(&credit()).await));

    case.there.answers("GET", ORDER, reply(502, &json!({})));
    assert!(matches!(case.look_up(&order()).await, Finding::Failed(_)));
}

#[tokio::test]
async fn what_was_read_tells_edits_and_deletions_by_hand() {
    let case = Case::usual().await;
    let made = Document { made_at: Some(case.app.clock.wall()), checked: true, ..document(DocumentKind::Order) };
    let read = Read { orders: vec![on(&made)], credits: Vec::new(), version: 2 };
    let known = Document { modified_at: Some("2025-10-09T08:53:20Z".parse().unwrap()), ..made.clone() };
    let seen = async |before: &Document, reply: stub::Reply| {
        case.there.answers("GET", ORDER, reply);
        held(&case.send(&step(&Call::Read(read.clone()), &holding(before.clone()))).await).documents.remove(0)
    };
    let mut later = shown("Parked");
    later["LastModifiedOn"] = json!("/Date(1760000001000)/");

    let same = seen(&known, ok(&shown("Parked"))).await;
    assert!(!same.edited && same.told_minor.is_none());
    assert!(seen(&known, ok(&later)).await.edited);
    assert!(seen(&made, ok(&with_total(11.0))).await.edited);
    let completed = seen(
        &known,
        ok(&{
            let mut done = later.clone();
            done["OrderStatus"] = json!("Completed");
            done
        }),
    )
    .await;
    assert_eq!((completed.edited, completed.status), (false, Standing::Completed));
    let gone = seen(&known, gone()).await;
    assert!(gone.deleted_there && gone.status == Standing::Deleted);
}

#[tokio::test]
async fn products_are_made_once_and_none_that_is_there_is_overwritten() {
    let case = Case::usual().await;
    let product = |code: &str, guid: &str| Product {
        code: code.to_owned(),
        guid: guid.to_owned(),
        is_dish: true,
        body: Exact::of(&json!({"ProductCode": code})),
    };
    let products = vec![product("there", "g1"), product("renamed", "g2"), product("new", "g3"), product("bad", "g4")];
    let call = Call::Products(Products { products });
    let named = |code: &str| json!({"Guid": "x", "ProductCode": code});
    case.there.answers("GET", "/Products", listed(&[named("there-2"), named("there")]));
    for (guid, answer) in [("g2", ok(&named("another"))), ("g3", gone()), ("g4", gone())] {
        case.there.answers("GET", "/Products", listed(&[])).answers("GET", &format!("/Products/{guid}"), answer);
    }
    case.there.answers("POST", "/Products/g3", ok(&json!({}))).answers("POST", "/Products/g4", no());

    let answer = case.send(&step(&call, &Held { currency: Some(gbp()), ..Held::default() })).await;

    let held = held(&answer);
    assert_eq!(
        (held.products, held.refused_products),
        (vec!["there".to_owned(), "new".to_owned()], vec!["renamed".to_owned(), "bad".to_owned()])
    );
    let Outcome::Delivered(Receipt { alert: Some(alert), .. }) = answer.outcome else { panic!("it is told") };
    assert_eq!(alert.cause, "product_created");
    let posted: Vec<String> = case.there.lines().into_iter().filter(|line| line.starts_with("POST")).collect();
    assert_eq!(posted, ["POST /Products/g3", "POST /Products/g4"]);
}

struct Turn;

impl Turns for Turn {
    fn next(&self) -> futures::future::BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }

    fn heard<'a>(
        &'a self,
        _: &'a [scoffable_sync::domain::limits::LearnedLimit],
        _: u32,
    ) -> futures::future::BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn an_order_is_worth_its_sales_orders_less_its_credit_notes_there() {
    let case = Case::usual().await;
    let made = |kind| Document { made_at: Some(case.app.clock.wall()), ..document(kind) };
    let note = Document { told_number: Some("CN-1".to_owned()), ..made(DocumentKind::Credit) };
    let both = Held { documents: vec![made(DocumentKind::Order), note], currency: Some(gbp()), ..Held::default() };
    let holding = Holding {
        order: key().order,
        external_id: None,
        receipt: both.receipt(),
        posted: 0,
        since: Duration::from_hours(1),
    };
    let mut less = shown_credit("Completed");
    less["Total"] = json!(5.0);
    case.there.answers("GET", ORDER, ok(&shown("Completed"))).answers("GET", "/CreditNotes", listed(&[less]));
    case.there.answers("GET", ORDER, gone()).answers("GET", "/CreditNotes", listed(&[]));
    case.there.answers("GET", ORDER, reply(502, &json!({})));
    let now = case.app.clock.wall();
    let verify = async || case.client.verify(std::slice::from_ref(&holding), &Turn, now).await.remove(0);

    assert_eq!(verify().await, Seen::Worth(700));
    assert_eq!(case.there.asked()[1].query, "creditNumber=CN-1");
    assert_eq!(verify().await, Seen::Worth(0));
    assert_eq!(verify().await, Seen::Untold("server_error".to_owned()));
}
