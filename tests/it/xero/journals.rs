//! `delta = "journal"`: a closed day corrected by manual journals, with the whole daemon around the sink, at a strict
//! simulated Xero.

use std::collections::BTreeMap;

use scoffable_sync::{
    cli::{self, config::Form},
    simulator::{
        faults::{cut_after, cut_before, plainly, status},
        xero::{Cents, JournalStatus, Operation, Resource, Rules, XeroOptions, XeroSim},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    daily::{NEXT_MORNING, arrives_placed_at, at_noon, at_noon_of, gathered, in_cash, today},
    simulated::applied,
    *,
};
use crate::{
    harness::app::{PATIENCE, order, order_of},
    xero_description,
};

const BY_JOURNAL: [(&str, &str); 1] = [("delta", "journal")];
const ENTER: Operation = Operation::Create(Resource::ManualJournals);

/// Two orders of 12.50 and one of 9.00 in cash, whose day is closed and posted. Placed at the returned time.
struct Closed {
    app: TestApp,
    sim: XeroSim,
    placed_at: chrono::DateTime<chrono::Utc>,
}

impl Closed {
    async fn usual() -> Self {
        Self::with(&[]).await
    }

    async fn with(more: &[(&str, &str)]) -> Self {
        let (mut app, sim) = at_noon(&[&BY_JOURNAL, more].concat()).await;
        let placed_at = app.clock.wall();
        gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted"), in_cash("3", 900)]).await;
        app.advance(NEXT_MORNING);
        app.run_to_rest().await;
        assert_eq!(n_documents(&sim), 1, "the day");
        Self { app, sim, placed_at }
    }

    async fn arrives(&mut self, order: Value) {
        arrives_placed_at(&mut self.app, order, self.placed_at).await;
    }

    async fn bring(&mut self, order: Value) {
        self.arrives(order).await;
        self.app.run_to_rest().await;
    }

    /// An order comes to this by its documents and journals, and so much of it is on each account, beside what its day says.
    fn assert_moved(&self, order_id: &str, revenue: i64, money: &[(&str, i64)]) {
        let ledger = self.sim.ledger();
        let on: BTreeMap<String, Cents> =
            money.iter().map(|(account, minor)| ((*account).to_owned(), Cents(*minor))).collect();
        assert_eq!((ledger.revenue(order_id), ledger.payments_by_account(order_id)), (Cents(revenue), on));
    }

    /// What all orders hold is what they say, what stands at Xero, and what Xero tells when it is read back.
    async fn assert_right(&self, posted_minor: i64) {
        assert_right(&self.app, &self.sim, posted_minor).await;
    }
}

async fn assert_right(app: &TestApp, sim: &XeroSim, posted_minor: i64) {
    let sql = "SELECT count(*) FROM money_reconciliation WHERE difference_minor <> 0 OR pending_minor <> 0";
    assert_eq!(app.number(sql).await, 0, "not reconciled");
    let sql = "SELECT coalesce(sum(posted_minor), 0)::bigint FROM money_reconciliation";
    assert_eq!(app.number(sql).await, posted_minor, "what orders hold");
    let total: Cents = {
        let ledger = sim.ledger();
        ledger.orders().iter().map(|order| ledger.revenue(order)).sum()
    };
    assert_eq!(total, Cents(posted_minor), "what stands at Xero");
    let (code, told) = verified(app).await;
    assert_eq!(code, 0, "{told}");
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
    xero_description::check(sim);
}

/// `reconcile --verify-remote`
async fn verified(app: &TestApp) -> (u8, String) {
    crate::reconcile::reconcile(app, "--verify-remote").await
}

fn n_documents(sim: &XeroSim) -> usize {
    sim.by_hand(|books, _| books.documents().len())
}

/// Narration, date, and account and amount of each line.
type Shown = (String, String, Vec<(String, String)>);

/// All posted journals.
fn journals(sim: &XeroSim) -> Vec<Shown> {
    sim.by_hand(|books, _| {
        let posted = books.journals().iter().filter(|journal| journal.status == JournalStatus::Posted);
        let shown = |journal: &scoffable_sync::simulator::xero::Journal| {
            let lines = journal.lines.iter().map(|line| (line.account_code.clone(), line.amount.to_string()));
            (journal.narration.clone(), journal.date.to_string(), lines.collect())
        };
        posted.map(shown).collect()
    })
}

fn lines(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(account, amount)| ((*account).to_owned(), (*amount).to_owned())).collect()
}

#[tokio::test]
async fn a_refund_after_the_day_is_one_journal_dated_on_the_day_it_came() {
    let mut closed = Closed::usual().await;
    let (placed_on, came_on) = (closed.placed_at.date_naive(), today(&closed.app));

    closed.bring(order_of("1", 2, "accepted", 1000)).await;

    let narration = format!("SCF-1-J1: Scoffable 1 v2 of {placed_on}");
    let expected = (narration, came_on.to_string(), lines(&[("200", "2.50"), ("611", "-2.50")]));
    assert_eq!((journals(&closed.sim), n_documents(&closed.sim)), (vec![expected], 1));
    let tax = closed.sim.by_hand(|books, _| books.journals()[0].lines[0].tax_amount);
    assert_eq!(tax, Cents(42), "a sixth of it, at 20 %");
    assert_eq!(applied(&closed.app, "1").await, ("applied".to_owned(), Some(2)));
    closed.assert_moved("1", -250, &[("611", -250)]);
    closed.assert_right(3150).await;
}

#[tokio::test]
async fn corrections_are_corrected_through_cancelling_and_accepting_again() {
    let mut closed = Closed::usual().await;

    closed.bring(order_of("1", 2, "accepted", 1000)).await;
    closed.bring(order_of("1", 3, "cancelled", 1000)).await;
    closed.assert_moved("1", -1250, &[("611", -1250)]);
    closed.assert_right(2150).await;
    closed.bring(order_of("1", 4, "accepted", 1000)).await;
    closed.assert_moved("1", -250, &[("611", -250)]);
    closed.bring(order_of("1", 5, "accepted", 1600)).await;

    let all: Vec<String> = journals(&closed.sim).into_iter().map(|(narration, ..)| narration).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all[3].starts_with("SCF-1-J4: Scoffable 1 v5"), "{all:?}");
    closed.assert_moved("1", 350, &[("611", 350)]);
    assert_eq!(n_documents(&closed.sim), 1);
    closed.assert_right(3750).await;
}

#[tokio::test]
async fn money_moves_to_the_account_that_it_belongs_to_although_nothing_else_changed() {
    let mut closed = Closed::usual().await;
    let mut otherwise = in_cash("1", 1250);
    otherwise["version"] = json!(2);

    closed.bring(otherwise).await;

    assert_eq!(applied(&closed.app, "1").await, ("applied".to_owned(), Some(2)));
    assert_eq!(closed.app.text("SELECT notice FROM deliveries WHERE order_id = '1'").await, None);
    closed.assert_moved("1", 0, &[("611", -1250), ("612", 1250)]);
    closed.assert_right(3400).await;
}

#[tokio::test]
async fn what_is_the_same_for_the_books_is_applied_without_a_call() {
    let mut closed = Closed::usual().await;
    let mut renamed = order_of("1", 2, "accepted", 1250);
    renamed["items"][0]["name"] = json!("Ramen of the day");
    let n_writes = closed.sim.ledger().calls().writes;

    closed.bring(renamed).await;

    assert_eq!(applied(&closed.app, "1").await, ("applied".to_owned(), Some(2)));
    assert_eq!(closed.sim.ledger().calls().writes, n_writes);
    closed.assert_right(3400).await;
}

#[tokio::test]
async fn lost_answers_leave_one_journal_for_each_change() {
    let mut closed = Closed::usual().await;
    closed.sim.answer_next_to(ENTER, [cut_after()]);
    closed.bring(order_of("1", 2, "accepted", 1000)).await;
    closed.sim.answer_next_to(ENTER, [cut_before(), status(500)]);
    closed.bring(order_of("2", 2, "accepted", 1000)).await;
    closed.sim.answer_next_to(ENTER, [status(500).after_the_effect(), cut_after(), cut_after()]);
    closed.bring(order_of("3", 2, "cancelled", 900)).await;

    assert_eq!(journals(&closed.sim).len(), 3);
    closed.assert_right(2000).await;
}

/// Nobody is trusted to know the key any more, and nothing else would keep it from being posted again.
#[tokio::test]
async fn a_journal_whose_answer_was_lost_for_long_is_looked_for_and_not_posted_again() {
    for stands in [true, false] {
        let mut closed = Closed::usual().await;
        closed.sim.answer_next_to(ENTER, [if stands { cut_after() } else { cut_before() }]);
        closed.arrives(order_of("1", 2, "accepted", 1000)).await;
        closed.app.dispatch().await;
        assert_eq!(journals(&closed.sim).len(), usize::from(stands));

        closed.sim.forget_keys();
        closed.app.advance(Duration::from_mins(30));
        closed.app.run_to_rest().await;

        assert_eq!(journals(&closed.sim).len(), 1);
        let looked =
            closed.sim.received().into_iter().any(|one| one.operation == Operation::List(Resource::ManualJournals));
        assert!(looked);
        closed.assert_right(3150).await;
    }
}

#[tokio::test]
async fn a_process_that_is_killed_while_a_journal_is_posted_leaves_one() {
    let mut closed = Closed::usual().await;
    let (gate, before) = (CancellationToken::new(), closed.sim.journal().total());
    closed.sim.answer_next_to(ENTER, [plainly().answered_when(&gate)]);
    closed.arrives(order_of("1", 2, "accepted", 1000)).await;

    let mut killed = closed.app.dispatchers.remove(0);
    let works = async {
        for _ in 0..1_000 {
            killed.tick().await.expect("the database answers");
        }
    };
    tokio::select! {
        () = works => {}
        begun = closed.sim.journal().wait_until(|journal| journal.total() > before, PATIENCE) => begun.expect("it is sent"),
    }
    drop(killed);
    gate.cancel();
    closed.app.restart().await;
    closed.app.run_to_rest().await;

    assert_eq!(journals(&closed.sim).len(), 1);
    closed.assert_right(3150).await;
}

#[tokio::test]
async fn a_journal_that_says_something_else_under_our_narration_is_for_a_person() {
    let mut closed = Closed::usual().await;
    closed.sim.answer_next_to(ENTER, [cut_after()]);
    closed.arrives(order_of("1", 2, "accepted", 1000)).await;
    closed.app.dispatch().await;
    let narration = journals(&closed.sim)[0].0.clone();
    closed.sim.forget_keys();
    closed.sim.by_hand(|books, now| books.void_journal_by_hand(&narration, now));

    closed.app.advance(Duration::from_hours(1));
    closed.app.dispatch().await;
    closed.app.advance(Duration::from_hours(1));
    closed.app.dispatch().await;

    let doubt = closed.app.delivery_at(BOOKS, "1").await;
    assert_eq!(doubt.state, "in_doubt");
    assert!(doubt.hint.expect("a hint").contains("adoption_conflict"));
    assert_eq!(closed.sim.by_hand(|books, _| books.journals().len()), 1);
}

#[tokio::test]
async fn journals_of_several_orders_go_in_one_call_and_a_bad_one_holds_up_no_other() {
    let mut closed = Closed::usual().await;
    for order in [order_of("1", 2, "accepted", 1000), order_of("2", 2, "cancelled", 1250)] {
        closed.arrives(order).await;
    }
    let n_writes = closed.sim.ledger().calls().writes;
    closed.app.run_to_rest().await;
    assert_eq!((journals(&closed.sim).len(), closed.sim.ledger().calls().writes - n_writes), (2, 1));

    // Its account was archived a moment ago, which nobody has read.
    closed.sim.by_hand(|books, _| books.organisation.account_mut("612").expect("cash").is_archived = true);
    closed.arrives(order_of("1", 3, "accepted", 900)).await;
    closed.arrives(order_of("3", 2, "cancelled", 900)).await;
    closed.app.run_until_only("configuration").await;
    assert_eq!(applied(&closed.app, "1").await, ("applied".to_owned(), Some(3)));
    assert_eq!(applied(&closed.app, "3").await, ("pending".to_owned(), Some(1)));
    closed.sim.by_hand(|books, _| books.organisation.account_mut("612").expect("cash").is_archived = false);
    closed.app.advance(Duration::from_hours(3));
    closed.app.run_to_rest().await;

    assert_eq!(journals(&closed.sim).len(), 4);
    closed.assert_right(900).await;
}

#[tokio::test]
async fn a_journal_is_dated_after_periods_that_were_closed() {
    let mut closed = Closed::usual().await;
    let locked = today(&closed.app) + chrono::Days::new(5);
    closed.sim.lock_until(Some(locked));
    closed.app.advance(Duration::from_hours(24));

    closed.bring(order_of("1", 2, "accepted", 1000)).await;

    assert_eq!(journals(&closed.sim)[0].1, (locked + chrono::Days::new(1)).to_string());
    closed.assert_right(3150).await;
}

#[tokio::test]
async fn what_a_customer_owes_and_other_currencies_are_corrected_by_documents() {
    let (mut app, sim) = at_noon(&BY_JOURNAL).await;
    let placed_at = app.clock.wall();
    let owing = |version: i64, total: i64| {
        let mut order = order_of("1", version, "accepted", total);
        order["customerPayments"][0]["payment"]["amount"] = json!(1000);
        order
    };
    let in_euro = |version: i64, total: i64| {
        let text = order_of("2", version, "accepted", total).to_string();
        serde_json::from_str::<Value>(&text.replace("GBP", "EUR")).unwrap()
    };
    gathered(&mut app, &[owing(1, 1250), in_euro(1, 1250)]).await;
    app.advance(NEXT_MORNING);
    app.run_to_rest().await;
    assert_eq!(n_documents(&sim), 2, "a day for each currency");

    arrives_placed_at(&mut app, owing(2, 1000), placed_at).await;
    arrives_placed_at(&mut app, in_euro(2, 1000), placed_at).await;
    app.run_to_rest().await;

    assert_eq!((journals(&sim), n_documents(&sim)), (vec![], 4));
    assert_eq!(sim.ledger().revenue("1"), Cents(-250));
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn a_journal_that_a_person_voided_is_told_when_it_is_read_back() {
    let mut closed = Closed::usual().await;
    closed.bring(order_of("1", 2, "accepted", 1000)).await;
    closed.assert_right(3150).await;

    let narration = journals(&closed.sim)[0].0.clone();
    closed.sim.by_hand(|books, now| books.void_journal_by_hand(&narration, now));

    let (code, told) = verified(&closed.app).await;
    assert_eq!(code, 1, "{told}");
}

#[tokio::test]
async fn a_journal_is_noted_in_the_history_of_the_day() {
    let mut closed = Closed::with(&[("history_notes", "true")]).await;

    closed.bring(order_of("1", 2, "accepted", 1000)).await;

    let notes: Vec<String> = closed.sim.by_hand(|books, _| {
        let id = &books.documents()[0].id;
        books.notes(id).iter().map(|note| note.details.clone()).collect()
    });
    assert!(
        notes.contains(&"Scoffable 1 v2: journal SCF-1-J1 of -2.50 GBP; it comes to 10.00 GBP".to_owned()),
        "{notes:?}"
    );
}

/// What `doctor` finds: subject and text.
async fn found(app: &TestApp) -> Vec<(String, String)> {
    let mut told = Vec::new();
    cli::doctor::run(&app.settings, &[], Form::Json, &mut told).await.expect("it can be told");
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    let all = told["findings"].as_array().expect("findings").iter();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    all.map(|one| (text(one, "subject"), text(one, "found"))).collect()
}

#[tokio::test]
async fn clearing_accounts_that_no_journal_can_touch_hold_everything_until_they_are_mended() {
    let what = [("090", "is a bank account"), ("610", "what customers owe")];
    for (account, expected) in what {
        let (mut app, sim) = at_noon(&[("delta", "journal"), ("accounts.cash", account)]).await;
        sim.by_hand(|books, _| books.organisation.account_mut(account).expect("there").takes_payments = true);

        for order in [order("1", 1, "accepted"), in_cash("2", 900)] {
            app.arrives(&order).await;
        }
        app.run_until_only("configuration").await;
        app.advance(NEXT_MORNING);
        app.run_until_only("configuration").await;

        assert_eq!(n_documents(&sim), 0);
        let alert: String = sqlx::query_scalar("SELECT subject FROM alerts WHERE resolved_at IS NULL")
            .fetch_one(&app.pool)
            .await
            .expect("one alert");
        assert!(alert.contains("accounts.cash"), "{alert}");
        let findings = found(&app).await;
        let finding = findings.iter().find(|(subject, _)| subject.ends_with(".accounts.cash"));
        assert!(finding.is_some_and(|(_, found)| found.contains(expected)), "{findings:?}");

        app.configure(&format!("sinks.{BOOKS}.accounts.cash"), "612");
        app.restart().await;
        app.advance(Duration::from_hours(3));
        app.run_until_only("summary").await;
        app.advance(Duration::from_hours(24));
        app.run_to_rest().await;
        assert_right(&app, &sim, 2150).await;
    }
}

#[tokio::test]
async fn a_right_to_journals_that_is_missing_is_told_before_anything_is_posted() {
    let scopes = ["accounting.invoices", "accounting.payments", "accounting.contacts", "accounting.settings.read"];
    let options = XeroOptions { scopes: scopes.map(str::to_owned).into(), ..XeroOptions::default() };
    let (mut app, sim) = at_noon_of(options, &[("delta", "journal"), ("scopes", &scopes.join(" "))]).await;

    gathered(&mut app, &[order("1", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    for _ in 0..20 {
        app.dispatch().await;
    }

    assert_eq!(n_documents(&sim), 0);
    let findings = found(&app).await;
    let finding = findings.iter().find(|(subject, _)| subject.ends_with(".scopes"));
    assert!(finding.is_some_and(|(_, found)| found.contains("manual journals cannot be posted")), "{findings:?}");
}

/// Filters are no help where they are refused, and none is needed.
#[tokio::test]
async fn a_lost_journal_is_found_where_filters_are_refused() {
    let mut closed = Closed::usual().await;
    closed.sim.change_rules(|rules: &mut Rules| rules.takes_where = false);
    closed.sim.answer_next_to(ENTER, [cut_after()]);
    closed.arrives(order_of("1", 2, "accepted", 1000)).await;
    closed.app.dispatch().await;
    closed.sim.forget_keys();

    closed.app.advance(Duration::from_hours(2));
    closed.app.run_to_rest().await;

    assert_eq!(journals(&closed.sim).len(), 1);
    closed.assert_right(3150).await;
}
