//! Call budgets of sinks: shared by every process, kept over restarts, urgent orders first, and lowered by what answers
//! tell.

use std::{sync::Arc, time::Duration};

use scoffable_sync::{
    app::services,
    clock::Clock,
    config::SinkSettings,
    delivery::{
        budget::{Ask, Class, Limit},
        calls::{Budget, Call},
        dispatcher::{Dispatcher, Tick},
        driver::Driver,
    },
    domain::{
        delivery::{Outcome, Reason, Repeat},
        ids::SinkName,
        limits::{LearnedLimit, Told, Window},
    },
    ops::health,
    simulator::faults,
    sinks::{self, GroupAnswer, Sink},
    store::{line::Line, status},
};

use crate::harness::{
    app::{SINK, Setup, TestApp, order, order_of},
    puppet::{Puppet, drive},
};

/// A call has left the log of a minute after this.
const MINUTE: Duration = Duration::from_secs(64);

fn limited(key: &str, calls: &str) -> Setup {
    TestApp::setup().with(&format!("sinks.hook.limits.{key}"), calls)
}

/// The sink's budget as another process has it.
fn budget(app: &TestApp) -> Arc<Budget> {
    budget_of(&app.line(), &app.clock, app.settings.sinks.values().next().unwrap())
}

fn budget_of(pool: &Line, clock: &Clock, settings: &SinkSettings) -> Arc<Budget> {
    Budget::of(&SinkName::parse(SINK).unwrap(), settings, &[String::new()], pool, clock).expect("the sink has limits")
}

async fn reserve(budget: &Arc<Budget>, class: Class, calls: u32) -> Vec<Call> {
    let ask = Ask { lane: String::new(), class, calls };
    budget.reserve(&[ask], calls).await.expect("the database answers").calls.remove(0)
}

/// Reserves calls and makes them.
async fn make(budget: &Arc<Budget>, class: Class, calls: u32) -> usize {
    let reserved = reserve(budget, class, calls).await;
    reserved.iter().for_each(Call::spend);
    reserved.len()
}

async fn store_orders(app: &mut TestApp, prefix: &str, n: usize) {
    for number in 1..=n {
        app.publish(&order(&format!("{prefix}-{number}"), 1, "accepted"));
    }
    app.poll().await;
}

/// Seconds until the scope has calls again, by the test's clock.
async fn full_for(app: &TestApp) -> Option<i64> {
    let sql = "SELECT round(extract(epoch FROM max(full_until) - now()) - $1::float8 / 1000)::bigint FROM call_budgets";
    sqlx::query_scalar(sql).bind(app.clock.offset_ms() as f64).fetch_one(&app.pool).await.unwrap()
}

#[tokio::test]
async fn a_sink_without_limits_touches_no_row() {
    let mut app = TestApp::start().await;

    app.webhook.answer_next([faults::status(429)
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-limit", "5;w=60")
        .retry_after(Duration::from_secs(5))]);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.number("SELECT count(*) FROM call_budgets").await, 0);
}

#[tokio::test]
async fn no_more_deliveries_are_claimed_than_there_are_calls_for_and_the_others_are_not_touched() {
    let mut app = limited("per_minute", "3").start().await;
    store_orders(&mut app, "A", 10).await;
    let untouched = "SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts = 0 AND waiting_for IS NULL
                     AND lease_token IS NULL AND xmin::text = (SELECT max(xmin::text) FROM order_versions)";

    let claimed = app.dispatch().await;

    assert_eq!((claimed, app.requests()), (3, 3));
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 3);
    assert_eq!(app.number(untouched).await, 7, "rows that wait for the budget were written");
}

#[tokio::test]
async fn the_budget_opens_when_the_first_calls_are_a_minute_old() {
    let mut app = limited("per_minute", "3").start().await;
    store_orders(&mut app, "A", 10).await;
    app.dispatch().await;

    app.advance(Duration::from_mins(1));
    assert_eq!(app.dispatch().await, 0);
    app.advance(Duration::from_secs(4));
    assert_eq!(app.dispatch().await, 3);

    for _ in 0..3 {
        app.advance(MINUTE);
        app.dispatch().await;
    }
    assert_eq!(app.requests(), 10);
    app.assert_no_violation();
}

#[tokio::test]
async fn of_few_calls_new_orders_get_theirs_before_backfill() {
    let mut app = limited("per_minute", "3").start().await;
    store_orders(&mut app, "OLD", 10).await;
    app.run("UPDATE deliveries SET priority = 2").await;
    store_orders(&mut app, "NEW", 10).await;

    app.dispatch().await;

    let applied = "SELECT count(*) FROM deliveries WHERE state = 'applied' AND order_id LIKE 'NEW-%'";
    assert_eq!(app.number(applied).await, 3);
    assert_eq!(app.requests(), 3);
}

#[tokio::test]
async fn of_few_calls_new_orders_get_theirs_before_corrections() {
    let mut app = limited("per_minute", "4").start().await;
    store_orders(&mut app, "OLD", 4).await;
    app.dispatch().await;
    app.advance(MINUTE);
    for number in 1..=4 {
        app.publish(&order_of(&format!("OLD-{number}"), 2, "accepted", 700));
    }
    store_orders(&mut app, "NEW", 3).await;

    app.dispatch().await;

    let applied = "SELECT count(*) FROM deliveries WHERE state = 'applied' AND order_id LIKE 'NEW-%'";
    assert_eq!(app.number(applied).await, 3);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE applied_version = 2").await, 1);
}

#[tokio::test]
async fn backfill_leaves_a_fifth_of_the_window_to_orders_that_arrive() {
    let mut app = limited("per_minute", "10").start().await;
    store_orders(&mut app, "OLD", 20).await;
    app.run("UPDATE deliveries SET priority = 2").await;

    assert_eq!(app.dispatch().await, 8);
    store_orders(&mut app, "NEW", 5).await;

    assert_eq!(app.dispatch().await, 2);
}

#[tokio::test]
async fn a_lane_without_calls_holds_up_no_other_and_the_whole_sinks_limit_is_shared() {
    let mut app = TestApp::start().await;
    let lanes = ["a", "b"].map(str::to_owned);
    let limit = |scope: &str, lane: Option<&str>, max_calls| Limit {
        scope: scope.to_owned(),
        lane: lane.map(str::to_owned),
        window: Window::Minute,
        max_calls: Some(max_calls),
    };
    let limits =
        vec![limit("sink:hook", None, 10), limit("sink:hook/a", Some("a"), 2), limit("sink:hook/b", Some("b"), 20)];
    let settings = app.settings.sinks.values().next().unwrap();
    let driver = Driver {
        name: SinkName::parse(SINK).unwrap(),
        sink: sinks::build(&SinkName::parse(SINK).unwrap(), settings, &app.clock, &services(&app.pool, &app.clock))
            .unwrap(),
        rules: settings.common.clone(),
        pool: app.line(),
        clock: app.clock.clone(),
        owner: "a test".to_owned(),
        lease: app.settings.delivery.lease,
        read_back: Vec::new(),
        dependents: Vec::new(),
        budget: Some(Budget::within(limits, &app.line(), &app.clock)),
        lanes: lanes.to_vec(),
        metrics: Arc::default(),
        traces: scoffable_sync::telemetry::traces::Traces::default(),
        slots: None,
    };
    app.dispatchers = vec![Dispatcher::new(Arc::new(driver), Arc::default())];
    store_orders(&mut app, "A", 30).await;
    app.run("UPDATE deliveries SET lane = 'a'").await;
    store_orders(&mut app, "B", 30).await;
    app.run("UPDATE deliveries SET lane = 'b' WHERE lane = ''").await;

    app.dispatch().await;

    let pool = &app.pool;
    let applied = |lane| async move {
        let sql = "SELECT count(*) FROM deliveries WHERE state = 'applied' AND lane = $1";
        sqlx::query_scalar::<_, i64>(sql).bind(lane).fetch_one(pool).await.unwrap()
    };
    assert_eq!((applied("a").await, applied("b").await), (2, 8));
}

#[tokio::test]
async fn a_restart_resets_nothing() {
    let mut app = limited("per_day", "3").start().await;
    store_orders(&mut app, "A", 5).await;
    app.dispatch().await;

    app.restart().await;
    app.advance(Duration::from_hours(23));

    assert_eq!(app.dispatch().await, 0);
    app.advance(Duration::from_hours(2));
    assert_eq!(app.dispatch().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_are_never_granted_more_than_the_limit_together() {
    // So much that what a month lends one day is more than the minute's, also on its first.
    let app = limited("per_minute", "50").with("sinks.hook.limits.per_month", "100000").start().await;

    let racing: Vec<_> = (0..8)
        .map(|process| {
            let budget = budget(&app);
            tokio::spawn(async move {
                let mut made = 0;
                for round in 0..6 {
                    let class = Class::ALL[(process + round) % Class::ALL.len()];
                    made += make(&budget, class, 1 + ((process * round) % 5) as u32).await;
                }
                made + make(&budget, Class::New, 20).await
            })
        })
        .collect();
    let mut made = 0;
    for process in racing {
        made += process.await.unwrap();
    }

    assert_eq!(made, 50);
    assert_eq!(app.number("SELECT used FROM call_budgets WHERE \"window\" = 'minute'").await, 50);
    assert_eq!(app.number("SELECT used FROM call_budgets WHERE \"window\" = 'month'").await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_deliver_within_one_budget() {
    let mut app = limited("per_minute", "15").start().await;
    store_orders(&mut app, "A", 40).await;
    let mut others = app.another_process().await.dispatchers;

    let theirs = tokio::spawn(async move { while others[0].tick().await.unwrap() != Tick::Idle {} });
    app.dispatch().await;
    theirs.await.unwrap();

    assert_eq!(app.requests(), 15);
    app.assert_no_violation();
}

#[tokio::test]
async fn what_a_process_reserved_that_died_counts_as_spent() {
    let app = limited("per_minute", "5").start().await;

    let reserved = reserve(&budget(&app), Class::New, 4).await;
    std::mem::forget(reserved);

    assert_eq!(make(&budget(&app), Class::New, 9).await, 1);
}

#[tokio::test]
async fn calls_that_were_not_made_are_there_for_others_once_they_were_given_back() {
    let app = limited("per_minute", "5").start().await;
    let (one, other) = (budget(&app), budget(&app));

    drop(reserve(&one, Class::New, 4).await);
    assert_eq!(make(&other, Class::New, 9).await, 1, "not written yet");
    one.write_notes().await.unwrap();

    assert_eq!(make(&other, Class::New, 9).await, 4);
}

#[tokio::test]
async fn an_order_that_needs_no_call_gives_its_call_back() {
    let mut app = limited("per_minute", "2").start().await;
    for number in 1..=6 {
        app.publish(&order(&format!("A-{number}"), 1, "rejected"));
    }
    app.poll().await;

    app.dispatch().await;
    store_orders(&mut app, "B", 5).await;
    app.dispatch().await;

    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'skipped'").await, 6);
    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn a_failed_call_is_a_call() {
    let mut app = limited("per_minute", "2").start().await;
    app.webhook.answer_next([faults::status(500), faults::status(422)]);
    store_orders(&mut app, "A", 3).await;

    app.dispatch().await;

    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn several_orders_in_one_call_cost_one_call() {
    let mut app = limited("per_minute", "6").start().await;
    let mut sink = Puppet::new(Repeat::Safe);
    sink.group_size = 3;
    let sink = Arc::new(sink);
    drive(&mut app, Arc::clone(&sink) as Arc<dyn Sink>);
    store_orders(&mut app, "A", 12).await;

    app.dispatch().await;

    assert!((4..=6).contains(&sink.calls().len()), "{:?}", sink.calls());
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 12);
    assert_eq!(make(&budget(&app), Class::New, 9).await, 6 - sink.calls().len());
}

/// Cause: one call was reserved for each order, so that the last calls of a day carried one order each.
#[tokio::test]
async fn the_last_calls_carry_as_many_orders_as_fit_into_them() {
    let mut app = limited("per_minute", "2").start().await;
    let mut sink = Puppet::new(Repeat::Safe);
    sink.group_size = 3;
    let sink = Arc::new(sink);
    drive(&mut app, Arc::clone(&sink) as Arc<dyn Sink>);
    store_orders(&mut app, "A", 12).await;

    app.dispatch().await;

    assert_eq!(sink.calls().len(), 2);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 6);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts = 0").await, 6);
}

#[tokio::test]
async fn of_orders_that_cannot_share_a_call_after_all_those_without_one_wait_unharmed() {
    let mut app = limited("per_minute", "2").start().await;
    let mut sink = Puppet::new(Repeat::Never);
    sink.group_size = 3;
    let sink = Arc::new(sink);
    drive(&mut app, Arc::clone(&sink) as Arc<dyn Sink>);
    sink.answers_group(GroupAnswer::RefusedWhole);
    store_orders(&mut app, "A", 3).await;

    app.dispatch().await;

    let calls = sink.calls();
    assert!(calls.len() <= 4, "{calls:?}");
    let waiting = "SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts = 0 AND pending_step IS NULL";
    assert_eq!(app.number(waiting).await, 3 - (calls.len() as i64 - 1));
    for _ in 0..3 {
        app.advance(MINUTE);
        app.dispatch().await;
    }
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 3);
}

#[tokio::test]
async fn a_look_up_is_a_call() {
    let mut app = limited("per_minute", "2").start().await;
    let sink = Arc::new(Puppet::new(Repeat::Never));
    sink.answers(Outcome::Unknown { reason: Reason::Timeout });
    drive(&mut app, Arc::clone(&sink) as Arc<dyn Sink>);
    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(app.delivery("A-1").await.state, "in_doubt");

    app.advance(Duration::from_secs(11));
    app.dispatch().await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(sink.calls().len(), 2);
    assert_eq!(make(&budget(&app), Class::New, 9).await, 0);
}

/// Cause: only the first was counted, and nothing was learnt from answers that went well.
#[tokio::test]
async fn a_look_up_is_as_many_calls_as_it_took_and_what_they_tell_of_limits_counts() {
    let mut app = limited("per_minute", "20").with("sinks.hook.limits.per_day", "1000").start().await;
    let sink = Arc::new(Puppet::new(Repeat::Never));
    sink.answers(Outcome::Unknown { reason: Reason::Timeout });
    drive(&mut app, Arc::clone(&sink) as Arc<dyn Sink>);
    app.arrives(&order("A-1", 1, "accepted")).await;
    let told = Told::Left { limit: None, remaining: Some(2), resets_in: None };
    let limits = vec![LearnedLimit { window: Window::Day, told }];
    sink.look_up_costs(sinks::Calls { made: 7, limits });

    app.advance(Duration::from_secs(11));
    app.dispatch().await;
    app.dispatch().await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(app.number("SELECT used FROM call_budgets WHERE \"window\" = 'minute'").await, 8);
    assert_eq!(make(&budget(&app), Class::New, 9).await, 2, "of the day no more is left");
}

#[tokio::test]
async fn a_doubt_waits_for_the_budget_as_well_and_stays_a_doubt() {
    let mut app = limited("per_minute", "1").start().await;
    let sink = Arc::new(Puppet::new(Repeat::Never));
    sink.answers(Outcome::Unknown { reason: Reason::Timeout });
    drive(&mut app, Arc::clone(&sink) as Arc<dyn Sink>);
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.advance(Duration::from_secs(11));
    assert_eq!(app.dispatch().await, 0);
    assert_eq!(app.delivery("A-1").await.state, "in_doubt");
    app.advance(MINUTE);
    app.dispatch().await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
}

#[tokio::test]
async fn a_new_month_opens_the_budget_again() {
    let mut app = limited("per_month", "40").start().await;
    let budget = budget(&app);
    let mut made = 0;
    // However the days share it, the month is used up within its 31 days, and never exceeded.
    let start_of_month = "SELECT (extract(epoch FROM date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month'
                          - now() AT TIME ZONE 'UTC') * 1000)::bigint";
    app.advance(Duration::from_millis(app.number(start_of_month).await as u64));
    for _ in 0..27 * 4 {
        made += make(&budget, Class::New, 9).await;
        app.advance(Duration::from_hours(6));
    }
    assert!(made >= 38, "{made} in 27 days");
    assert!(made <= 40, "{made} in a month of 40");

    app.advance(Duration::from_hours(31 * 24));

    store_orders(&mut app, "A", 1).await;
    assert_eq!(app.dispatch().await, 1);
    assert_eq!(app.number("SELECT count(*) FROM call_budgets WHERE \"window\" = 'month'").await, 2);
}

#[tokio::test]
async fn what_an_answer_says_is_left_lowers_the_budget_of_every_process() {
    let mut app = limited("per_minute", "50").with("sinks.hook.concurrency", "1").start().await;
    let told = |status_code| {
        faults::status(status_code)
            .after_the_effect()
            .header("x-ratelimit-limit", "50;w=1, 60;w=60")
            .header("x-ratelimit-remaining", "2")
            .header("x-ratelimit-reset", "40")
    };
    app.webhook.answer_next([told(200)]);
    store_orders(&mut app, "A", 8).await;

    app.dispatch().await;

    assert_eq!(app.requests(), 3, "the one that was told so, and two");
    assert_eq!(make(&budget(&app), Class::New, 9).await, 0);
    app.advance(Duration::from_secs(41));
    assert_eq!(app.dispatch().await, 5);
}

#[tokio::test]
async fn a_day_that_is_used_up_there_is_waited_out_also_by_a_new_process() {
    let mut app = limited("per_minute", "50").with("sinks.hook.limits.per_day", "1000").start().await;
    app.webhook
        .answer_next([faults::status(429).header("x-rate-limit-problem", "Day").retry_after(Duration::from_hours(5))]);
    store_orders(&mut app, "A", 1).await;
    app.dispatch().await;
    store_orders(&mut app, "B", 1).await;

    app.restart().await;
    app.advance(Duration::from_hours(5) - Duration::from_secs(10));
    assert_eq!(app.dispatch().await, 0);
    assert!(matches!(full_for(&app).await, Some(1..=10)), "{:?}", full_for(&app).await);
    app.advance(Duration::from_secs(10));
    app.dispatch().await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(app.delivery("B-1").await.state, "applied");
    assert_eq!(app.requests(), 3);
}

#[tokio::test]
async fn calls_beside_a_delivery_count_even_where_there_was_no_room() {
    let app = limited("per_minute", "5").start().await;
    let budget = budget(&app);
    let reserved = reserve(&budget, Class::New, 2).await;
    for call in &reserved {
        call.spend();
        call.answered(&[], 2).await.unwrap();
    }

    assert_eq!(make(&budget, Class::New, 9).await, 0);
    assert_eq!(app.number("SELECT sum(n)::bigint FROM call_budgets, unnest(calls) AS n").await, 6);
}

#[tokio::test]
async fn a_lost_connection_gives_nothing_back_twice() {
    let mut app = limited("per_minute", "5").start().await;
    let budget = budget(&app);
    drop(reserve(&budget, Class::New, 3).await);
    let heard = LearnedLimit { window: Window::Minute, told: Told::Refused { wait: Duration::from_secs(30) } };
    let call = reserve(&budget, Class::New, 1).await.remove(0);

    app.cut_database_connections().await;
    let _ = call.answered(&[heard], 0).await;
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while budget.write_notes().await.is_err() {
        assert!(tokio::time::Instant::now() < until, "the database answers again");
    }

    assert_eq!(make(&budget, Class::New, 9).await, 0, "the refusal was not forgotten");
    app.advance(Duration::from_secs(30));
    assert!(make(&budget, Class::New, 9).await <= 5);
}

#[tokio::test]
async fn a_probe_of_an_open_breaker_needs_a_call_as_well() {
    let mut app = limited("per_minute", "2").with("sinks.hook.breaker.failures", "1").start().await;
    app.webhook.answer_next([faults::status(500)]);
    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(make(&budget(&app), Class::New, 9).await, 1);

    app.advance(Duration::from_secs(31));
    app.dispatch().await;
    assert_eq!(app.requests(), 1);
    assert_eq!(
        app.text("SELECT breaker FROM sink_lanes").await.as_deref(),
        Some("open"),
        "no probe was won for nothing"
    );
    app.advance(MINUTE);
    app.dispatch().await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_dispatcher_keeps_the_limit_and_gives_back_at_its_end() {
    let mut app = limited("per_minute", "20").with("sinks.hook.concurrency", "3").start().await;
    store_orders(&mut app, "A", 12).await;
    for number in 1..=5 {
        app.publish(&order(&format!("R-{number}"), 1, "rejected"));
    }
    app.poll().await;
    let dispatcher = app.dispatchers.remove(0);
    let run = tokio::spawn(dispatcher.run(app.drain.clone()));

    app.requests_begun(12).await;
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while app.number("SELECT count(*) FROM deliveries WHERE open").await > 0 {
        assert!(tokio::time::Instant::now() < until, "deliveries are still open");
        tokio::task::yield_now().await;
    }
    app.drain.cancel();
    run.await.unwrap();

    assert_eq!(app.number("SELECT sum(n)::bigint FROM call_budgets, unnest(calls) AS n").await, 12);
    app.assert_no_violation();
}

#[tokio::test]
async fn people_see_what_waits_for_the_budget_and_until_when() {
    let mut app = limited("per_minute", "3").start().await;
    store_orders(&mut app, "A", 5).await;
    app.dispatch().await;

    let waiting = "SELECT count(*) FROM delivery_queue WHERE due AND waiting_for = 'budget'";
    let until = "SELECT round(extract(epoch FROM budget_full_until - now()))::bigint FROM sink_status";

    assert_eq!(app.number(waiting).await, 2);
    assert!((55..=64).contains(&app.number(until).await));
}

#[tokio::test]
async fn status_tells_how_much_of_each_limit_is_used() {
    let mut app = limited("per_minute", "3").with("sinks.hook.limits.per_month", "310").start().await;
    store_orders(&mut app, "A", 5).await;
    app.dispatch().await;

    let overview = status::overview(&app.pool).await.unwrap();

    let told: Vec<_> = overview.call_budgets.iter().map(|b| (b.scope.as_str(), b.window, b.used, b.limit)).collect();
    let share = overview.call_budgets[0].limit;
    let expected = [
        ("sink:hook", Window::Day, 3, share),
        ("sink:hook", Window::Minute, 3, Some(3)),
        ("sink:hook", Window::Month, 3, Some(310)),
    ];
    assert_eq!(told, expected);
    assert!(overview.call_budgets.iter().all(|budget| budget.resets_at.is_some()));
    let full: Vec<_> = overview.call_budgets.iter().map(|budget| budget.full_until.is_some()).collect();
    assert_eq!(full, [false, true, false]);
    assert_eq!(overview.sinks[0].waiting_for, [("budget".to_owned(), 2)].into());
    assert_eq!(overview.sinks[0].budget_full_until, overview.call_budgets[1].full_until);
}

#[tokio::test]
async fn a_sink_that_waits_for_its_budget_for_long_is_told_so_and_not_to_be_restarted() {
    let mut app = limited("per_day", "1").start().await;
    store_orders(&mut app, "A", 2).await;
    app.dispatch().await;
    app.run("UPDATE deliveries SET next_attempt_at = next_attempt_at - interval '1 hour'").await;

    let overview = status::overview(&app.pool).await.unwrap();
    let health = health::judge(&overview, &health::Limits::default());

    let [reason] = &health.reasons[..] else { panic!("{health:?}") };
    assert_eq!(reason.cause, health::Cause::SinkBehind);
    assert!(reason.detail.contains("no call is left until"), "{reason:?}");
    assert!(reason.hint.contains("limits"), "{reason:?}");
}
