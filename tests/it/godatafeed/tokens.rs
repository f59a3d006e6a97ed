//! Refused tokens, and tokens generated from a consumer key.

use std::os::unix::fs::PermissionsExt as _;

use scoffable_sync::simulator::godatafeed::OldTokens;
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_hours(24);

/// With a key in place of a token, in a folder that outlives restarts.
fn by_key(folder: &TempDir) -> Wish {
    let file = folder.path().join("token");
    let lasting_30_days = |o: &mut GoDataFeedOptions| o.token_life = Some(30 * DAY);
    feed()
        .without("token")
        .with("auth_mode", "consumer_key")
        .with("consumer_key", "gdf-consumer-key")
        .with("token_file", file.to_str().expect("a plain path"))
        .with("token_lifespan_days", "30")
        .of(lasting_30_days)
}

#[tokio::test]
async fn a_refused_token_stops_the_sink_and_costs_no_attempt() {
    for code in [401, 403] {
        for operation in [Operation::List, Operation::Acknowledge] {
            let mut feed = Feed::start().await;
            feed.imported("A-1");
            feed.there.answer_next_to(operation, [status(code)]);

            feed.arrives(&feed.accepted("A-1", 1)).await;

            let (state, reason, hint) = feed.sink().await;
            assert_eq!((state.as_str(), reason.as_deref()), ("blocked", Some("credentials_rejected")));
            assert!(hint.is_some_and(|hint| hint.contains("token")));
            assert_eq!(feed.delivery("A-1").await.attempts, 0);
            let before = feed.there.received().len();
            feed.arrives(&feed.accepted("A-2", 1)).await;
            assert_eq!(feed.there.received().len(), before, "nothing else is tried meanwhile");

            feed.passes(2 * MINUTE).await;
            assert_eq!(feed.sink().await.0, "active");
            assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
        }
    }
}

#[tokio::test]
async fn a_token_file_that_is_replaced_is_noticed_without_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "gdf-token\n").expect("it can be written");
    let mut feed = feed().without("token").with("token.file", file.to_str().expect("a plain path")).start().await;
    feed.there.kill_tokens();
    feed.imported("A-1");
    feed.arrives(&feed.accepted("A-1", 1)).await;
    assert_eq!(feed.sink().await.0, "blocked");

    std::fs::write(&file, feed.there.make_token()).expect("it can be written");
    feed.passes(2 * MINUTE).await;

    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn one_token_is_generated_kept_for_its_owner_alone_and_used_by_every_process() {
    let folder = TempDir::new().expect("a folder");
    let mut feed = by_key(&folder).start().await;
    let mut other = feed.app.another_process().await.dispatchers;
    for n in 0..10 {
        feed.imported(&format!("A-{n}"));
        feed.app.publish(&feed.accepted(&format!("A-{n}"), 1));
    }
    feed.app.poll().await;
    feed.app.dispatchers[1].tick().await.expect("the database answers");
    feed.app.dispatchers[1].tick().await.expect("the database answers");
    for _ in 0..10 {
        let (one, another) = tokio::join!(feed.app.dispatchers[0].tick(), other[0].tick());
        one.and(another).expect("the database answers");
    }
    feed.app.restart().await;
    feed.passes(2 * MINUTE).await;

    assert_eq!(feed.there.ledger().n_tokens(), 1);
    assert_eq!(feed.calls(Operation::Acknowledge), 10);
    let file = folder.path().join("token");
    let mode = file.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).expect("it can be read")).expect("JSON");
    let token = kept["token"].as_str().expect("a token").to_owned();
    assert!(kept["created_at"].is_string());
    assert!(!kept.to_string().contains("gdf-consumer-key"));
    assert!(!whole_database(&feed.app).await.contains(&token), "never in the database");
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_token_is_renewed_when_a_tenth_of_its_life_is_left_and_not_before() {
    let folder = TempDir::new().expect("a folder");
    let mut feed = by_key(&folder).start().await;
    feed.acknowledged("A-1").await;

    feed.app.advance(26 * DAY + Duration::from_hours(23));
    feed.acknowledged("A-2").await;
    assert_eq!(feed.there.ledger().n_tokens(), 1);
    feed.app.advance(Duration::from_hours(2));
    feed.acknowledged("A-3").await;

    assert_eq!(feed.there.ledger().n_tokens(), 2);
    assert_eq!(feed.there.ledger().n_dead_tokens_shown(), 0);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn after_a_refusal_one_token_is_generated_and_the_call_made_again_but_never_twice_in_ten_minutes() {
    let folder = TempDir::new().expect("a folder");
    let mut feed = by_key(&folder).of(|o| o.old_tokens = OldTokens::AreKilled).start().await;
    feed.acknowledged("A-1").await;
    feed.passes(11 * MINUTE).await;
    feed.there.kill_tokens();

    feed.acknowledged("A-2").await;
    assert_eq!(feed.there.ledger().n_tokens(), 2);
    assert_eq!(feed.sink().await.0, "active");
    feed.there.kill_tokens();
    feed.app.advance(POLL);
    feed.imported("A-3");
    feed.arrives(&feed.accepted("A-3", 1)).await;
    assert_eq!(feed.sink().await.0, "blocked");
    feed.app.restart().await;
    feed.passes(4 * MINUTE).await;
    assert_eq!(feed.there.ledger().n_tokens(), 2);
    feed.passes(20 * MINUTE).await;

    assert_eq!(feed.there.ledger().n_tokens(), 3);
    assert_eq!(feed.counterpart("A-3").state(), OrderState::Acknowledged);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_lost_answer_of_the_authorisation_asks_for_no_other_token_soon() {
    let folder = TempDir::new().expect("a folder");
    let mut feed = by_key(&folder).start().await;
    feed.imported("A-1");
    feed.there.answer_next_to(Operation::Authorize, [cut_after()]);

    feed.arrives(&feed.accepted("A-1", 1)).await;
    feed.passes(9 * MINUTE).await;
    assert_eq!(feed.there.ledger().n_tokens(), 1, "and nobody has it");
    feed.passes(20 * MINUTE).await;

    assert_eq!(feed.there.ledger().n_tokens(), 2);
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
    feed.assert_no_wrong();
}
