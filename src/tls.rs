//! The one source of cryptography for HTTPS: rustls with ring, installed before the first HTTP client is built.
//!
//! reqwest refuses to build a client without it, also one that never speaks TLS, so every client of this program
//! starts here.

use std::sync::Once;

/// A builder for an HTTP client that can speak HTTPS.
pub fn client() -> reqwest::ClientBuilder {
    static INSTALLED: Once = Once::new();
    // An error means that a provider has been installed already, which is as good.
    INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
}

#[cfg(test)]
mod tests {
    #[test]
    fn clients_can_be_built_any_number_of_times() {
        assert!(super::client().https_only(true).build().is_ok());
        assert!(super::client().build().is_ok());
    }
}
