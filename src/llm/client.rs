//! The one HTTP client for providers: a request out, a reply or a classified error back.
//!
//! Owns connections, time limits, the bound on what is read, and the words of errors. Repeats nothing (that is `ask`)
//! and logs nothing: bodies hold the user's data, headers the key.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::access::Access;
use super::rates::{RateHeaders, retry_after};
use super::rejected::{Meaning, meaning};
use super::throttle::Verdict;
use super::wire::{Question, Reply};
use super::{Provider, anthropic, openai, safe};
use crate::domain::outcome::{FailureClass, Obstacle};
use crate::error::Failure;
use crate::tls;

/// Most bytes of a reply that are read. A hundred full answers take a tenth of it.
const LONGEST_BODY: usize = 1024 * 1024;
/// What Anthropic calls its key's header.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What Azure calls it where its version is in the URL.
const AZURE_KEY: HeaderName = HeaderName::from_static("api-key");

/// How long a provider may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// Between two bytes of an answer, and before the first: a model that thinks says nothing until it is done.
    pub read: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

/// A connection that has not come about by then will not.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);
/// Patience with the one question what a server is.
const LOOK: Duration = Duration::from_secs(5);
/// Models that think for long are silent for as long, but a connection that is silent for longer is dead.
const LONGEST_SILENCE: Duration = Duration::from_mins(2);

impl Timeouts {
    /// At most `total` for an exchange, and less for its parts.
    pub fn within(total: Duration) -> Self {
        Self { connect: total.min(LONGEST_CONNECT), read: total.min(LONGEST_SILENCE), total }
    }
}

/// A client for one provider. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    access: Access,
    timeouts: Timeouts,
}

/// Why a request got no reply to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct CallError {
    /// What an indicator fails as when this was the last attempt.
    pub(super) class: FailureClass,
    /// The provider's words, or ours; safe to show and to store.
    pub(super) message: String,
    /// Whether the same request may succeed later.
    pub(super) retryable: bool,
    /// How long the provider wants to be left alone, where it says so.
    pub(super) retry_after: Option<Duration>,
    /// What is in the way, where every other request will meet it.
    pub(super) obstacle: Option<Obstacle>,
    /// The status of a request that was refused as it is; `None` of one that failed in another way.
    pub(super) rejected: Option<u16>,
    /// Whether it may have been charged all the same: it left, and nobody knows what became of it.
    pub(super) unsettled: bool,
    /// Whether it is the form of the answer that was refused.
    pub(super) form: bool,
    /// What it means for the limit.
    pub(super) verdict: Verdict,
}

/// One HTTP request and what came of it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) result: Result<Reply, CallError>,
    pub(super) rates: RateHeaders,
}

impl Client {
    /// A client for the provider at `access`. Proxies are taken from the environment, except for loopback and
    /// where one would see the key.
    ///
    /// # Errors
    /// When it cannot be built, for instance without any trusted certificates on this machine.
    pub fn new(access: Access, timeouts: Timeouts) -> Result<Self, Failure> {
        let mut builder = tls::client()
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.read)
            .timeout(timeouts.total)
            .redirect(Policy::none())
            .user_agent(concat!("classify/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(&access));
        if access.is_direct() {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Failure::unexpected(format!("no HTTP client for provider `{}`", access.provider()))
                .detail(cause(&error))
        })?;
        Ok(Self { http, access, timeouts })
    }

    /// Whom it asks.
    pub fn provider(&self) -> Provider {
        self.access.provider()
    }

    /// The body of a request, to be sent as often as need be.
    pub(super) fn body(&self, question: &Question<'_>) -> Bytes {
        let body = match self.provider() {
            Provider::OpenAi | Provider::Compatible => openai::body(question),
            Provider::Anthropic => anthropic::body(question),
        };
        body.to_string().into()
    }

    /// Who the models of a server belong to, by its own list of them; `None` where it has none or does not say.
    pub(super) async fn owner_of_models(&self) -> Option<String> {
        let response = self.http.get(self.access.models_url()?).timeout(LOOK).send().await.ok()?;
        let body = read(response).await.ok()?;
        let list: Value = serde_json::from_slice(&body).ok()?;
        list.pointer("/data/0/owned_by")?.as_str().map(str::to_owned)
    }

    /// Sends a request once.
    pub(super) async fn call(&self, body: Bytes) -> Exchange {
        let failed = |error| Exchange { result: Err(self.transport(&error)), rates: RateHeaders::default() };
        let response = match self.http.post(self.access.url().clone()).body(body).send().await {
            Ok(response) => response,
            Err(error) => return failed(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let now = SystemTime::now();
        match read(response).await {
            Ok(body) => self.exchange(status, &headers, &body, now),
            Err(error) => {
                Exchange { result: Err(self.transport(&error)), rates: RateHeaders::read(&headers, now) }
            }
        }
    }

    /// What an answer says that arrived `now`.
    pub(super) fn exchange(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Exchange {
        let result = if status.is_success() {
            self.reply(body)
        } else {
            Err(self.status(status, retry_after(headers, now), body))
        };
        Exchange { result, rates: RateHeaders::read(headers, now) }
    }

    fn reply(&self, body: &[u8]) -> Result<Reply, CallError> {
        // What is no JSON is no reply either; where in it the parser stopped helps nobody.
        let value: Option<Value> = serde_json::from_slice(body).ok();
        let reply = value.as_ref().and_then(|value| match self.provider() {
            Provider::OpenAi | Provider::Compatible => openai::reply(value),
            Provider::Anthropic => anthropic::reply(value),
        });
        reply.ok_or_else(|| {
            let said = value.as_ref().and_then(|value| self.error_message(value));
            let message = match said {
                Some(said) => format!("an error in place of a reply: {said}"),
                None => "the reply is not what the API promises".to_owned(),
            };
            let error = self.error(FailureClass::Provider, &message, Verdict::Served).again(None);
            CallError { unsettled: true, ..error }
        })
    }

    fn status(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> CallError {
        // Gateways answer with HTML, too: then the text itself is the message.
        let value: Option<Value> = serde_json::from_slice(body).ok();
        let said = value.as_ref().and_then(|value| self.error_message(value));
        let text = String::from_utf8_lossy(body);
        let message = match said.unwrap_or_else(|| text.trim()) {
            _ if status.is_redirection() => format!("{status}: redirects are not followed; check the URL"),
            "" => status.to_string(),
            said => format!("{status}: {said}"),
        };
        let code = status.as_u16();
        let meaning = meaning(code, value.as_ref(), &text);
        let class = match code {
            408 => FailureClass::Timeout,
            429 => FailureClass::RateLimited,
            _ if meaning == Meaning::Refused => FailureClass::Refused,
            _ => FailureClass::Provider,
        };
        let verdict = match code {
            429 if meaning == Meaning::Again => Verdict::RateLimited { retry_after },
            408 | 500.. => Verdict::Overloaded { retry_after },
            _ => Verdict::Rejected,
        };
        let error = self.error(class, &message, verdict);
        match meaning {
            Meaning::Again => error.again(retry_after),
            Meaning::Refused => error,
            Meaning::Hopeless(obstacle) => CallError { obstacle: Some(obstacle), ..error },
            Meaning::Form => CallError { form: true, rejected: Some(code), ..error },
            Meaning::Rejected => CallError { rejected: Some(code), ..error },
        }
    }

    fn transport(&self, error: &reqwest::Error) -> CallError {
        let (class, message) = if error.is_connect() {
            (FailureClass::Provider, format!("no connection: {}", cause(error)))
        } else if error.is_timeout() {
            let Timeouts { read, total, .. } = self.timeouts;
            let (read, total) = (read.as_secs_f32(), total.as_secs_f32());
            (FailureClass::Timeout, format!("no answer ({read} s between two bytes, {total} s in all)"))
        } else {
            (FailureClass::Provider, format!("the connection broke: {}", cause(error)))
        };
        let failed = self.error(class, &message, Verdict::Overloaded { retry_after: None }).again(None);
        CallError { unsettled: !error.is_connect(), ..failed }
    }

    fn error_message<'a>(&self, body: &'a Value) -> Option<&'a str> {
        match self.provider() {
            Provider::OpenAi | Provider::Compatible => openai::error_message(body),
            Provider::Anthropic => anthropic::error_message(body),
        }
    }

    /// The provider's own words as they may be shown.
    pub(super) fn shown(&self, words: &str) -> String {
        safe::message(words, self.access.key())
    }

    fn error(&self, class: FailureClass, message: &str, verdict: Verdict) -> CallError {
        let message = format!("{}: {}", self.provider(), self.shown(message));
        CallError {
            class,
            message,
            retryable: false,
            retry_after: None,
            obstacle: None,
            rejected: None,
            unsettled: false,
            form: false,
            verdict,
        }
    }
}

impl CallError {
    fn again(self, retry_after: Option<Duration>) -> Self {
        Self { retryable: true, retry_after, ..self }
    }
}

fn headers(access: &Access) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let key_name = match access.provider() {
        Provider::OpenAi | Provider::Compatible => AUTHORIZATION,
        Provider::Anthropic => {
            let (name, value) = anthropic::VERSION;
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            API_KEY
        }
    };
    if let Some(key) = access.key() {
        if let Some(bare) = key.bare().filter(|_| access.is_versioned()) {
            headers.insert(AZURE_KEY, bare);
        }
        headers.insert(key_name, key.header());
    }
    headers
}

/// Reads a body, as much of it as is worth reading.
async fn read(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = LONGEST_BODY - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == LONGEST_BODY {
            // What was cut off is no reply, which is what it then is reported as.
            break;
        }
    }
    Ok(body)
}

/// The innermost error: "connection refused" is what helps, not the layers around it, which name the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(provider: Provider) -> Client {
        let access = Access::from_env(provider, |name| {
            Some(if name.ends_with("URL") { "http://127.0.0.1:1" } else { "hunter-two" }.to_owned())
        });
        Client::new(access.unwrap(), Timeouts::within(Duration::from_secs(1))).unwrap()
    }

    fn status(code: u16, body: &str) -> CallError {
        let after = Some(Duration::from_secs(7));
        client(Provider::OpenAi).status(StatusCode::from_u16(code).unwrap(), after, body.as_bytes())
    }

    #[test]
    fn statuses_have_classes() {
        for code in [408, 409, 425, 429, 500, 502, 503, 504, 529, 599] {
            let error = status(code, "");
            assert!(error.retryable && error.obstacle.is_none(), "{code}");
            assert_eq!(error.retry_after, Some(Duration::from_secs(7)), "{code}");
        }
        for code in [301, 400, 401, 402, 403, 404, 413, 422] {
            let error = status(code, "");
            assert!(!error.retryable && error.verdict == Verdict::Rejected, "{code}");
            assert_eq!(error.obstacle.is_some(), [401, 402, 404].contains(&code), "{code}");
        }
        assert_eq!(status(429, "").class, FailureClass::RateLimited);
        assert_eq!(status(408, "").class, FailureClass::Timeout);
    }

    #[test]
    fn an_empty_account_is_no_reason_to_wait() {
        let error =
            status(429, r#"{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}"#);
        assert_eq!((error.retryable, error.obstacle), (false, Some(Obstacle::Money)));
        assert_eq!(error.message, "openai: 429 Too Many Requests: You exceeded your quota");
    }

    #[test]
    fn the_key_never_comes_back() {
        let error = status(401, r#"{"error":{"message":"no such key: hunter-two, nor sk-abcdefgh"}}"#);
        assert_eq!(error.message, "openai: 401 Unauthorized: no such key: [redacted], nor [redacted]");
        for provider in Provider::ALL {
            let model = client(provider).shown("claude-hunter-two");
            assert_eq!(model, "claude-[redacted]", "a gateway may put it anywhere");
            let shown = format!("{:?}", client(provider));
            assert!(!shown.contains("hunter"), "{shown}");
        }
    }

    #[test]
    fn a_key_that_is_a_part_of_words_stays_in_them() {
        let access = Access::from_env(Provider::Compatible, |name| {
            Some(if name.ends_with("URL") { "http://127.0.0.1:1" } else { "none" }.to_owned())
        });
        let client = Client::new(access.unwrap(), Timeouts::within(Duration::from_secs(1))).unwrap();
        assert_eq!(client.shown("none of them, nonetheless"), "none of them, nonetheless");
    }

    #[test]
    fn what_is_no_reply_may_be_one_next_time() {
        for body in ["", "{}", "<html>", r#"{"choices":[]}"#] {
            let error = client(Provider::Compatible).reply(body.as_bytes()).unwrap_err();
            assert!(error.retryable);
            assert_eq!(error.message, "compatible: the reply is not what the API promises");
        }
        let error = client(Provider::OpenAi).reply(br#"{"error":{"message":"overloaded"}}"#).unwrap_err();
        assert_eq!(error.message, "openai: an error in place of a reply: overloaded");
    }
}
