//! The whole sink with the whole daemon around it, at a strict simulated Xero.

use scoffable_sync::simulator::{
    faults::{cut_after, status},
    xero::{DocumentKind as Kind, Operation, Resource, Status, XeroOptions, XeroSim},
};

use super::*;
use crate::harness::app::{order, order_of};

async fn at_xero() -> (TestApp, XeroSim) {
    at_xero_with(&[]).await
}

async fn at_xero_with(more: &[(&str, &str)]) -> (TestApp, XeroSim) {
    start(Setup::default(), more).await
}

pub(super) async fn start(setup: Setup, more: &[(&str, &str)]) -> (TestApp, XeroSim) {
    let sim = XeroSim::start(XeroOptions { clock: setup.clock().clone(), ..XeroOptions::default() })
        .await
        .expect("a loopback port is free");
    let options = sim.options().clone();
    let keys = [
        ("kind", "xero"),
        ("base_url", &sim.url()),
        ("token_url", &sim.token_url()),
        ("client_id", &options.client_id),
        ("client_secret", &options.client_secret),
        ("scopes", "broad"),
        ("time_zone", "Europe/London"),
        ("stable_for", "0s"),
        ("tax_types.default", "OUTPUT2"),
        ("tax_types.untaxed", "NONE"),
        ("accounts.sales", "200"),
        ("accounts.service_fee", "201"),
        ("accounts.delivery_fee", "202"),
        ("accounts.vendor_voucher", "205"),
        ("accounts.rounding", "498"),
        ("accounts.difference", "499"),
        ("accounts.scoffable_clearing", "611"),
        ("accounts.cash", "612"),
        ("accounts.card_terminal", "613"),
        ("limits.per_minute", "unlimited"),
        ("limits.per_day", "unlimited"),
    ];
    let mut setup = setup.without_hook();
    for (key, value) in keys.iter().chain(more) {
        setup = setup.with(&format!("sinks.{BOOKS}.{key}"), value);
    }
    (setup.start().await, sim)
}

pub(super) async fn applied(app: &TestApp, order_id: &str) -> (String, Option<i64>) {
    let delivery = app.delivery_at(BOOKS, order_id).await;
    (delivery.state, delivery.applied)
}

#[tokio::test]
async fn an_order_is_invoiced_and_paid_and_what_changes_is_credited() {
    let (mut app, sim) = at_xero().await;

    app.arrives(&order("812345", 1, "accepted")).await;
    app.run_to_rest().await;
    assert_eq!(applied(&app, "812345").await, ("applied".to_owned(), Some(1)));
    app.arrives(&order_of("812345", 2, "accepted", 1000)).await;
    app.run_to_rest().await;

    assert_eq!(applied(&app, "812345").await, ("applied".to_owned(), Some(2)));
    let documents: Vec<(Kind, String, Status)> = sim.by_hand(|books, _| {
        books.documents().iter().map(|document| (document.kind, document.number.clone(), document.status)).collect()
    });
    let expected = [(Kind::Invoice, "SCF-812345"), (Kind::CreditNote, "SCF-812345-C1")];
    assert_eq!(documents, expected.map(|(kind, number)| (kind, number.to_owned(), Status::Paid)));
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn a_lost_answer_leaves_one_invoice() {
    let (mut app, sim) = at_xero().await;
    // After the reading of the organisation.
    app.arrives(&order("1", 1, "accepted")).await;
    app.run_to_rest().await;
    sim.faults().answer_next([cut_after()]);

    app.arrives(&order("2", 1, "accepted")).await;
    app.run_to_rest().await;
    app.advance(Duration::from_secs(30));
    app.run_to_rest().await;

    assert_eq!(applied(&app, "2").await.0, "applied");
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

fn notes(sim: &XeroSim) -> Vec<String> {
    sim.by_hand(|books, _| {
        let notes = books.documents().iter().flat_map(|document| books.notes(&document.id));
        notes.map(|note| note.details.clone()).collect()
    })
}

#[tokio::test]
async fn a_version_that_is_posted_is_noted_once_although_the_answer_is_lost() {
    let (mut app, sim) = at_xero_with(&[("history_notes", "true")]).await;
    sim.answer_next_to(Operation::Annotate(Resource::Invoices), [cut_after()]);

    app.arrives(&order("1", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(applied(&app, "1").await.0, "applied");
    assert_eq!(notes(&sim), ["Scoffable 1 v1: invoice SCF-1 of 12.50 GBP; it comes to 12.50 GBP"]);
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn a_note_that_is_refused_holds_up_no_order() {
    let (mut app, sim) = at_xero_with(&[("history_notes", "true")]).await;
    sim.answer_next_to(Operation::Annotate(Resource::Invoices), [status(400)]);

    app.arrives(&order("1", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!((applied(&app, "1").await.0, notes(&sim)), ("applied".to_owned(), vec![]));
}
