//! Access tokens: given out, expired, killed.
//!
//! Source: GoDataFeed API v1 Reference and v2 Reference, introductions: a token is generated from a consumer key and
//! lives for ever or a number of days, counted from its generation.

use std::time::Duration;

use crate::simulator::digest::short_hash;

/// What becomes of the tokens before when a new one is generated. The documentation does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OldTokens {
    #[default]
    LiveOn,
    AreKilled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Alive,
    /// It was given out, and has expired or was killed.
    Dead,
    Unknown,
}

#[derive(Debug)]
pub(super) struct Tokens {
    /// None: for ever.
    life: Option<Duration>,
    seed: u64,
    given: Vec<Token>,
}

#[derive(Debug)]
struct Token {
    text: String,
    given_at: Duration,
    is_killed: bool,
}

impl Tokens {
    /// With a first one, made by hand.
    pub(super) fn new(life: Option<Duration>, seed: u64, first: String) -> Self {
        Self { life, seed, given: vec![Token { text: first, given_at: Duration::ZERO, is_killed: false }] }
    }

    pub(super) fn standing(&self, text: &str, now: Duration) -> Standing {
        match self.given.iter().find(|token| token.text == text) {
            None => Standing::Unknown,
            Some(token) if self.is_alive(token, now) => Standing::Alive,
            Some(_) => Standing::Dead,
        }
    }

    pub(super) fn generate(&mut self, old: OldTokens, now: Duration) -> String {
        if old == OldTokens::AreKilled {
            self.kill_all();
        }
        let n = self.given.len() as u64;
        let text = format!("gdf-{:016x}", short_hash(&[b"token", &self.seed.to_le_bytes(), &n.to_le_bytes()]));
        self.given.push(Token { text: text.clone(), given_at: now, is_killed: false });
        text
    }

    pub(super) fn kill_all(&mut self) {
        for token in &mut self.given {
            token.is_killed = true;
        }
    }

    /// The text without any token that was ever given out.
    pub(super) fn mask(&self, text: &str) -> String {
        self.given.iter().fold(text.to_owned(), |text, token| text.replace(&token.text, "{token}"))
    }

    fn is_alive(&self, token: &Token, now: Duration) -> bool {
        let has_expired = self.life.is_some_and(|life| now >= token.given_at + life);
        !has_expired && !token.is_killed
    }
}
