//! Items and contacts are kept fresh and linked, and what was posted is read back; nothing of it is changed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use scoffable_sync::{
    app,
    catalogue::worker::{Tick, Worker},
    cli::{
        JsonArgs,
        catalogue::{BudgetArgs, budget as budget_command},
    },
    operate::catalogue::{Ground, Month, budget},
    simulator::xero::ContactStatus,
};

use super::*;
use crate::operator_api::Api;

const KEPT: [(&str, &str); 3] =
    [("items", "match"), ("contacts", "per_customer"), ("customer_fields.id", "/customer/id")];

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

#[tokio::test]
async fn with_a_day_used_up_orders_are_posted_and_nothing_is_looked_at_also_after_a_restart() {
    const USED: &str = r#"SELECT used FROM call_budgets WHERE scope = 'sink:books' AND "window" = 'day'"#;
    let keys = [("limits.per_minute", "unlimited"), ("limits.per_day", "200")];
    let setup = Setup::default();
    let sim = start(&setup, XeroOptions::default()).await;
    let mut books = Books::limited(setup, sim, &[keys.as_slice(), &KEPT].concat()).await;
    books.sim.by_hand(|all, now| all.add_item_by_hand("lamb kofta plate", "Kofta", now));
    let mut first = keeper(&books.app);
    work(&mut first).await;
    books.bring(&order("0", 1, "accepted")).await;
    assert_eq!(
        books.app.number("SELECT count(*) FROM links WHERE kind = 'product'").await,
        1,
        "there is something to look at"
    );
    let mut n = 0;
    // A tenth is orders' alone; a new process needs some of it to read the organisation.
    while books.app.number(USED).await < 180 {
        n += 1;
        books.bring(&order(&n.to_string(), 1, "accepted")).await;
    }
    // Pulls and sweeps are due.
    books.app.advance(Duration::from_hours(6));

    let silent = |books: &Books| books.sim.journal().total();
    let before = silent(&books);
    work(&mut first).await;
    assert_eq!(silent(&books), before);
    assert!(books.app.number("SELECT sum(skipped_budget)::bigint FROM catalogue_cursors").await >= 2);
    books.bring(&order("last but one", 1, "accepted")).await;
    assert_eq!(books.applied("last but one").await.0, "applied");

    let used = books.app.number(USED).await;
    books.app.restart().await;
    let mut second = keeper(&books.app);
    books.app.advance(Duration::from_hours(6));
    let before = silent(&books);
    work(&mut second).await;
    assert_eq!((books.app.number(USED).await, silent(&books)), (used, before));
    books.bring(&order("last", 1, "accepted")).await;
    assert_eq!(books.applied("last").await.0, "applied");
    assert!(books.app.number(USED).await >= used + 2);
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn a_month_with_items_and_contacts_stays_within_five_thousand_calls_beside_its_orders() {
    let books_at = Books::with(&KEPT).await;
    let sink = SinkName::parse(BOOKS).unwrap();
    let ground = Ground::of(&keeper(&books_at.app), books(&books_at.app).0);

    let month = |orders_a_day| Month { sink: sink.clone(), orders_a_day: Some(orders_a_day) };
    let plan = budget(&books_at.app.pool, &month(0), ground.as_ref()).await.unwrap().plan;
    let with_orders = budget(&books_at.app.pool, &month(40), ground.as_ref()).await.unwrap().plan;

    assert_eq!((plan.pulls, plan.sweeps, plan.documents, plan.total), (1_440, 1_650, 30, 3_120));
    assert!(plan.total <= 5_000);
    assert_eq!(with_orders.total - plan.total, 2_400 + 120);
}

#[tokio::test]
async fn a_months_budget_is_the_same_over_http_and_by_command_and_says_when_the_day_runs_out() {
    let setup = Setup::default();
    let sim = start(&setup, XeroOptions::default()).await;
    let keys = [("limits.per_minute", "unlimited"), ("limits.per_day", "40")];
    let mut books = Books::limited(setup, sim, &[keys.as_slice(), &KEPT].concat()).await;
    books.bring(&order("0", 1, "accepted")).await;
    books.app.advance(Duration::from_hours(2));
    for n in 1..6 {
        books.bring(&order(&n.to_string(), 1, "accepted")).await;
    }
    // What people see goes by the database's own clock, which no test steps.
    sqlx::query("UPDATE call_budgets SET recent = ARRAY(SELECT at - $1 * interval '1 ms' FROM unnest(recent) AS at)")
        .bind(books.app.clock.offset_ms() as f64)
        .execute(&books.app.pool)
        .await
        .unwrap();
    let api = Api::start(&books.app).await;
    let by_command = async |json, out: &mut Vec<u8>| {
        let sink = SinkName::parse(BOOKS).unwrap();
        let args = BudgetArgs { sink, orders_a_day: Some(7), json: JsonArgs { json } };
        let app = &books.app;
        budget_command(&app.settings, &app.pool, &app.clock, &args, out).await.unwrap()
    };
    let (mut as_json, mut as_text) = (Vec::new(), Vec::new());

    let (status, answer) = api.get("budget?sink=books&orders_a_day=7").await;
    let codes = (by_command(true, &mut as_json).await, by_command(false, &mut as_text).await);

    // Times follow the database's clock, which goes on between the two.
    let timeless = |mut budget: Value| {
        for used in budget["used"].as_array_mut().unwrap() {
            for at in ["resets_at", "runs_out_at", "full_until"] {
                used[at] = json!(used[at].as_str().is_some());
            }
        }
        budget
    };
    let by_command: Value = serde_json::from_slice(&as_json).unwrap();
    assert_eq!((status, codes), (200, (1, 1)), "forty a day are too few");
    assert_eq!(timeless(answer.clone()), timeless(by_command));
    let day = answer["used"].as_array().unwrap().iter().find(|used| used["window"] == "day").unwrap();
    let out_at: DateTime<Utc> = day["runs_out_at"].as_str().expect("it runs out").parse().unwrap();
    let (used, left) = (day["used"].as_i64().unwrap(), 40 - day["used"].as_i64().unwrap());
    assert!(used > 12 && left > 0, "{day}");
    let text = String::from_utf8(as_text).unwrap();
    let hour = out_at.format(", used up by %Y-%m-%d %H:").to_string();
    assert!(text.contains(&format!("this day: {used} of 40{hour}")), "{text}");
    assert_eq!(api.get("budget").await.0, 400);
    assert_eq!(api.get("budget?sink=books&orders_a_day=-1").await.0, 400);
}
