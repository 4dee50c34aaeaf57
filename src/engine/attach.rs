//! Looks at a detached run, and acts on it, from any machine that reaches the cluster.
//!
//! Owns nothing: the run lives in the cluster. What it cannot see itself is told to it here: a batch that was killed cannot say so.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::turns::on_any;
use crate::domain::batch::{BatchKey, BatchResponse};
use crate::domain::detached::{Phase, Progress, Report};
use crate::domain::outcome::{Failed, FailureClass, Outcome};
use crate::domain::payload;
use crate::domain::tally::Tally;
use crate::error::{Failure, Result};
use crate::restate::Error;
use crate::restate::ingress::{Ingress, Output};
pub use crate::restate::names::Order;

/// Patience with one node.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a cluster that does not answer is asked again, by those who only look.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often to look.
const PERIOD: Duration = Duration::from_secs(1);
/// No batch finishes for so long although some are under way: time to see whether they still are.
const STANDSTILL: Duration = Duration::from_secs(20);
/// Batches that are looked after at once.
const SOME: usize = 500;

/// Asks or orders something of the run, through any node.
///
/// # Errors
/// When the cluster does not know it, it is not one for which that makes sense, or no node answers.
pub async fn order(nodes: &[Ingress], run_id: &str, order: Order) -> Result<Progress> {
    ask(nodes, run_id, order, Duration::ZERO).await
}

/// Where the run is; `None` if it has not begun.
///
/// # Errors
/// When no node answers.
pub async fn find(nodes: &[Ingress], run_id: &str) -> Result<Option<Progress>> {
    let show = async |node: &Ingress| node.detached_run(run_id, Order::Show, TIMEOUT).await;
    match on_any(nodes, 0, PATIENCE, show).await {
        Ok(progress) => Ok(Some(progress)),
        Err(error) if error.is_unknown_run() => Ok(None),
        Err(error) => Err(explain(&error, run_id)),
    }
}

/// Tells where the run is, once a second, until it is over or has halted.
///
/// # Errors
/// As [`order`]; a cluster that does not answer is waited for a minute.
pub async fn follow(nodes: &[Ingress], run_id: &str, mut tell: impl FnMut(&Progress)) -> Result<Progress> {
    let (mut finished, mut moved) = (0, Instant::now());
    let mut missing = BTreeSet::new();
    loop {
        let progress = ask(nodes, run_id, Order::Show, PATIENCE).await?;
        tell(&progress);
        if progress.is_over() || progress.halted.is_some() {
            return Ok(progress);
        }
        if progress.finished() != finished {
            (finished, moved) = (progress.finished(), Instant::now());
        } else if moved.elapsed() > STANDSTILL {
            missing = look_after(nodes, run_id, &progress, &missing).await?;
            if progress.phase == Phase::Running && progress.released < progress.plan.batches() {
                // A service of an older version cannot be woken; then it stays as it is.
                let _refused = order(nodes, run_id, Order::Wake).await;
            }
            moved = Instant::now();
        }
        sleep(PERIOD).await;
    }
}

async fn ask(nodes: &[Ingress], run_id: &str, order: Order, patience: Duration) -> Result<Progress> {
    let asked = async |node: &Ingress| node.detached_run(run_id, order, TIMEOUT).await;
    on_any(nodes, 0, patience, asked).await.map_err(|error| explain(&error, run_id))
}

/// Tells the run of batches under way that have ended: what they said themselves did not arrive. Returns those that the cluster does
/// not know although the service answers: who is among the `missing` of the last look as well was killed before its time had come. (A page
/// that has yet to submit them does so within seconds.)
async fn look_after(
    nodes: &[Ingress],
    run_id: &str,
    progress: &Progress,
    missing: &BTreeSet<u64>,
) -> Result<BTreeSet<u64>> {
    let explain = |error: Error| explain(&error, run_id);
    let serves = on_any(nodes, 0, Duration::ZERO, async |node: &Ingress| node.service_info(TIMEOUT).await)
        .await
        .is_ok();
    let mut unknown = BTreeSet::new();
    for &batch in progress.under_way.iter().take(SOME) {
        let key = BatchKey { run_id: run_id.to_owned(), index: batch };
        let rows = usize::try_from(progress.plan.rows(batch)).unwrap_or(0);
        let output = async |node: &Ingress| node.batch_output(&key, TIMEOUT).await;
        let tally = match on_any(nodes, 0, PATIENCE, output).await.map_err(explain)? {
            Output::Pending => continue,
            Output::Ready(body) => tally(&body, &key, rows),
            Output::Ended { message, .. } => lost(&message, &key, rows),
            Output::Unknown if serves && missing.contains(&batch) => {
                lost("killed before it began", &key, rows)
            }
            Output::Unknown => {
                if serves {
                    unknown.insert(batch);
                }
                continue;
            }
        };
        let report = Report { batch, tally };
        let told = async |node: &Ingress| node.report_batch(run_id, &report, TIMEOUT).await;
        on_any(nodes, 0, PATIENCE, told).await.map_err(explain)?;
    }
    Ok(unknown)
}

/// What a batch that has ended came to.
fn tally(body: &[u8], key: &BatchKey, rows: usize) -> Tally {
    match payload::decode::<BatchResponse>(body) {
        Ok(response) if response.outcomes.len() == rows => Tally::of(&response.outcomes, &key.to_string()),
        _ => lost("the service's answer cannot be read", key, rows),
    }
}

/// What a batch comes to that ended without an answer.
fn lost(message: &str, key: &BatchKey, rows: usize) -> Tally {
    let key = key.to_string();
    let failed = Failed::new(FailureClass::Cancelled, message, 1, key.as_str());
    Tally::of(&vec![Outcome::Failed(failed); rows], &key)
}

fn explain(error: &Error, run_id: &str) -> Failure {
    if error.is_unknown_run() {
        return Failure::usage(format!("the cluster knows no detached run `{run_id}`"))
            .hint("a run is handed over by `--detach`, and has begun once that says so");
    }
    if error.is_conflict() {
        return Failure::usage(format!("run `{run_id}`: {}", error.reason()));
    }
    Failure::unreachable("no node can tell about the run; the cluster goes on with it by itself")
        .detail(error.to_string())
        .hint("see what is wrong: `classify cluster status`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_says_counts_and_what_says_nothing_is_lost() {
        let key = BatchKey { run_id: "R".into(), index: 3 };
        let refused = Failed::new(FailureClass::Refused, "no", 1, "R.3");
        let body = payload::encode(&BatchResponse { outcomes: vec![Outcome::Failed(refused)] }).unwrap();
        let classes = |tally: Tally| tally.failed.into_iter().collect::<Vec<_>>();
        assert_eq!(classes(tally(&body, &key, 1)), [(FailureClass::Refused, 1)]);
        assert_eq!(classes(tally(&body, &key, 2)), [(FailureClass::Cancelled, 2)]);
        assert_eq!(classes(lost("killed", &key, 5)), [(FailureClass::Cancelled, 5)]);
    }
}
