//! Which requests are refused: those that a web page may have caused. Pure.
//!
//! A browser says from where a request comes (`Origin`, `Sec-Fetch-Site`) and for whom it takes the one it asks (`Host`). A page of a name that
//! was made to lead to 127.0.0.1 (DNS rebinding) has that name as its `Host`. Programs send neither of the first two.

use std::fmt;

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;

const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// Names of this machine. A name that others can give an address is not among them.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
/// What a browser says of what its user typed, and of what a page asks of its own origin.
const OWN_SITES: [&str; 2] = ["none", "same-origin"];

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is for another name, or for none.
    Host(String),
    /// A page of another origin asked.
    Origin(String),
    /// A page of another site asked.
    Site(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "the request is for `{host}`, which is no name of this machine"),
            Self::Origin(origin) => write!(f, "a web page of the origin `{origin}` asked"),
            Self::Site(site) => write!(f, "a web page of another site asked (`Sec-Fetch-Site: {site}`)"),
        }
    }
}

/// Why a request is refused, if it is.
pub(super) fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
    let named: Vec<String> = uri
        .authority()
        .map(ToString::to_string)
        .into_iter()
        .chain(headers.get_all(HOST).iter().map(text))
        .collect();
    let Some(host) = named.first() else { return Some(Refusal::Host(String::new())) };
    if let Some(foreign) = named.iter().find(|name| !is_of_this_machine(name)) {
        return Some(Refusal::Host(foreign.clone()));
    }
    let own = format!("http://{host}");
    if let Some(origin) =
        headers.get_all(ORIGIN).iter().map(text).find(|origin| !origin.eq_ignore_ascii_case(&own))
    {
        return Some(Refusal::Origin(origin));
    }
    let site =
        headers.get_all(SEC_FETCH_SITE).iter().map(text).find(|site| !OWN_SITES.contains(&site.as_str()));
    site.map(Refusal::Site)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn is_of_this_machine(name: &str) -> bool {
    let Ok(authority) = name.parse::<Authority>() else { return false };
    !name.contains('@') && NAMES.iter().any(|own| authority.host().eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, headers: &[(&'static str, &str)]) -> Option<Refusal> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        refusal(&uri.parse().unwrap(), &headers.collect())
    }

    #[test]
    fn programs_and_the_user_s_own_pages_may_ask() {
        for host in ["127.0.0.1:8080", "localhost:9070", "LOCALHOST:1", "[::1]:8080", "127.0.0.1"] {
            assert_eq!(refused("/x", &[("host", host)]), None, "{host}");
        }
        assert_eq!(refused("http://127.0.0.1:8080/x", &[]), None, "HTTP/2");
        let own = ("origin", "http://127.0.0.1:9070");
        assert_eq!(
            refused("/x", &[("host", "127.0.0.1:9070"), own, ("sec-fetch-site", "same-origin")]),
            None
        );
        assert_eq!(refused("/ui/", &[("host", "127.0.0.1:9070"), ("sec-fetch-site", "none")]), None);
    }

    #[test]
    fn other_names_are_refused_wherever_they_stand() {
        for host in
            ["evil.example:8080", "127.0.0.1.evil.example", "localhost.:8080", "me@127.0.0.1", "", "a b"]
        {
            assert_eq!(refused("/x", &[("host", host)]), Some(Refusal::Host(host.into())), "{host}");
        }
        assert_eq!(refused("/x", &[]), Some(Refusal::Host(String::new())));
        let evil = Some(Refusal::Host("evil.example".into()));
        assert_eq!(refused("http://evil.example/x", &[("host", "127.0.0.1")]), evil);
        assert_eq!(refused("http://127.0.0.1/x", &[("host", "evil.example")]), evil);
    }

    #[test]
    fn pages_of_others_are_refused() {
        let host = ("host", "127.0.0.1:8080");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9070", "https://127.0.0.1:8080"] {
            assert_eq!(refused("/x", &[host, ("origin", origin)]), Some(Refusal::Origin(origin.into())));
        }
        let twice = [host, ("origin", "http://127.0.0.1:8080"), ("origin", "null")];
        assert_eq!(
            refusal(&Uri::from_static("/x"), &{
                let mut headers = HeaderMap::new();
                for (name, value) in twice {
                    headers.append(name, value.parse().unwrap());
                }
                headers
            }),
            Some(Refusal::Origin("null".into()))
        );
        // An image or a form of another page has no origin.
        for site in ["cross-site", "same-site", "new"] {
            assert_eq!(refused("/x", &[host, ("sec-fetch-site", site)]), Some(Refusal::Site(site.into())));
        }
    }
}
