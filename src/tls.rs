//! The one source of cryptography for HTTPS: rustls with ring, installed before the first HTTP client is built.
//!
//! reqwest refuses to build a client without it, also one that never speaks TLS, so every client of this program
//! starts here. The certificates this machine trusts are some hundred files, read anew for each client: one for plain HTTP, as all
//! clients of nodes are, does without them.

use std::sync::Once;

/// A builder for an HTTP client of the server at `url`: it can speak HTTPS where the URL does, and trusts nobody where not.
pub fn client(url: &str) -> reqwest::ClientBuilder {
    static INSTALLED: Once = Once::new();
    // An error means that a provider has been installed already, which is as good.
    INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let builder = reqwest::Client::builder();
    let plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if plain { builder.tls_certs_only([]) } else { builder }
}

#[cfg(test)]
mod tests {
    #[test]
    fn clients_can_be_built_any_number_of_times() {
        for url in ["https://api.example.org", "http://127.0.0.1:8080", "HTTP://[::1]:8080"] {
            assert!(super::client(url).build().is_ok(), "{url}");
        }
    }
}
