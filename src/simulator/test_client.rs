//! What the simulators' own tests ask with.

use std::{sync::OnceLock, time::Duration};

pub fn client() -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // Another test of this binary may have installed it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client without options")
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
