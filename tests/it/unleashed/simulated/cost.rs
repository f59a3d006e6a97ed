//! How many calls it takes.

use scoffable_sync::simulator::faults::{plainly, status};

use super::*;

const ORDERS: u64 = 50;

#[tokio::test]
async fn an_order_of_which_everything_is_known_takes_three_calls_at_most() {
    for complete in ["immediately", "after_minutes:180"] {
        let (mut app, sim) = at_unleashed(&[("complete", complete)]).await;
        // What all orders share is read with the first.
        app.arrives(&order("0", 1, "accepted")).await;
        app.run_to_rest().await;
        let before = sim.journal().total();

        for id in 1..=ORDERS {
            app.publish(&order(&id.to_string(), 1, "accepted"));
        }
        app.poll().await;
        app.run_to_rest().await;

        let taken = sim.journal().total() - before;
        assert!(taken <= 3 * ORDERS, "{taken} calls, {complete}");
        assert!(documents(&sim).iter().all(|(_, status, total)| (status.as_str(), *total) == ("Completed", 1250)));
        assert_eq!(documents(&sim).len() as u64, ORDERS + 1);
        assert_nothing_wrong(&sim);
    }
}

/// Cause: what was refused of one version held back the next one for three hours.
#[tokio::test]
async fn what_was_refused_is_cured_by_a_newer_version_at_once() {
    let (mut app, sim) = at_unleashed(&[("complete", "immediately")]).await;
    app.arrives(&order("0", 1, "accepted")).await;
    for (id, n_before) in [("1", 0), ("2", 1)] {
        let script = vec![plainly(); n_before].into_iter().chain([status(422)]);
        sim.answer_next_writes(script);
        app.arrives(&order(id, 1, "accepted")).await;
        let held = app.delivery_at(STOCK, id).await;
        assert_eq!((held.state.as_str(), held.waiting_for.as_deref()), ("pending", Some("configuration")));
        assert!(held.due_in > Duration::from_hours(2), "{held:?}");

        app.arrives(&order_of(id, 2, "accepted", 900)).await;

        assert_eq!(applied(&app, id).await, ("applied".to_owned(), Some(2)));
    }
    assert_nothing_wrong(&sim);
}
