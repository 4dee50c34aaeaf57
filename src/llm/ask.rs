//! One classification by a model: ask, check the answer, ask again where that helps, and say for each indicator what
//! became of it and what it took.
//!
//! Owns when a request is repeated and why. Every HTTP request passes the [`Throttle`] first, repeated ones too.

use std::time::Duration;

use tokio::time::Instant;

use super::client::{CallError, Client, Exchange};
use super::retry::Backoff;
use super::throttle::{Feedback, Throttle, Verdict};
use super::usage::Usage;
use super::validate::{Found, check};
use super::wire::{Question, Reply, Stop};
use super::{Model, ModelOptions, Prompt};
use crate::domain::indicator::Indicator;
use crate::domain::outcome::FailureClass;
use crate::taxonomy::{Answer, Field, Taxonomy};

/// Asks one model for the labels of one taxonomy. Serves any number of tasks at once.
#[derive(Debug)]
pub struct Asker<T> {
    client: Client,
    model: Model,
    options: ModelOptions,
    prompt: Prompt,
    fields: Vec<Field>,
    backoff: Backoff,
    throttle: T,
}

/// What became of one indicator.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its labels, or why there are none.
    pub answer: Result<Answer, Unanswered>,
    /// What that took. Requests with several indicators are shared between them, so that sums are exact.
    pub usage: Usage,
    /// Model that answered last, as it calls itself.
    pub model: Option<String>,
}

/// Why an indicator has no labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unanswered {
    /// What kind of failure.
    pub class: FailureClass,
    /// What happened; safe to show and to store.
    pub message: String,
    /// HTTP requests made for it.
    pub attempts: u32,
    /// Whether the provider refuses this key or account, and so would refuse every other request.
    pub locked_out: bool,
}

/// One request, repeated until it was answered or given up.
struct Round {
    result: Result<Vec<Found>, Unanswered>,
    usage: Usage,
    model: Option<String>,
}

/// One indicator on its way to an answer.
struct Asking<'a> {
    indicator: &'a Indicator,
    usage: Usage,
    attempts: u32,
}

impl Asking<'_> {
    fn ended(&self, answer: Result<Answer, Unanswered>, model: Option<String>) -> Asked {
        Asked { answer, usage: self.usage, model }
    }
}

impl<T: Throttle> Asker<T> {
    /// An asker for the model that `client`'s provider calls `model`.
    pub fn new(
        client: Client,
        model: &str,
        options: ModelOptions,
        taxonomy: &Taxonomy,
        backoff: Backoff,
        throttle: T,
    ) -> Self {
        let model = Model { provider: client.provider(), name: model.to_owned() };
        let prompt = Prompt::new(taxonomy, options.items_per_call);
        Self { client, model, options, prompt, fields: taxonomy.fields().to_vec(), backoff, throttle }
    }

    #[cfg(fuzzing)]
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whom it asks.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What it says to the model.
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// The limit it keeps to.
    pub fn throttle(&self) -> &T {
        &self.throttle
    }

    /// Asks about `indicators`, as many at once as the options say. One result each, in their order.
    pub async fn ask(&self, indicators: &[Indicator]) -> Vec<Asked> {
        let mut asked = Vec::with_capacity(indicators.len());
        for group in indicators.chunks(self.options.items_per_call.get()) {
            match group {
                [indicator] => {
                    let asking = Asking { indicator, usage: Usage::default(), attempts: 0 };
                    asked.push(self.one(asking, None).await);
                }
                _ => asked.extend(self.several(group).await),
            }
        }
        asked
    }

    /// One request about all of `group`; what it leaves open is asked singly.
    async fn several(&self, group: &[Indicator]) -> Vec<Asked> {
        let round = self.request(group, None).await;
        let attempts = attempts(&round.usage);
        let mut why = FailureClass::Schema;
        let found = match round.result {
            Ok(found) => found,
            // One of them may be what the model will not speak about; the others should not suffer for it.
            Err(error) if error.class == FailureClass::Refused => {
                why = FailureClass::Refused;
                vec![Found::Missing; group.len()]
            }
            Err(error) => {
                let all = round.usage.shared(group.len()).into_iter();
                return all.map(|usage| Asked { answer: Err(error.clone()), usage, model: None }).collect();
            }
        };
        let mut asked = Vec::with_capacity(group.len());
        for ((indicator, found), usage) in group.iter().zip(found).zip(round.usage.shared(group.len())) {
            let mut asking = Asking { indicator, usage, attempts };
            let complaint = match found {
                Found::Valid(answer) => {
                    asked.push(asking.ended(Ok(answer), round.model.clone()));
                    continue;
                }
                Found::Invalid(complaint) => Some(complaint),
                Found::Missing => None,
            };
            asking.usage.retries.count(why);
            asked.push(self.one(asking, complaint).await);
        }
        asked
    }

    /// Asks about one indicator; once more with the complaint where the answer is not valid, unless this is already
    /// what `complaint` is for.
    async fn one(&self, mut asking: Asking<'_>, mut complaint: Option<String>) -> Asked {
        loop {
            let round = self.request(std::slice::from_ref(asking.indicator), complaint.as_deref()).await;
            asking.usage += round.usage;
            asking.attempts += attempts(&round.usage);
            let wrong = match round.result.map(|mut found| found.pop().unwrap_or(Found::Missing)) {
                Ok(Found::Valid(answer)) => return asking.ended(Ok(answer), round.model),
                Ok(Found::Invalid(wrong)) => wrong,
                Ok(Found::Missing) => "the item was not answered".to_owned(),
                Err(error) => {
                    let error = Unanswered { attempts: asking.attempts, ..error };
                    return asking.ended(Err(error), round.model);
                }
            };
            if complaint.is_some() {
                let error = Unanswered {
                    class: FailureClass::Schema,
                    message: format!("{}: {}", self.model.provider, self.client.shown(&wrong)),
                    attempts: asking.attempts,
                    locked_out: false,
                };
                return asking.ended(Err(error), round.model);
            }
            complaint = Some(wrong);
            asking.usage.retries.count(FailureClass::Schema);
        }
    }

    /// One question, put until there is a reply, an error that stays, or no patience left.
    async fn request(&self, items: &[Indicator], complaint: Option<&str>) -> Round {
        let user = self.prompt.user(items, complaint);
        let question = Question {
            model: &self.model,
            options: self.options,
            prompt: &self.prompt,
            user: &user,
            items: items.len(),
        };
        let tokens = self.prompt.tokens(&user).saturating_add(question.max_output_tokens());
        let body = self.client.body(&question);
        let mut usage = Usage::default();
        // Time spent on calls and waits of our own. A queue for permits is no fault of the provider's.
        let mut spent = Duration::ZERO;
        loop {
            let permit = self.throttle.admit(tokens).await;
            let departure = Instant::now();
            let exchange = self.client.call(body.clone()).await;
            spent += departure.elapsed();
            usage += consumed(&exchange);
            self.throttle.settle(permit, feedback(&exchange));
            let error = match exchange.result {
                Ok(reply) => {
                    let model = reply.model.as_deref().map(|name| self.client.shown(name));
                    return Round { result: self.judge(&reply, &question), usage, model };
                }
                Err(error) => error,
            };
            let wait = error
                .retryable
                .then(|| self.backoff.wait(attempts(&usage), spent, error.retry_after, fastrand::f64()))
                .flatten();
            let Some(wait) = wait else {
                return Round { result: Err(unanswered(error, &usage)), usage, model: None };
            };
            usage.retries.count(error.class);
            tokio::time::sleep(wait).await;
            spent += wait;
        }
    }

    pub(super) fn judge(&self, reply: &Reply, question: &Question<'_>) -> Result<Vec<Found>, Unanswered> {
        let items = question.items;
        match &reply.stop {
            Stop::Finished => Ok(check(&reply.content, &self.fields, self.prompt.schema().is_list(), items)),
            Stop::Empty | Stop::Truncated if items > 1 => Ok(vec![Found::Missing; items]),
            Stop::Empty => Ok(vec![Found::Invalid("the answer was empty".into())]),
            Stop::Truncated => {
                let limit = question.max_output_tokens();
                Ok(vec![Found::Invalid(format!("the answer was cut off at {limit} tokens"))])
            }
            Stop::Refused(said) => Err(Unanswered {
                class: FailureClass::Refused,
                message: format!("{}: {}", self.model.provider, self.client.shown(said)),
                attempts: 1,
                locked_out: false,
            }),
        }
    }
}

fn attempts(usage: &Usage) -> u32 {
    u32::try_from(usage.requests).unwrap_or(u32::MAX)
}

fn unanswered(error: CallError, usage: &Usage) -> Unanswered {
    let CallError { class, message, locked_out, .. } = error;
    Unanswered { class, message, attempts: attempts(usage), locked_out }
}

pub(super) fn consumed(exchange: &Exchange) -> Usage {
    let tokens = exchange.result.as_ref().ok().and_then(|reply| reply.tokens).unwrap_or_default();
    Usage {
        requests: 1,
        input_tokens: tokens.input,
        cached_tokens: tokens.cached,
        written_tokens: tokens.written,
        output_tokens: tokens.output,
        ..Usage::default()
    }
}

pub(super) fn feedback(exchange: &Exchange) -> Feedback {
    let (tokens, verdict) = match &exchange.result {
        Ok(reply) => (reply.tokens.map(|tokens| tokens.input.saturating_add(tokens.output)), Verdict::Served),
        Err(error) => (None, error.verdict),
    };
    Feedback { tokens, verdict, rates: exchange.rates.clone() }
}
