//! Alerts that a sink raises: one per cause, however many orders it has.

use std::{sync::Arc, time::Duration};

use scoffable_sync::domain::delivery::{About, Alert, Outcome, Plan, Receipt, Repeat, SkipReason, WaitingFor};
use sqlx::Row;

use crate::harness::{
    app::{TestApp, order},
    puppet::{Puppet, drive},
};

async fn app_with_puppet() -> (TestApp, Arc<Puppet>) {
    let mut app = TestApp::start().await;
    let puppet = Arc::new(Puppet::new(Repeat::Safe));
    drive(&mut app, puppet.clone());
    (app, puppet)
}

/// Cause, subject, detail and count of those that are open.
async fn open(app: &TestApp) -> Vec<(String, String, String, i64)> {
    let rows = sqlx::query("SELECT cause, subject, detail, count FROM alerts WHERE resolved_at IS NULL ORDER BY id")
        .fetch_all(&app.pool)
        .await
        .expect("alerts can be read");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

fn told(cause: &str, subject: &str, detail: &str, count: i64) -> (String, String, String, i64) {
    (cause.to_owned(), subject.to_owned(), detail.to_owned(), count)
}

fn unmapped(vendor: &str) -> Plan {
    let alert = Alert {
        cause: SkipReason::UnmappedVendor.as_str(),
        about: About::Shared(vendor.to_owned()),
        detail: format!("map {vendor}"),
    };
    Plan::Skip { reason: SkipReason::UnmappedVendor, alert: Some(alert) }
}

fn noticed(notice: Option<&'static str>) -> Receipt {
    let alert = |cause| Alert { cause, about: About::Order, detail: "look there".to_owned() };
    Receipt { notice: notice.map(str::to_owned), alert: notice.map(alert), ..Receipt::default() }
}

#[tokio::test]
async fn what_many_orders_share_is_one_alert_with_their_count_also_within_one_batch() {
    let (mut app, puppet) = app_with_puppet().await;
    for vendor in ["a", "a", "b", "a"] {
        puppet.plans(unmapped(vendor));
    }
    for n in 0..3 {
        app.publish(&order(&format!("A-{n}"), 1, "accepted"));
    }
    app.poll().await;
    app.dispatch().await;

    app.arrives(&order("A-3", 1, "accepted")).await;

    let expected = [told("unmapped_vendor", "hook/a", "map a", 3), told("unmapped_vendor", "hook/b", "map b", 1)];
    assert_eq!(open(&app).await, expected);
    assert_eq!(app.delivery("A-3").await.reason.as_deref(), Some("unmapped_vendor"));
}

#[tokio::test]
async fn an_alert_that_is_a_notice_stands_once_per_order_and_ends_with_the_notice() {
    let (mut app, puppet) = app_with_puppet().await;
    puppet.answers(Outcome::Delivered(noticed(Some("diverged"))));
    app.arrives(&order("A-1", 1, "accepted")).await;
    puppet.plans(Plan::Settled(noticed(Some("diverged"))));
    app.arrives(&order("A-1", 2, "accepted")).await;
    assert_eq!(open(&app).await, [told("diverged", "hook/main/A-1", "look there", 2)]);

    puppet.plans(Plan::Settled(noticed(None)));
    app.arrives(&order("A-1", 3, "accepted")).await;

    assert_eq!(open(&app).await, []);
}

#[tokio::test]
async fn an_order_that_goes_back_to_placed_after_it_was_brought_is_told_of() {
    let (mut app, puppet) = app_with_puppet().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.arrives(&order("A-1", 2, "rejected")).await;
    app.arrives(&order("A-2", 1, "rejected")).await;

    assert_eq!(puppet.calls().len(), 1);
    let alerts = open(&app).await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((alerts[0].0.as_str(), alerts[0].1.as_str()), ("status_went_back", "hook/main/A-1"));
}

/// Settings that a person has to mend.
fn held() -> Plan {
    held_for("account 205")
}

fn held_for(what: &str) -> Plan {
    let waiting_for = WaitingFor::Configuration;
    let about = About::Shared(what.to_owned());
    let alert = Alert { cause: waiting_for.as_str(), about, detail: "correct `accounts`".to_owned() };
    Plan::Wait { wait: Duration::from_hours(3), waiting_for, alert: Some(alert) }
}

#[tokio::test]
async fn what_waits_for_a_person_to_mend_settings_costs_no_attempt_and_is_told_once() {
    let (mut app, puppet) = app_with_puppet().await;
    puppet.plans(held());
    puppet.plans(held());

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-2", 1, "accepted")).await;

    let delivery = app.delivery("A-2").await;
    assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0));
    assert_eq!(delivery.waiting_for.as_deref(), Some("configuration"));
    assert_eq!(open(&app).await, [told("configuration", "hook/account 205", "correct `accounts`", 2)]);
    assert_eq!(puppet.calls(), []);
}

#[tokio::test]
async fn settings_that_are_read_again_wake_what_waits_for_them_and_close_its_alert() {
    let (mut app, puppet) = app_with_puppet().await;
    puppet.plans(held());
    app.arrives(&order("A-1", 1, "accepted")).await;

    scoffable_sync::app::register(&app.pool, &app.settings, &app.clock).await.expect("the sinks are known");
    app.dispatch().await;

    assert_eq!(puppet.calls().len(), 1, "without waiting for three hours");
    assert_eq!(open(&app).await, []);
}

/// Cause: only settings that were read again closed it, so it stood for ever where the cause was mended at the destination.
#[tokio::test]
async fn an_alert_about_settings_ends_with_the_last_order_that_waits_under_it() {
    const HOUR: Duration = Duration::from_hours(1);
    let (mut app, puppet) = app_with_puppet().await;
    for (id, what) in [("A-1", "account 205"), ("A-2", "account 205"), ("A-3", "tax type X")] {
        puppet.plans(held_for(what));
        app.arrives(&order(id, 1, "accepted")).await;
        app.advance(HOUR);
    }
    let account = told("configuration", "hook/account 205", "correct `accounts`", 2);
    let tax = told("configuration", "hook/tax type X", "correct `accounts`", 1);
    assert_eq!(open(&app).await, [account.clone(), tax.clone()]);

    app.dispatch().await;
    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(open(&app).await, [account, tax.clone()], "another waits under it still");

    app.advance(HOUR);
    app.dispatch().await;
    assert_eq!(open(&app).await, [tax]);

    app.advance(HOUR);
    app.dispatch().await;
    assert_eq!(open(&app).await, []);
}

#[tokio::test]
async fn an_order_that_waits_for_something_else_now_stands_under_that_alert_alone() {
    let (mut app, puppet) = app_with_puppet().await;
    puppet.plans(held_for("account 205"));
    puppet.plans(held_for("tax type X"));
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.advance(Duration::from_hours(3));
    app.dispatch().await;

    assert_eq!(open(&app).await, [told("configuration", "hook/tax type X", "correct `accounts`", 1)]);
    assert_eq!(app.text("SELECT held_for FROM deliveries").await.as_deref(), Some("hook/tax type X"));
}

#[tokio::test]
async fn what_is_given_back_undecided_stands_under_its_alert_still() {
    let (mut app, puppet) = app_with_puppet().await;
    puppet.plans(held());
    app.arrives(&order("A-1", 1, "accepted")).await;
    puppet.plans(Plan::Note(Receipt::default()));
    puppet.plans(held());

    app.advance(Duration::from_hours(3));
    app.dispatch().await;

    assert_eq!(open(&app).await, [told("configuration", "hook/account 205", "correct `accounts`", 2)]);
}
