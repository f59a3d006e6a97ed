//! Refresh tokens that rotate, on a real database, with several processes at them.
//!
//! A *process* here is a [`Rotating`] source of its own, with a connection pool of its own.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use futures::future::BoxFuture;
use scoffable_sync::{
    simulator::{
        faults::{cut_before, not_json, slow},
        token::{Rotation, TokenViolation},
    },
    sinks::oauth::{
        Ask, Bearer, CredentialStore, Left, Pair, Rotating, Seed, Standing, StoreFailed, TokenSource, Turn, Written,
        client_fingerprint,
    },
    store::credentials::{Credentials as Store, KEEPALIVE, due_for_keepalive},
};
use sqlx::{PgPool, Row};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::harness::postgres::{TestDatabase, fresh_database};

/// Life of an access token at this endpoint.
const LIFE: Duration = Duration::from_mins(30);
/// Of a test's token requests. A turn's lease is twice this and 15 s.
const TIMEOUT: Duration = Duration::from_secs(5);
const LEASE: Duration = Duration::from_secs(25);

struct Setting {
    foreign: Foreign,
    database: TestDatabase,
    pool: PgPool,
    /// As it stands in the configuration.
    seed: String,
}

async fn setting(rotation: Rotation) -> Setting {
    let client = registered(Credentials::BasicHeader, Grant::RefreshToken, Vec::new());
    let foreign =
        Foreign::start(TokenOptions { clients: vec![client], life: LIFE, rotation, ..TokenOptions::default() }).await;
    let database = fresh_database().await;
    let pool = database.pool().await;
    let seed = foreign.tokens.authorise(CLIENT);
    Setting { foreign, database, pool, seed }
}

impl Setting {
    fn clock(&self) -> &Clock {
        &self.foreign.clock
    }

    fn store(&self) -> Store {
        Store { pool: self.pool.clone(), clock: self.clock().clone() }
    }

    fn source(&self, store: impl CredentialStore, seed: &str) -> Rotating {
        Rotating {
            sink: sink(),
            endpoint: Arc::new(TokenEndpoint { timeout: TIMEOUT, ..self.foreign.endpoint(ClientAuth::Basic) }),
            seed: Some(Secret::literal(seed)),
            store: Arc::new(store),
            margin: MARGIN,
        }
    }

    /// A process with the usual configuration.
    async fn process(&self) -> Tokens {
        let store = Store { pool: self.database.pool().await, clock: self.clock().clone() };
        self.tokens(self.source(store, &self.seed))
    }

    fn tokens(&self, source: Rotating) -> Tokens {
        Tokens::new(sink(), source, MARGIN, self.clock().clone())
    }

    async fn row(&self) -> sqlx::postgres::PgRow {
        sqlx::query("SELECT * FROM credentials WHERE sink = 'books'").fetch_one(&self.pool).await.unwrap()
    }

    async fn state(&self) -> String {
        self.row().await.get("state")
    }

    async fn refresh_token(&self) -> String {
        self.row().await.get("refresh_token")
    }

    async fn open_alerts(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM alerts WHERE cause = 'needs_authorisation' AND resolved_at IS NULL")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    fn n_requests(&self) -> u64 {
        self.foreign.n_token_requests()
    }

    fn n_dead(&self) -> u64 {
        self.foreign.tokens.dead_presented()
    }

    fn is_valid(&self, bearer: &Result<Bearer, NoToken>) -> bool {
        bearer.as_ref().is_ok_and(|bearer| self.foreign.tokens.is_valid(bearer.expose()))
    }
}

#[tokio::test]
async fn a_refresh_is_stored_and_shared_by_all_processes() {
    let s = setting(Rotation::Strict).await;
    let (one, other) = (s.process().await, s.process().await);

    let first = one.bearer().await;
    let second = other.bearer().await;

    assert!(s.is_valid(&first));
    assert_eq!(first, second);
    assert_eq!(s.n_requests(), 1);
    assert!(s.foreign.tokens.is_alive(&s.refresh_token().await));
}

#[tokio::test]
async fn however_many_processes_ask_at_once_one_refreshes_and_no_dead_token_is_presented() {
    let s = setting(Rotation::Strict).await;
    let mut processes = Vec::new();
    for _ in 0..6 {
        processes.push(s.process().await);
    }

    for round in 1..=4 {
        s.foreign.tokens.answer_next([slow(Duration::from_millis(50))]);
        let bearers = futures::future::join_all(processes.iter().map(Tokens::bearer)).await;

        assert!(bearers.iter().all(|bearer| s.is_valid(bearer) && *bearer == bearers[0]), "{bearers:?}");
        assert_eq!(s.n_requests(), round);
        s.clock().advance(LIFE);
    }

    assert_eq!(s.foreign.tokens.violations(), []);
    assert_eq!(s.foreign.tokens.journal().overlaps(&format!("client:{CLIENT}")), 0);
}

#[tokio::test]
async fn a_token_that_two_processes_were_refused_with_is_refreshed_once() {
    let s = setting(Rotation::Strict).await;
    let (one, other) = (s.process().await, s.process().await);
    one.bearer().await.unwrap();
    other.bearer().await.unwrap();
    s.foreign.tokens.revoke_access();

    let calls = tokio::join!(s.foreign.call(&one), s.foreign.call(&other));

    assert_eq!(calls, (Ok(200), Ok(200)));
    assert_eq!(s.n_requests(), 2);
    assert_eq!(s.foreign.tokens.violations(), []);
}

#[tokio::test]
async fn a_restart_goes_on_with_the_stored_token_although_the_configuration_holds_the_first_one() {
    let s = setting(Rotation::Strict).await;
    s.process().await.bearer().await.unwrap();
    s.clock().advance(LIFE);

    let after = s.process().await.bearer().await;

    assert!(s.is_valid(&after));
    assert_eq!(s.foreign.tokens.violations(), []);
}

#[tokio::test]
async fn an_answer_lost_before_the_effect_is_asked_for_again_at_once() {
    let s = setting(Rotation::Strict).await;
    s.foreign.tokens.answer_next([cut_before()]);

    let bearer = s.process().await.bearer().await;

    assert!(s.is_valid(&bearer));
    assert_eq!((s.n_requests(), s.n_dead()), (2, 0));
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_is_recovered_where_the_server_allows_it() {
    let s = setting(Rotation::UntilSuccessorIsUsed).await;
    s.foreign.tokens.answer_next([cut_after()]);

    let bearer = s.process().await.bearer().await;

    assert!(s.is_valid(&bearer));
    assert!(s.foreign.tokens.is_alive(&s.refresh_token().await));
    assert_eq!(s.n_requests(), 2);
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_needs_a_person_and_is_not_asked_for_in_a_loop() {
    for fault in [cut_after(), not_json()] {
        let s = setting(Rotation::Strict).await;
        let (one, other) = (s.process().await, s.process().await);
        s.foreign.tokens.answer_next([fault]);

        assert_eq!(one.bearer().await, Err(NoToken::NeedsAuthorisation));
        assert_eq!((s.n_requests(), s.n_dead()), (2, 1));
        assert_eq!((s.state().await.as_str(), s.open_alerts().await), ("needs_authorisation", 1));
        for _ in 0..5 {
            s.clock().advance(Duration::from_hours(1));
            assert_eq!(s.foreign.call(&one).await, Err(unauthorized()));
            assert_eq!(s.foreign.call(&other).await, Err(unauthorized()));
        }

        assert_eq!((s.n_requests(), s.foreign.n_calls()), (2, 0));
    }
}

#[tokio::test]
async fn a_token_that_a_person_brings_replaces_a_dead_one() {
    let s = setting(Rotation::Strict).await;
    let old = s.process().await;
    s.foreign.tokens.revoke_refresh_tokens(CLIENT);
    assert_eq!(old.bearer().await, Err(NoToken::NeedsAuthorisation));
    assert_eq!(s.n_requests(), 1, "a plain refusal is not repeated");

    let brought = s.foreign.tokens.authorise(CLIENT);
    let new = s.tokens(s.source(s.store(), &brought));

    assert!(s.is_valid(&new.bearer().await));
    assert_eq!((s.state().await.as_str(), s.open_alerts().await), ("ok", 0));
    s.clock().advance(REFUSAL_PAUSE);
    assert_eq!(old.bearer().await, new.bearer().await, "a process with the old configuration uses it too");
    s.clock().advance(LIFE);
    assert!(s.is_valid(&old.bearer().await), "and does not plant its own again");
}

#[tokio::test]
async fn a_refresh_under_way_does_not_overwrite_what_a_person_brought_meanwhile() {
    let s = setting(Rotation::Strict).await;
    let gate = CancellationToken::new();
    s.foreign.tokens.answer_next([plainly().answered_when(&gate)]);
    let old = s.process().await;
    let refreshing = tokio::spawn({
        let old = old.clone();
        async move { old.bearer().await }
    });
    s.foreign.tokens.journal().wait_until(|j| j.total() == 1, TIMEOUT).await.unwrap();

    let brought = s.foreign.tokens.authorise(CLIENT);
    let new = s.tokens(s.source(s.store(), &brought)).bearer().await;
    gate.cancel();

    assert_eq!(refreshing.await.unwrap(), new);
    assert!(s.foreign.tokens.is_alive(&s.refresh_token().await));
    assert_eq!(s.n_dead(), 0);
}

#[tokio::test]
async fn the_token_of_another_application_is_not_presented() {
    let s = setting(Rotation::Strict).await;
    s.process().await.bearer().await.unwrap();
    let before = s.refresh_token().await;
    let mut source = s.source(s.store(), "unused");
    source.seed = None;
    source.endpoint = Arc::new(TokenEndpoint {
        client_id: Secret::literal("another-client"),
        ..s.foreign.endpoint(ClientAuth::Basic)
    });

    assert_eq!(s.tokens(source).bearer().await, Err(NoToken::NeedsAuthorisation));

    assert_eq!((s.n_requests(), s.refresh_token().await), (1, before));
}

#[tokio::test]
async fn a_wrong_secret_does_not_end_the_refresh_token() {
    let s = setting(Rotation::Strict).await;
    let mut source = s.source(s.store(), &s.seed);
    let wrong = TokenEndpoint { client_secret: Secret::literal("wrong"), ..s.foreign.endpoint(ClientAuth::Basic) };
    source.endpoint = Arc::new(wrong);
    assert_eq!(s.tokens(source).bearer().await, Err(NoToken::Refused { code: "invalid_client" }));

    let corrected = s.process().await.bearer().await;

    assert!(s.is_valid(&corrected));
    assert_eq!(s.foreign.tokens.violations(), [TokenViolation::BadClient]);
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_long_is_asked_rarely_and_never_ends_the_credential() {
    let s = setting(Rotation::Strict).await;
    let processes = [s.process().await, s.process().await];
    s.foreign.tokens.answer_next((0..100).map(|_| status(503)));

    // Each asks every 10 s for 4 hours.
    for _ in 0..4 * 360 {
        for process in &processes {
            let outcome = process.bearer().await.unwrap_err().outcome();
            assert!(matches!(outcome, Outcome::Retry { sent: Sent::No, .. }), "{outcome:?}");
        }
        s.clock().advance(Duration::from_secs(10));
    }
    assert!((15..=30).contains(&s.n_requests()), "{}", s.n_requests());
    assert_eq!(s.state().await, "ok");
    s.foreign.tokens.faults().clear_script();
    s.clock().advance(Duration::from_mins(15));

    assert!(s.is_valid(&processes[0].bearer().await));
    assert_eq!(s.foreign.tokens.violations(), []);
}

#[tokio::test]
async fn a_throttled_refresh_is_held_back_in_every_process() {
    let s = setting(Rotation::Strict).await;
    let (one, other) = (s.process().await, s.process().await);
    s.foreign.tokens.answer_next([status(429).retry_after(Duration::from_secs(90))]);
    assert!(matches!(one.bearer().await, Err(NoToken::Throttled { .. })));

    assert!(other.bearer().await.is_err());
    assert_eq!(s.n_requests(), 1);
    s.clock().advance(Duration::from_secs(90));

    assert!(s.is_valid(&other.bearer().await));
    assert!(s.is_valid(&one.bearer().await));
}

#[tokio::test]
async fn a_refresh_token_that_idles_for_thirty_days_is_due() {
    let s = setting(Rotation::Strict).await;
    let tokens = s.process().await;
    tokens.bearer().await.unwrap();
    let due = async || due_for_keepalive(&s.pool, s.clock().offset_ms()).await.unwrap();

    s.clock().advance(KEEPALIVE.mul_f64(0.99));
    assert_eq!(due().await, []);
    s.clock().advance(KEEPALIVE.mul_f64(0.01));
    assert_eq!(due().await, [sink()]);

    tokens.bearer().await.unwrap();
    assert_eq!(due().await, []);
}

/// Polls a future until it has waited so often, lets the world go on without it for a moment, then drops it: a process
/// that dies there. None: it died.
async fn dies_at_wait<T>(
    number: usize,
    moment: impl Future<Output = ()>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut waits = 0;
    let done = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if waits == number => Poll::Ready(None),
        Poll::Pending => {
            waits += 1;
            Poll::Pending
        }
    })
    .await;
    if done.is_none() {
        moment.await;
    }
    done
}

/// Lets a process die at every point in turn. How often a future waits differs from run to run, so points are missed at
/// times; those that matter most have tests of their own.
async fn die_everywhere(s: &Setting, moment: Duration) {
    let journal = s.foreign.tokens.journal();
    for number in 0.. {
        sqlx::query("DELETE FROM credentials").execute(&s.pool).await.unwrap();
        let seed = s.foreign.tokens.authorise(CLIENT);
        let (dead_before, requests_before) = (s.n_dead(), s.n_requests());
        // The answer takes a while after the effect, so that dying in between happens.
        s.foreign.tokens.answer_next([slow(Duration::from_millis(5))]);
        let source = s.source(s.store(), &seed);
        let arrival = async {
            let _ = journal.wait_until(|j| j.total() > requests_before, moment).await;
        };
        let died = dies_at_wait(number, arrival, source.fetch(None)).await.is_none();
        journal.wait_until(|j| j.running(&format!("client:{CLIENT}")) == 0, TIMEOUT).await.unwrap();
        s.foreign.tokens.faults().clear_script();
        s.clock().advance(LEASE);

        let next = s.tokens(s.source(s.store(), &seed));
        let dead = settled(s, &next).await - dead_before;

        assert!(dead <= 1, "{dead} presentations of a dead token after dying at wait {number}");
        if !died {
            break;
        }
    }
}

/// Lets a process ask until it is final how things stand: a token, or a person needed and nothing presented any more.
/// Returns how often a dead token was presented so far.
///
/// The last write of a process that died may reach the database late, and then heals what this one has given up.
async fn settled(s: &Setting, tokens: &Tokens) -> u64 {
    let first = tokens.bearer().await;
    assert!(matches!(first, Ok(_) | Err(NoToken::NeedsAuthorisation)), "{first:?}");
    let requests = s.n_requests();
    s.clock().advance(REFUSAL_PAUSE);
    let last = tokens.bearer().await;
    assert_eq!(s.n_requests(), requests, "it is final");
    if last.is_ok() {
        assert!(s.is_valid(&last) && s.foreign.tokens.is_alive(&s.refresh_token().await));
    } else {
        assert_eq!((&last, s.state().await.as_str()), (&Err(NoToken::NeedsAuthorisation), "needs_authorisation"));
    }
    s.n_dead()
}

#[tokio::test]
async fn a_process_that_dies_at_any_point_leaves_what_the_next_one_can_settle() {
    let s = setting(Rotation::Strict).await;

    die_everywhere(&s, Duration::ZERO).await;
    die_everywhere(&s, Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_process_that_dies_with_its_turn_is_followed_by_another_when_the_lease_ran_out() {
    let s = setting(Rotation::Strict).await;
    let next = s.process().await;
    next.bearer().await.unwrap();
    s.clock().advance(LIFE);
    let (sink, client) = (sink(), client_fingerprint(&CLIENT.into()));
    let ask = Ask { sink: &sink, client: &client, refused: None, margin: MARGIN, lease: LEASE };
    let store = s.store();
    assert!(matches!(store.ask(&ask).await, Ok(Standing::Yours(Turn { interrupted: false, .. }))));
    assert!(matches!(store.ask(&ask).await, Ok(Standing::Busy)));

    s.clock().advance(LEASE);

    assert!(s.is_valid(&next.bearer().await));
    assert_eq!(s.foreign.tokens.violations(), []);
}

/// A process that dies when its refresh had its effect and the answer is still under way.
async fn dies_before_the_answer(s: &Setting) {
    let gate = CancellationToken::new();
    s.foreign.tokens.answer_next([plainly().answered_when(&gate)]);
    let source = s.source(s.store(), &s.seed);
    tokio::select! {
        fetched = source.fetch(None) => panic!("{fetched:?}"),
        arrived = s.foreign.tokens.journal().wait_until(|j| j.total() == 1, TIMEOUT) => arrived.unwrap(),
    }
    gate.cancel();
    s.clock().advance(LEASE);
}

#[tokio::test]
async fn a_process_that_dies_before_the_answer_needs_a_person_after_one_more_try() {
    let s = setting(Rotation::Strict).await;
    dies_before_the_answer(&s).await;

    assert_eq!(settled(&s, &s.process().await).await, 1);

    assert_eq!((s.state().await.as_str(), s.open_alerts().await), ("needs_authorisation", 1));
}

#[tokio::test]
async fn a_process_that_dies_before_the_answer_does_no_harm_where_the_server_allows_another_try() {
    let s = setting(Rotation::UntilSuccessorIsUsed).await;
    dies_before_the_answer(&s).await;

    assert_eq!(settled(&s, &s.process().await).await, 0);

    assert_eq!(s.state().await, "ok");
}

#[tokio::test]
async fn a_process_that_dies_with_an_unwritten_pair_needs_a_person_after_one_more_try() {
    let s = setting(Rotation::Strict).await;
    let store = Troubled { store: s.store(), keeps_that_fail: 0.into(), gate: CancellationToken::new() };
    let source = s.source(store, &s.seed);
    tokio::select! {
        fetched = source.fetch(None) => panic!("{fetched:?}"),
        answered = s.foreign.tokens.journal().wait_until(|j| j.answers().contains_key(&200), TIMEOUT) => answered.unwrap(),
    }
    s.clock().advance(LEASE);

    assert_eq!(settled(&s, &s.process().await).await, 1);

    assert_eq!(s.state().await, "needs_authorisation");
}

/// A store whose `keep` fails so often, or waits for a gate.
#[derive(Debug)]
struct Troubled {
    store: Store,
    keeps_that_fail: AtomicUsize,
    gate: CancellationToken,
}

impl CredentialStore for Troubled {
    fn plant<'a>(&'a self, seed: &'a Seed<'a>) -> BoxFuture<'a, Result<Written, StoreFailed>> {
        self.store.plant(seed)
    }

    fn ask<'a>(&'a self, ask: &'a Ask<'a>) -> BoxFuture<'a, Result<Standing, StoreFailed>> {
        self.store.ask(ask)
    }

    fn keep<'a>(&'a self, turn: &'a Turn, pair: &'a Pair) -> BoxFuture<'a, Result<Written, StoreFailed>> {
        Box::pin(async move {
            self.gate.cancelled().await;
            let kept = self.store.keep(turn, pair).await;
            let fails = self.keeps_that_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if fails.is_ok() { Err(StoreFailed("the answer of the commit was lost".into())) } else { kept }
        })
    }

    fn give_back<'a>(
        &'a self,
        turn: &'a Turn,
        left: Left,
        pause: Duration,
    ) -> BoxFuture<'a, Result<Written, StoreFailed>> {
        self.store.give_back(turn, left, pause)
    }

    fn give_up<'a>(&'a self, turn: &'a Turn, why: &'a str) -> BoxFuture<'a, Result<Written, StoreFailed>> {
        self.store.give_up(turn, why)
    }
}

#[tokio::test]
async fn a_pair_whose_commit_was_in_trouble_is_written_until_it_is_written() {
    let s = setting(Rotation::Strict).await;
    let gate = CancellationToken::new();
    gate.cancel();
    let store = Troubled { store: s.store(), keeps_that_fail: 3.into(), gate };

    let bearer = s.tokens(s.source(store, &s.seed)).bearer().await;

    assert!(s.is_valid(&bearer));
    assert_eq!(s.process().await.bearer().await, bearer);
    assert_eq!((s.n_requests(), s.foreign.tokens.violations()), (1, vec![]));
}

#[tokio::test]
async fn a_pair_that_is_written_late_heals_what_another_process_had_given_up() {
    let s = setting(Rotation::Strict).await;
    let gate = CancellationToken::new();
    let store = Troubled { store: s.store(), keeps_that_fail: 0.into(), gate: gate.clone() };
    let slow = s.tokens(s.source(store, &s.seed));
    let refreshing = tokio::spawn(async move { slow.bearer().await });
    s.foreign.tokens.journal().wait_until(|j| j.answers().contains_key(&200), TIMEOUT).await.unwrap();
    s.clock().advance(LEASE);
    let other = s.process().await;
    assert_eq!(other.bearer().await, Err(NoToken::NeedsAuthorisation));

    gate.cancel();
    let late = refreshing.await.unwrap();

    assert!(s.is_valid(&late));
    assert_eq!((s.state().await.as_str(), s.open_alerts().await), ("ok", 0));
    s.clock().advance(REFUSAL_PAUSE);
    assert_eq!(other.bearer().await, late);
}

#[tokio::test]
async fn an_access_token_is_not_used_before_its_pair_is_stored() {
    let s = setting(Rotation::Strict).await;
    let gate = CancellationToken::new();
    let store = Troubled { store: s.store(), keeps_that_fail: 0.into(), gate: gate.clone() };
    let tokens = s.tokens(s.source(store, &s.seed));
    let calling = s.foreign.call(&tokens);
    let answered = s.foreign.tokens.journal().wait_until(|j| j.answers().contains_key(&200), TIMEOUT);

    let (called, ()) = tokio::join!(calling, async {
        answered.await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(s.foreign.n_calls(), 0);
        gate.cancel();
    });

    assert_eq!(called, Ok(200));
}

#[tokio::test]
async fn nothing_logs_a_token() {
    let log = crate::harness::log::capture();
    let s = setting(Rotation::Strict).await;
    s.foreign.tokens.answer_next([cut_before(), status(500).after_the_effect()]);
    let tokens = s.process().await;
    assert!(tokens.bearer().await.is_err());
    s.clock().advance(Duration::from_hours(1));
    assert_eq!(tokens.bearer().await, Err(NoToken::NeedsAuthorisation));

    let text = format!("{}{tokens:?}", log.text());

    assert!(text.contains("token request failed"), "{text}");
    for secret in [SECRET, "refresh-the-client", "access-the-client"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
