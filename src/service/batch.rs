//! `ClassifyBatch`: one workflow per batch. Lets `Classifier` answer, the rules in one call and a model in one call per
//! indicator, and gathers one outcome each. Nothing here is paid for twice: the journal holds what finished. A batch of a detached run
//! tells that run what came of it.

use std::sync::Arc;

use restate_sdk::prelude::*;

use super::Metrics;
use super::classifier::{ClassifierClient, ClassifyRequest, RulesRequest, Terms};
use super::payload::Payload;
use super::reports::{BatchReportsClient, GATHERERS};
use crate::domain::batch::{BatchRequest, BatchResponse};
use crate::domain::detached::Report;
use crate::domain::fingerprint::{fingerprint, joint_fingerprint};
use crate::domain::method::{HYBRID, RULES};
use crate::domain::outcome::{Failed, FailureClass, Outcome};
use crate::domain::tally::Tally;

/// Status of an invocation that was cancelled or killed.
const ABORTED: u16 = 409;

pub(super) struct ClassifyBatch {
    pub(super) metrics: Arc<Metrics>,
}

// The result waits a day for its client; after that its rows come from the answers of `Classifier`, which are kept longer. The
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
        Payload(request): Payload<BatchRequest>,
    ) -> HandlerResult<Payload<BatchResponse>> {
        let gathered = gather(&ctx, &request).await;
        if request.options.detached {
            report(&ctx, &request, &gathered);
        }
        let outcomes = gathered?;
        self.metrics.batch_finished();
        Ok(Payload(BatchResponse { outcomes }))
    }
}

/// One outcome per indicator, in order. The error is that of the whole batch: somebody cancelled it.
async fn gather(ctx: &WorkflowContext<'_>, request: &BatchRequest) -> Result<Vec<Outcome>, TerminalError> {
    // One clock reading per batch, journaled: a replay must send the very same calls. Nothing else here depends on
    // the process; whether its taxonomy is the run's is for each call to say.
    let at: String = ctx.run(|| async { Ok(format!("{:.3}", jiff::Timestamp::now())) }).name("clock").await?;
    let terms = Terms {
        method: request.options.method.clone(),
        taxonomy: request.options.taxonomy.clone(),
        at,
        origin: ctx.key().to_owned(),
    };
    let mut outcomes = match terms.method.provider.as_str() {
        RULES | HYBRID => ask_rules(ctx, request, &terms).await?,
        _ => vec![None; request.indicators.len()],
    };
    ask_model(ctx, request, &terms, &mut outcomes).await?;
    Ok(outcomes.into_iter().flatten().collect())
}

/// What the rules say of all indicators, in one call: nothing where a model has to be asked.
async fn ask_rules(
    ctx: &WorkflowContext<'_>,
    request: &BatchRequest,
    terms: &Terms,
) -> Result<Vec<Option<Outcome>>, TerminalError> {
    let ask = |key: String| {
        let read = |indicator| request.options.of(indicator).into_owned();
        let indicators = request.indicators.iter().map(read).collect();
        let call = RulesRequest { terms: terms.clone(), indicators };
        ctx.service_client::<ClassifierClient>().rules(Payload(call)).idempotency_key(key).call()
    };
    let key = joint_fingerprint(&request.indicators, &request.options);
    let mut calls: DurableFuturesUnordered<_> = std::iter::once(ask(key.clone())).collect();
    let mut outcomes = Vec::new();
    while let Some((index, answer)) = calls.next().await? {
        outcomes = answer.map_or_else(
            |error| vec![Some(Outcome::Failed(failed(&error))); request.indicators.len()],
            |Payload(outcomes)| outcomes,
        );
        if index == 0 && outcomes.iter().flatten().any(|outcome| is_stale(outcome, &terms.origin)) {
            calls.push(ask(format!("{key}.{}", terms.origin)));
        }
    }
    Ok(outcomes)
}

/// Asks the model for each outcome that is not there yet, in a call of its own.
async fn ask_model(
    ctx: &WorkflowContext<'_>,
    request: &BatchRequest,
    terms: &Terms,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), TerminalError> {
    let ask = |row: usize, key: String| {
        let indicator = request.options.of(&request.indicators[row]).into_owned();
        let call = ClassifyRequest { terms: terms.clone(), indicator };
        ctx.service_client::<ClassifierClient>().classify(Payload(call)).idempotency_key(key).call()
    };
    // Each call has its row at its place; repeated calls are appended.
    let mut rows: Vec<usize> = (0..outcomes.len()).filter(|row| outcomes[*row].is_none()).collect();
    let first = rows.len();
    let fingerprints: Vec<String> =
        rows.iter().map(|row| fingerprint(&request.indicators[*row], &request.options)).collect();
    let mut calls: DurableFuturesUnordered<_> =
        rows.iter().zip(&fingerprints).map(|(row, key)| ask(*row, key.clone())).collect();
    while let Some((index, answer)) = calls.next().await? {
        let row = rows[index];
        let outcome = answer.map_or_else(|error| Outcome::Failed(failed(&error)), |Payload(outcome)| outcome);
        if index < first && is_stale(&outcome, &terms.origin) {
            rows.push(row);
            calls.push(ask(row, format!("{}.{}", fingerprints[index], terms.origin)));
        } else {
            outcomes[row] = Some(outcome);
        }
    }
    Ok(())
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
