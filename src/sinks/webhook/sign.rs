//! Standard Webhooks signatures.
//!
//! `webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`, keyed by the bytes behind `whsec_`.
//! Source: Standard Webhooks specification 1.0.0, "Signature scheme". Tests check it against the published crate.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

use super::config::{InvalidSigningSecret, signing_key};

/// A signing key.
#[derive(Debug, Clone)]
pub struct SigningKey(SecretSlice<u8>);

impl SigningKey {
    /// The key of a `whsec_…` secret.
    pub fn of(secret: &SecretString) -> Result<Self, InvalidSigningSecret> {
        signing_key(secret).map(Self)
    }

    /// The `webhook-signature` header of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes a key of any length");
        for part in [id, ".", timestamp.to_string().as_str(), ".", body] {
            mac.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_verifier_accepts_our_signature() {
        let body = r#"{"type":"order.accepted","name":"Crème brûlée"}"#;
        let timestamp = chrono::Utc::now().timestamp();
        let mut headers = http_headers("msg-1", timestamp);
        headers.insert(
            "webhook-signature",
            SigningKey::of(&SECRET.into()).unwrap().sign("msg-1", timestamp, body).parse().unwrap(),
        );

        let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();

        verifier.verify(body.as_bytes(), &headers).unwrap();
        assert!(verifier.verify(b"{}", &headers).is_err(), "another body must not pass");
    }

    fn http_headers(id: &str, timestamp: i64) -> reqwest::header::HeaderMap {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.to_string().parse().unwrap());
        headers
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let shown = format!("{:?}", SigningKey::of(&SECRET.into()).unwrap());
        assert!(!shown.contains("49"), "{shown}");
        assert!(shown.contains("REDACTED"), "{shown}");
    }
}
