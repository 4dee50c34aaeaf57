//! `Classifier`: one call per indicator, deduplicated by fingerprint.

use std::sync::Arc;

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::models::Priced;
use crate::domain::indicator::Indicator;
use crate::domain::method::{HYBRID, Method, RULES};
use crate::domain::outcome::{Classification, Failed, FailureClass, Outcome, Usage};
use crate::restate::names::ServiceInfo;
use crate::taxonomy::Answer;

/// Body of `Classifier/classify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ClassifyRequest {
    /// Who shall answer.
    #[serde(flatten)]
    pub(super) method: Method,
    /// Digest of the taxonomy the run expects.
    pub(super) taxonomy: String,
    /// When the batch arrived, RFC 3339; the handler itself reads no clock, so that a replay says the same.
    pub(super) at: String,
    /// Key of the batch that asks.
    pub(super) origin: String,
    /// What to classify.
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
    /// Classifies one indicator. Failures are outcomes: an error here would be retried.
    #[handler(idempotency_retention = "7 days")]
    async fn classify(
        &self,
        ctx: Context<'_>,
        Json(request): Json<ClassifyRequest>,
    ) -> HandlerResult<Json<Outcome>> {
        let classifying = self.shared.metrics.classifying();
        if let Some(known) = self.shared.without_model(&request)? {
            classifying.answered(&known);
            return Ok(Json(known));
        }
        // A model's answer is paid for: once it is in the journal, no replay asks again.
        let (shared, invocation) = (Arc::clone(&self.shared), ctx.invocation_id().to_owned());
        let Json(outcome) = ctx
            .run(|| async move { Ok(Json(shared.ask_once(invocation, request).await?)) })
            .name("ask")
            .await?;
        self.shared.ongoing.forget(ctx.invocation_id());
        classifying.answered(&outcome);
        Ok(Json(outcome))
    }

    /// What this service is; also the call that proves a node's way to it. Nothing to keep once it is answered.
    #[handler(idempotency_retention = "0s")]
    #[expect(clippy::unused_async, reason = "handlers are async, whether they wait or not")]
    async fn info(&self, _ctx: Context<'_>) -> HandlerResult<Json<ServiceInfo>> {
        Ok(Json(self.shared.info.clone()))
    }
}

impl Shared {
    /// The outcome where no model has to be asked. For what a model may have been asked already, by a process with other
    /// settings, only the journal can answer: a wrong question is left to [`Self::ask_once`] then.
    fn without_model(&self, request: &ClassifyRequest) -> Result<Option<Outcome>, HandlerError> {
        let threshold = match request.method.provider.as_str() {
            RULES => 0.0,
            HYBRID => request.method.threshold.unwrap_or_default(),
            _ => return Ok(None),
        };
        if let Some(wrong) = self.mismatch(request) {
            return Ok((request.method.provider == RULES).then_some(wrong));
        }
        let answer = self.rules.classify(&request.indicator);
        if answer.confidence < threshold {
            return Ok(None);
        }
        self.record(request)?;
        let outcome = self.classified(request, answer, None);
        Ok(Some(Outcome::Classified(Box::new(outcome))))
    }

    /// The failure where this service must not answer: its labels would be stored as answers to another question.
    fn mismatch(&self, request: &ClassifyRequest) -> Option<Outcome> {
        let provider = &request.method.provider;
        let message = if request.taxonomy != self.info.taxonomy_digest {
            let (ours, digest) = (&self.info.taxonomy, &self.info.taxonomy_digest);
            format!("the service classifies by {ours} ({digest}), the run expects {}", request.taxonomy)
        } else if self.info.providers.contains(provider) {
            return None;
        } else {
            format!("the service has no provider `{provider}`")
        };
        Some(Outcome::Failed(Failed::new(FailureClass::Provider, message, 0, request.origin.as_str())))
    }

    /// Asks the model, unless an earlier attempt of the invocation has. The error is for Restate to retry.
    async fn ask_once(
        self: Arc<Self>,
        invocation: String,
        request: ClassifyRequest,
    ) -> Result<Outcome, HandlerError> {
        if let Some(wrong) = self.mismatch(&request) {
            return Ok(wrong);
        }
        let shared = Arc::clone(&self);
        let ask = || {
            shared.record(&request)?;
            Ok(shared.ask(request))
        };
        self.ongoing.outcome(&invocation, ask).await
    }

    /// Asks the model; what it or its provider said is an outcome.
    async fn ask(self: Arc<Self>, request: ClassifyRequest) -> Outcome {
        let Priced { asked, usage } = match self.models.ask(&request.method, request.indicator.clone()).await
        {
            Ok(priced) => priced,
            Err(message) => {
                return Outcome::Failed(Failed::new(FailureClass::Provider, message, 0, request.origin));
            }
        };
        match asked.answer {
            Ok(answer) => Outcome::Classified(Box::new(self.classified(&request, answer, Some(usage)))),
            Err(error) => Outcome::Failed(Failed {
                class: error.class,
                message: error.message,
                attempts: error.attempts,
                usage: Some(usage),
                hopeless: error.locked_out,
                origin: request.origin,
            }),
        }
    }

    fn classified(&self, request: &ClassifyRequest, answer: Answer, usage: Option<Usage>) -> Classification {
        let method = &request.method;
        let spared = usage.is_none() && method.provider == HYBRID;
        // With `hybrid`, a row says who really answered.
        let (provider, model) = match method.model.as_deref().and_then(|model| model.split_once('/')) {
            Some((provider, model)) if usage.is_some() => (provider.to_owned(), Some(model.to_owned())),
            _ => (RULES.to_owned(), None),
        };
        Classification {
            labels: answer.labels,
            confidence: answer.confidence,
            reasoning: answer.reasoning,
            provider,
            model,
            taxonomy: self.info.taxonomy.clone(),
            usage,
            spared,
            classified_at: request.at.clone(),
            origin: request.origin.clone(),
        }
    }

    fn record(&self, request: &ClassifyRequest) -> Result<(), HandlerError> {
        if let Some(audit) = &self.audit {
            audit.record(&request.origin, &request.indicator.id)?;
        }
        Ok(())
    }
}
