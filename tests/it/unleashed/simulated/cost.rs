//! How many calls it takes.

use scoffable_sync::{
    domain::ids::SinkName,
    simulator::faults::{plainly, status},
    store::operations::{self, Named, Operator},
};

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

/// Cause: what the account refused waited for `configuration` for ever, and nobody was told that it came to nothing.
#[tokio::test]
async fn what_is_refused_for_three_days_is_given_up_and_a_person_has_it_tried_at_once() {
    let (mut app, sim) = at_unleashed(&[("complete", "immediately")]).await;
    app.arrives(&order("0", 1, "accepted")).await;
    sim.answer_next_writes(vec![status(422); 100]);
    app.arrives(&order("1", 1, "accepted")).await;
    let mut tried = 0;
    while app.delivery_at(STOCK, "1").await.state == "pending" {
        tried += 1;
        app.advance(Duration::from_hours(3));
        app.dispatch().await;
    }
    assert_eq!(tried, 24, "every three hours, for three days");
    assert_eq!(app.delivery_at(STOCK, "1").await.reason.as_deref(), Some("gave_up"));
    let open = "SELECT string_agg(cause || ' ' || subject, ', ') FROM alerts WHERE resolved_at IS NULL";
    assert_eq!(app.text(open).await.as_deref(), Some("gave_up stock/main/1"));
    let refused = "SELECT count(*) FROM attempts WHERE order_id = '1' AND outcome = 'refused' AND http_status = 422";
    assert_eq!(app.number(refused).await, 25);

    sim.clear_script();
    let sink = SinkName::parse(STOCK).unwrap();
    let named = Named { sink: &sink, source: None, order_ids: &["1".to_owned()] };
    let by = Operator { who: "ada", why: None };
    operations::retry(&app.pool, named, by, app.clock.offset_ms()).await.unwrap();
    app.dispatch().await;

    assert_eq!(applied(&app, "1").await, ("applied".to_owned(), Some(1)));
    assert_nothing_wrong(&sim);
}
