//! `ClassifyBatch`: one workflow per batch. Lets `Classifier` answer, the rules in one call and a model in one call per
//! indicator, and gathers one outcome each. Nothing here is paid for twice: the journal holds what finished. A batch of a detached run
//! tells that run what came of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use restate_sdk::prelude::*;

use super::Metrics;
use super::callers::Callers;
use super::classifier::{Batch, ClassifierClient, ClassifyRequest, RulesRequest, Terms};
use super::payload::{Payload, Plain, Raw, Short};
use super::reports::{BatchReportsClient, GATHERERS};
use crate::domain::batch::{BatchRequest, BatchResponse};
use crate::domain::detached::Report;
use crate::domain::fingerprint::{GENERATIONS, fingerprint, generation, joint_fingerprint};
use crate::domain::method::{HYBRID, RULES};
use crate::domain::outcome::{Failed, FailureClass, Outcome};
use crate::domain::payload;
use crate::domain::tally::{Tally, is_own};
use crate::restate::names::{BATCH_RUN, BATCH_WORKFLOW};
use crate::restate::secret::Call;

/// First and longest pause before it is looked again whether the right service is there.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The request is not one that the service understands.
const MALFORMED: u16 = 400;
/// Status of an invocation that was cancelled or killed.
const ABORTED: u16 = 409;

pub(super) struct ClassifyBatch {
    pub(super) metrics: Arc<Metrics>,
    pub(super) callers: Callers,
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
    async fn run(&self, ctx: WorkflowContext<'_>, body: Raw) -> HandlerResult<Payload<BatchResponse>> {
        let body = self.callers.bytes(ctx.headers(), batch(ctx.key()), body)?;
        let request: BatchRequest = payload::decode(&body)
            .map_err(|error| TerminalError::new_with_code(MALFORMED, error.to_string()))?;
        let gathered = gather(&ctx, &request, &body).await;
        if request.options.detached {
            report(&ctx, &request, &gathered);
        }
        let outcomes = gathered?;
        self.metrics.batch_finished();
        Ok(Payload(BatchResponse { outcomes }))
    }
}

/// The call that submits the batch with this key.
pub(super) fn batch(key: &str) -> Call<'_> {
    Call { service: BATCH_WORKFLOW, key, handler: BATCH_RUN }
}

/// One outcome per indicator, in order. The error is that of the whole batch: somebody cancelled it before a model was asked.
async fn gather(
    ctx: &WorkflowContext<'_>,
    request: &BatchRequest,
    body: &Bytes,
) -> Result<Vec<Outcome>, TerminalError> {
    // One clock reading per batch, journaled: a replay must send the very same calls, whichever version makes it. Nothing else here depends
    // on the process: the version of the prompt comes with the batch, and whether the taxonomy is the run's is for each call to say.
    let at: String = ctx.run(|| async { Ok(format!("{:.3}", jiff::Timestamp::now())) }).name("clock").await?;
    let terms = Terms {
        method: request.options.method.clone(),
        taxonomy: request.options.taxonomy.clone(),
        at,
        origin: ctx.key().to_owned(),
    };
    let mut outcomes = match terms.method.provider.as_str() {
        RULES | HYBRID => ask_rules(ctx, (request, body), &terms).await?,
        _ => vec![None; request.indicators.len()],
    };
    ask_model(ctx, request, &terms, &mut outcomes).await?;
    Ok(outcomes.into_iter().flatten().collect())
}

/// What the rules say of all indicators, in one call: nothing where a model has to be asked.
async fn ask_rules(
    ctx: &WorkflowContext<'_>,
    (request, body): (&BatchRequest, &Bytes),
    terms: &Terms,
) -> Result<Vec<Option<Outcome>>, TerminalError> {
    let ask = |key: String| {
        let call = RulesRequest { terms: terms.clone(), batch: Batch::Submitted(body.clone()) };
        ctx.service_client::<ClassifierClient>().rules(call).idempotency_key(key).call()
    };
    let first = joint_fingerprint(&request.indicators, &request.options);
    let mut calls: DurableFuturesUnordered<_> = std::iter::once(ask(first.clone())).collect();
    let mut outcomes = Vec::new();
    let mut asked = 0;
    while let Some((_, answer)) = calls.next().await? {
        outcomes = answer.map_or_else(
            |error| vec![Some(Outcome::Failed(failed(&error))); request.indicators.len()],
            |Payload(outcomes)| outcomes,
        );
        let unasked = outcomes.iter().flatten().any(is_unasked);
        if unasked {
            wait_for_service(ctx, terms).await?;
        }
        let stale = unasked || outcomes.iter().flatten().any(|outcome| is_stale(outcome, &terms.origin));
        if let Some(key) = next_key(&first, &mut asked, stale, &terms.origin) {
            calls.push(ask(key));
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
        ctx.service_client::<ClassifierClient>().classify(Plain(call)).idempotency_key(key).call()
    };
    // Each call has its row at its place; repeated calls are appended.
    let mut rows: Vec<usize> = (0..outcomes.len()).filter(|row| outcomes[*row].is_none()).collect();
    let mut asked = vec![0; outcomes.len()];
    let fingerprint = |indicator| fingerprint(indicator, &request.options);
    let fingerprints: Vec<String> = request.indicators.iter().map(fingerprint).collect();
    let mut calls: DurableFuturesUnordered<_> =
        rows.iter().map(|row| ask(*row, fingerprints[*row].clone())).collect();
    // Somebody has cancelled the batch. The SDK cancels its calls with it: each ends at once, or with the answer that is on its way.
    let mut cancelled = false;
    loop {
        let (index, answer) = match calls.next().await {
            Ok(Some(ended)) => ended,
            Ok(None) => return Ok(()),
            Err(_cancelled) => {
                cancelled = true;
                continue;
            }
        };
        let row = rows[index];
        let outcome = answer.map_or_else(|error| Outcome::Failed(failed(&error)), |body| read(&body));
        let unasked = is_unasked(&outcome);
        if unasked && !cancelled {
            cancelled = wait_for_service(ctx, terms).await.is_err();
        }
        let stale = unasked || is_stale(&outcome, &terms.origin);
        if stale && cancelled {
            outcomes[row] = Some(Outcome::Failed(Failed::cancelled(terms.origin.as_str())));
        } else if let Some(key) = next_key(&fingerprints[row], &mut asked[row], stale, &terms.origin) {
            rows.push(row);
            calls.push(ask(row, key));
        } else {
            outcomes[row] = Some(outcome);
        }
    }
}

/// Waits until a service is registered that may answer: somebody has registered another one in mid-run. The run says so meanwhile.
async fn wait_for_service(ctx: &WorkflowContext<'_>, terms: &Terms) -> Result<(), TerminalError> {
    let (mut pause, longest) = PAUSES;
    loop {
        let Json(fits) = ctx.service_client::<ClassifierClient>().fits(Plain(terms.clone())).call().await?;
        if fits {
            return Ok(());
        }
        ctx.sleep(pause).await?;
        pause = (pause * 2).min(longest);
    }
}

/// Whether it was the wrong service that was asked.
fn is_unasked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failed) if failed.is_unasked())
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
        ctx.object_client::<BatchReportsClient>(mailbox).add(Short(Report { batch, tally })).send();
    }
}

/// Under which key to ask next, when the call of generation `asked` was answered with a failure that is none of this batch (`stale`).
/// Bounded: behind the last generation one more call is made, which no other batch finds.
fn next_key(fingerprint: &str, asked: &mut u32, stale: bool, origin: &str) -> Option<String> {
    if !stale || *asked > GENERATIONS {
        return None;
    }
    *asked += 1;
    let last = *asked > GENERATIONS;
    Some(if last { format!("{fingerprint}.{origin}") } else { generation(fingerprint, *asked) })
}

/// Whether this is a failure that was not this batch's own: Restate remembers how a call of an earlier run ended, and
/// a failure then is no answer now. A call that was killed does not say whose it was.
fn is_stale(outcome: &Outcome, origin: &str) -> bool {
    let Outcome::Failed(failed) = outcome else { return false };
    // Of a batch that was taken back and is asked again, what has failed before has failed.
    let is_own = is_own(origin, &failed.origin) && !failed.origin.is_empty();
    failed.origin != origin && (failed.class == FailureClass::Cancelled || !is_own)
}

/// What a model was asked, or failed to be.
fn read(body: &[u8]) -> Outcome {
    payload::decode(body).unwrap_or_else(|error| {
        let message = format!("the service's answer cannot be read: {error}");
        Outcome::Failed(Failed::new(FailureClass::Provider, message, 1, ""))
    })
}

/// A call that ended in an error of its own is one failed indicator, never a failed batch.
fn failed(error: &TerminalError) -> Failed {
    let class = if error.code() == ABORTED { FailureClass::Cancelled } else { FailureClass::Provider };
    Failed::new(class, error.message(), 1, "")
}

#[cfg(test)]
mod tests {
    use restate_sdk::serde::Serialize as _;

    use super::*;

    /// What a batch sends is compared when it is replayed, if need be by a later version: these bytes must stay. Where they have to
    /// change, batches under way end as `cancelled`, so a run must be over before the service is replaced; the changelog says so.
    #[test]
    fn what_a_replay_compares_stays_as_it_is() {
        let request = r#"{"options":{"provider":"hybrid","model":"openai/gpt-5","threshold":0.85,"taxonomy":"d1"},
            "indicators":[{"id":"A","name":"GDP","units":"USD","extra":{"n":1.50,"note":"<&>"}}]}"#;
        let body = Bytes::from_static(request.as_bytes());
        let request: BatchRequest = payload::decode(&body).unwrap();
        let terms = Terms {
            method: request.options.method.clone(),
            taxonomy: request.options.taxonomy.clone(),
            at: "2026-11-27T20:00:00.000Z".into(),
            origin: "R.7".into(),
        };
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let classify = ClassifyRequest { terms: terms.clone(), indicator: request.indicators[0].clone() };
        assert_eq!(text(Plain(classify).serialize().unwrap()), CLASSIFY);
        let rules = RulesRequest { terms, batch: Batch::Submitted(body.clone()) }.serialize().unwrap();
        assert_eq!(rules[..5], [1, u8::try_from(RULES_LETTER.len()).unwrap(), 0, 0, 0]);
        assert_eq!(rules[5..rules.len() - body.len()], *RULES_LETTER.as_bytes());
        assert_eq!(rules[rules.len() - body.len()..], body, "as the client sent it, whatever compressed it");
        let tally = Tally { succeeded: 4, failed: [(FailureClass::Schema, 1)].into(), ..Tally::default() };
        assert_eq!(text(Short(Report { batch: 7, tally }).serialize().unwrap()), REPORT);
        let keys = [
            fingerprint(&request.indicators[0], &request.options),
            joint_fingerprint(&request.indicators, &request.options),
        ];
        assert_eq!(keys, KEYS);
    }

    const CLASSIFY: &str = r#"{"terms":{"method":{"provider":"hybrid","model":"openai/gpt-5","threshold":0.85},"taxonomy":"d1","at":"2026-11-27T20:00:00.000Z","origin":"R.7"},"indicator":{"id":"A","name":"GDP","units":"USD","extra":{"n":1.50,"note":"<&>"}}}"#;
    const RULES_LETTER: &str = r#"{"method":{"provider":"hybrid","model":"openai/gpt-5","threshold":0.85},"taxonomy":"d1","at":"2026-11-27T20:00:00.000Z","origin":"R.7"}"#;
    const REPORT: &str = r#"{"batch":7,"tally":{"succeeded":4,"reused":0,"failed":{"schema":1},"usage":{"requests":0,"input_tokens":0,"cached_tokens":0,"output_tokens":0},"spared":0}}"#;
    const KEYS: [&str; 2] = ["88c9aedd7cbef40cb5b990503f4cc2e5", "f75eb74079405834abdc122992661747"];

    #[test]
    fn what_was_taken_back_is_asked_again_and_what_failed_is_not() {
        let failed = |class, origin: &str| Outcome::Failed(Failed::new(class, "no", 1, origin));
        for (class, origin, stale) in [
            (FailureClass::Schema, "R.1", false),
            (FailureClass::Cancelled, "R.1", true),
            (FailureClass::Cancelled, "R.1.1", false),
            (FailureClass::Schema, "R.11", true),
            (FailureClass::Schema, "", true),
        ] {
            assert_eq!(is_stale(&failed(class, origin), "R.1.1"), stale, "{class:?} of `{origin}`");
        }
    }

    #[test]
    fn failures_of_others_are_passed_over_one_by_one_and_not_for_ever() {
        let mut asked = 0;
        assert_eq!(next_key("f", &mut asked, false, "R.1"), None, "an answer, or a failure of this batch");
        let keys: Vec<String> = std::iter::from_fn(|| next_key("f", &mut asked, true, "R.1")).collect();
        assert_eq!(keys.len(), 65);
        assert_eq!([&keys[0], &keys[1], &keys[63], &keys[64]], ["f.1", "f.2", "f.64", "f.R.1"]);
    }
}
