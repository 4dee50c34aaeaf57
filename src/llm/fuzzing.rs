//! Ways in for fuzz targets: what a provider answers, without a provider. Compiled under `cfg(fuzzing)` only.

use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::ask::feedback;
use super::client::CallError;
use super::limit::consumed;
use super::usage::Unsettled;
use super::validate::{Found, check};
use super::wire::Question;
use super::{
    Access, Asker, Backoff, Client, Feedback, ModelOptions, Provider, Throttle, Timeouts, Usage, safe,
};
use crate::domain::outcome::{FailureClass, Obstacle};
use crate::taxonomy::{Answer, Field, Taxonomy};

/// What an answer says about one indicator: labels, nothing, or a complaint.
pub type Judged = Result<Option<Answer>, String>;

/// The key of every [`Model`].
pub const KEY: &str = "hunter-two";

/// Headers that are read.
pub const HEADERS: [&str; 10] = [
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-reset",
];

/// Checks the text of an answer to a request with `count` indicators.
pub fn answers(text: &str, fields: &[Field], is_list: bool, count: usize) -> Vec<Judged> {
    check(text, fields, is_list, count).into_iter().map(judged).collect()
}

fn judged(found: Found) -> Judged {
    match found {
        Found::Valid(read) => Ok(Some(read.answer)),
        Found::Missing => Ok(None),
        Found::Invalid(complaint) | Found::CutOff(complaint) => Err(complaint),
    }
}

/// A provider's own words as they are shown.
pub fn shown(message: &str) -> String {
    safe::message(message, None)
}

/// Whether there is anything in `text` that would not be shown.
pub fn has_key(text: &str) -> bool {
    safe::has_key(text)
}

/// Shares of `parts` indicators in what was consumed.
pub fn shares(usage: &Usage, parts: usize) -> Vec<Usage> {
    usage.shared(parts)
}

/// A model that is never asked.
#[derive(Debug)]
pub struct Model(Asker<Never>);

/// What came of one exchange.
#[derive(Debug)]
pub struct Exchanged {
    /// One per indicator, or why there are none.
    pub answers: Result<Vec<Judged>, Refusal>,
    /// The model that answered, as it is shown.
    pub model: Option<String>,
    /// What it took.
    pub usage: Usage,
    /// What the limiter is told.
    pub feedback: Feedback,
}

/// Why there is no answer.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are explained in the client")]
pub struct Refusal {
    pub class: FailureClass,
    pub message: String,
    pub retryable: bool,
    pub retry_after: Option<std::time::Duration>,
    pub obstacle: Option<Obstacle>,
}

impl Model {
    /// A model of `provider` that answers in the labels of `taxonomy` about as many indicators at once.
    pub fn new(provider: Provider, taxonomy: &Taxonomy, options: ModelOptions) -> Self {
        let variable =
            |name: &str| Some(if name.ends_with("URL") { "http://127.0.0.1:1" } else { KEY }.to_owned());
        let access = Access::from_env(provider, variable).unwrap_or_else(|error| unreachable!("{error}"));
        let timeouts = Timeouts::within(std::time::Duration::from_secs(1));
        let client = Client::new(access, timeouts).unwrap_or_else(|error| unreachable!("{error}"));
        Self(Asker::new(client, "some-model", options, taxonomy, Backoff::default(), Never))
    }

    /// What comes of an answer to a request with `items` indicators that arrived `now`. Headers that HTTP does not allow are left out.
    pub fn exchange(
        &self,
        status: u16,
        headers: &[(&'static str, &[u8])],
        body: &[u8],
        now: SystemTime,
        items: usize,
    ) -> Exchanged {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let pair = |(name, value): &(&'static str, &[u8])| {
            Some((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?))
        };
        let headers: HeaderMap = headers.iter().filter_map(pair).collect();
        let exchange = self.0.client().exchange(status, &headers, body, now);
        let (usage, feedback) = (consumed(&exchange, Unsettled::default()), feedback(&exchange));
        let model = exchange.result.as_ref().ok().and_then(|reply| reply.model.as_deref());
        let model = model.map(|name| self.0.client().shown(name));
        let question = Question {
            model: self.0.model(),
            options: ModelOptions::new(Provider::OpenAi, std::num::NonZeroUsize::MIN, None),
            prompt: self.0.prompt(),
            user: "",
            items,
            room: 2_048,
            cache_key: "",
            form: super::Form::Strict,
        };
        let answers = match exchange.result {
            Ok(reply) => match self.0.judge(&reply, &question) {
                Ok(found) => Ok(found.into_iter().map(judged).collect()),
                Err(error) => Err(Refusal {
                    class: error.why.class,
                    message: error.why.message,
                    retryable: false,
                    retry_after: None,
                    obstacle: error.why.obstacle,
                }),
            },
            Err(CallError { class, message, retryable, retry_after, obstacle, .. }) => {
                Err(Refusal { class, message, retryable, retry_after, obstacle })
            }
        };
        Exchanged { answers, model, usage, feedback }
    }
}

/// A limit that is never asked.
#[derive(Debug)]
struct Never;

impl Throttle for Never {
    type Permit = ();

    async fn admit(&self, _tokens: u64) {}

    fn settle(&self, (): (), _feedback: Feedback) {}
}
