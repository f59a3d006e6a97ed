//! What the simulators' own tests ask with.

use std::{sync::LazyLock, time::Duration};

/// Building a client is dear, so all tests share one. It keeps no connections: each test has a runtime of its own.
pub fn client() -> reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        // Another test of this binary may have installed it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client without special options")
    });
    CLIENT.clone()
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
