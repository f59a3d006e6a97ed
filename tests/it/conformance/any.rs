//! Rules for every sink.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use clap::{Args as _, Command, FromArgMatches as _};
use scoffable_sync::{
    cli::{self, plan::PlanArgs},
    delivery::dispatcher::Tick,
    simulator::faults::{
        Answer, Fault, answer, cut_after, cut_before, mangled, not_json, plainly, redirect, status, truncated,
    },
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::subject::{Case, NAME, Subject, TOTAL, at, eventually, patient};
use crate::{
    g10_discreet::whole_database,
    harness::{
        app::{PATIENCE, Setup, order, order_of},
        log,
        recorder::Recorder,
    },
};

pub async fn a_new_order_is_brought_by_the_requests_it_takes_and_each_once<S: Subject>() {
    let mut case = Case::<S>::start().await;
    let strange = ["A-1", "Ä 1", "a/b?c=d&e#f%g", &"x".repeat(150)];

    for id in strange {
        case.arrives(&order(id, 1, "accepted")).await;
    }

    for id in strange {
        case.assert_applied(id, TOTAL).await;
    }
    assert_eq!(case.there.asked().len(), S::STEPS * strange.len());
    case.assert_each_asked_once();
}

pub async fn a_version_that_changes_nothing_visible_asks_for_nothing<S: Subject>() {
    let mut case = Case::<S>::start().await;
    case.arrives(&order("A-1", 1, "accepted")).await;
    let before = case.there.n_requests();

    case.arrives(&order("A-1", 2, "accepted")).await;
    case.arrives(&order("A-1", 7, "accepted")).await;

    assert_eq!(case.there.n_requests(), before);
    case.assert_applied("A-1", TOTAL).await;
}

pub async fn a_correction_replaces_what_stands<S: Subject>() {
    let mut case = Case::<S>::start().await;

    // Not more often for one order: some destinations take only so many corrections.
    for (id, totals) in [("A-1", [1250, 900, 1400, 1250]), ("A-2", [1250, 0, 1, 900])] {
        for (version, total) in [1, 2, 5, 6].into_iter().zip(totals) {
            case.arrives(&order_of(id, version, "accepted", total)).await;
            case.assert_applied(id, total).await;
        }
    }

    case.assert_each_asked_once();
}

pub async fn an_outcome_lost_with_its_process_leaves_one_effect_each<S: Subject>() {
    for effects in 1..=S::STEPS {
        let mut case = Case::<S>::start().await;
        case.app.stores(&order("A-1", 1, "accepted")).await;

        case.lost_after(effects, "A-1").await;
        assert_eq!(case.app.dispatch().await, 0, "the lease holds");
        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
        assert_eq!(case.there.n_effects(), S::STEPS);
    }
}

pub async fn a_throttled_request_waits_as_long_as_asked_and_costs_no_attempt<S: Subject>() {
    let asked = Duration::from_secs(90);
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;

        case.new_order_meets("A-1", step, status(429).retry_after(asked)).await;

        let delivery = case.delivery("A-1").await;
        assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0), "{delivery:?}");
        assert!((85..=90).contains(&delivery.due_in.as_secs()), "{delivery:?}");
        case.app.advance(Duration::from_secs(80));
        case.app.restart().await;
        assert_eq!(case.app.dispatch().await, 0);
        case.app.advance(Duration::from_secs(11));
        case.app.dispatch().await;
        case.assert_applied("A-1", TOTAL).await;
        assert_eq!(case.there.asked().len(), S::STEPS + 1);
    }
}

pub async fn throttling_without_a_wish_backs_off_and_costs_no_attempt<S: Subject>() {
    for fault in [status(429), status(429).header("retry-after", "soon")] {
        for step in 0..S::STEPS {
            let mut case = Case::<S>::start().await;

            case.new_order_meets("A-1", step, fault.clone()).await;

            let delivery = case.delivery("A-1").await;
            assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0), "{delivery:?}");
            assert!(delivery.due_in > Duration::from_secs(4), "{delivery:?}");
            case.run_to_rest().await;
            case.assert_applied("A-1", TOTAL).await;
        }
    }
}

pub async fn unaccepted_credentials_block_the_sink_until_they_are_accepted_again<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;
        if S::REFRESHES {
            case.arrives(&order("A-9", 1, "accepted")).await;
            case.app.advance(S::REFRESHES_AFTER);
            case.new_order_meets("A-0", step, status(401)).await;
            case.assert_applied("A-0", TOTAL).await;
            case.there.answer_next(at(step, status(401)));
            case.there.answer_next(vec![status(401)]);
            case.arrives(&order("A-1", 1, "accepted")).await;
        } else {
            case.new_order_meets("A-1", step, status(401)).await;
        }
        assert_blocked_and_mended(&mut case).await;
    }
}

pub async fn a_missing_right_blocks_the_sink_until_it_is_given_again<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;
        case.new_order_meets("A-1", step, status(403)).await;
        assert_blocked_and_mended(&mut case).await;
    }
}

/// Order `A-1` was the one that met it.
async fn assert_blocked_and_mended<S: Subject>(case: &mut Case<S>) {
    let delivery = case.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0), "{delivery:?}");
    assert_eq!(case.sink().await, "blocked");
    let requests = case.there.n_requests();
    case.arrives(&order("A-2", 1, "accepted")).await;
    assert_eq!(case.there.n_requests(), requests, "nothing else is tried meanwhile");

    case.run_to_rest().await;

    assert_eq!(case.sink().await, "active");
    for id in ["A-1", "A-2"] {
        case.assert_applied(id, TOTAL).await;
    }
}

pub async fn a_redirect_is_refused_and_nothing_follows_it<S: Subject>() {
    for step in 0..S::STEPS {
        let elsewhere = Recorder::start().await;
        let mut case = Case::<S>::start().await;

        case.new_order_meets("A-1", step, redirect(&elsewhere.url())).await;

        let delivery = case.delivery("A-1").await;
        assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("parked", Some("redirected")));
        assert!(delivery.hint.is_some());
        assert!(elsewhere.requests().is_empty());
        assert_eq!(case.there.n_effects(), step);
    }
}

pub async fn a_refused_version_is_cured_by_a_newer_one<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;
        case.new_order_meets("A-1", step, status(422)).await;
        assert_eq!(case.state("A-1").await, S::REFUSED_IS);

        case.arrives(&order_of("A-1", 2, "accepted", 900)).await;

        case.assert_applied("A-1", 900).await;
    }
}

/// Whatever ends by itself.
fn passing_faults() -> Vec<Fault> {
    vec![
        cut_before(),
        cut_after(),
        truncated(),
        not_json(),
        status(500),
        status(502).after_the_effect(),
        status(503).retry_after(Duration::from_secs(90)).after_the_effect(),
        status(429),
    ]
}

/// As many requests as the longest of these histories takes, and one for a look-up.
const REQUESTS: usize = 6;

/// Lets each request of a history meet each fault, once with time for it to be settled before the next version comes and
/// once without.
async fn walk<S: Subject>(setup: Setup, history: impl Fn(&str) -> Vec<Value>, total: Option<i64>) {
    let mut case = Case::<S>::of(setup).await;
    for (n, fault) in passing_faults().into_iter().enumerate() {
        for at_request in 0..REQUESTS {
            for settled_between in [true, false] {
                let id = format!("A-{n}-{at_request}-{settled_between}");
                case.there.answer_next(at(at_request, fault.clone()));
                for version in history(&id) {
                    case.arrives(&version).await;
                    if settled_between {
                        case.run_to_rest().await;
                    }
                }
                case.run_to_rest().await;
                match total {
                    Some(total) => case.assert_applied(&id, total).await,
                    None => case.assert_nothing_stands(&id).await,
                }
                case.there.clear_script();
            }
        }
    }
    let different = "SELECT count(*) FROM money_reconciliation WHERE verdict <> 'equal'";
    assert_eq!(case.app.number(different).await, 0);
}

fn alone() -> Setup {
    patient(Setup::default().without_hook())
}

pub async fn every_fault_at_every_request_of_a_correction_ends_right<S: Subject>() {
    let history = |id: &str| vec![order(id, 1, "accepted"), order_of(id, 2, "accepted", 900), order(id, 3, "accepted")];
    walk::<S>(alone(), history, Some(TOTAL)).await;
}

pub async fn every_fault_at_every_request_of_a_cancellation_ends_right<S: Subject>() {
    let history = |id: &str| vec![order(id, 1, "accepted"), order(id, 2, "cancelled"), order(id, 3, "cancelled")];
    walk::<S>(alone(), history, None).await;
}

pub async fn every_fault_at_every_request_of_an_order_accepted_again_ends_right<S: Subject>() {
    let history = |id: &str| vec![order(id, 1, "accepted"), order(id, 2, "cancelled"), order(id, 3, "accepted")];
    walk::<S>(alone(), history, Some(TOTAL)).await;
}

pub async fn a_process_stopped_at_any_moment_loses_nothing<S: Subject>() {
    let mut case = Case::<S>::patient().await;
    for polls in 0..60 {
        let id = format!("A-{polls}");
        case.app.stores(&order(&id, 1, "accepted")).await;

        let mut dispatchers = std::mem::take(&mut case.app.dispatchers);
        stopped_after(polls, async {
            while let Tick::Worked(_) = dispatchers[0].tick().await.expect("the database answers") {}
        })
        .await;
        drop(dispatchers);
        eventually("its connection is gone", || !case.there.is_busy_with(&id)).await;
        case.app.restart().await;
        case.run_to_rest().await;

        case.assert_applied(&id, TOTAL).await;
        assert_eq!(case.there.n_effects(), S::STEPS * (polls + 1));
    }
}

/// Drops the future the moment it was polled so often, unless it is ready before.
async fn stopped_after(polls: usize, future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        future.as_mut().poll(context)
    })
    .await;
}

pub async fn a_restart_between_any_two_steps_repeats_none<S: Subject>() {
    let mut case = Case::<S>::start().await;
    let history = [
        order("A-1", 1, "accepted"),
        order_of("A-1", 2, "accepted", 900),
        order("A-1", 3, "cancelled"),
        order("A-1", 4, "accepted"),
    ];

    for version in history {
        case.app.stores(&version).await;
        while case.app.dispatchers[0].tick().await.expect("the database answers") != Tick::Idle {
            case.app.restart().await;
        }
    }

    case.assert_applied("A-1", TOTAL).await;
    case.assert_each_asked_once();
    assert_eq!(case.there.asked().len(), case.there.n_effects());
}

pub async fn two_processes_share_the_work_and_repeat_none<S: Subject>() {
    let mut case = Case::<S>::start().await;
    let mut other = case.app.another_process().await.dispatchers;
    let ids: Vec<String> = (0..20).map(|n| format!("A-{n}")).collect();
    for id in &ids {
        case.app.publish(&order(id, 1, "accepted"));
    }
    case.app.poll().await;

    for _ in 0..=S::STEPS * 2 {
        let (one, another) = tokio::join!(case.app.dispatchers[0].tick(), other[0].tick());
        one.and(another).expect("the database answers");
    }

    for id in &ids {
        case.assert_applied(id, TOTAL).await;
    }
    case.assert_each_asked_once();
}

pub async fn an_order_cancelled_before_it_was_sent_is_never_sent<S: Subject>() {
    let mut case = Case::<S>::start().await;
    case.app.stores(&order("A-1", 1, "accepted")).await;

    case.arrives(&order("A-1", 2, "cancelled")).await;

    let delivery = case.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("skipped", Some("cancelled_before_sent")));
    assert_eq!(case.there.n_requests(), 0);
}

pub async fn a_dry_run_asks_for_no_effect_and_changes_nothing<S: Subject>() {
    const ROWS: &str = "SELECT string_agg(to_jsonb(d)::text, ',' ORDER BY d.order_id) || (SELECT count(*) FROM attempts) FROM deliveries d";

    let mut case = Case::<S>::start().await;
    case.arrives(&order("A-1", 1, "accepted")).await;
    case.app.stores(&order_of("A-1", 2, "accepted", 900)).await;
    case.app.stores(&order("A-2", 1, "accepted")).await;
    let (asked, rows) = (case.there.asked().len(), case.app.text(ROWS).await);

    let bodies = planned(&case).await;

    assert_eq!((case.there.asked().len(), case.app.text(ROWS).await), (asked, rows));
    case.app.dispatch().await;
    let asked = case.there.asked().split_off(asked);
    let told: Vec<Vec<u8>> = bodies.iter().filter_map(|body| S::goes_out(body)).collect();
    let is_sent = |body: &Vec<u8>| asked.iter().any(|asked| asked.body == *body);
    assert!(!told.is_empty() && told.iter().all(is_sent), "what was told is what is sent: {bodies:#?}");
}

/// Plans without what it reads meanwhile: a sink that knows all it needs is asked nothing.
pub async fn a_dry_run_asks_for_nothing_at_all<S: Subject>() {
    let mut case = Case::<S>::start().await;
    case.arrives(&order("A-1", 1, "accepted")).await;
    case.app.stores(&order_of("A-1", 2, "accepted", 900)).await;
    case.app.stores(&order("A-2", 1, "accepted")).await;
    let requests = case.there.n_requests();

    let bodies = planned(&case).await;

    assert_eq!((case.there.n_requests(), bodies.len()), (requests, 2));
}

/// The bodies that a dry run tells of the sink's deliveries.
async fn planned<S: Subject>(case: &Case<S>) -> Vec<String> {
    let args = ["plan", "--json", "--bodies", "--sink", NAME];
    let matches = PlanArgs::augment_args(Command::new("plan")).get_matches_from(args);
    let args = PlanArgs::from_arg_matches(&matches).expect("a valid command");
    let (app, mut out) = (&case.app, Vec::new());
    cli::plan::run(&app.settings, &app.pool, &app.clock, &args, &mut out).await.expect("the database answers");
    let told: Value = serde_json::from_slice(&out).expect("JSON");
    let deliveries = told["deliveries"].as_array().expect("a list");
    deliveries.iter().filter_map(|planned| planned["action"]["body"].as_str().map(str::to_owned)).collect()
}

/// How many orders meet odd answers, and how many each.
const ODD: (u64, u64) = (24, 4);

pub async fn whatever_is_in_an_answer_nothing_panics_or_stands_twice_and_the_next_order_is_brought<S: Subject>() {
    let mut case = Case::<S>::patient().await;
    let (orders, answers) = ODD;
    for n in 0..orders {
        case.there.answer_next((0..answers).map(|k| mangled(n * answers + k)).collect());
        case.arrives(&order(&format!("A-{n}"), 1, "accepted")).await;
        case.app.dispatch().await;
        case.there.clear_script();
    }
    // What was read of the destination meanwhile is read anew within a day.
    for _ in 0..25 {
        case.app.advance(Duration::from_hours(1));
        case.app.dispatch().await;
    }

    let panics = case
        .app
        .text("SELECT string_agg(order_id || ' ' || coalesce(step, ''), ', ') FROM attempts WHERE reason = 'panicked'");
    assert_eq!(panics.await, None);
    for n in 0..orders {
        let stands = case.there.stands(&format!("A-{n}"));
        assert!(stands.len() <= 1, "A-{n}: {stands:?}");
    }
    case.arrives(&order("B-1", 1, "accepted")).await;
    for _ in 0..10 {
        case.app.advance(Duration::from_mins(1));
        case.app.dispatch().await;
    }
    assert_eq!(case.there.stands("B-1"), S::wanted(TOTAL));
    case.assert_brought("B-1").await;
}

pub async fn nothing_that_is_echoed_is_kept_or_logged<S: Subject>() {
    const PRIVATE: [&str; 5] = ["jane", "quillfeather", "marmalade", "example.org", "794 609"];
    const ECHO: &str = r#"{"error": "invalid_customer", "name": "jane quillfeather", "phone": "020 794 609 58",
                           "email": "jane@example.org", "text": "jane_quillfeather, 12 marmalade lane"}"#;

    let log = log::capture();
    let mut case = Case::<S>::patient().await;
    for (n, code) in [200, 201, 400, 401, 403, 404, 409, 422, 429, 500, 503].into_iter().enumerate() {
        for step in 0..S::STEPS {
            let echo = answer(Answer::json(code, ECHO));
            let mut private = order(&format!("A-{n}-{step}"), 1, "accepted");
            private["customer"] = json!({"name": "jane quillfeather", "email": "jane@example.org"});
            case.app.run("DELETE FROM sink_lanes").await;
            case.app.restart().await;
            case.there.answer_look_ups(vec![echo.clone()]);
            case.there.answer_next(at(step, echo));
            case.arrives(&private).await;
            case.app.advance(Duration::from_secs(11));
            case.app.dispatch().await;
            case.there.clear_script();
        }
    }

    assert!(log.text().contains("delivery attempted"), "the log is captured");
    let kept = case.app.number("SELECT count(*) FROM attempts WHERE response_excerpt IS NOT NULL").await;
    assert!(kept >= 5, "answers are kept, masked: {kept}");
    let settings = format!("{:?} {:?}", case.app.settings, case.app.dispatchers).to_lowercase();
    let places =
        [("database", whole_database(&case.app).await), ("log", log.text().to_lowercase()), ("settings", settings)];
    for (place, text) in places {
        for private in PRIVATE.iter().chain(S::SECRETS) {
            assert!(!text.contains(private), "{private:?} in the {place}: {text}");
        }
    }
}

pub async fn behind_another_sink_it_waits_and_is_woken<S: Subject>() {
    let mut case = Case::<S>::of(Setup::default().with("sinks.subject.after", "hook")).await;
    case.app.webhook.answer_next([status(500)]);

    case.arrives(&order("A-1", 1, "accepted")).await;

    let waiting = case.delivery("A-1").await;
    assert_eq!((waiting.state.as_str(), waiting.waiting_for.as_deref()), ("pending", Some("dependency")));
    assert_eq!((waiting.attempts, case.there.n_requests()), (0, 0));
    let retry = case.app.delivery("A-1").await.due_in;
    assert!(retry < waiting.due_in, "the sweep is no help here");
    case.app.advance(retry + Duration::from_millis(5));
    case.app.dispatch().await;
    case.assert_applied("A-1", TOTAL).await;
}

pub async fn before_another_sink_it_wakes_that_one<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::of(Setup::default().with("sinks.hook.after", NAME)).await;

        case.new_order_meets("A-1", step, cut_after()).await;
        assert_eq!(case.app.requests(), 0, "nothing stands for certain");
        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
        assert_eq!(case.app.applied("A-1"), [1]);
    }
}

pub async fn a_version_that_arrives_while_a_request_is_under_way_follows_it<S: Subject>() {
    for step in 0..S::STEPS {
        for (n, newer) in [order_of("A-1", 2, "accepted", 900), order("A-1", 2, "cancelled")].iter().enumerate() {
            let mut case = Case::<S>::start().await;
            let gate = CancellationToken::new();
            case.app.stores(&order("A-1", 1, "accepted")).await;
            case.noted().await;
            for _ in 0..step {
                case.app.dispatchers[0].tick().await.expect("the database answers");
            }
            case.there.answer_next(vec![plainly().answered_when(&gate)]);
            let mut other = case.app.another_process().await.dispatchers;

            let there = &case.there;
            case.app
                .during_a_tick(async |app| {
                    eventually("the effect", || there.n_effects() == step + 1).await;
                    app.stores(newer).await;
                    other[0].tick().await.expect("the database answers");
                    gate.cancel();
                })
                .await;
            case.app.dispatch().await;

            match n {
                0 => case.assert_applied("A-1", 900).await,
                _ => case.assert_nothing_stands("A-1").await,
            }
            case.assert_each_asked_once();
        }
    }
}

pub async fn a_drain_waits_for_the_answer_and_records_it<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;
        case.app.stores(&order("A-1", 1, "accepted")).await;
        let (gate, drain) = (CancellationToken::new(), CancellationToken::new());
        case.there.answer_next(at(step, plainly().answered_when(&gate)));

        let running = tokio::spawn(case.app.dispatchers.remove(0).run(drain.clone()));
        eventually("the effect", || case.there.n_effects() == step + 1).await;
        drain.cancel();
        gate.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("the drain ends").expect("nothing breaks");

        assert_eq!(case.there.n_effects(), step + 1, "nothing new is begun");
        case.app.restart().await;
        case.app.dispatch().await;
        case.assert_applied("A-1", TOTAL).await;
        case.assert_each_asked_once();
    }
}

pub async fn before_another_sink_what_was_taken_back_holds_that_one_until_it_stands_again<S: Subject>() {
    let mut case = Case::<S>::of(patient(Setup::default().with("sinks.hook.after", NAME))).await;
    case.arrives(&order("A-1", 1, "accepted")).await;
    case.arrives(&order("A-1", 2, "cancelled")).await;
    assert_eq!(case.app.applied("A-1"), [1, 2]);

    case.there.answer_next(vec![status(503)]);
    case.arrives(&order("A-1", 3, "accepted")).await;

    let waiting = case.app.delivery("A-1").await;
    assert_eq!((waiting.state.as_str(), waiting.waiting_for.as_deref()), ("pending", Some("dependency")));
    case.run_to_rest().await;
    assert_eq!(case.app.applied("A-1"), [1, 2, 3]);
    case.assert_applied("A-1", TOTAL).await;
}

pub async fn every_fault_at_every_request_ends_right_with_each_version_in_turn<S: Subject>() {
    let every = || alone().with("sinks.subject.versions", "every");
    let history =
        |id: &str| vec![order(id, 1, "accepted"), order(id, 2, "cancelled"), order_of(id, 4, "accepted", 900)];
    walk::<S>(every(), history, Some(900)).await;
    let history = |id: &str| vec![order(id, 1, "accepted"), order(id, 3, "accepted"), order(id, 4, "cancelled")];
    walk::<S>(every(), history, None).await;
}
