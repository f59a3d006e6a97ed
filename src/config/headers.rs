//! Further headers of requests, whose values may be secrets.

use std::collections::BTreeMap;

use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::{
    field::{Field, Named},
    problems::Section,
    secret::{Origin, RawSecret, Secret},
};

/// Reads the table `headers`: valid names in lower case with valid values, none of them reserved.
pub fn validate(
    field: Field<Named<RawSecret>>,
    reserved: &[&str],
    section: &mut Section<'_>,
) -> BTreeMap<String, Secret> {
    let entries = section.entries("headers", field);
    let mut section = section.within("headers");
    let mut headers = BTreeMap::new();
    for (written, value) in entries {
        let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
            section.problem(&written, "is not the name of a header", "use letters, digits and hyphens");
            continue;
        };
        if reserved.contains(&name.as_str()) {
            section.problem(&written, "is a header that every request sets itself", "remove it");
            continue;
        }
        let value = section.take(&written, value).and_then(|raw| section.read_secret(&written, raw));
        let Some(value) = value else { continue };
        if HeaderValue::from_str(value.value().expose_secret()).is_err() {
            section.problem(
                &written,
                "has a value that no header can have",
                "use visible ASCII characters on one line",
            );
            continue;
        }
        if value.origin() == &Origin::Literal && looks_secret(name.as_str()) {
            section.warn(
                &written,
                "what looks like a secret stands in the configuration file",
                "keep it elsewhere: `{ env = \"NAME\" }` or `{ file = \"/run/secrets/name\" }`",
            );
        }
        if headers.insert(name.as_str().to_owned(), value).is_some() {
            section.problem(
                &written,
                "is there twice, in different case",
                "keep one: headers are the same in any case",
            );
        }
    }
    headers
}

fn looks_secret(header: &str) -> bool {
    ["auth", "cookie", "key", "secret", "token"].iter().any(|word| header.contains(word))
}
