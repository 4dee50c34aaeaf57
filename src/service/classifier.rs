//! `Classifier`: one call per indicator, deduplicated by fingerprint.

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::{RULES_PROVIDER, Shared};
use crate::domain::indicator::Indicator;
use crate::domain::outcome::{Classification, Failed, FailureClass, Outcome};
use crate::restate::names::ServiceInfo;

/// Body of `Classifier/classify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ClassifyRequest {
    /// Provider that shall answer.
    pub(super) provider: String,
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
    shared: Shared,
}

impl Classifier {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

#[restate_sdk::service(
    name = "Classifier",
    client_visibility = "pub(super)",
    journal_retention = "0s",
    inactivity_timeout = "5m",
    abort_timeout = "10m",
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
    #[expect(clippy::unused_async, reason = "handlers are async, whether they wait or not")]
    async fn classify(
        &self,
        _ctx: Context<'_>,
        Json(request): Json<ClassifyRequest>,
    ) -> HandlerResult<Json<Outcome>> {
        let classifying = self.shared.metrics.classifying();
        if let Some(audit) = &self.shared.audit {
            audit.record(&request.origin, &request.indicator.id)?;
        }
        let outcome = self.shared.answer(request);
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
    /// Why this service must not answer: its labels would be stored as answers to another question.
    fn mismatch(&self, request: &ClassifyRequest) -> Option<String> {
        if request.taxonomy != self.info.taxonomy_digest {
            let (ours, digest) = (&self.info.taxonomy, &self.info.taxonomy_digest);
            return Some(format!(
                "the service classifies by {ours} ({digest}), the run expects {}",
                request.taxonomy
            ));
        }
        (request.provider != RULES_PROVIDER)
            .then(|| format!("the service has no provider `{}`", request.provider))
    }

    fn answer(&self, request: ClassifyRequest) -> Outcome {
        if let Some(message) = self.mismatch(&request) {
            let (class, attempts, origin) = (FailureClass::Provider, 0, request.origin);
            return Outcome::Failed(Failed { class, message, attempts, origin });
        }
        let answer = self.rules.classify(&request.indicator);
        Outcome::Classified(Box::new(Classification {
            labels: answer.labels,
            confidence: answer.confidence,
            reasoning: answer.reasoning,
            provider: request.provider,
            model: None,
            taxonomy: self.info.taxonomy.clone(),
            usage: None,
            classified_at: request.at,
            origin: request.origin,
        }))
    }
}
