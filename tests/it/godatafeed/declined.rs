//! Orders that Scoffable declined, and a person has cancelled there although they owe nothing.

use scoffable_sync::{
    cli::godatafeed::GodatafeedCommand,
    operate::{
        Desk,
        deliveries::{self, Cancel},
    },
    store::operations::{OperationError, Refusal},
};

use super::*;
use crate::operate::{actions, parsed, text};

async fn asked(feed: &Feed, line: &str) -> (u8, String) {
    let (command, app, mut out) = (parsed::<GodatafeedCommand>(line), &feed.app, Vec::new());
    let code = cli::godatafeed::run(&app.settings, &app.pool, &command, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

/// A first version that was not accepted.
fn declined(feed: &Feed, id: &str, status: &str) -> Value {
    let mut order = feed.accepted(id, 1);
    order["status"] = json!(status);
    order.as_object_mut().expect("an object").remove("acceptedAt");
    order
}

#[tokio::test]
async fn a_declined_order_is_cancelled_there_once_a_person_says_yes() {
    for status in ["rejected", "placed"] {
        let mut feed = Feed::start().await;
        feed.imported("A-1");
        feed.arrives(&declined(&feed, "A-1", status)).await;
        feed.assert_stands("A-1", "skipped", "never_accepted").await;

        let (code, told) = asked(&feed, "cancel A-1 --who ada --why closed").await;
        assert_eq!(code, 1);
        assert!(told.starts_with("to be cancelled at sink feed: main/A-1\nnothing was changed"), "{told}");
        feed.dispatch().await;
        assert_eq!(actions(&feed.app).await, 0);
        feed.assert_stands("A-1", "skipped", "never_accepted").await;

        let (code, told) = asked(&feed, "cancel A-1 --who ada --why closed --yes").await;
        assert_eq!((code, told.as_str()), (0, "main/A-1 at sink feed: skipped → pending\n"));
        feed.dispatch().await;

        assert_eq!(feed.counterpart("A-1").state(), OrderState::Cancelled, "at once");
        feed.assert_stands("A-1", "applied", "").await;
        assert_eq!(feed.receipt().await.get("cancel_asked"), None);
        assert_eq!((feed.calls(Operation::UpdateStatus), feed.app.requests()), (1, 0));
        let story = "SELECT detail ->> 'why' FROM order_timeline WHERE actor = 'operator:ada' AND event = 'cancel'";
        assert_eq!(feed.app.text(story).await.as_deref(), Some("closed"));
        feed.assert_no_wrong();
    }
}

#[tokio::test]
async fn one_that_is_not_held_there_yet_is_cancelled_when_it_comes_and_if_it_never_does_is_none() {
    let mut feed = Feed::start().await;
    for id in ["A-1", "A-2"] {
        feed.arrives(&declined(&feed, id, "rejected")).await;
    }

    asked(&feed, "cancel A-1 A-2 --yes").await;
    feed.dispatch().await;
    feed.assert_stands("A-1", "pending", "counterpart").await;
    feed.imported("A-1");
    feed.passes(POLL + MINUTE).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Cancelled);

    for _ in 0..30 {
        feed.app.advance(Duration::from_hours(1));
        feed.dispatch().await;
    }
    feed.assert_stands("A-2", "skipped", "no_counterpart").await;
    feed.assert_no_wrong();
}

#[tokio::test]
async fn one_that_is_accepted_meanwhile_is_not_cancelled_then_or_later() {
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    let rejected = declined(&feed, "A-1", "rejected");
    feed.arrives(&rejected).await;

    asked(&feed, "cancel A-1 --yes").await;
    let accepted = Feed::after(&rejected, |order| {
        order["status"] = json!("accepted");
        order["acceptedAt"] = json!(feed.instant());
    });
    feed.arrives(&accepted).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
    feed.arrives(&Feed::after(&accepted, |order| order["status"] = json!("rejected"))).await;
    feed.passes(2 * POLL).await;

    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged, "the wish was about another version");
    assert_eq!(feed.notice().await.as_deref(), Some("no_longer_accepted"));
    asked(&feed, "cancel A-1 --yes").await;
    feed.dispatch().await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Cancelled, "this one is about this");
    feed.assert_no_wrong();
}

#[tokio::test]
async fn what_is_not_declined_or_not_owed_here_is_refused_and_nothing_is_changed() {
    let mut feed = Feed::start().await;
    feed.acknowledged("A-1").await;
    feed.arrives(&declined(&feed, "A-2", "rejected")).await;

    let (code, told) = asked(&feed, "cancel A-2 A-1 --yes").await;
    assert_eq!(code, 1);
    assert!(told.contains("order A-1 is accepted"), "{told}");
    let (code, told) = asked(&feed, "cancel A-9 --yes").await;
    assert_eq!(code, 1);
    assert!(told.contains("is owed no order A-9"), "{told}");
    let desk =
        Desk { pool: &feed.app.pool, by: Operator { who: "ada", why: None }, offset_ms: feed.app.clock.offset_ms() };
    let sink = SinkName::parse("hook").expect("a valid name");
    let at_hook = Cancel { sink: sink.clone(), source: None, orders: vec!["A-2".to_owned()], yes: true };
    match deliveries::cancel(desk, &at_hook).await {
        Err(OperationError::Refused(refusals)) => {
            assert_eq!(refusals, [Refusal::HoldsNoOthers { sink, kind: "webhook".to_owned() }]);
        }
        other => panic!("{other:?}"),
    }

    feed.assert_stands("A-2", "skipped", "never_accepted").await;
    assert_eq!(actions(&feed.app).await, 0);
}
