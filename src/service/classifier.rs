//! `Classifier`: the calls that answer, deduplicated by fingerprint. What the built-in rules are sure of takes one call per batch, for
//! an answer of theirs costs nothing; what a model is asked takes one per indicator, for its answer is paid for.

use std::sync::Arc;

use bytes::Bytes;
use restate_sdk::prelude::*;
use restate_sdk::serde as sdk;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::attempt;
use super::call::Call;
use super::models::{NotAsked, Priced};
use super::payload::{ENCLOSED, Enclosed, Payload, Plain, Raw};
use crate::domain::batch::BatchRequest;
use crate::domain::indicator::Indicator;
use crate::domain::labels::Labels;
use crate::domain::method::{HYBRID, Method, RULES};
use crate::domain::outcome::{Classification, Failed, FailureClass, Outcome, Usage};
use crate::domain::payload;
use crate::domain::rows;
use crate::restate::names::{CLASSIFIER, CLASSIFIER_WITHDRAW, ServiceInfo};
use crate::restate::secret::Call as Target;
use crate::taxonomy::Answer;

/// The request is not one that the service understands.
const MALFORMED: u16 = 400;

/// On what terms a call answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Terms {
    /// Who shall answer.
    pub(super) method: Method,
    /// Digest of the taxonomy the run expects.
    pub(super) taxonomy: String,
    /// When the batch arrived, RFC 3339. `rules` reads no clock: its answer may stand in a journal that is replayed, and one with
    /// another time in it would be refused for ever.
    pub(super) at: String,
    /// Key of the batch that asks.
    pub(super) origin: String,
}

/// Body of `Classifier/rules`: the terms, and enclosed with them the batch as it was submitted. JSON with `terms` and `indicators` is
/// understood as well.
#[derive(Debug)]
pub(super) struct RulesRequest {
    pub(super) terms: Terms,
    pub(super) batch: Batch,
}

/// What to classify.
#[derive(Debug)]
pub(super) enum Batch {
    Submitted(Bytes),
    Plain(Vec<Indicator>),
}

#[derive(Serialize, Deserialize)]
struct PlainRules {
    terms: Terms,
    #[serde(deserialize_with = "rows::rows")]
    indicators: Vec<Indicator>,
}

impl Batch {
    fn indicators(self) -> serde_json::Result<Vec<Indicator>> {
        match self {
            Self::Submitted(body) => payload::decode(&body).map(|BatchRequest { options, indicators }| {
                indicators.into_iter().map(|indicator| options.read(indicator)).collect()
            }),
            Self::Plain(indicators) => Ok(indicators),
        }
    }
}

impl sdk::Serialize for RulesRequest {
    type Error = serde_json::Error;

    fn serialize(&self) -> serde_json::Result<Bytes> {
        let terms = self.terms.clone();
        match &self.batch {
            Batch::Submitted(body) => Enclosed { letter: terms, body: body.clone() }.serialize(),
            Batch::Plain(indicators) => {
                Plain(PlainRules { terms, indicators: indicators.clone() }).serialize()
            }
        }
    }
}

impl sdk::Deserialize for RulesRequest {
    type Error = serde_json::Error;

    fn deserialize(body: &mut Bytes) -> serde_json::Result<Self> {
        if body.first() == Some(&ENCLOSED) {
            let Enclosed { letter: terms, body } = sdk::Deserialize::deserialize(body)?;
            return Ok(Self { terms, batch: Batch::Submitted(body) });
        }
        let Plain(PlainRules { terms, indicators }) = sdk::Deserialize::deserialize(body)?;
        Ok(Self { terms, batch: Batch::Plain(indicators) })
    }
}

impl sdk::PayloadMetadata for RulesRequest {
    fn input_metadata() -> sdk::InputMetadata {
        Plain::<()>::input_metadata()
    }

    fn output_metadata() -> sdk::OutputMetadata {
        Plain::<()>::output_metadata()
    }
}

/// Body of `Classifier/classify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ClassifyRequest {
    pub(super) terms: Terms,
    /// What to classify.
    #[serde(deserialize_with = "rows::row")]
    pub(super) indicator: Indicator,
}

pub(super) struct Classifier {
    shared: Arc<Shared>,
}

impl Classifier {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

// A call may wait for its place under a model's limit, then for the model, and is repeated in between; nothing crosses the wire
// meanwhile. An hour without a word is still no reason to suspend it: the replay would pay again.
#[restate_sdk::service(
    name = "Classifier",
    client_visibility = "pub(super)",
    journal_retention = "0s",
    inactivity_timeout = "1h",
    abort_timeout = "1h",
    invocation_retry_policy(
        initial_interval = "100ms",
        factor = 2.0,
        max_interval = "5s",
        max_attempts = 20000,
        on_max_attempts = "kill"
    )
)]
impl Classifier {
    /// Answers, in order, what the built-in rules are sure of; nothing where a model has to be asked.
    #[handler(idempotency_retention = "7 days", ingress_private = true)]
    async fn rules(
        &self,
        _ctx: Context<'_>,
        RulesRequest { terms, batch }: RulesRequest,
    ) -> HandlerResult<Payload<Vec<Option<Outcome>>>> {
        self.shared.drain.begin().await;
        let unreadable =
            |error: serde_json::Error| TerminalError::new_with_code(MALFORMED, error.to_string());
        let indicators = batch.indicators().map_err(unreadable)?;
        Ok(Payload(self.shared.by_rules(&terms, &indicators)?))
    }

    /// Asks a model about one indicator. Failures are outcomes: an error here would be retried. So is the end of a call that was cancelled
    /// before it left; one that has left ends with its answer, cancelled or not: it is paid for, and kept for who asks next.
    #[handler(idempotency_retention = "7 days", ingress_private = true)]
    async fn classify(
        &self,
        ctx: Context<'_>,
        Plain(request): Plain<ClassifyRequest>,
    ) -> HandlerResult<Bytes> {
        let classifying = self.shared.metrics.classifying();
        let mut cancelled = attempt::cancelled();
        // Where money is limited, a process asks only for what no other has begun: that one may have paid.
        let begun_by = if request.terms.method.allowance.is_some() {
            if !self.shared.ongoing.knows(ctx.invocation_id()) {
                self.shared.drain.begin().await;
            }
            let process = self.shared.process.clone();
            let begun_by = ctx.run(|| async move { Ok(process) }).name("begin").await;
            begun_by.inspect_err(|_cancelled| cancelled.cancel()).ok()
        } else {
            None
        };
        let body: Bytes = loop {
            // A model's answer is paid for: once it is in the journal, no replay asks again.
            let (shared, invocation) = (Arc::clone(&self.shared), ctx.invocation_id().to_owned());
            let (request, begun_by, cancel) = (request.clone(), begun_by.clone(), cancelled);
            // As bytes: what is given back is what stands in the journal, whoever replays it.
            let asked = ctx
                .run(|| async move {
                    let outcome = shared.ask_once(invocation, request, begun_by, &cancel).await?;
                    Ok(Bytes::from(payload::encode(&outcome)?))
                })
                .name("ask");
            match asked.await {
                Ok(body) => break body,
                // Somebody cancelled it, and the SDK says nothing else. What it came to is asked for again, so that a replay hears the same.
                Err(_cancelled) => cancelled = CancellationToken::new(),
            }
            cancelled.cancel();
        };
        self.shared.ongoing.journaled(ctx.invocation_id());
        if let Ok(outcome) = payload::decode(&body) {
            classifying.answered(&outcome);
        }
        Ok(body)
    }

    /// Whether this service may answer on these terms. A call of its own, for it reaches the service that is registered now.
    #[handler(idempotency_retention = "0s", ingress_private = true)]
    async fn fits(&self, ctx: Context<'_>, Plain(terms): Plain<Terms>) -> HandlerResult<Json<bool>> {
        let fits = self.shared.mismatch(&terms).is_none();
        Ok(ctx.run(|| async move { Ok(Json(fits)) }).name("fits").await?)
    }

    /// Cancels invocations. `cancel` is a word of Restate's for something else.
    #[handler(idempotency_retention = "0s")]
    #[expect(clippy::unused_async, reason = "handlers are async, whether they wait or not")]
    async fn withdraw(&self, ctx: Context<'_>, body: Raw) -> HandlerResult<()> {
        let call = Target { service: CLASSIFIER, key: "", handler: CLASSIFIER_WITHDRAW };
        let invocations: Vec<String> = self.shared.callers.read(ctx.headers(), call, body)?;
        for invocation in invocations {
            ctx.invocation_handle(invocation).cancel();
        }
        Ok(())
    }

    /// What this service is; also the call that proves a node's way to it. Nothing to keep once it is answered.
    #[handler(idempotency_retention = "0s")]
    #[expect(clippy::unused_async, reason = "handlers are async, whether they wait or not")]
    async fn info(&self, _ctx: Context<'_>) -> HandlerResult<Json<ServiceInfo>> {
        Ok(Json(self.shared.info.clone()))
    }
}

impl Shared {
    /// The outcomes where no model has to be asked.
    fn by_rules(
        &self,
        terms: &Terms,
        indicators: &[Indicator],
    ) -> Result<Vec<Option<Outcome>>, HandlerError> {
        if let Some(wrong) = self.mismatch(terms) {
            return Ok(vec![Some(Outcome::Failed(wrong)); indicators.len()]);
        }
        let threshold = match terms.method.provider.as_str() {
            RULES => 0.0,
            _ => terms.method.threshold.unwrap_or_default(),
        };
        let outcome = |indicator: &Indicator| {
            let classifying = self.metrics.classifying();
            let answer = self.rules.classify(indicator);
            let sure = answer.confidence >= threshold;
            let outcome =
                sure.then(|| Outcome::Classified(Box::new(self.classified(terms, answer, None))))?;
            classifying.answered(&outcome);
            Some(outcome)
        };
        let outcomes: Vec<Option<Outcome>> = indicators.iter().map(outcome).collect();
        let executed = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Classified(_)));
        let answered = indicators.iter().zip(&outcomes).filter(|(_, outcome)| executed(outcome));
        self.record(terms, answered.map(|(indicator, _)| indicator))?;
        Ok(outcomes)
    }

    /// The failure where this service must not answer: its labels would be stored as answers to another question, and "ask a model"
    /// would be remembered, and paid for, long after the service was put right. Whoever asked waits until one is there that fits.
    fn mismatch(&self, terms: &Terms) -> Option<Failed> {
        let provider = &terms.method.provider;
        let message = if terms.taxonomy != self.info.taxonomy_digest {
            let (ours, digest) = (&self.info.taxonomy, &self.info.taxonomy_digest);
            format!("the service classifies by {ours} ({digest}), the run expects {}", terms.taxonomy)
        } else if self.info.providers.contains(provider) {
            return None;
        } else {
            format!("the service has no provider `{provider}`")
        };
        Some(Failed::new(FailureClass::Provider, message, 0, terms.origin.as_str()))
    }

    /// Asks the model, unless an earlier attempt of the invocation has, or it was cancelled. The error is for Restate to retry.
    async fn ask_once(
        self: Arc<Self>,
        invocation: String,
        request: ClassifyRequest,
        begun_by: Option<String>,
        cancelled: &CancellationToken,
    ) -> Result<Outcome, HandlerError> {
        if let Some(wrong) = self.mismatch(&request.terms) {
            return Ok(Outcome::Failed(wrong));
        }
        let is_begun = begun_by.is_some();
        if begun_by.is_some_and(|process| process != self.process) {
            return Ok(Outcome::Failed(lost(request.terms)));
        }
        if !self.ongoing.knows(&invocation) {
            if cancelled.is_cancelled() {
                return Ok(Outcome::Failed(Failed::cancelled(request.terms.origin)));
            }
            if is_begun && self.drain.is_begun() {
                return Ok(given_back(request.terms));
            }
            self.drain.begin().await;
        }
        let shared = Arc::clone(&self);
        let ask = |call: Arc<Call>| {
            shared.record(&request.terms, [&request.indicator])?;
            if is_begun {
                call.must_end_here();
            }
            Ok(shared.ask(request, call))
        };
        self.ongoing.outcome(&invocation, cancelled, ask).await
    }

    /// Asks the model; what it or its provider said is an outcome.
    async fn ask(self: Arc<Self>, request: ClassifyRequest, call: Arc<Call>) -> Outcome {
        let ClassifyRequest { terms, indicator } = request;
        let run = terms.origin.rsplit_once('.').map_or("", |(run, _)| run);
        let Priced { asked, usage } = match self.models.ask(&terms.method, run, indicator, call).await {
            Ok(priced) => priced,
            Err(NotAsked::Cancelled) => return Outcome::Failed(Failed::cancelled(terms.origin)),
            Err(NotAsked::Impossible(message)) => {
                return Outcome::Failed(Failed::new(FailureClass::Provider, message, 0, terms.origin));
            }
        };
        match asked.answer {
            Ok(answer) => {
                let classified = self.classified(&terms, answer, Some(usage));
                let (notes, cut) = (asked.notes, asked.cut);
                Outcome::Classified(Box::new(Classification { notes, cut, ..classified }))
            }
            Err(error) => Outcome::Failed(Failed {
                class: error.class,
                message: error.message,
                attempts: error.attempts,
                usage: Some(usage),
                hopeless: error.obstacle.is_some(),
                obstacle: error.obstacle,
                origin: terms.origin,
            }),
        }
    }

    fn classified(&self, terms: &Terms, answer: Answer, usage: Option<Usage>) -> Classification {
        let method = &terms.method;
        let spared = usage.is_none() && method.provider == HYBRID;
        // With `hybrid`, a row says who really answered.
        let (provider, model) = match method.model.as_deref().and_then(|model| model.split_once('/')) {
            Some((provider, model)) if usage.is_some() => (provider.to_owned(), Some(model.to_owned())),
            _ => (RULES.to_owned(), None),
        };
        Classification {
            labels: Labels::new(&answer.labels),
            confidence: answer.confidence,
            reasoning: answer.reasoning,
            provider,
            model,
            taxonomy: self.info.taxonomy.clone(),
            usage,
            spared,
            notes: Vec::new(),
            cut: Vec::new(),
            classified_at: terms.at.clone(),
            origin: terms.origin.clone(),
        }
    }

    fn record<'a>(
        &self,
        terms: &Terms,
        indicators: impl IntoIterator<Item = &'a Indicator>,
    ) -> Result<(), HandlerError> {
        if let Some(audit) = &self.audit {
            audit.record(&terms.origin, indicators.into_iter().map(|indicator| indicator.id.as_str()))?;
        }
        Ok(())
    }
}

/// The failure of an indicator about which another process was asking when it ended: the answer may have been paid for, and there
/// is no money to ask again.
fn lost(terms: Terms) -> Failed {
    let most = terms.method.allowance.map(|allowance| allowance.usd);
    let message = "the service ended while it asked the model: the answer is lost and may have been charged, and \
                   `--max-cost` holds no money to ask again";
    let usage = Usage { cost_usd: Some(0.0), unsettled_usd: most, ..Usage::default() };
    Failed { usage: Some(usage), ..Failed::new(FailureClass::Provider, message, 1, terms.origin) }
}

/// Nothing was asked, for the process ends. Its batch asks again, and then the next process.
fn given_back(terms: Terms) -> Outcome {
    let message = "the service ended before it asked the model";
    Outcome::Failed(Failed::new(FailureClass::Provider, message, 0, terms.origin))
}
