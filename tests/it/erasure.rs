//! Erasing an order, or a customer: nothing personal is left anywhere, and everything is proven as before.

use clap::{Args as _, Command, FromArgMatches as _};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use scoffable_sync::{
    cli::{self, erase::EraseArgs},
    simulator::{
        faults::{Answer, answer, cut_after},
        till::TillOptions,
    },
};
use serde_json::{Value, json};

use crate::harness::{
    app::{Setup, TestApp, order, order_of},
    stream::{page, raw_page},
};

async fn erase_by(app: &TestApp, words: &[&str]) -> (u8, String) {
    let words = ["erase"].into_iter().chain(words.iter().copied());
    let matches = EraseArgs::augment_args(Command::new("erase")).try_get_matches_from(words);
    let args = matches.and_then(|matches| EraseArgs::from_arg_matches(&matches)).expect("a valid command");
    let mut out = Vec::new();
    let code = cli::erase::run(&app.settings, &app.pool, &args, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), String::from_utf8(out).expect("commands write text"))
}

async fn erase(app: &TestApp, words: &[&str]) -> Value {
    let (_, text) = erase_by(app, &[words, &["--who", "ada", "--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Somebody who orders.
#[derive(Debug, Clone)]
struct Person {
    name: String,
    street: String,
    phone: String,
    email: String,
}

impl Person {
    fn of(name: &str) -> Self {
        Self {
            name: format!("Jas {name}"),
            street: format!("{name} Lane 12"),
            phone: format!("+44 20 {name}"),
            email: format!("{}@example.org", name.to_lowercase()),
        }
    }

    fn orders(&self, mut order: Value) -> Value {
        order["deliveryAddress"] = json!({"name": self.name, "line1": self.street, "phone": self.phone});
        order["customer"] = json!({"email": self.email.to_uppercase()});
        order["note"] = json!(format!("ring for {}", self.name));
        order
    }

    fn strings(&self) -> [&str; 4] {
        [&self.name, &self.street, &self.phone, &self.email]
    }
}

/// Everything in the database as text: every column of every table, bytes as far as they are text.
async fn whole_database(app: &TestApp) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
    )
    .fetch_all(&app.pool)
    .await
    .expect("the test's SQL works");
    assert!(tables.len() >= 20, "{tables:?}");
    let mut text = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(to_jsonb(t)::text, ' '), '') FROM {table} t");
        text += &sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).fetch_one(&app.pool).await.unwrap();
    }
    let bytes = "SELECT coalesce(string_agg(encode(raw, 'escape'), ' '), '') FROM quarantine";
    text += &app.text(bytes).await.expect("an aggregate");
    text
}

/// What of a person stands in the database.
async fn left_of(app: &TestApp, person: &Person) -> Vec<String> {
    let text = whole_database(app).await.to_lowercase();
    person.strings().iter().filter(|part| text.contains(&part.to_lowercase())).map(|part| (*part).to_owned()).collect()
}

const BOOKS: &str =
    "SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY sink, source, order_id)::text, '') FROM money_reconciliation m";
const KNOWN: &str = "SELECT jsonb_agg(jsonb_build_array(order_id, version, encode(content_hash, 'hex'), total_minor, breakdown) ORDER BY order_id, version)::text FROM order_versions";

/// A person's order with a history: several versions, a lost answer, an answer that echoes, a second content of a version and
/// an undecodable version.
async fn lived(app: &mut TestApp, id: &str, person: &Person) -> Vec<Value> {
    let versions = [person.orders(order_of(id, 1, "accepted", 1250)), person.orders(order_of(id, 2, "accepted", 900))];
    let echo = json!({"code": "busy", "echo": versions[0]}).to_string();
    app.webhook.answer_next([answer(Answer::json(500, echo)), cut_after()]);
    for version in &versions {
        app.publish(version);
    }
    app.poll().await;
    app.run_to_rest().await;
    let conflict = person.orders(order_of(id, 1, "accepted", 7));
    let mut broken = person.orders(order(id, 3, "accepted"));
    broken["version"] = json!(person.name);
    let cursor = format!("c-{id}");
    app.scoffable.answer_next([page(&[conflict, broken], false, Some(&cursor))]);
    app.poll().await;
    app.run_to_rest().await;
    versions.into()
}

fn somebody() -> impl Strategy<Value = Person> {
    "[A-Z][a-z]{9,14}".prop_map(|name| Person::of(&name))
}

/// Nothing of the person is found in any column of any table; the books, and what is known, are as before; and a page that is
/// read again does nothing.
#[test]
fn after_an_erasure_nothing_personal_is_found_and_everything_is_proven_as_before() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 4, failure_persistence: None, ..Config::default() });
    let holds = runner.run(&(somebody(), somebody(), any::<bool>()), |(person, other, by_customer)| {
        prop_assume!(person.name != other.name);
        runtime.block_on(erased_for_good(&person, &other, by_customer));
        Ok(())
    });
    holds.expect("it holds for everybody");
}

async fn erased_for_good(person: &Person, other: &Person, by_customer: bool) {
    let mut app = Setup::default().with_till(TillOptions::default()).start().await;
    let theirs = lived(&mut app, "A-1", person).await;
    lived(&mut app, "B-1", other).await;
    sqlx::query("INSERT INTO links (sink, kind, local_key, remote_id, how, created_at) VALUES ('hook', 'customer', $1, 'r-1', 'email', now())")
        .bind(&person.email)
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(left_of(&app, person).await.len(), 4, "it is there");
    let (books, known, of_other) = (app.text(BOOKS).await, app.text(KNOWN).await, left_of(&app, other).await);
    assert!(books.as_deref().is_some_and(|books| books.contains("A-1")), "{books:?}");

    let whose: Vec<&str> = if by_customer { vec!["--customer", &person.email] } else { vec!["A-1"] };
    let told = erase(&app, &[&whose[..], &["--yes", "--why", "request 12"]].concat()).await;

    assert_eq!(
        (&told["erased"], &told["finished"], &told["customers"]["links"]),
        (&json!(true), &json!(true), &json!(1))
    );
    assert_eq!(told["orders"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(left_of(&app, person).await, Vec::<String>::new());
    assert_eq!((app.text(BOOKS).await, app.text(KNOWN).await), (books.clone(), known.clone()));
    assert_eq!(left_of(&app, other).await, of_other, "another's stays");

    let conflict = person.orders(order_of("A-1", 1, "accepted", 7));
    app.scoffable.answer_next([page(&[theirs[0].clone(), theirs[1].clone(), conflict], false, Some("c-again"))]);
    app.poll().await;
    assert_eq!(app.dispatch().await, 0);
    assert_eq!(left_of(&app, person).await, Vec::<String>::new(), "it does not come back");
    assert_eq!((app.text(BOOKS).await, app.text(KNOWN).await), (books, known));
}

#[tokio::test]
async fn without_consent_it_says_what_it_would_touch_and_touches_nothing() {
    let mut app = TestApp::start().await;
    let person = Person::of("Quillfeather");
    lived(&mut app, "A-1", &person).await;

    let (code, text) = erase_by(&app, &["A-1"]).await;

    assert_eq!(code, 1);
    assert!(text.contains("order main/A-1: 2 payloads") && text.contains("2 quarantine cases"), "{text}");
    assert!(text.contains("kept: ids, versions, amounts") && text.contains("add --yes"), "{text}");
    assert_eq!(left_of(&app, &person).await.len(), 4);
    assert_eq!(app.number("SELECT count(*) FROM operator_actions").await, 0);
    assert_eq!(erase_by(&app, &["A-1", "--dry-run"]).await.0, 0);
}

#[tokio::test]
async fn the_timeline_says_who_erased_it_and_why_and_erasing_twice_changes_nothing() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    erase(&app, &["A-1", "--yes", "--why", "request 12"]).await;
    let (code, text) = erase_by(&app, &["A-1", "--yes"]).await;

    assert_eq!((code, text.as_str()), (0, "nothing personal is kept of it\n"));
    let told = "SELECT string_agg(concat_ws(' ', actor, event, detail ->> 'why', detail ->> 'payloads'), ', ') FROM order_timeline WHERE event = 'erase'";
    assert_eq!(app.text(told).await.as_deref(), Some("operator:ada erase request 12 1"));
    let mut out = Vec::new();
    cli::order::run(&app.pool, "A-1", None, cli::config::Form::Text, &mut out).await.unwrap();
    let story = String::from_utf8(out).unwrap();
    assert!(story.contains("operator:ada") && story.contains("erase") && story.contains("request 12"), "{story}");
}

#[tokio::test]
async fn an_order_that_is_still_owed_is_refused_and_none_beside_it_is_erased() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-2", 1, "accepted")).await;

    let (code, text) = erase_by(&app, &["A-1", "A-2", "--yes"]).await;

    assert_eq!(code, 1);
    assert!(
        text.contains("order A-2 is still owed to hook (pending)") && text.contains("nothing was changed"),
        "{text}"
    );
    assert_eq!(app.number("SELECT count(*) FROM order_versions WHERE payload IS NULL").await, 0);

    app.dispatch().await;
    assert_eq!(erase_by(&app, &["A-1", "A-2", "--yes"]).await.0, 0);
    assert_eq!(app.number("SELECT count(*) FROM order_versions WHERE payload IS NULL").await, 2);
}

#[tokio::test]
async fn every_order_of_a_customer_is_erased_and_what_nobody_can_tell_the_order_of() {
    let mut app = TestApp::start().await;
    let (person, other) = (Person::of("Quillfeather"), Person::of("Foxglove"));
    for (id, whose) in [("A-1", &person), ("A-2", &other), ("A-3", &person)] {
        app.arrives(&whose.orders(order(id, 1, "accepted"))).await;
    }
    let nameless = format!("{{\"nobody\": \"{}\", \"email\": \"{}\"}}", "x", person.email);
    app.scoffable.answer_next([raw_page(&[nameless.into_bytes()], false, Some("c-9"))]);
    app.poll().await;

    let told = erase(&app, &["--customer", &person.email.to_uppercase(), "--yes", "--why", "request 13"]).await;

    let erased: Vec<&Value> = told["orders"].as_array().unwrap().iter().map(|order| &order["order_id"]).collect();
    assert_eq!(erased, ["A-1", "A-3"]);
    assert_eq!(told["customers"]["quarantine"], 1);
    assert_eq!(left_of(&app, &person).await, Vec::<String>::new());
    assert_eq!(left_of(&app, &other).await.len(), 4);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_what_to_say_instead() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    for (words, told) in [
        (&["A-9", "--yes"][..], "no order A-9 is stored"),
        (&["--customer", "4711", "--yes"], "customer_fields.id"),
        (&["--customer", "a@b.example", "--yes", "--why", "for A@B.example"], "name the customer"),
    ] {
        let (code, text) = erase_by(&app, words).await;
        assert_eq!(code, 1, "{words:?}");
        assert!(text.contains(told), "{words:?}: {text}");
    }
    assert_eq!(app.number("SELECT count(*) FROM order_versions WHERE payload IS NULL").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM operator_actions").await, 0);
}
