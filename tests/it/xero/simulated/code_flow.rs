//! An application with refresh tokens: each is good for one refresh, and several processes live on the same.

use scoffable_sync::{
    delivery::dispatcher::{Dispatcher, Tick},
    simulator::{
        faults::{cut_before, plainly, slow},
        xero::{App, Tenant},
    },
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::harness::app::PATIENCE;

/// Longer than an access token lives.
const TOKEN_LIFE: Duration = Duration::from_mins(31);

/// A person has permitted access, also to an organisation that is not ours.
async fn connected() -> Books {
    let setup = Setup::default();
    let other = Tenant { id: "11111111-5a2b-4c1e-9b7d-222222222222".to_owned(), name: "The Other Mill".to_owned() };
    let app = App::CodeFlow { redirects: Vec::new() };
    let sim = start(&setup, XeroOptions { app, other_tenants: vec![other], ..XeroOptions::default() }).await;
    let consent = sim.tokens().authorise(&sim.options().client_id);
    let tenant_id = sim.options().organisation.tenant_id.clone();
    Books::of(setup, sim, &[("auth", "code"), ("tenant_id", &tenant_id), ("refresh_token", &consent)]).await
}

impl Books {
    async fn stored_token(&self) -> String {
        self.app.text("SELECT refresh_token FROM credentials").await.expect("a token is stored")
    }

    fn n_refreshes(&self) -> u64 {
        self.sim.tokens().journal().total()
    }

    /// No token was presented that had been used, and only our organisation was asked for.
    fn assert_no_dead_token(&self) {
        assert_eq!((self.sim.tokens().dead_presented(), self.sim.tokens().violations()), (0, vec![]));
        self.assert_nothing_wrong();
    }
}

async fn until_idle(dispatchers: &mut [Dispatcher]) {
    for dispatcher in dispatchers {
        while matches!(dispatcher.tick().await.expect("the database answers"), Tick::Worked(_)) {}
    }
}

#[tokio::test]
async fn of_two_processes_one_refreshes_and_both_post() {
    let mut books = connected().await;
    books.bring(&order("1", 1, "accepted")).await;
    let mut other = books.app.another_process().await;

    for round in 0..3_u64 {
        books.app.advance(TOKEN_LIFE);
        for n in 0..6 {
            books.app.stores(&order(&format!("{round}{n}"), 1, "accepted")).await;
        }
        books.sim.tokens().answer_next([slow(Duration::from_millis(50))]);
        tokio::join!(until_idle(&mut books.app.dispatchers), until_idle(&mut other.dispatchers));
        assert_eq!(books.n_refreshes(), 2 + round);
    }
    books.app.run_to_rest().await;

    assert_eq!(books.documents().len(), 1 + 3 * 6);
    assert!(books.documents().iter().all(|(_, _, status, _)| *status == Status::Paid));
    books.assert_no_dead_token();
}

#[tokio::test]
async fn a_refresh_token_is_stored_before_the_access_token_is_used() {
    let mut books = connected().await;
    let gate = CancellationToken::new();
    books.sim.answer_next([plainly().answered_when(&gate)]);
    books.app.stores(&order("1", 1, "accepted")).await;

    let (sim, first_call) = (&books.sim, gate.clone());
    books
        .app
        .during_a_tick(async |app| {
            sim.journal().wait_until(|journal| journal.total() >= 1, PATIENCE).await.expect("Xero is asked");
            let stored = app.text("SELECT refresh_token FROM credentials").await.expect("a token is stored");
            assert!(sim.tokens().is_alive(&stored), "while the first call is under way, the next pair is safe already");
            first_call.cancel();
        })
        .await;
    books.app.run_to_rest().await;

    books.assert_comes_to("1", 1250, &[(ONLINE, 1250)]);
    books.assert_no_dead_token();
}

#[tokio::test]
async fn an_answer_that_was_lost_before_the_refresh_costs_one_more_request() {
    let mut books = connected().await;
    books.bring(&order("1", 1, "accepted")).await;
    books.app.advance(TOKEN_LIFE);
    books.sim.tokens().answer_next([cut_before()]);

    books.bring(&order("2", 1, "accepted")).await;

    assert_eq!((books.n_refreshes(), books.alerts().await), (3, vec![]));
    assert!(books.sim.tokens().is_alive(&books.stored_token().await));
    books.assert_comes_to("2", 1250, &[(ONLINE, 1250)]);
    books.assert_no_dead_token();
}

#[tokio::test]
async fn an_answer_that_was_lost_after_the_refresh_waits_for_a_person_and_is_not_asked_for_in_a_loop() {
    let mut books = connected().await;
    books.bring(&order("1", 1, "accepted")).await;
    books.app.advance(TOKEN_LIFE);
    books.sim.tokens().answer_next([cut_after()]);

    books.app.arrives(&order("2", 1, "accepted")).await;
    for _ in 0..30 {
        books.app.advance(Duration::from_mins(10));
        books.app.dispatch().await;
    }

    // The one that was lost, and one more try with the token that may or may not be dead.
    assert_eq!((books.n_refreshes(), books.sim.tokens().dead_presented()), (3, 1));
    assert!(books.alerts().await.contains(&"needs_authorisation".to_owned()), "{:?}", books.alerts().await);
    assert_eq!(books.documents().len(), 1);

    // The person permits access again.
    let consent = books.sim.tokens().authorise(&books.sim.options().client_id);
    books.app.configure(&format!("sinks.{BOOKS}.refresh_token"), &consent);
    books.app.restart().await;
    books.app.run_to_rest().await;

    assert_eq!((books.n_refreshes(), books.alerts().await), (4, vec![]));
    books.assert_comes_to("2", 1250, &[(ONLINE, 1250)]);
}
