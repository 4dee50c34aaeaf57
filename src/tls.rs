//! The one source of cryptography for HTTPS: rustls with ring, installed before the first HTTP client is built.
//!
//! reqwest refuses to build a client without it, also one that never speaks TLS, so every client of this program
//! starts here.

use std::net::IpAddr;
use std::sync::Once;

use reqwest::Url;

/// A builder for an HTTP client that can speak HTTPS, and trusts whom this machine trusts.
pub fn client() -> reqwest::ClientBuilder {
    static INSTALLED: Once = Once::new();
    // An error means that a provider has been installed already, which is as good.
    INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
}

/// A builder for an HTTP client of the node or service at `url`, which are never behind a proxy. Over plain HTTP it does without the
/// certificates this machine trusts, some hundred files that each client reads anew, and so follows no redirect to HTTPS.
pub fn node_client(url: &str) -> reqwest::ClientBuilder {
    let builder = client().no_proxy();
    let plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if plain { builder.tls_certs_only([]) } else { builder }
}

/// Whether what is sent to `url` stays on this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #[test]
    fn clients_can_be_built_any_number_of_times() {
        assert!(super::client().https_only(true).build().is_ok());
        for url in ["https://node.example.org", "http://127.0.0.1:8080", "HTTP://[::1]:8080"] {
            assert!(super::node_client(url).build().is_ok(), "{url}");
        }
    }
}
