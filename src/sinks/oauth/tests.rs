//! The rules of [`Tokens`] against a source that is told what to answer.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU8, AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

use super::*;

const MARGIN: Duration = Duration::from_mins(5);

/// Hands out `token-1`, `token-2`, …, living an hour, unless told otherwise.
#[derive(Debug, Clone, Default)]
struct Source {
    asked: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    most_running: Arc<AtomicUsize>,
    script: Arc<Mutex<VecDeque<Result<Duration, NoToken>>>>,
    gate: Option<Arc<Semaphore>>,
    secret: Arc<AtomicU8>,
    refused: Arc<Mutex<Vec<Option<Bearer>>>>,
}

impl Source {
    fn gated() -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        (Self { gate: Some(Arc::clone(&gate)), ..Self::default() }, gate)
    }

    fn answers(&self, script: impl IntoIterator<Item = Result<Duration, NoToken>>) {
        self.script.lock().unwrap().extend(script);
    }

    fn n_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl TokenSource for Source {
    fn fetch<'a>(&'a self, refused: Option<&'a Bearer>) -> BoxFuture<'a, Result<Fresh, NoToken>> {
        Box::pin(async move {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            self.refused.lock().unwrap().push(refused.cloned());
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_running.fetch_max(running, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            let life = self.script.lock().unwrap().pop_front().unwrap_or(Ok(Duration::from_hours(1)))?;
            Ok(Fresh { bearer: token(number), life, left: life, scope: None })
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        [self.secret.load(Ordering::SeqCst); 32]
    }
}

fn token(number: usize) -> Bearer {
    Bearer::new(format!("token-{number}")).unwrap()
}

fn tokens(source: &Source) -> (Tokens, Clock) {
    let clock = Clock::default();
    let sink = SinkName::parse("books").unwrap();
    (Tokens::new(sink, source.clone(), MARGIN, clock.clone()), clock)
}

fn refusal() -> NoToken {
    NoToken::Refused { code: "invalid_client" }
}

fn trouble() -> NoToken {
    NoToken::Unavailable { reason: Reason::ServerError, not_before: None }
}

#[tokio::test]
async fn many_callers_at_once_lead_to_one_request() {
    let (source, gate) = Source::gated();
    let (tokens, _) = tokens(&source);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.bearer().await })
        })
        .collect();

    gate.add_permits(100);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(token(1)));
    }

    assert_eq!(source.n_asked(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_request_along() {
    let (source, gate) = Source::gated();
    let (tokens, _) = tokens(&source);
    let impatient = tokio::time::timeout(Duration::ZERO, tokens.bearer()).await;
    assert!(impatient.is_err());

    gate.add_permits(1);

    assert_eq!(tokens.bearer().await, Ok(token(1)));
    assert_eq!(source.n_asked(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_when_the_margin_is_left_and_not_before() {
    let source = Source::default();
    let (tokens, clock) = tokens(&source);
    tokens.bearer().await.unwrap();

    clock.advance(Duration::from_mins(54));
    assert_eq!(tokens.bearer().await, Ok(token(1)));
    clock.advance(Duration::from_mins(1));

    assert_eq!(tokens.bearer().await, Ok(token(2)));
}

#[tokio::test]
async fn a_short_lived_token_is_renewed_when_a_fifth_of_its_life_is_left() {
    let source = Source::default();
    source.answers([Ok(Duration::from_mins(10))]);
    let (tokens, clock) = tokens(&source);
    tokens.bearer().await.unwrap();

    clock.advance(Duration::from_secs(475));
    assert_eq!(tokens.bearer().await, Ok(token(1)));
    clock.advance(Duration::from_secs(5));

    assert_eq!(tokens.bearer().await, Ok(token(2)));
}

#[tokio::test]
async fn while_one_renews_early_the_others_go_on_with_the_old_token() {
    let (source, gate) = Source::gated();
    let (tokens, clock) = tokens(&source);
    gate.add_permits(1);
    tokens.bearer().await.unwrap();
    clock.advance(Duration::from_mins(56));
    let renewing = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.bearer().await }
    });
    while source.n_asked() < 2 {
        tokio::task::yield_now().await;
    }

    assert_eq!(tokens.bearer().await, Ok(token(1)));
    gate.add_permits(1);

    assert_eq!(renewing.await.unwrap(), Ok(token(2)));
    assert_eq!(source.most_running.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_until_it_expires() {
    let source = Source::default();
    source.answers([Ok(Duration::from_hours(1)), Err(trouble()), Err(trouble())]);
    let (tokens, clock) = tokens(&source);
    tokens.bearer().await.unwrap();

    clock.advance(Duration::from_mins(56));
    assert_eq!(tokens.bearer().await, Ok(token(1)));
    clock.advance(Duration::from_mins(4));

    assert_eq!(tokens.bearer().await, Err(trouble()));
}

#[tokio::test]
async fn a_late_refusal_of_an_older_token_leaves_the_newer_one() {
    let source = Source::default();
    let (tokens, _) = tokens(&source);
    let old = tokens.bearer().await.unwrap();
    tokens.refused(&old);
    let new = tokens.bearer().await.unwrap();

    tokens.refused(&old);

    assert_eq!(tokens.bearer().await, Ok(new));
    assert_eq!(source.n_asked(), 2);
    assert_eq!(*source.refused.lock().unwrap(), [None, Some(old)]);
}

#[tokio::test]
async fn refused_credentials_are_not_presented_again_for_a_while() {
    let source = Source::default();
    source.answers([Err(refusal())]);
    let (tokens, clock) = tokens(&source);
    assert_eq!(tokens.bearer().await, Err(refusal()));

    clock.advance(REFUSAL_PAUSE / 2);
    assert_eq!(tokens.bearer().await, Err(refusal()));
    assert_eq!(source.n_asked(), 1);
    clock.advance(REFUSAL_PAUSE / 2);

    assert_eq!(tokens.bearer().await, Ok(token(2)));
}

#[tokio::test]
async fn changed_credentials_are_tried_at_once() {
    let source = Source::default();
    source.answers([Err(refusal())]);
    let (tokens, _) = tokens(&source);
    assert_eq!(tokens.bearer().await, Err(refusal()));

    source.secret.fetch_add(1, Ordering::SeqCst);

    assert_eq!(tokens.bearer().await, Ok(token(2)));
}

#[tokio::test]
async fn a_wish_of_the_endpoint_is_kept_and_what_is_left_of_it_told() {
    let source = Source::default();
    let throttled = |secs| NoToken::Throttled { not_before: Some(Duration::from_secs(secs)) };
    source.answers([Err(throttled(90))]);
    let (tokens, clock) = tokens(&source);
    assert_eq!(tokens.bearer().await, Err(throttled(90)));

    clock.advance(Duration::from_mins(1));

    let Err(NoToken::Throttled { not_before: Some(left) }) = tokens.bearer().await else { panic!("still throttled") };
    assert!((25..=30).contains(&left.as_secs()), "{left:?}");
    assert_eq!(source.n_asked(), 1);
}

#[test]
fn without_a_token_nothing_was_sent() {
    let wait = Some(Duration::from_secs(9));

    assert_eq!(refusal().outcome(), Outcome::Blocked { reason: Reason::Unauthorized });
    assert_eq!(NoToken::NeedsAuthorisation.outcome(), Outcome::Blocked { reason: Reason::Unauthorized });
    assert_eq!(NoToken::Throttled { not_before: wait }.outcome(), Outcome::Throttled { not_before: wait });
    let retry = Outcome::Retry { reason: Reason::ServerError, sent: Sent::No, not_before: None };
    assert_eq!(trouble().outcome(), retry);
}

#[test]
fn a_token_is_not_shown_and_only_taken_when_a_header_can_carry_it() {
    let bearer = Bearer::new("a-token").unwrap();

    assert!(!format!("{bearer:?} {:?}", bearer.header()).contains("a-token"));
    for text in ["", "two words", "line\nbreak", "ü"] {
        assert_eq!(Bearer::new(text), None, "{text}");
    }
}
