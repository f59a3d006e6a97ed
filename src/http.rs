//! What every HTTP client of this program has in common: TLS, no redirects, and reading `Retry-After`.
//!
//! Redirects are never followed, so that credentials cannot travel to another host. TLS is rustls with ring and the
//! roots compiled in; the program links no OpenSSL and depends on no certificate store of the machine.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::header::{self, HeaderMap};

/// A wait beyond this is taken for this: no server means a longer one, and adding it to an instant must not overflow.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(7 * 24);

/// How we speak TLS, without a protocol to negotiate.
pub fn tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions of TLS")
        .with_root_certificates(roots())
        .with_no_client_auth()
}

fn roots() -> rustls::RootCertStore {
    #[allow(unused_mut, reason = "only the proof adds to it")]
    let mut roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    #[cfg(feature = "failpoints")]
    if let Some(file) = std::env::var_os("SCOFFABLE_SYNC_TRUST_FILE") {
        roots.add_parsable_certificates(certificates(file.as_ref()));
    }
    roots
}

/// Those of a PEM file, which the proof has trusted too: its systems are certified by nobody else.
#[cfg(feature = "failpoints")]
fn certificates(file: &std::path::Path) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::pem_file_iter(file).and_then(Iterator::collect).expect("the proof names a PEM file")
}

/// The start of every client. Callers add their timeouts and their user agent.
pub fn client_builder() -> reqwest::ClientBuilder {
    let mut tls = tls();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(reqwest::redirect::Policy::none()).referer(false)
}

/// How long the server asks us to wait: whole seconds or an HTTP date. `None` without the header and for anything
/// else; zero for a date that has passed.
///
/// A date is compared with the answer's own `Date`, so that a wrong clock of ours does not matter; `now` is used where
/// there is none.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text(header::RETRY_AFTER)?;
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(asked.parse().unwrap_or(u64::MAX)).min(MAX_RETRY_AFTER));
    }
    let until = httpdate::parse_http_date(asked).ok()?;
    let from = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now.into());
    Some(until.duration_since(from).unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pairs: &[(header::HeaderName, &'static str)]) -> Option<Duration> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        retry_after(&headers, "2026-03-01T12:00:00Z".parse().unwrap())
    }

    #[cfg(feature = "failpoints")]
    #[test]
    fn what_the_proof_has_trusted_is_read() {
        let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/mail/ca.pem");
        assert_eq!(roots().add_parsable_certificates(certificates(ca.as_ref())), (1, 0));
    }

    #[test]
    fn whole_seconds_are_taken_as_they_are() {
        assert_eq!(wait(&[(header::RETRY_AFTER, "90")]), Some(Duration::from_secs(90)));
        assert_eq!(wait(&[(header::RETRY_AFTER, " 0 ")]), Some(Duration::ZERO));
    }

    #[test]
    fn a_date_is_measured_from_the_answers_own_date() {
        let date = (header::DATE, "Sun, 01 Mar 2026 11:00:00 GMT");
        let asked = (header::RETRY_AFTER, "Sun, 01 Mar 2026 12:02:00 GMT");
        assert_eq!(wait(std::slice::from_ref(&asked)), Some(Duration::from_mins(2)));
        assert_eq!(wait(&[asked, date]), Some(Duration::from_mins(62)));
    }

    #[test]
    fn a_date_that_has_passed_asks_for_no_wait() {
        assert_eq!(wait(&[(header::RETRY_AFTER, "Sun, 01 Mar 2026 11:00:00 GMT")]), Some(Duration::ZERO));
    }

    #[test]
    fn garbage_is_no_wish() {
        for garbage in ["", "soon", "-5", "1.5", "12 parsecs"] {
            assert_eq!(wait(&[(header::RETRY_AFTER, garbage)]), None, "{garbage}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn an_absurd_wait_is_bounded() {
        for absurd in ["18446744073709551615", "99999999999999999999999", "604801"] {
            assert_eq!(wait(&[(header::RETRY_AFTER, absurd)]), Some(MAX_RETRY_AFTER), "{absurd}");
        }
        assert_eq!(wait(&[(header::RETRY_AFTER, "604799")]), Some(Duration::from_secs(604_799)));
    }
}
