//! A plan's calls in a month, and what a person hears of them.

use scoffable_sync::simulator::{faults::status, unleashed::Blocked};

use super::*;

const USED_UP: &str = "SELECT count(*) FROM alerts WHERE cause = 'budget_used_up' AND subject = 'stock/month'";
const STILL_USED_UP: &str =
    "SELECT count(*) FROM alerts WHERE cause = 'budget_used_up' AND subject = 'stock/month' AND resolved_at IS NULL";

/// An order is at Unleashed, and then others take what is left of the month.
async fn used_up(blocked: Blocked) -> (TestApp, UnleashedSim) {
    let (mut app, sim) = at_unleashed(&[("complete", "immediately")]).await;
    enter_a_month(&app);
    sim.change_rules(|rules| rules.blocked = blocked);
    app.arrives(&order("0", 1, "accepted")).await;
    sim.use_up_the_month();
    app.arrives(&order("1", 1, "accepted")).await;
    (app, sim)
}

fn n_blocked(sim: &UnleashedSim) -> u64 {
    sim.ledger().calls().blocked
}

#[tokio::test]
async fn a_month_that_is_used_up_opens_on_the_first_and_one_alert_tells_of_it() {
    for blocked in [Blocked::TooManyRequests, Blocked::Forbidden] {
        let (mut app, sim) = used_up(blocked).await;
        let waiting = app.delivery_at(STOCK, "1").await;
        assert_eq!((waiting.state.as_str(), waiting.attempts, n_blocked(&sim)), ("pending", 0, 1), "{waiting:?}");

        for _ in 0..4 * 12 {
            app.advance(Duration::from_mins(15));
            app.dispatch().await;
        }
        assert!((11..=13).contains(&n_blocked(&sim)), "one call an hour asks: {}", n_blocked(&sim));
        assert_eq!((app.number(USED_UP).await, app.number(STILL_USED_UP).await), (1, 1));
        let first = month_after(sim.now());
        let until = |at: chrono::DateTime<chrono::Utc>| (at - sim.now()).to_std().unwrap();
        app.advance(until(first - chrono::Duration::minutes(1)));
        app.dispatch().await;
        assert_eq!(applied(&app, "1").await.0, "pending");

        app.advance(until(first + chrono::Duration::seconds(2)));
        app.dispatch().await;

        assert_eq!(applied(&app, "1").await.0, "applied");
        app.arrives(&order("2", 1, "accepted")).await;
        assert_eq!((app.number(USED_UP).await, app.number(STILL_USED_UP).await), (1, 0));
        assert_nothing_wrong(&sim);
    }
}

#[tokio::test]
async fn calls_that_are_bought_are_found_within_an_hour() {
    let (mut app, sim) = used_up(Blocked::Forbidden).await;

    sim.buy_calls(1_000);
    app.advance(Duration::from_mins(61));
    app.dispatch().await;

    assert_eq!(applied(&app, "1").await.0, "applied");
}

#[tokio::test]
async fn a_403_that_nothing_explains_is_asked_about_now_and_then() {
    let (mut app, sim) = at_unleashed(&[("complete", "immediately")]).await;
    app.arrives(&order("0", 1, "accepted")).await;
    sim.answer_next(vec![status(403); 10_000]);
    let before = sim.journal().total();

    app.arrives(&order("1", 1, "accepted")).await;
    for _ in 0..24 * 12 {
        app.advance(Duration::from_mins(5));
        app.dispatch().await;
    }

    let asked = sim.journal().total() - before;
    assert!((24..=110).contains(&asked), "{asked} calls in a day");
    let told = "SELECT count(*) FROM alerts WHERE cause = 'blocked'";
    assert_eq!(app.number(told).await, 1);
    sim.clear_script();
    app.advance(Duration::from_mins(20));
    app.dispatch().await;
    assert_eq!(applied(&app, "1").await.0, "applied");
    assert_nothing_wrong(&sim);
}
