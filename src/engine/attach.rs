//! Looks at a detached run from any machine that reaches the cluster. What is ordered of it is `orders`'.
//!
//! Owns nothing: the run lives in the cluster. What it cannot see itself is told to it here: a batch that was killed cannot say so.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::diagnosis::{self, Checkup, conclude, examine};
use super::pool::{Verdict, verdict};
use super::turns::on_any;
use super::watchdog::{self, Found};
use crate::domain::batch::{BatchKey, BatchResponse, RunOptions};
use crate::domain::detached::{Phase, Progress, Report};
use crate::domain::event::Trouble;
use crate::domain::outcome::{Failed, FailureClass, Outcome};
use crate::domain::payload;
use crate::domain::tally::Tally;
use crate::error::{Failure, Result};
use crate::restate::Error;
use crate::restate::ingress::{Ingress, Output};
use crate::restate::names::Order;
use crate::restate::secret::REMEDY;

/// Patience with one node that is asked about a batch, or told something.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Patience with one node that is asked where the run is. With the 6 s that an examination may take, the user knows within 10 s.
const LOOK: Duration = Duration::from_secs(3);
/// How long a question keeps its name, in seconds.
const QUESTION_S: i64 = 120;
/// How often to look.
const PERIOD: Duration = Duration::from_secs(1);
/// No batch finishes for so long although some are under way: time to see whether they still are.
const STANDSTILL: Duration = Duration::from_secs(20);
/// Batches that are looked after at once.
const SOME: usize = 500;

/// What whoever watches a run is told.
#[derive(Debug)]
pub enum News<'a> {
    /// Where it is.
    At(&'a Progress),
    /// Nothing moves, and this is why; `None`: it moves again.
    Trouble(Option<&'a Trouble>),
}

/// Where the run is; `None` if it has not begun.
///
/// # Errors
/// When nobody answers, within 15 s: then the failure says why.
pub async fn find(nodes: &[Ingress], run_id: &str) -> Result<Option<Progress>> {
    let known = |answer| match answer {
        Ok(progress) => Ok(Some(progress)),
        Err(error) if Error::is_unknown_run(&error) => Ok(None),
        Err(error) => Err(error),
    };
    match known(show(&nodes[0], run_id).await) {
        Ok(found) => return Ok(found),
        Err(error) if verdict(&error) == Verdict::Hopeless => return Err(explain(&error, run_id)),
        Err(_) => {}
    }
    let checkups = examine(nodes, &probe(run_id, 0)).await;
    let serves = checkups.iter().position(|one| one.as_ref().and_then(Checkup::info).is_some());
    let Some(place) = serves else { return Err(unserved(nodes, &checkups)) };
    known(show(&nodes[place], run_id).await).map_err(|error| explain(&error, run_id))
}

/// Tells where the run is, once a second, until it is over or has halted; `None` where it has not begun. A cluster or a service that does
/// not answer is waited for, and told about. `options` are those of the run, if they are known here.
///
/// # Errors
/// When a node refuses to tell about it.
pub async fn follow(
    nodes: &[Ingress],
    run_id: &str,
    options: Option<&RunOptions>,
    mut tell: impl FnMut(News<'_>),
) -> Result<Option<Progress>> {
    let mut watch = Watch::new(nodes, run_id, options);
    for turn in 0_usize.. {
        match show(&nodes[turn % nodes.len()], run_id).await {
            Ok(progress) => {
                tell(News::At(&progress));
                if progress.is_over() || progress.halted.is_some() {
                    return Ok(Some(progress));
                }
                if watch.moves(&progress).await {
                    tell(News::Trouble(watch.known.as_ref()));
                }
            }
            Err(error) if error.is_unknown_run() => return Ok(None),
            Err(error) if verdict(&error) == Verdict::Hopeless => return Err(explain(&error, run_id)),
            Err(_) => {
                if watch.is_silent().await {
                    tell(News::Trouble(watch.known.as_ref()));
                }
            }
        }
        sleep(PERIOD).await;
    }
    Ok(None)
}

/// What is known of a run that is watched.
struct Watch<'a> {
    nodes: &'a [Ingress],
    run_id: &'a str,
    options: Option<&'a RunOptions>,
    /// Batches finished, and since when no more.
    finished: u64,
    moved: Instant,
    /// Since when something is under way and nothing finishes.
    flowed: Instant,
    look_again: Instant,
    looks: u64,
    looked_after: Instant,
    missing: BTreeSet<u64>,
    known: Option<Trouble>,
}

impl<'a> Watch<'a> {
    fn new(nodes: &'a [Ingress], run_id: &'a str, options: Option<&'a RunOptions>) -> Self {
        let now = Instant::now();
        Self {
            nodes,
            run_id,
            options,
            finished: 0,
            moved: now,
            flowed: now,
            look_again: now,
            looks: 0,
            looked_after: now,
            missing: BTreeSet::new(),
            known: None,
        }
    }

    /// It was seen like that. Whether what is known to be in its way has changed.
    async fn moves(&mut self, progress: &Progress) -> bool {
        let now = Instant::now();
        if progress.finished() != self.finished {
            (self.finished, self.moved, self.flowed) = (progress.finished(), now, now);
        }
        if progress.in_flight() == 0 {
            self.flowed = now;
        }
        if self.moved.elapsed().min(self.looked_after.elapsed()) > STANDSTILL {
            self.look_after(progress).await;
            self.looked_after = Instant::now();
        }
        let standstill = self.flowed.elapsed();
        if standstill < watchdog::SUSPICIOUS {
            return self.learn(None);
        }
        if Instant::now() < self.look_again {
            return false;
        }
        self.look(self.options, standstill).await
    }

    /// Nobody told where it is. Whether what is known to be in its way has changed.
    async fn is_silent(&mut self) -> bool {
        self.flowed = Instant::now();
        self.look(None, Duration::ZERO).await
    }

    async fn look(&mut self, options: Option<&RunOptions>, standstill: Duration) -> bool {
        self.looks += 1;
        let probe = probe(self.run_id, self.looks);
        let Found { serves, trouble } = watchdog::look(self.nodes, options, standstill, &probe).await;
        if serves {
            self.look_again = Instant::now() + watchdog::SUSPICIOUS;
        }
        self.learn(trouble)
    }

    fn learn(&mut self, trouble: Option<Trouble>) -> bool {
        let is_news = trouble != self.known;
        self.known = trouble;
        is_news
    }

    async fn look_after(&mut self, progress: &Progress) {
        match look_after(self.nodes, self.run_id, progress, &self.missing).await {
            Ok(missing) => self.missing = missing,
            // Who watches learns why when it asks where the run is.
            Err(error) => tracing::debug!(%error, "batches cannot be looked after"),
        }
        if progress.phase == Phase::Running && progress.released < progress.plan.batches() {
            let key = question();
            let wake = async |node: &Ingress| node.order_run(self.run_id, Order::Wake, &key, LOOK).await;
            // A service of an older version cannot be woken; then it stays as it is.
            let _refused = on_any(self.nodes, 0, Duration::ZERO, wake).await;
        }
    }
}

/// Where the run is.
pub(super) async fn show(node: &Ingress, run_id: &str) -> std::result::Result<Progress, Error> {
    node.order_run(run_id, Order::Show, &question(), LOOK).await
}

/// The name of what is asked these minutes. Whoever asks while nobody answers asks the same: the cluster keeps one question, and not one for
/// each second. It is another one later: a question that a service took with it when it went is never answered.
fn question() -> String {
    format!("asked-{}", jiff::Timestamp::now().as_second() / QUESTION_S)
}

/// Why nobody answers.
pub(super) async fn silence(nodes: &[Ingress], run_id: &str) -> Failure {
    let checkups = examine(nodes, &probe(run_id, 0)).await;
    match conclude(&checkups) {
        Some(_) => unserved(nodes, &checkups),
        None => no_answer(),
    }
}

/// A key of a partition of its own each time: not all of them are led by one node.
fn probe(run_id: &str, look: u64) -> String {
    format!("detached-{run_id}-{look}")
}

fn unserved(nodes: &[Ingress], checkups: &[Option<Checkup>]) -> Failure {
    let trouble = conclude(checkups).unwrap_or(Trouble::WorkStuck);
    diagnosis::explain(&trouble, nodes, checkups, false)
}

fn no_answer() -> Failure {
    Failure::unreachable("cluster and service answer, and nobody tells about the run in time")
        .hint("what retries, and why: `classify queue status`; then say the same again")
}

/// Tells the run of batches under way that have ended: what they said themselves did not arrive. Returns those that the cluster does
/// not know although the service answers: who is among the `missing` of the last look as well was killed before its time had come. (A page
/// that has yet to submit them does so within seconds.)
pub(super) async fn look_after(
    nodes: &[Ingress],
    run_id: &str,
    progress: &Progress,
    missing: &BTreeSet<u64>,
) -> std::result::Result<BTreeSet<u64>, Error> {
    let serves = on_any(nodes, 0, Duration::ZERO, async |node: &Ingress| node.service_info(TIMEOUT).await)
        .await
        .is_ok();
    let mut unknown = BTreeSet::new();
    for &batch in progress.under_way.iter().take(SOME) {
        let key = BatchKey { run_id: run_id.to_owned(), index: batch };
        let rows = usize::try_from(progress.plan.rows(batch)).unwrap_or(0);
        let output = async |node: &Ingress| node.batch_output(&key, TIMEOUT).await;
        let tally = match on_any(nodes, 0, Duration::ZERO, output).await? {
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
        on_any(nodes, 0, Duration::ZERO, told).await?;
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

/// An error that no node would answer otherwise.
pub(super) fn explain(error: &Error, run_id: &str) -> Failure {
    if error.is_unknown_run() {
        return unknown(run_id);
    }
    if error.is_unsigned() {
        return Failure::usage(error.to_string()).hint(REMEDY);
    }
    if error.is_conflict() {
        return Failure::usage(format!("run `{run_id}`: {}", error.reason()));
    }
    no_answer().detail(error.to_string())
}

/// A run of which the cluster knows nothing.
pub fn unknown(run_id: &str) -> Failure {
    Failure::usage(format!("the cluster knows no detached run `{run_id}`"))
        .hint("a run is handed over by `--detach`, and has begun once that says so")
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
