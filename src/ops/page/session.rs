//! Who may change something on the page: the admin token once, then a cookie that only this token could have made.
//!
//! A session is nothing but the cookie, so that any process with the same token takes it, and another token ends all of
//! them. Forms carry a second text made from the cookie: what another site lets a browser send has it not.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use crate::clock::Clock;

const COOKIE: &str = "scoffable_sync_session";
/// A working day, and what it takes longer.
const LASTS: Duration = Duration::from_hours(12);
/// So many log-ins may be tried in [`WITHIN`].
const MOST_TRIES: usize = 5;
const WITHIN: Duration = Duration::from_mins(1);

/// A person who has shown the admin token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The cookie's value, which was checked.
    value: String,
}

impl Session {
    /// Of a person who has shown the token just now.
    pub fn begin(token: &SecretString, now: DateTime<Utc>) -> Self {
        let ends = now.timestamp() + LASTS.as_secs() as i64;
        let told = format!("{ends}.{}", Uuid::new_v4().simple());
        let seal = hex::encode(mac(token, "session", &told).finalize().into_bytes());
        Self { value: format!("{told}.{seal}") }
    }

    /// That of a request. None: there is none, it has ended, or somebody made it up.
    pub fn of(headers: &HeaderMap, token: &SecretString, now: DateTime<Utc>) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut ours = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE).then_some(value)
        });
        ours.find_map(|value| Self::check(value, token, now))
    }

    fn check(value: &str, token: &SecretString, now: DateTime<Utc>) -> Option<Self> {
        let (told, seal) = value.rsplit_once('.')?;
        mac(token, "session", told).verify_slice(&hex::decode(seal).ok()?).ok()?;
        let ends: i64 = told.split('.').next()?.parse().ok()?;
        (now.timestamp() < ends).then(|| Self { value: value.to_owned() })
    }

    /// For `Set-Cookie`. Not `Secure`, because the service speaks plain HTTP; a proxy with TLS may add it.
    pub fn cookie(&self) -> String {
        format!("{COOKIE}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", self.value, LASTS.as_secs())
    }

    /// For `Set-Cookie`, when a person leaves.
    pub fn no_cookie() -> String {
        format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
    }

    /// What each form of this session carries.
    pub fn form_token(&self, token: &SecretString) -> String {
        hex::encode(mac(token, "form", &self.value).finalize().into_bytes())
    }

    /// Whether a form is one of this session's.
    pub fn made(&self, form_token: &str, token: &SecretString) -> bool {
        let Ok(presented) = hex::decode(form_token) else { return false };
        mac(token, "form", &self.value).verify_slice(&presented).is_ok()
    }
}

/// Compared in constant time by whoever verifies it. `what` keeps the uses of the one key apart.
fn mac(token: &SecretString, what: &str, text: &str) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    for part in [what, "\0", text] {
        mac.update(part.as_bytes());
    }
    mac
}

/// Slows guessing down: in memory, and for all who try together, because behind a proxy everybody has its address.
#[derive(Debug)]
pub struct Throttle {
    clock: Clock,
    tries: Mutex<VecDeque<Duration>>,
}

impl Throttle {
    pub fn new(clock: Clock) -> Self {
        Self { clock, tries: Mutex::default() }
    }

    /// Counts a try, whatever will come of it. `Err`: too many; how long to wait.
    pub fn admit(&self) -> Result<(), Duration> {
        let now = self.clock.elapsed();
        let mut tries = self.tries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tries.retain(|at| now.saturating_sub(*at) < WITHIN);
        match tries.front() {
            Some(first) if tries.len() >= MOST_TRIES => Err(WITHIN.saturating_sub(now.saturating_sub(*first))),
            _ => {
                tries.push_back(now);
                Ok(())
            }
        }
    }

    /// Somebody had the token: earlier tries were slips.
    pub fn forget(&self) {
        self.tries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn token() -> SecretString {
        "0123456789abcdef".into()
    }

    fn sent(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().unwrap();
        [(header::COOKIE, format!("other=1; {pair}").parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_cookie_is_taken_until_it_ends_by_whoever_has_the_same_token() {
        let session = Session::begin(&token(), now());
        let headers = sent(&session.cookie());

        assert_eq!(Session::of(&headers, &token(), now()), Some(session.clone()));
        assert_eq!(Session::of(&headers, &token(), now() + LASTS - Duration::from_secs(1)), Some(session));
        assert_eq!(Session::of(&headers, &token(), now() + LASTS), None);
        assert_eq!(Session::of(&headers, &"another token of ours".into(), now()), None);
        assert_eq!(Session::of(&HeaderMap::new(), &token(), now()), None);
    }

    #[test]
    fn a_cookie_that_somebody_changed_is_none() {
        let cookie = Session::begin(&token(), now()).cookie();
        let value = cookie.split(['=', ';']).nth(1).unwrap();
        let (ends, rest) = value.split_once('.').unwrap();
        let later = format!("{}.{rest}", ends.parse::<i64>().unwrap() + 1);

        for made_up in [later.as_str(), "", ".", "1.2.3", &value[..value.len() - 2], &format!("{value}00")] {
            assert_eq!(Session::of(&sent(&format!("{COOKIE}={made_up}")), &token(), now()), None, "{made_up}");
        }
    }

    #[test]
    fn a_form_belongs_to_one_session() {
        let (one, other) = (Session::begin(&token(), now()), Session::begin(&token(), now()));

        assert!(one.made(&one.form_token(&token()), &token()));
        assert!(!other.made(&one.form_token(&token()), &token()));
        assert!(!one.made("", &token()) && !one.made(&one.value, &token()));
    }

    #[test]
    fn a_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        for cookie in [Session::begin(&token(), now()).cookie(), Session::no_cookie()] {
            assert!(cookie.ends_with("; HttpOnly; SameSite=Strict") && cookie.contains("; Path=/;"), "{cookie}");
        }
    }

    #[test]
    fn guessing_is_slow_and_a_slip_is_forgiven() {
        let clock = Clock::default();
        let throttle = Throttle::new(clock.clone());
        for _ in 0..MOST_TRIES {
            assert_eq!(throttle.admit(), Ok(()));
        }

        let wait = throttle.admit().unwrap_err();
        assert!(wait <= WITHIN && wait > Duration::from_secs(55), "{wait:?}");
        clock.advance(WITHIN);
        assert_eq!(throttle.admit(), Ok(()));

        for _ in 0..MOST_TRIES {
            _ = throttle.admit();
        }
        throttle.forget();
        assert_eq!(throttle.admit(), Ok(()));
    }
}
