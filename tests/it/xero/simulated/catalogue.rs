//! Items and contacts are kept fresh and linked, and what was posted is read back; nothing of it is changed.

use std::sync::Arc;

use scoffable_sync::{
    app,
    catalogue::worker::{Tick, Worker},
    simulator::xero::ContactStatus,
};

use super::*;

/// The catalogue's loop of the configured sink.
fn keeper(app: &TestApp) -> Worker {
    let drivers = app::drivers(&app.settings, &app.pool, &app.clock, &app::owner()).unwrap();
    let driver = drivers.into_iter().find(|driver| driver.name().as_str() == BOOKS).unwrap();
    app::catalogue(books(app).0, &Arc::new(driver)).unwrap()
}

async fn work(keeper: &mut Worker) {
    while let Tick::Worked(_) = keeper.tick().await.expect("the database answers") {}
}

#[tokio::test]
async fn items_and_contacts_of_an_order_are_linked_kept_fresh_and_never_changed() {
    let setup = Setup::default();
    let mut options = XeroOptions::default();
    options.scopes.push("accounting.settings".to_owned());
    let sim = start(&setup, options).await;
    let keys = [
        ("items", "create"),
        ("scopes", "accounting.transactions accounting.contacts accounting.settings"),
        ("contacts", "per_customer"),
        ("customer_fields.id", "/customer/id"),
        ("customer_fields.name", "/customer/name"),
    ];
    let Books { mut app, sim } = Books::of(setup, sim, &keys).await;
    let mut keeper = keeper(&app);
    work(&mut keeper).await;
    let mut placed = order("812345", 1, "accepted");
    placed["customer"] = json!({"id": "77", "name": "Ines Marlow"});
    app.arrives(&placed).await;
    app.run_to_rest().await;
    assert_eq!(applied(&app, "812345").await.0, "applied");

    app.advance(Duration::from_mins(70));
    work(&mut keeper).await;

    let linked: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT l.kind, l.local_key, e.remote_state FROM links l JOIN catalogue_entities e USING (sink, kind, remote_id) ORDER BY 1",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();
    let expected = [("customer", "77", "active"), ("product", "lamb kofta plate", "active")];
    assert_eq!(linked, expected.map(|(kind, key, state)| (kind.to_owned(), key.to_owned(), state.to_owned())));
    let personal = "SELECT count(*) FROM catalogue_entities e WHERE e::text ILIKE '%ines%' OR e::text ILIKE '%marlow%'";
    assert_eq!(app.number(personal).await, 0);

    // A person archives the contact: it is told with the changes.
    let contact = app.text("SELECT remote_id FROM links WHERE kind = 'customer'").await.unwrap();
    sim.by_hand(|books, now| {
        books.edit_contact_by_hand(&contact, now, |contact| contact.status = ContactStatus::Archived);
    });
    app.advance(Duration::from_mins(70));
    work(&mut keeper).await;
    let linked =
        "SELECT remote_state FROM catalogue_entities JOIN links USING (sink, kind, remote_id) WHERE kind = 'customer'";
    let state = app.text(linked).await;
    assert_eq!(state.as_deref(), Some("archived"));

    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
    let writes = sim
        .answered()
        .iter()
        .filter(|answered| matches!(answered.operation, Operation::Update(Resource::Contacts)))
        .count();
    assert_eq!(writes, 0, "no contact was changed");
}

#[tokio::test]
async fn an_order_that_was_changed_there_by_hand_is_told_and_not_repaired() {
    let Books { mut app, sim } = Books::usual().await;
    app.arrives(&order("812345", 1, "accepted")).await;
    app.run_to_rest().await;
    app.run("UPDATE orders SET placed_at = now()").await;
    let mut keeper = keeper(&app);
    work(&mut keeper).await;
    let finding = "SELECT coalesce(finding, 'none') FROM document_checks";
    assert_eq!(app.text(finding).await.as_deref(), Some("none"));

    sim.by_hand(|books, now| {
        books.edit_by_hand(Kind::Invoice, "SCF-812345", now, |document| document.status = Status::Voided)
    });
    let before = sim.answered().len();
    app.advance(Duration::from_hours(25));
    work(&mut keeper).await;

    assert_eq!(app.text(finding).await.as_deref(), Some("remote_missing"));
    let alert = app.text("SELECT subject FROM alerts WHERE cause = 'remote_missing' AND resolved_at IS NULL").await;
    assert_eq!(alert.as_deref(), Some("books/main/812345"));
    assert!(sim.answered()[before..].iter().all(|answered| !answered.operation.is_write()), "nothing is repaired");
}
