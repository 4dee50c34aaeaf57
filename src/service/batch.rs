//! `ClassifyBatch`: one workflow per batch. Fans out to `Classifier`, one call per indicator, and gathers one
//! outcome each. Nothing here is paid for twice: the journal holds what finished. A batch of a detached run tells that run what came of it.

use std::sync::Arc;

use restate_sdk::prelude::*;

use super::Metrics;
use super::classifier::{ClassifierClient, ClassifyRequest};
use super::reports::{BatchReportsClient, GATHERERS};
use crate::domain::batch::{BatchRequest, BatchResponse};
use crate::domain::detached::Report;
use crate::domain::fingerprint::fingerprint;
use crate::domain::outcome::{Failed, FailureClass, Outcome};
use crate::domain::tally::Tally;

/// Status of an invocation that was cancelled or killed.
const ABORTED: u16 = 409;

pub(super) struct ClassifyBatch {
    pub(super) metrics: Arc<Metrics>,
}

// The result waits a day for its client; after that its rows come from their own answers, which are kept longer. The
// journal is of no use once it ended. A paused invocation would hang a run for ever, so the last attempt kills; 20,000
// attempts outlast a service that is down for a day.
#[restate_sdk::workflow(
    name = "ClassifyBatch",
    client_visibility = "pub(super)",
    workflow_completion_retention = "1 day",
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
impl ClassifyBatch {
    #[handler]
    async fn run(
        &self,
        ctx: WorkflowContext<'_>,
        Json(request): Json<BatchRequest>,
    ) -> HandlerResult<Json<BatchResponse>> {
        let gathered = gather(&ctx, &request).await;
        if request.options.detached {
            report(&ctx, &request, &gathered);
        }
        let outcomes = gathered?;
        self.metrics.batch_finished();
        Ok(Json(BatchResponse { outcomes }))
    }
}

/// One outcome per indicator, in order. The error is that of the whole batch: somebody cancelled it.
async fn gather(ctx: &WorkflowContext<'_>, request: &BatchRequest) -> Result<Vec<Outcome>, TerminalError> {
    // One clock reading per batch, journaled: a replay must send the very same calls. Nothing else here depends on
    // the process; whether its taxonomy is the run's is for each call to say.
    let at: String = ctx.run(|| async { Ok(format!("{:.3}", jiff::Timestamp::now())) }).name("clock").await?;
    let origin = ctx.key().to_owned();

    let ask = |row: usize, key: String| {
        let call = ClassifyRequest {
            method: request.options.method.clone(),
            taxonomy: request.options.taxonomy.clone(),
            at: at.clone(),
            origin: origin.clone(),
            indicator: request.indicators[row].clone(),
        };
        ctx.service_client::<ClassifierClient>().classify(Json(call)).idempotency_key(key).call()
    };
    let rows = request.indicators.len();
    let fingerprints: Vec<String> =
        request.indicators.iter().map(|indicator| fingerprint(indicator, &request.options)).collect();
    let mut calls: DurableFuturesUnordered<_> =
        fingerprints.iter().enumerate().map(|(row, key)| ask(row, key.clone())).collect();
    // The first calls have their row's place as index; repeated ones are appended.
    let mut repeated = Vec::new();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; rows];
    while let Some((index, answer)) = calls.next().await? {
        let outcome = answer.map_or_else(|error| Outcome::Failed(failed(&error)), |Json(outcome)| outcome);
        if index < rows && is_stale(&outcome, &origin) {
            repeated.push(index);
            calls.push(ask(index, format!("{}.{origin}", fingerprints[index])));
            continue;
        }
        let row = if index < rows { index } else { repeated[index - rows] };
        outcomes[row] = Some(outcome);
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Tells the detached run what came of the batch.
fn report(ctx: &WorkflowContext<'_>, request: &BatchRequest, gathered: &Result<Vec<Outcome>, TerminalError>) {
    let tally = match gathered {
        Ok(outcomes) => Tally::of(outcomes, ctx.key()),
        Err(error) => Tally::of(&vec![Outcome::Failed(failed(error)); request.indicators.len()], ctx.key()),
    };
    if let Some((run_id, batch)) = ctx.key().rsplit_once('.')
        && let Ok(batch) = batch.parse::<u64>()
    {
        let mailbox = format!("{run_id}.{}", batch % GATHERERS);
        ctx.object_client::<BatchReportsClient>(mailbox).add(Json(Report { batch, tally })).send();
    }
}

/// Whether this is a failure that was not this batch's own: Restate remembers how a call of an earlier run ended, and
/// a failure then is no answer now. A call that was killed does not say whose it was.
fn is_stale(outcome: &Outcome, origin: &str) -> bool {
    matches!(outcome, Outcome::Failed(failed) if failed.origin != origin)
}

/// A call that ended in an error of its own is one failed indicator, never a failed batch.
fn failed(error: &TerminalError) -> Failed {
    let class = if error.code() == ABORTED { FailureClass::Cancelled } else { FailureClass::Provider };
    Failed::new(class, error.message(), 1, "")
}
