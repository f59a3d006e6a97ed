//! What all sinks share over HTTP: status → outcome, `Retry-After`, masked excerpts.
//!
//! The common table; a sink whose contract says otherwise for a status looks at that status first.

use chrono::{DateTime, Utc};
use reqwest::{Response, StatusCode, header::HeaderMap};

use crate::{
    domain::delivery::{Outcome, Reason, Sent},
    http::retry_after,
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
pub async fn read(mut response: Response) -> Result<Read, (StatusCode, reqwest::Error)> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => body.extend_from_slice(&chunk),
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
        429 => Outcome::Throttled { not_before: asked },
        500.. => unknown_unless_asked(Reason::ServerError),
        _ => Outcome::Reject { reason: Reason::Refused },
    })
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
