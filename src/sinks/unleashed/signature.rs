//! The signature of a request: HMAC-SHA256 over its query, and over nothing else of it.
//!
//! A query is written here byte for byte, of characters that may stand in it as they are where a value lets us. Whether a
//! server signs what is escaped as it was sent or in its plain form is not documented: what the first answer taught is kept.
//!
//! Source: apidocs.unleashedsoftware.com, "Authentication help". Observed: public clients disagree about escapes.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Signs queries.
#[derive(Debug)]
pub struct Signer {
    key: SecretString,
    /// The server wants the plain form of what is escaped.
    plain: AtomicBool,
}

/// Over which form of a query a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    AsSent,
    Plain,
}

impl Form {
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::AsSent => Self::Plain,
            Self::Plain => Self::AsSent,
        }
    }
}

impl Signer {
    pub fn new(key: SecretString) -> Self {
        Self { key, plain: AtomicBool::new(false) }
    }

    /// The form that is known to work, or is likely to.
    pub fn form(&self) -> Form {
        if self.plain.load(Ordering::Relaxed) { Form::Plain } else { Form::AsSent }
    }

    pub fn learn(&self, form: Form) {
        self.plain.store(form == Form::Plain, Ordering::Relaxed);
    }

    pub fn sign(&self, query: &Query, form: Form) -> String {
        let message = match form {
            Form::AsSent => &query.sent,
            Form::Plain => &query.plain,
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret().as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(message.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// What stands behind the `?`. `Debug` shows none of it: an address may be in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    sent: String,
    plain: String,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("length", &self.sent.len()).finish_non_exhaustive()
    }
}

impl Query {
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let mut query = Self::default();
        for (name, value) in pairs {
            for text in [&mut query.sent, &mut query.plain] {
                if !text.is_empty() {
                    text.push('&');
                }
                text.push_str(name);
                text.push('=');
            }
            query.sent.push_str(&escaped(value));
            query.plain.push_str(value);
        }
        query
    }

    pub fn as_sent(&self) -> &str {
        &self.sent
    }

    /// Whether there are two ways to sign it.
    pub fn has_escapes(&self) -> bool {
        self.sent != self.plain
    }
}

/// Whether a value may stand in a query as it is.
pub fn is_plain(value: &str) -> bool {
    value.bytes().all(may_stand)
}

fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:@,/".contains(&byte)
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if may_stand(byte) {
            text.push(byte.into());
        } else {
            write!(text, "%{byte:02X}").expect("text takes text");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(query: &Query) -> String {
        Signer::new("example-key-not-real-0001".into()).sign(query, Form::AsSent)
    }

    #[test]
    fn signatures_are_those_of_the_contract() {
        let customer = Query::of(&[("customerCode", "SCF-C-77"), ("pageSize", "50")]);
        let since = Query::of(&[("modifiedSince", "2025-10-09T08:00:00.000"), ("pageSize", "200")]);

        assert_eq!(signed(&Query::default()), "+qjxH2Qjw4MnlDBvq8Hke2ldTLlmNOe5scrjHItRdow=");
        assert_eq!(customer.as_sent(), "customerCode=SCF-C-77&pageSize=50");
        assert_eq!(signed(&customer), "QmTVHKAr7/ewEwbkVyoYjhq5SuTcDGcUY3cLVeCovuE=");
        assert_eq!(since.as_sent(), "modifiedSince=2025-10-09T08:00:00.000&pageSize=200");
        assert_eq!(signed(&since), "ugTIClayEccAK5xIaxQ+3qZYEcGa/x7dX4pgjiU4I64=");
    }

    #[test]
    fn what_needs_no_escape_has_one_form_and_other_values_have_two() {
        assert!(!Query::of(&[("contactEmail", "jane@example.org"), ("a", "b,c/d:e")]).has_escapes());

        let query = Query::of(&[("contactEmail", "jane+1@exämple.org")]);
        assert_eq!(query.as_sent(), "contactEmail=jane%2B1@ex%C3%A4mple.org");
        let signer = Signer::new("key".into());
        assert_ne!(signer.sign(&query, Form::AsSent), signer.sign(&query, Form::Plain));
    }

    #[test]
    fn no_http_library_writes_a_query_anew() {
        let query = Query::of(&[("a", "jane+1@exämple.org & %,/:@'\"<>|")]);
        let mut url = reqwest::Url::parse("https://api.example.org/Customers").unwrap();
        url.set_query(Some(query.as_sent()));

        assert_eq!(url.query(), Some(query.as_sent()));
    }

    #[test]
    fn neither_a_key_nor_a_query_is_shown() {
        let query = Query::of(&[("contactEmail", "jane@example.org")]);
        let shown = format!("{:?} {query:?}", Signer::new("example-key".into()));

        assert!(!shown.contains("example"), "{shown}");
    }
}
