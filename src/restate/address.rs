//! Where a node listens: at a port, or at a socket that only its user can open.

use std::path::PathBuf;

use crate::tls;

/// Where one of a node's APIs is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    socket: Option<PathBuf>,
}

impl Address {
    /// At `socket`. What is asked there has the URL that leads to it from elsewhere, and messages name that.
    pub fn at_socket(url: impl Into<String>, socket: PathBuf) -> Self {
        Self { socket: Some(socket), ..Self::from(url.into()) }
    }

    /// `http://host:port`, or `https://host` of a proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As Restate's own tools and its nodes are given it.
    pub fn for_restate(&self) -> String {
        match &self.socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => self.url.clone(),
        }
    }

    /// A builder for an HTTP client of what is there.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let builder = tls::node_client(&self.url);
        match &self.socket {
            Some(socket) => builder.unix_socket(socket.as_path()),
            None => builder,
        }
    }
}

impl From<String> for Address {
    fn from(url: String) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), socket: None }
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        url.to_owned().into()
    }
}

impl From<&String> for Address {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}
