//! What all sinks share over HTTP: status → outcome, `Retry-After`, limits in headers, masked excerpts.
//!
//! The common table; a sink whose contract says otherwise for a status looks at that status first.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    Response, StatusCode,
    header::{DATE, HeaderMap},
};

use crate::{
    domain::{
        delivery::{Outcome, Reason, Sent},
        limits::{LearnedLimit, Told, Window},
    },
    http::{MAX_RETRY_AFTER, retry_after},
};

/// Longest answer that is read; the rest is not looked at.
pub const MAX_ANSWER: usize = 256 * 1024;
/// Longest excerpt kept in `attempts`, in characters.
const MAX_EXCERPT: usize = 200;

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Read {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Reads an answer up to [`MAX_ANSWER`] bytes. An error means that the body was cut short.
pub async fn read(response: Response) -> Result<Read, (StatusCode, reqwest::Error)> {
    read_up_to(response, MAX_ANSWER).await
}

/// As [`read`], for answers that may be longer.
pub async fn read_up_to(mut response: Response, most: usize) -> Result<Read, (StatusCode, reqwest::Error)> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
            Ok(_) => return Ok(Read { status, headers, body }),
            Err(error) => return Err((status, error)),
        }
    }
}

/// What a request that got no answer tells.
pub fn failed(error: &reqwest::Error) -> Outcome {
    if error.is_connect() || error.is_builder() {
        return Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None };
    }
    Outcome::Unknown { reason: if error.is_timeout() { Reason::Timeout } else { Reason::ConnectionLost } }
}

/// What a status without success tells; none for 2xx.
pub fn refused(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Outcome> {
    let asked = retry_after(headers, now);
    let unknown_unless_asked = |reason| match asked {
        // The destination names a time: it is there, and says when to come back.
        Some(_) => Outcome::Retry { reason, sent: Sent::Possibly, not_before: asked },
        None => Outcome::Unknown { reason },
    };
    Some(match status.as_u16() {
        200..=299 => return None,
        300..=399 => Outcome::Reject { reason: Reason::Redirected },
        401 => Outcome::Blocked { reason: Reason::Unauthorized },
        403 => Outcome::Blocked { reason: Reason::Forbidden },
        404 => Outcome::Reject { reason: Reason::NotFound },
        408 => unknown_unless_asked(Reason::RequestTimeout),
        409 => Outcome::Reject { reason: Reason::Conflict },
        410 => Outcome::Reject { reason: Reason::Gone },
        422 => Outcome::Reject { reason: Reason::Unprocessable },
        425 => unknown_unless_asked(Reason::TooEarly),
        429 => Outcome::Throttled { not_before: asked.max(resets_in(headers, now)) },
        500.. => unknown_unless_asked(Reason::ServerError),
        _ => Outcome::Reject { reason: Reason::Refused },
    })
}

/// The destination's clock, as its answer tells it.
pub fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
}

/// What an answer's headers tell about the destination's limits; what cannot be read is left out.
///
/// `plain` is the window that numbers without one are about; none: the shortest that the time of reset fits into.
///
/// Source: SpotOn developer documentation, "Rate limits", for `x-ratelimit-limit` with `w`; Xero developer documentation,
/// "OAuth 2.0 API limits", for `X-MinLimit-Remaining` and its like; IETF draft "RateLimit header fields for HTTP",
/// versions 3 to 10, for `RateLimit`, `RateLimit-Policy` and `RateLimit-Limit`.
pub fn learned_limits(
    status: StatusCode,
    headers: &HeaderMap,
    plain: Option<Window>,
    now: DateTime<Utc>,
) -> Vec<LearnedLimit> {
    let mut learned = Vec::new();
    for (header, window) in [("x-minlimit-remaining", Window::Minute), ("x-daylimit-remaining", Window::Day)] {
        if let Some(remaining) = number(headers, header) {
            let told = Told::Left { limit: None, remaining: Some(remaining), resets_in: None };
            learned.push(LearnedLimit { window, told });
        }
    }
    let stated = ["x-ratelimit-", "ratelimit-"].into_iter().find_map(|family| {
        let header = |part| format!("{family}{part}");
        let policies = listed(headers, &header("limit"));
        let remaining = number(headers, &header("remaining"));
        let resets_in = reset(headers, &header("reset"), now);
        let is_there = !policies.is_empty() || remaining.is_some();
        is_there.then_some((policies, remaining, resets_in))
    });
    let (policies, remaining, resets_in) = stated.unwrap_or_else(|| draft(headers));
    learned.extend(assigned(&policies, remaining, resets_in, plain));
    learned.extend(refusal(status, headers, now));
    learned
}

/// One entry of a list of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Policy {
    limit: u32,
    /// Length of its window in seconds.
    window: Option<u64>,
}

/// Says which window the numbers are about, and what is told of the others.
fn assigned(
    policies: &[Policy],
    remaining: Option<u32>,
    resets_in: Option<Duration>,
    plain: Option<Window>,
) -> Vec<LearnedLimit> {
    let fits = |seconds: u64| resets_in.is_none_or(|resets_in| resets_in.as_secs() <= seconds);
    let with_window = policies.iter().filter_map(|policy| Some((policy.window?, policy.limit)));
    // The number left is that of the shortest window it can be about.
    let counted =
        with_window.clone().filter(|(seconds, limit)| fits(*seconds) && remaining.is_none_or(|n| n <= *limit));
    let counted = counted.map(|(seconds, _)| seconds).min();
    let mut learned: Vec<LearnedLimit> = with_window
        .filter_map(|(seconds, limit)| {
            let is_counted = counted == Some(seconds);
            let told = Told::Left {
                limit: Some(limit),
                remaining: remaining.filter(|_| is_counted),
                resets_in: resets_in.filter(|_| is_counted),
            };
            Some(LearnedLimit { window: Window::of_seconds(seconds)?, told })
        })
        .collect();
    if policies.iter().all(|policy| policy.window.is_none()) {
        // Nobody counts down a second in seconds: a number alone is about something longer.
        let longer = || Window::ALL.into_iter().filter(|window| *window != Window::Second);
        let shortest = || longer().find(|window| fits(window.length().as_secs()));
        let by_reset = || resets_in.and_then(|_| shortest());
        if let Some(window) = plain.or_else(by_reset) {
            let limit = policies.first().map(|policy| policy.limit);
            let resets_in = resets_in.map(|resets_in| resets_in.min(window.length()));
            learned.push(LearnedLimit { window, told: Told::Left { limit, remaining, resets_in } });
        }
    }
    learned
}

/// What a 429 says about which window is full, and for how long.
fn refusal(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Option<LearnedLimit> {
    if status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let wait = retry_after(headers, now).max(resets_in(headers, now))?;
    let window = match Problem::of(headers) {
        Problem::AtOnce => return None, // no window is full: one call less at a time will do
        Problem::Day => Window::Day,
        Problem::Other => Window::Minute,
    };
    Some(LearnedLimit { window, told: Told::Refused { wait } })
}

/// Which limit a 429 is about. Source: Xero developer documentation, "OAuth 2.0 API limits", for `X-Rate-Limit-Problem`.
/// Assumed: its words, of which a part is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Too many calls in progress.
    AtOnce,
    Day,
    /// A minute's, one that we do not know, or none was named.
    Other,
}

impl Problem {
    pub fn of(headers: &HeaderMap) -> Self {
        let problem = text(headers, "x-rate-limit-problem").unwrap_or_default().to_ascii_lowercase();
        if problem.contains("concurrent") {
            Self::AtOnce
        } else if problem.contains("day") {
            Self::Day
        } else {
            Self::Other
        }
    }
}

/// `RateLimit` with `RateLimit-Policy`, in its last form (`"name";r=1;t=2`) and in the one before (`remaining=1, reset=2`).
fn draft(headers: &HeaderMap) -> (Vec<Policy>, Option<u32>, Option<Duration>) {
    let list = text(headers, "ratelimit").unwrap_or_default();
    let value = |keys: [&str; 2]| {
        let pairs = list.split([',', ';']).filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| keys.contains(&key.trim())).filter_map(|(_, value)| whole(value));
        found.next()
    };
    let resets_in = value(["t", "reset"]).map(|seconds| Duration::from_secs(seconds.into()).min(MAX_RETRY_AFTER));
    (listed(headers, "ratelimit-policy"), value(["r", "remaining"]), resets_in)
}

/// `50;w=1, 1500;w=60`, also `"name";q=1500;w=60`, or a number alone.
fn listed(headers: &HeaderMap, name: &str) -> Vec<Policy> {
    let list = text(headers, name).unwrap_or_default();
    let policy = |entry: &str| {
        let mut parts = entry.split(';').map(str::trim);
        let first = parts.next().and_then(whole);
        let parameter = |key| {
            let mut pairs = entry.split(';').filter_map(|part| part.split_once('='));
            pairs.find(|(name, _)| name.trim() == key).and_then(|(_, value)| whole(value))
        };
        // A limit of nothing is a way to say something else.
        let limit = first.or_else(|| parameter("q")).filter(|limit| *limit > 0)?;
        Some(Policy { limit, window: parameter("w").map(u64::from) })
    };
    list.split(',').filter_map(policy).collect()
}

/// When the limit that was told begins anew.
fn resets_in(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    ["x-ratelimit-reset", "ratelimit-reset"].into_iter().find_map(|name| reset(headers, name, now))
}

/// Seconds until then, or, where they are too many for that, Unix time.
fn reset(headers: &HeaderMap, name: &str, now: DateTime<Utc>) -> Option<Duration> {
    const UNIX_TIME_FROM: u32 = 1_000_000_000;
    let seconds = number(headers, name)?;
    let seconds = if seconds < UNIX_TIME_FROM { seconds.into() } else { i64::from(seconds) - now.timestamp() };
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(MAX_RETRY_AFTER))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    whole(text(headers, name)?)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Digits and nothing else; a number beyond all limits says nothing.
fn whole(text: &str) -> Option<u32> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The beginning of an answer, for people. A foreign system may echo a customer in any form, so only what certainly
/// names nobody is kept: words that errors are made of ([`PLAIN_WORDS`], also joined as in `invalid_phone`), punctuation,
/// and status codes that stand alone.
pub fn excerpt(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_EXCERPT)]);
    let pieces: Vec<&str> = text.split_inclusive(|c: char| c.is_whitespace() || ",:;{}[]()".contains(c)).collect();
    let core = |piece: &str| piece.trim_matches(|c: char| c.is_whitespace() || ",:;{}[]()\"'".contains(c)).to_owned();
    let has_digit = |at: Option<usize>| {
        at.and_then(|at| pieces.get(at)).is_some_and(|piece| piece.bytes().any(|byte| byte.is_ascii_digit()))
    };
    let mut masked = String::with_capacity(MAX_EXCERPT);
    let mut length = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let core = core(piece);
        let stands_alone = !has_digit(at.checked_sub(1)) && !has_digit(Some(at + 1));
        let keeps = core.is_empty() || is_plain(&core) || stands_alone && is_error_status(&core);
        let shown = if keeps { (*piece).to_owned() } else { piece.replacen(&core, "…", 1) };
        length += shown.chars().count();
        if length > MAX_EXCERPT {
            break;
        }
        masked.push_str(&shown);
    }
    let masked = masked.trim();
    (!masked.is_empty()).then(|| masked.to_owned())
}

fn is_plain(word: &str) -> bool {
    let known = |part: &str| PLAIN_WORDS.binary_search(&part.to_ascii_lowercase().as_str()).is_ok();
    word.split(['_', '-', '.']).filter(|part| !part.is_empty()).all(known)
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_error_status(text: &str) -> bool {
    text.parse().is_ok_and(|status: u16| (400..600).contains(&status))
}

/// What errors are made of, and no name of a person or place. Sorted.
const PLAIN_WORDS: &[&str] = &[
    "a",
    "address",
    "already",
    "amount",
    "an",
    "and",
    "api",
    "argument",
    "at",
    "authenticated",
    "authentication",
    "authorization",
    "authorized",
    "bad",
    "be",
    "been",
    "body",
    "busy",
    "but",
    "by",
    "can",
    "cancelled",
    "cannot",
    "closed",
    "code",
    "collection",
    "conflict",
    "constraint",
    "content",
    "currency",
    "customer",
    "data",
    "date",
    "delivery",
    "denied",
    "detail",
    "details",
    "disabled",
    "does",
    "down",
    "duplicate",
    "email",
    "empty",
    "error",
    "errors",
    "exceeded",
    "exist",
    "exists",
    "expected",
    "expired",
    "failed",
    "failure",
    "false",
    "field",
    "fields",
    "for",
    "forbidden",
    "format",
    "found",
    "from",
    "gateway",
    "gone",
    "has",
    "have",
    "header",
    "id",
    "identifier",
    "in",
    "inactive",
    "internal",
    "invalid",
    "is",
    "it",
    "item",
    "items",
    "json",
    "key",
    "large",
    "later",
    "length",
    "limit",
    "line",
    "list",
    "location",
    "long",
    "maintenance",
    "malformed",
    "many",
    "mapping",
    "may",
    "menu",
    "message",
    "method",
    "missing",
    "must",
    "name",
    "no",
    "not",
    "null",
    "number",
    "object",
    "of",
    "on",
    "or",
    "order",
    "orders",
    "overloaded",
    "parameter",
    "parse",
    "path",
    "payload",
    "payment",
    "permission",
    "phone",
    "please",
    "price",
    "processed",
    "product",
    "property",
    "quantity",
    "rate",
    "reason",
    "received",
    "refused",
    "rejected",
    "request",
    "required",
    "retry",
    "schema",
    "server",
    "service",
    "signature",
    "signing",
    "sink",
    "slow",
    "small",
    "status",
    "still",
    "store",
    "string",
    "supported",
    "tax",
    "temporarily",
    "than",
    "that",
    "the",
    "there",
    "this",
    "time",
    "timeout",
    "timestamp",
    "title",
    "to",
    "token",
    "too",
    "total",
    "true",
    "try",
    "type",
    "unable",
    "unauthorized",
    "unavailable",
    "unexpected",
    "unknown",
    "unprocessable",
    "unsupported",
    "update",
    "url",
    "validation",
    "value",
    "vendor",
    "version",
    "was",
    "webhook",
    "with",
    "wrong",
    "you",
    "your",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, retry_after: Option<&str>) -> Option<Outcome> {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert("retry-after", text.parse().unwrap());
        }
        refused(StatusCode::from_u16(status).unwrap(), &headers, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn each_status_leads_to_the_outcome_of_the_common_table() {
        use Outcome::{Blocked, Reject, Throttled, Unknown};
        let reject = |reason| Some(Reject { reason });

        assert_eq!(outcome(204, None), None);
        assert_eq!(outcome(302, None), reject(Reason::Redirected));
        assert_eq!(outcome(400, None), reject(Reason::Refused));
        assert_eq!(outcome(401, None), Some(Blocked { reason: Reason::Unauthorized }));
        assert_eq!(outcome(403, None), Some(Blocked { reason: Reason::Forbidden }));
        assert_eq!(outcome(404, None), reject(Reason::NotFound));
        assert_eq!(outcome(408, None), Some(Unknown { reason: Reason::RequestTimeout }));
        assert_eq!(outcome(409, None), reject(Reason::Conflict));
        assert_eq!(outcome(410, None), reject(Reason::Gone));
        assert_eq!(outcome(422, None), reject(Reason::Unprocessable));
        assert_eq!(outcome(425, None), Some(Unknown { reason: Reason::TooEarly }));
        assert_eq!(outcome(429, None), Some(Throttled { not_before: None }));
        assert_eq!(outcome(500, None), Some(Unknown { reason: Reason::ServerError }));
        assert_eq!(outcome(599, None), Some(Unknown { reason: Reason::ServerError }));
    }

    #[test]
    fn a_server_that_names_a_time_is_asked_again_then_and_not_in_doubt() {
        let asked = Some(std::time::Duration::from_secs(90));

        assert_eq!(outcome(429, Some("90")), Some(Outcome::Throttled { not_before: asked }));
        let retry = Outcome::Retry { reason: Reason::ServerError, sent: Sent::Possibly, not_before: asked };
        assert_eq!(outcome(503, Some("90")), Some(retry));
    }

    fn learned(status: u16, pairs: &[(&str, &str)]) -> Vec<LearnedLimit> {
        learned_as(status, pairs, None)
    }

    fn learned_as(status: u16, pairs: &[(&str, &str)], plain: Option<Window>) -> Vec<LearnedLimit> {
        let pairs = pairs.iter().map(|(name, value)| {
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        learned_limits(StatusCode::from_u16(status).unwrap(), &pairs.collect(), plain, now)
    }

    fn left(window: Window, limit: Option<u32>, remaining: Option<u32>, resets_in: Option<u64>) -> LearnedLimit {
        let resets_in = resets_in.map(Duration::from_secs);
        LearnedLimit { window, told: Told::Left { limit, remaining, resets_in } }
    }

    fn full(window: Window, seconds: u64) -> LearnedLimit {
        LearnedLimit { window, told: Told::Refused { wait: Duration::from_secs(seconds) } }
    }

    #[test]
    fn a_list_of_limits_is_told_by_window_and_what_is_left_belongs_to_the_window_its_reset_fits_into() {
        let told = |remaining, reset| {
            learned(
                200,
                &[
                    ("x-ratelimit-limit", "50;w=1, 1500;w=60"),
                    ("x-ratelimit-remaining", remaining),
                    ("x-ratelimit-reset", reset),
                ],
            )
        };

        let second = left(Window::Second, Some(50), None, None);
        let minute = left(Window::Minute, Some(1500), None, None);
        assert_eq!(told("1200", "40"), [second, left(Window::Minute, Some(1500), Some(1200), Some(40))]);
        assert_eq!(told("30", "40"), [second, left(Window::Minute, Some(1500), Some(30), Some(40))]);
        assert_eq!(told("49", "1"), [left(Window::Second, Some(50), Some(49), Some(1)), minute]);
        assert_eq!(told("-1", "soon"), [second, minute]);
    }

    #[test]
    fn a_number_alone_is_about_the_window_that_the_sink_names_else_the_shortest_its_reset_fits_into() {
        let pairs = [("X-RateLimit-Limit", "350"), ("X-RateLimit-Remaining", "12")];
        let reset = [pairs[0], pairs[1], ("X-RateLimit-Reset", "61")];

        assert_eq!(
            learned_as(200, &pairs, Some(Window::FiveMinutes)),
            [left(Window::FiveMinutes, Some(350), Some(12), None)]
        );
        assert_eq!(learned(200, &pairs), []);
        assert_eq!(learned(200, &reset), [left(Window::FiveMinutes, Some(350), Some(12), Some(61))]);
        let ends = [pairs[0], pairs[1], ("X-RateLimit-Reset", "1")];
        assert_eq!(learned(200, &ends), [left(Window::Minute, Some(350), Some(12), Some(1))], "a minute's last second");
    }

    #[test]
    fn a_reset_may_be_unix_time() {
        let pairs = [("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "1772366430")];

        assert_eq!(learned(200, &pairs), [left(Window::Minute, None, Some(5), Some(30))]);
    }

    #[test]
    fn the_draft_standards_headers_are_read_in_each_of_their_forms() {
        let expected = [left(Window::Minute, Some(100), Some(7), Some(20))];
        let forms: [&[(&str, &str)]; 3] = [
            &[("RateLimit-Limit", "100;w=60"), ("RateLimit-Remaining", "7"), ("RateLimit-Reset", "20")],
            &[("RateLimit-Policy", "100;w=60"), ("RateLimit", "limit=100, remaining=7, reset=20")],
            &[("RateLimit-Policy", "\"burst\";q=100;w=60"), ("RateLimit", "\"burst\";r=7;t=20")],
        ];

        for form in forms {
            assert_eq!(learned(200, form), expected, "{form:?}");
        }
    }

    #[test]
    fn what_is_left_of_minute_and_day_may_have_headers_of_their_own() {
        let pairs = [("X-MinLimit-Remaining", "59"), ("X-DayLimit-Remaining", "4321")];

        let expected = [left(Window::Minute, None, Some(59), None), left(Window::Day, None, Some(4321), None)];
        assert_eq!(learned(200, &pairs), expected);
    }

    #[test]
    fn a_429_says_which_window_is_full_and_is_about_the_minute_unless_it_says() {
        let problem = |problem| learned(429, &[("Retry-After", "30"), ("X-Rate-Limit-Problem", problem)]);

        assert_eq!(problem("Day"), [full(Window::Day, 30)]);
        assert_eq!(problem("day"), [full(Window::Day, 30)]);
        assert_eq!(problem("Minute"), [full(Window::Minute, 30)]);
        assert_eq!(problem("AppMin"), [full(Window::Minute, 30)]);
        assert_eq!(problem("weather"), [full(Window::Minute, 30)]);
        assert_eq!(problem("Concurrent"), [], "no window is full");
        assert_eq!(learned(429, &[("Retry-After", "30")]), [full(Window::Minute, 30)]);
        assert_eq!(learned(429, &[]), [], "no time was given");
        assert_eq!(learned(503, &[("Retry-After", "30")]), [], "not about limits");
    }

    #[test]
    fn a_429_waits_for_the_later_of_retry_after_and_reset() {
        let wait = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            refused(StatusCode::TOO_MANY_REQUESTS, &headers, DateTime::UNIX_EPOCH)
        };
        let throttled = |seconds| Some(Outcome::Throttled { not_before: Some(Duration::from_secs(seconds)) });

        assert_eq!(wait(&[("x-ratelimit-reset", "40")]), throttled(40));
        assert_eq!(wait(&[("x-ratelimit-reset", "40"), ("retry-after", "50")]), throttled(50));
        assert_eq!(wait(&[("x-ratelimit-reset", "60"), ("retry-after", "50")]), throttled(60));
    }

    #[test]
    fn absurd_numbers_say_nothing_and_an_absurd_wait_is_bounded() {
        let absurd = ["99999999999999999999", "-5", "1e3", "", " ", "4294967296", "NaN", ";w=60", "=;=,;,"];
        for text in absurd {
            let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-minlimit-remaining"];
            assert_eq!(learned(200, &names.map(|name| (name, text))), [], "{text}");
        }
        assert_eq!(learned(200, &[("x-ratelimit-limit", "0;w=60")]), []);
        let far = [("x-ratelimit-reset", "999999999"), ("x-rate-limit-problem", "day")];
        assert_eq!(learned(429, &far), [full(Window::Day, MAX_RETRY_AFTER.as_secs())]);
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_a_reason_to_panic(limit in "[ -~]{0,40}", remaining in "[ -~]{0,12}", reset in "[ -~]{0,12}", status in 100..600_u16) {
            for family in ["x-ratelimit-", "ratelimit-"] {
                let [a, b, c] = ["limit", "remaining", "reset"].map(|part| format!("{family}{part}"));
                learned(status, &[(&a, &limit), (&b, &remaining), (&c, &reset)]);
            }
            learned(status, &[("ratelimit", &limit), ("ratelimit-policy", &limit), ("x-rate-limit-problem", &remaining)]);
        }
    }

    #[test]
    fn an_excerpt_keeps_codes_and_words_and_masks_what_may_be_personal() {
        let body =
            br#"{"error": "invalid_phone", "status": 422, "echo": "Jane Miller, +44 20 7946 0958, jane@example.org"}"#;

        let kept = excerpt(body).unwrap();

        assert!(kept.contains("invalid_phone") && kept.contains("422"), "{kept}");
        for personal in ["Jane", "Miller", "7946", "0958", "example.org"] {
            assert!(!kept.contains(personal), "{personal} in {kept}");
        }
    }

    #[test]
    fn an_excerpt_masks_names_and_numbers_however_they_are_written() {
        for echo in
            ["jane miller", "JANE_MILLER", "jane-miller", "020 7946 095", "555 010 422", "+44 422", "12 acacia road"]
        {
            let kept = excerpt(format!("invalid order: {echo}").as_bytes()).unwrap();

            let letters: String = kept.chars().filter(char::is_ascii_alphanumeric).collect();
            assert_eq!(letters, "invalidorder", "{echo}");
        }
    }

    #[test]
    fn an_excerpt_masks_tokens_and_addresses_that_a_server_echoes() {
        let echoes = [
            r#"{"error": "invalid token", "token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"}"#,
            "invalid token Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
            "invalid token authorization: Basic dGhlLWNsaWVudDpzZWNyZXQ=",
            "invalid token https://api.example.org/v1/c2lnbmF0dXJl/orders?token=eyJhbGciOiJSUzI1NiJ9",
            "invalid token GET /V1/c2lnbmF0dXJl/orders",
            "invalid token refresh_token=dGhlLWNsaWVudDpzZWNyZXQ&client_secret=c2lnbmF0dXJl",
            "invalid token \\\"dGhlLWNsaWVudDpzZWNyZXQ\\\"",
        ];
        for echo in echoes {
            let kept = excerpt(echo.as_bytes()).unwrap();

            for secret in ["eyJ", "c2lnbmF0", "dGhlLWNs"] {
                assert!(kept.contains("invalid") && !kept.contains(secret), "{secret} in {kept}");
            }
        }
    }

    #[test]
    fn the_plain_words_are_sorted() {
        assert!(PLAIN_WORDS.is_sorted());
    }

    #[test]
    fn an_excerpt_is_short_and_an_empty_answer_has_none() {
        assert_eq!(excerpt(b"  \n"), None);
        assert!(excerpt(&b"word ".repeat(10_000)).unwrap().chars().count() <= MAX_EXCERPT);
    }
}
