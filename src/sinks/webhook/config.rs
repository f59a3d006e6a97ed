//! The keys that only a sink of kind `webhook` has.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

use crate::config::{
    field::{Field, Named},
    headers,
    problems::Section,
    secret::{RawSecret, Secret},
    url::{HttpUrl, check_transport},
};

/// Optional marker before a signing secret. Source: Standard Webhooks specification, "Signature scheme".
const SECRET_PREFIX: &str = "whsec_";
/// Bytes a signing key should have. Source: Standard Webhooks specification, "Signature scheme".
const RECOMMENDED_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Shorter keys are refused: they can be guessed.
const SHORTEST_KEY_BYTES: usize = 16;

/// Headers that each request sets itself.
const RESERVED: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "traceparent",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawWebhook {
    /// Where orders are posted to.
    url: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// Key of the signatures: Base64, with or without `whsec_` before it.
    signing_secret: Field<RawSecret>,
    /// Further headers of every request; their values may be secrets.
    headers: Field<Named<RawSecret>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WebhookSettings {
    pub url: HttpUrl,
    /// Its text as read at the start passes [`signing_key`].
    pub signing_secret: Secret,
    /// Valid names in lower case with valid values, none of them one that the request sets itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    pub allow_insecure: bool,
}

/// Why a text is not a signing secret. Does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningSecret {
    #[error("the signing secret is not Base64")]
    NotBase64,
    #[error("the signing secret has {0} bytes, fewer than {SHORTEST_KEY_BYTES}: it could be guessed")]
    TooShort(usize),
}

/// The key in a signing secret: what follows the optional `whsec_`, decoded from Base64.
pub fn signing_key(secret: &SecretString) -> Result<SecretSlice<u8>, InvalidSigningSecret> {
    let text = secret.expose_secret().trim();
    let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
    let key = STANDARD.decode(encoded).map_err(|_| InvalidSigningSecret::NotBase64)?;
    if key.len() < SHORTEST_KEY_BYTES {
        return Err(InvalidSigningSecret::TooShort(key.len()));
    }
    Ok(SecretSlice::from(key))
}

impl RawWebhook {
    pub(crate) fn validate(self, section: &mut Section<'_>) -> Option<WebhookSettings> {
        let url = section.require("url", self.url, "url = \"https://example.org/orders\"");
        let allow_insecure = check_transport("url", url.as_ref(), self.allow_insecure, section);
        let signing_secret = validate_signing_secret(self.signing_secret, section);
        let headers = headers::validate(self.headers, &RESERVED, section);
        Some(WebhookSettings { url: url?, signing_secret: signing_secret?, headers, allow_insecure })
    }
}

fn validate_signing_secret(field: Field<RawSecret>, section: &mut Section<'_>) -> Option<Secret> {
    const MAKE_ONE: &str = "make one: `echo whsec_$(head -c 32 /dev/urandom | base64)`";

    let secret = section.require_secret("signing_secret", field, "signing_secret = { env = \"HOOK_SECRET\" }")?;
    match signing_key(secret.value()) {
        Err(invalid) => {
            section.problem("signing_secret", invalid.to_string(), MAKE_ONE);
            None
        }
        Ok(key) => {
            let bytes = key.expose_secret().len();
            if !RECOMMENDED_KEY_BYTES.contains(&bytes) {
                section.warn("signing_secret", format!("has {bytes} bytes; 24 to 64 are recommended"), MAKE_ONE);
            }
            Some(secret)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &str) -> Result<Vec<u8>, InvalidSigningSecret> {
        signing_key(&text.into()).map(|key| key.expose_secret().to_vec())
    }

    #[test]
    fn a_signing_secret_is_the_same_with_and_without_its_prefix() {
        let encoded = STANDARD.encode([7; 32]);

        assert_eq!(key_of(&encoded), Ok(vec![7; 32]));
        assert_eq!(key_of(&format!("whsec_{encoded}")), Ok(vec![7; 32]));
    }

    #[test]
    fn a_signing_secret_that_could_be_guessed_is_refused() {
        assert_eq!(key_of(&STANDARD.encode([7; 16])), Ok(vec![7; 16]));
        assert_eq!(key_of(&STANDARD.encode([7; 15])), Err(InvalidSigningSecret::TooShort(15)));
    }

    #[test]
    fn a_signing_secret_that_does_not_decode_is_refused_without_repeating_it() {
        let error = key_of("whsec_not base64!").unwrap_err();

        assert_eq!(error, InvalidSigningSecret::NotBase64);
        assert!(!error.to_string().contains("not base64!"));
    }
}
