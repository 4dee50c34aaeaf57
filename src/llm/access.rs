//! Where a provider is and the key for it: from the environment, and nowhere else.

use std::fmt;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::Provider;
use crate::error::Failure;
use crate::tls::is_loopback;

/// A key. Neither `Debug` nor anything else shows it; it leaves as a header value marked sensitive, which is not shown
/// either.
#[derive(Clone)]
pub struct Secret {
    key: String,
    header: HeaderValue,
}

impl Secret {
    /// `prefix` and the key as the value of a header; `None` where the key has characters no key has.
    fn new(prefix: &str, key: String) -> Option<Self> {
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::from_str(&format!("{prefix}{key}")).ok()?;
        header.set_sensitive(true);
        Some(Self { key, header })
    }

    /// The key alone, as a header.
    pub(super) fn bare(&self) -> Option<HeaderValue> {
        let mut header = HeaderValue::from_str(&self.key).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// `text` without the key, for what a server may echo. A key that is too short for a secret, such as `none` for a local server,
    /// stays: it is a part of words.
    pub(super) fn removed_from(&self, text: &str) -> String {
        if self.key.len() < SHORTEST_SECRET { text.to_owned() } else { text.replace(&self.key, "[redacted]") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Hosts, with commas between them, to which keys may go over plain HTTP. Loopback need not be named.
const ALLOW_PLAIN_HTTP: &str = "CLASSIFY_ALLOW_PLAIN_HTTP";
/// Characters that a key has at least if it is one.
const SHORTEST_SECRET: usize = 8;

/// How to reach a provider.
#[derive(Debug, Clone)]
pub struct Access {
    provider: Provider,
    url: Url,
    key: Option<Secret>,
}

/// Names of the environment, and what holds without them.
struct Names {
    url: &'static str,
    default_url: Option<&'static str>,
    /// What comes before the first path segment of the API; part of a compatible server's URL by custom.
    base: &'static str,
    path: &'static str,
    key: &'static str,
    key_prefix: &'static str,
}

fn names(provider: Provider) -> Names {
    match provider {
        Provider::OpenAi => Names {
            url: "CLASSIFY_OPENAI_URL",
            default_url: Some("https://api.openai.com"),
            base: "v1",
            path: "chat/completions",
            key: "OPENAI_API_KEY",
            key_prefix: "Bearer ",
        },
        Provider::Anthropic => Names {
            url: "CLASSIFY_ANTHROPIC_URL",
            default_url: Some("https://api.anthropic.com"),
            base: "v1",
            path: "messages",
            key: "ANTHROPIC_API_KEY",
            key_prefix: "",
        },
        Provider::Compatible => Names {
            url: "CLASSIFY_COMPATIBLE_URL",
            default_url: None,
            base: "v1",
            path: "chat/completions",
            key: "CLASSIFY_COMPATIBLE_API_KEY",
            key_prefix: "Bearer ",
        },
    }
}

/// The variable that makes `provider` usable.
pub fn key_variable(provider: Provider) -> &'static str {
    let names = names(provider);
    if names.default_url.is_some() { names.key } else { names.url }
}

/// All variables of the environment that tell where providers are, what their keys are and where those may go.
pub fn variables() -> Vec<&'static str> {
    let providers = Provider::ALL.into_iter().map(names).flat_map(|names| [names.key, names.url]);
    providers.chain([ALLOW_PLAIN_HTTP]).collect()
}

impl Access {
    /// Reads what `provider` needs from the environment, of which `variable` gives one value. Empty ones count as
    /// absent. A URL without a path gets the usual one; a path is taken as it stands.
    ///
    /// # Errors
    /// When the key or the URL is missing or unusable; the failure names the variable and never its value.
    pub fn from_env(provider: Provider, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let names = names(provider);
        let given =
            |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let base = given(names.url).or_else(|| names.default_url.map(str::to_owned)).ok_or_else(|| {
            Failure::usage(format!("no URL for provider `{provider}`"))
                .hint(format!("export {}=http://localhost:11434/v1 (this one is Ollama's)", names.url))
        })?;
        let url = endpoint(&base, &names).ok_or_else(|| {
            Failure::usage(format!("{} is no usable URL", names.url))
                .hint(format!("export {}=https://HOST/v1, without user, query or fragment", names.url))
        })?;
        let key = match given(names.key) {
            Some(key) => Some(Secret::new(names.key_prefix, key).ok_or_else(|| {
                Failure::usage(format!("{} has characters that no key has", names.key))
                    .hint("a line break or a typographic quote copied along?")
            })?),
            None if provider == Provider::Compatible => None,
            None => {
                return Err(Failure::usage(format!("no key for provider `{provider}`"))
                    .hint(format!("export {}=… where `classify serve` runs", names.key)));
            }
        };
        if key.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            let host = url.host_str().unwrap_or_default();
            let allowed = given(ALLOW_PLAIN_HTTP).unwrap_or_default();
            if !allowed.split(',').any(|name| name.trim().eq_ignore_ascii_case(host)) {
                let (url, key) = (names.url, names.key);
                return Err(Failure::usage(format!(
                    "{url} is plain HTTP, and would carry {key} in clear to {host}"
                ))
                .hint("use https://; or, where the way there is safe, name the host:")
                .hint(format!("export {ALLOW_PLAIN_HTTP}={host}")));
            }
        }
        Ok(Self { provider, url, key })
    }

    /// Whether the environment says anything about `provider`: a key, or where there need not be one, a URL.
    pub fn is_configured(provider: Provider, variable: impl Fn(&str) -> Option<String>) -> bool {
        let names = names(provider);
        let given = |name| variable(name).is_some_and(|value| !value.trim().is_empty());
        given(names.key) || (names.default_url.is_none() && given(names.url))
    }

    /// Whose it is.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The variable that its key came from, where it has one.
    pub fn key_source(&self) -> Option<&'static str> {
        self.key.as_ref().map(|_| names(self.provider).key)
    }

    /// Whether a proxy would see its key, or it is on this machine, where there is none.
    pub(super) fn is_direct(&self) -> bool {
        is_loopback(&self.url) || (self.key.is_some() && self.url.scheme() == "http")
    }

    /// Where requests go.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where a server that speaks OpenAI's format lists its models.
    pub(super) fn models_url(&self) -> Option<Url> {
        let mut url = self.url.clone();
        let path = url.path().strip_suffix("/chat/completions").map(|base| format!("{base}/models"))?;
        url.set_path(&path);
        Some(url)
    }

    /// Whether this is Azure's API by version, which wants the key in a header of its own.
    pub(super) fn is_versioned(&self) -> bool {
        self.url.query().is_some()
    }

    pub(super) fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }
}

/// The full URL of the one call we make. A base with a path is taken as it stands: `…/v1beta/openai` (Gemini),
/// `…/api/paas/v4` (Zhipu), a whole endpoint that was pasted. Anthropic's bases by custom do not have the version.
fn endpoint(base: &str, names: &Names) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    let path = if path.ends_with(&format!("/{}", names.path)) {
        path
    } else if path.is_empty() || (names.path == "messages" && !path.ends_with(&format!("/{}", names.base))) {
        format!("{path}/{}/{}", names.base, names.path)
    } else {
        format!("{path}/{}", names.path)
    };
    url.set_path(&path);
    // A user in the URL would be shown with it, and so would whatever stands in a query; Azure has its version there.
    let plain = url.username().is_empty() && url.password().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && plain;
    let known_query = url.query_pairs().all(|(name, _)| name == "api-version");
    (usable && known_query && url.fragment().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(provider: Provider, variables: &[(&str, &str)]) -> Result<Access, Failure> {
        Access::from_env(provider, |name| {
            variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn known_providers_need_a_key_and_nothing_else() {
        let openai = access(Provider::OpenAi, &[("OPENAI_API_KEY", "sk-a")]).unwrap();
        assert_eq!(openai.url().as_str(), "https://api.openai.com/v1/chat/completions");
        let anthropic = access(Provider::Anthropic, &[("ANTHROPIC_API_KEY", "sk-ant-a")]).unwrap();
        assert_eq!(anthropic.url().as_str(), "https://api.anthropic.com/v1/messages");
        let error = access(Provider::Anthropic, &[("ANTHROPIC_API_KEY", " ")]).unwrap_err();
        assert_eq!(error.message(), "no key for provider `anthropic`");
        assert_eq!(error.hints(), ["export ANTHROPIC_API_KEY=… where `classify serve` runs"]);
    }

    #[test]
    fn a_compatible_server_needs_a_url_and_maybe_a_key() {
        for url in ["http://localhost:11434", "http://localhost:11434/", "http://localhost:11434/v1/"] {
            let server = access(Provider::Compatible, &[("CLASSIFY_COMPATIBLE_URL", url)]).unwrap();
            assert_eq!(server.url().as_str(), "http://localhost:11434/v1/chat/completions");
            assert!(server.key().is_none());
        }
        let error = access(Provider::Compatible, &[]).unwrap_err();
        assert_eq!(error.message(), "no URL for provider `compatible`");
        for url in
            ["localhost:11434", "ftp://a/v1", "http://u:p@a/v1", "http://a/v1?key=b", "http://a/#b", "a/b"]
        {
            let error = access(Provider::Compatible, &[("CLASSIFY_COMPATIBLE_URL", url)]).unwrap_err();
            assert_eq!(error.message(), "CLASSIFY_COMPATIBLE_URL is no usable URL", "{url}");
        }
    }

    #[test]
    fn a_url_with_a_path_is_taken_as_it_stands() {
        for (url, endpoint) in [
            ("http://a/v1beta/openai", "http://a/v1beta/openai/chat/completions"),
            ("http://a/v1beta/openai/", "http://a/v1beta/openai/chat/completions"),
            ("http://a/api/paas/v4", "http://a/api/paas/v4/chat/completions"),
            ("http://a/api/v3/", "http://a/api/v3/chat/completions"),
            ("http://a/v1/chat/completions", "http://a/v1/chat/completions"),
            ("http://a/v4/chat/completions/", "http://a/v4/chat/completions"),
            (
                "https://x.azure.com/openai/deployments/d?api-version=2024-10-21",
                "https://x.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
            ),
        ] {
            let server = access(Provider::Compatible, &[("CLASSIFY_COMPATIBLE_URL", url)]).unwrap();
            assert_eq!(server.url().as_str(), endpoint);
            let models = server.models_url().unwrap();
            assert!(models.path().ends_with("/models") && !models.path().contains("chat"), "{models}");
        }
        for (url, endpoint) in [
            ("https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic/v1/messages"),
            ("https://a/v1", "https://a/v1/messages"),
            ("https://a/x/v1/messages", "https://a/x/v1/messages"),
        ] {
            let variables = [("ANTHROPIC_API_KEY", "k"), ("CLASSIFY_ANTHROPIC_URL", url)];
            assert_eq!(access(Provider::Anthropic, &variables).unwrap().url().as_str(), endpoint);
        }
    }

    #[test]
    fn a_gateway_may_stand_in_front() {
        let variables = [("OPENAI_API_KEY", "k"), ("CLASSIFY_OPENAI_URL", "https://gateway.test/openai/v1")];
        let gateway = access(Provider::OpenAi, &variables).unwrap();
        assert_eq!(gateway.url().as_str(), "https://gateway.test/openai/v1/chat/completions");
    }

    #[test]
    fn a_key_leaves_this_machine_over_plain_http_only_where_that_was_said() {
        let key = ("CLASSIFY_COMPATIBLE_API_KEY", "k");
        let given = |url, more: &[(&'static str, &'static str)]| {
            access(Provider::Compatible, &[&[("CLASSIFY_COMPATIBLE_URL", url)], more].concat())
        };
        for url in ["http://localhost:1/v1", "http://127.0.0.2", "http://[::1]:8080", "https://a.test"] {
            assert!(given(url, &[key]).is_ok(), "{url}");
        }
        for url in
            ["http://a.test", "http://10.0.0.7/v1", "http://localhost.a.test", "http://127.0.0.1.a.test"]
        {
            let error = given(url, &[key]).unwrap_err();
            assert!(error.message().contains("in clear"), "{error}");
            assert!(given(url, &[]).is_ok(), "without a key there is nothing to hide: {url}");
        }
        let named = |list| given("http://A.test:8080/v1", &[key, ("CLASSIFY_ALLOW_PLAIN_HTTP", list)]);
        assert!(named("b.test, a.TEST").unwrap().is_direct(), "no proxy may see it");
        for list in ["", "b.test", "test", "*", "a.test:8080"] {
            assert!(named(list).is_err(), "{list}");
        }
        assert!(!given("https://a.test", &[key]).unwrap().is_direct());
        assert!(!given("http://a.test", &[]).unwrap().is_direct());
    }

    #[test]
    fn keys_are_not_shown() {
        let key = "sk-proj-very-secret";
        let openai = access(Provider::OpenAi, &[("OPENAI_API_KEY", key)]).unwrap();
        let shown = format!("{openai:?} {:#?} {:?}", openai.key(), openai.key().unwrap().header());
        assert!(!shown.contains("very-secret"), "{shown}");
        assert_eq!(openai.key().unwrap().header().as_bytes(), b"Bearer sk-proj-very-secret");
        let error = access(Provider::OpenAi, &[("OPENAI_API_KEY", "sk-very\u{201d}-secret")]).unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("OPENAI_API_KEY") && !error.contains("sk-very"), "{error}");
    }
}
