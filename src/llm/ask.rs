//! One classification by a model: ask, check the answer, ask again where that helps, and say for each indicator what
//! became of it and what it took.
//!
//! Owns when a request is repeated and why. Every HTTP request passes the [`Throttle`] first, repeated ones too.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::cache::Keys;
use super::canary::Canary;
use super::client::{CallError, Client, Exchange};
use super::forms::Forms;
use super::limit::{Limit, consumed};
use super::most::most_input;
use super::retry::Backoff;
use super::throttle::{Feedback, Throttle, Verdict};
use super::usage::{Unsettled, Usage};
use super::validate::{Found, Read, check, cut_off};
use super::wire::{Question, Reply, Stop};
use super::{Model, ModelOptions, Prompt};
use crate::domain::indicator::Indicator;
use crate::domain::money::Allowance;
use crate::domain::outcome::{FailureClass, Obstacle};
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
    cache: Keys,
    canary: Canary,
    forms: Forms,
}

/// What became of one indicator.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its labels, or why there are none.
    pub answer: Result<Answer, Unanswered>,
    /// What was not as it was asked for and cost no label, in words for a person.
    pub notes: Vec<String>,
    /// Columns of which the model read a part only.
    pub cut: Vec<String>,
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
    /// What is in the way, where every other request would end so.
    pub obstacle: Option<Obstacle>,
}

/// One request, repeated until it was answered or given up.
struct Round {
    result: Result<Vec<Found>, GivenUp>,
    usage: Usage,
    model: Option<String>,
}

/// Why there is no answer to a request.
#[derive(Debug, Clone)]
pub(super) struct GivenUp {
    pub(super) why: Unanswered,
    /// Whether it may be for one of several indicators only.
    alone: bool,
    /// The request could cost too much, and did not leave.
    unaffordable: bool,
}

/// What the answer before was worth.
#[derive(Debug, Clone, Default)]
struct Before {
    /// What was wrong with it.
    complaint: Option<String>,
    /// The room it had, where that was too little.
    room: Option<u64>,
}

/// One indicator on its way to an answer.
struct Asking<'a> {
    indicator: &'a Indicator,
    usage: Usage,
    attempts: u32,
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
        let shared = format!("{}\n{}", prompt.system(), prompt.schema().text());
        let cache = Keys::new(&shared, fastrand::u32(..), Instant::now());
        let (canary, forms) = (Canary::default(), Forms::new(model.provider, options.form));
        let fields = taxonomy.fields().to_vec();
        Self { client, model, options, prompt, fields, backoff, throttle, cache, canary, forms }
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
        self.ask_within(indicators, None).await
    }

    /// The same, while each costs no more than `allowance` says.
    pub async fn ask_within(&self, indicators: &[Indicator], allowance: Option<&Allowance>) -> Vec<Asked> {
        let mut asked = Vec::with_capacity(indicators.len());
        for group in indicators.chunks(self.options.items_per_call.get()) {
            match group {
                [indicator] => {
                    let asking = Asking { indicator, usage: Usage::default(), attempts: 0 };
                    asked.push(self.one(asking, Before::default(), allowance).await);
                }
                _ => asked.extend(self.several(group, allowance).await),
            }
        }
        asked
    }

    /// One request about all of `group`; what it leaves open is asked singly, all at once.
    async fn several(&self, group: &[Indicator], allowance: Option<&Allowance>) -> Vec<Asked> {
        let limit =
            allowance.map(|allowance| Limit { allowance, items: group.len(), before: Usage::default() });
        let round = self.request(group, &Before::default(), limit).await;
        let attempts = attempts(&round.usage);
        let mut why = FailureClass::Schema;
        let found = match round.result {
            Ok(found) => found,
            // One of them may be what the model will not speak about, or what the provider does not take; the others
            // should not suffer for it.
            Err(error) if error.alone => {
                why = error.why.class;
                vec![Found::Missing; group.len()]
            }
            Err(error) => {
                let shares = round.usage.shared(group.len());
                let asked = |(indicator, usage)| {
                    let asking = Asking { indicator, usage, attempts };
                    self.ended(&asking, Err(error.why.clone()), None)
                };
                return group.iter().zip(shares).map(asked).collect();
            }
        };
        let shares = round.usage.shared(group.len());
        let asked = group.iter().zip(found).zip(shares).map(async |((indicator, found), usage)| {
            let mut asking = Asking { indicator, usage, attempts };
            let complaint = match found {
                Found::Valid(read) => return self.ended(&asking, Ok(read), round.model.clone()),
                Found::Invalid(complaint) | Found::CutOff(complaint) => Some(complaint),
                Found::Missing => None,
            };
            asking.usage.retries.count(why);
            self.one(asking, Before { complaint, room: None }, allowance).await
        });
        join_all(asked).await
    }

    /// Asks about one indicator; once more with the complaint where the answer is not valid, and with more room where
    /// it was cut off, unless this is already what `before` is for.
    async fn one(&self, mut asking: Asking<'_>, mut before: Before, allowance: Option<&Allowance>) -> Asked {
        loop {
            let limit = allowance.map(|allowance| Limit { allowance, items: 1, before: asking.usage });
            let round = self.request(std::slice::from_ref(asking.indicator), &before, limit).await;
            asking.usage += round.usage;
            asking.attempts += attempts(&round.usage);
            let (wrong, room) = match round.result.map(|mut found| found.pop().unwrap_or(Found::Missing)) {
                Ok(Found::Valid(read)) => return self.ended(&asking, Ok(read), round.model),
                Ok(Found::Invalid(wrong)) => (wrong, None),
                Ok(Found::CutOff(wrong)) => (wrong, Some(self.options.room(1))),
                Ok(Found::Missing) => ("the item was not answered".to_owned(), None),
                Err(GivenUp { why, unaffordable: true, .. }) if before.complaint.is_some() => {
                    let wrong = before.complaint.unwrap_or_default();
                    let error = self.not_valid(&wrong, &format!("; {}", why.message));
                    return self.ended(&asking, Err(error), round.model);
                }
                Err(GivenUp { why, .. }) => return self.ended(&asking, Err(why), round.model),
            };
            if before.complaint.is_some() {
                let advice = if room.is_some() {
                    "; a lower `--reasoning-effort` leaves more for the answer"
                } else {
                    ""
                };
                return self.ended(&asking, Err(self.not_valid(&wrong, advice)), round.model);
            }
            before = Before { complaint: Some(wrong), room };
            asking.usage.retries.count(FailureClass::Schema);
        }
    }

    /// The failure of an indicator whose answers were not what was asked for.
    fn not_valid(&self, wrong: &str, advice: &str) -> Unanswered {
        let message = format!("{}: {}{advice}", self.model.provider, self.client.shown(wrong));
        Unanswered { class: FailureClass::Schema, message, attempts: 0, obstacle: None }
    }

    fn ended(&self, asking: &Asking<'_>, read: Result<Read, Unanswered>, model: Option<String>) -> Asked {
        let (answer, notes) = match read {
            Ok(Read { answer, notes }) => (Ok(answer), notes),
            Err(error) => (Err(Unanswered { attempts: asking.attempts, ..error }), Vec::new()),
        };
        let notes = notes.iter().map(|note| self.client.shown(note)).collect();
        let cut = self.prompt.cut(asking.indicator);
        Asked { answer, notes, cut, usage: asking.usage, model }
    }

    /// One question, put until there is a reply, an error that stays, or no patience left.
    async fn request(&self, items: &[Indicator], before: &Before, limit: Option<Limit<'_>>) -> Round {
        let user = self.prompt.user(items, before.complaint.as_deref());
        let room =
            before.room.map_or_else(|| self.options.room(items.len()), |room| self.options.more_room(room));
        let cache_key = self.cache.next(Instant::now());
        let mut question = Question {
            model: &self.model,
            options: self.options,
            prompt: &self.prompt,
            user: &user,
            items: items.len(),
            room,
            cache_key: &cache_key,
            form: self.forms.at_first(&self.client).await,
        };
        let reserve = if before.room.is_some() { room } else { self.options.reserve(items.len()) };
        let tokens = self.prompt.tokens(&user).saturating_add(reserve);
        let most =
            Unsettled { input: most_input(self.model.provider, self.prompt.tokens(&user)), output: room };
        let mut body = self.client.body(&question);
        let mut usage = Usage::default();
        let mut failed: Option<CallError> = None;
        // Time spent on calls and waits of our own. A queue for permits is no fault of the provider's.
        let mut spent = Duration::ZERO;
        loop {
            if let Some(limit) = limit
                && !limit.holds(usage, most)
            {
                return Round { result: Err(Self::unaffordable(failed, &limit.words())), usage, model: None };
            }
            let permit = self.throttle.admit(tokens).await;
            let departure = Instant::now();
            let exchange = self.client.call(body.clone()).await;
            spent += departure.elapsed();
            usage += consumed(&exchange, most);
            self.throttle.settle(permit, feedback(&exchange));
            let error = match exchange.result {
                Ok(reply) => {
                    self.canary.lives();
                    let model = reply.model.as_deref().map(|name| self.client.shown(name));
                    return Round { result: self.judge(&reply, &question), usage, model };
                }
                Err(error) => error,
            };
            if error.form
                && let Some(simpler) = self.forms.simpler_than(question.form)
            {
                question.form = simpler;
                body = self.client.body(&question);
                usage.retries.count(error.class);
                continue;
            }
            let wait = error
                .retryable
                .then(|| self.backoff.wait(attempts(&usage), spent, error.retry_after, fastrand::f64()))
                .flatten();
            let Some(wait) = wait else {
                return Round { result: Err(self.given_up(error)), usage, model: None };
            };
            usage.retries.count(error.class);
            failed = Some(error);
            tokio::time::sleep(wait).await;
            spent += wait;
        }
    }

    /// Why a request was given up, in the end.
    fn given_up(&self, error: CallError) -> GivenUp {
        let CallError { class, message, obstacle, rejected, form, .. } = error;
        let refused = class == FailureClass::Refused;
        if refused {
            self.canary.lives();
        }
        let silent = rejected.is_some_and(|status| self.canary.dies(status));
        let obstacle = if form || silent { obstacle.or(Some(Obstacle::Request)) } else { obstacle };
        let why = Unanswered { class, message, attempts: 1, obstacle };
        let alone = refused || (rejected.is_some() && obstacle.is_none());
        GivenUp { why, alone, unaffordable: false }
    }

    /// As [`Self::given_up`], of a request that would have been repeated had it not been for the money.
    fn unaffordable(failed: Option<CallError>, words: &str) -> GivenUp {
        let why = match failed {
            Some(CallError { class, message, .. }) => {
                Unanswered { class, message: format!("{message}; {words}"), attempts: 1, obstacle: None }
            }
            None => Unanswered {
                class: FailureClass::Provider,
                message: words.to_owned(),
                attempts: 1,
                obstacle: None,
            },
        };
        GivenUp { why, alone: false, unaffordable: true }
    }

    pub(super) fn judge(&self, reply: &Reply, question: &Question<'_>) -> Result<Vec<Found>, GivenUp> {
        let items = question.items;
        let is_list = self.prompt.schema().is_list();
        match &reply.stop {
            Stop::Finished => Ok(check(&reply.content, &self.fields, is_list, items)),
            Stop::Empty | Stop::Truncated if items > 1 => Ok(vec![Found::Missing; items]),
            Stop::Empty => Ok(vec![Found::Invalid("the answer was empty".into())]),
            Stop::Truncated => {
                let read = if is_list { None } else { cut_off(&reply.content, &self.fields) };
                let limit = question.room;
                let said = || Found::CutOff(format!("the answer was cut off at {limit} tokens"));
                Ok(vec![read.map_or_else(said, Found::Valid)])
            }
            Stop::Full => {
                let message =
                    format!("{}: request and answer fill the model's context window", self.model.provider);
                let why = Unanswered { class: FailureClass::Provider, message, attempts: 1, obstacle: None };
                Err(GivenUp { why, alone: true, unaffordable: false })
            }
            Stop::Refused(said) => {
                let message = format!("{}: {}", self.model.provider, self.client.shown(said));
                let why = Unanswered { class: FailureClass::Refused, message, attempts: 1, obstacle: None };
                Err(GivenUp { why, alone: true, unaffordable: false })
            }
        }
    }
}

fn attempts(usage: &Usage) -> u32 {
    u32::try_from(usage.requests).unwrap_or(u32::MAX)
}

pub(super) fn feedback(exchange: &Exchange) -> Feedback {
    let (tokens, verdict) = match &exchange.result {
        Ok(reply) => (reply.tokens.map(|tokens| tokens.input.saturating_add(tokens.output)), Verdict::Served),
        Err(error) => (None, error.verdict),
    };
    Feedback { tokens, verdict, rates: exchange.rates.clone() }
}
