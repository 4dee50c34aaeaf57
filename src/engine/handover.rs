//! Hands a whole run over to the cluster: all batches into its pages, then the word to begin.
//!
//! Owns the upload. A client that dies in the middle leaves a run that has not begun; uploading it again, from wherever, does
//! what was not done yet. Once the run has begun, nobody needs the client any more.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::attach;
use super::brakes::Brakes;
use super::feed::{self, Prepared, Work};
use super::turns::on_any;
use crate::domain::batch::RunOptions;
use crate::domain::detached::{PAGE, Plan, Progress};
use crate::domain::page::PageWriter;
use crate::error::{ExitStatus, Failure, Result};
use crate::input::Row;
use crate::ledger::Past;
use crate::restate::Error;
use crate::restate::ingress::Ingress;
use crate::shutdown::{Level, Shutdown};
use crate::throttle::Pace;

/// Batches read ahead.
const READ_AHEAD: usize = 8;
/// Bytes of a page that are sent in one request, where a single batch does not have more: a page of large batches takes several.
const REQUEST: usize = 1024 * 1024;
/// Requests under way: two for each of three nodes.
const AT_ONCE: usize = 6;
/// Patience with one request. It is done in milliseconds when all is well.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request is tried on all nodes in turns.
const PATIENCE: Duration = Duration::from_mins(1);

/// A run that shall be handed over.
#[derive(Debug)]
pub struct Handover {
    /// Prefix of every batch key.
    pub run_id: String,
    /// Settings every batch carries.
    pub options: RunOptions,
    /// How fast the cluster shall submit it.
    pub pace: Pace,
    /// What makes it halt.
    pub brakes: Brakes,
}

impl Handover {
    /// Hands `rows` over through any of `nodes` and begins the run; `tell` hears how many indicators are there. What is asked to stop before that
    /// has begun nothing.
    ///
    /// # Errors
    /// When the input cannot be read, no node takes a batch for a minute, or `stop` says so. The run has not begun then, unless the failure
    /// says that it may.
    pub async fn run(
        self,
        nodes: &[Ingress],
        rows: impl Iterator<Item = Result<Row>> + Send + 'static,
        mut tell: impl FnMut(u64),
        stop: &Shutdown,
    ) -> Result<Progress> {
        // Batches that were uploaded once more would stay: the run has passed them already.
        let early = "interrupted before the cluster had the whole run; it has not begun";
        let found = attach::find(nodes, &self.run_id);
        if let Some(begun) = unless(stop, Level::Drain, early, found).await? {
            return Ok(begun);
        }
        let upload = self.upload(nodes, rows, &mut tell);
        let (uploaded, largest) = unless(stop, Level::Drain, early, upload).await?;
        let plan = self.plan(uploaded, largest);
        let begin = async |node: &Ingress| node.begin_run(&self.run_id, &plan, TIMEOUT).await;
        let said = async { on_any(nodes, 0, PATIENCE, begin).await.map_err(|error| unsaid(&error)) };
        unless(stop, Level::Stop, "interrupted when the cluster had the whole run; it may begin", said).await
    }

    fn plan(&self, indicators: u64, largest_batch: usize) -> Plan {
        Plan {
            indicators,
            batch_size: self.pace.batch_size,
            per_minute: self.pace.total,
            max_in_flight: self.pace.max_in_flight,
            largest_batch,
            max_failures: self.brakes.max_failures,
            max_cost_usd: self.brakes.max_cost_usd,
            expected_cost_usd: self.brakes.expected_cost_usd,
        }
    }

    /// Uploads all batches; returns how many indicators they have, and how large the largest is.
    async fn upload(
        &self,
        nodes: &[Ingress],
        rows: impl Iterator<Item = Result<Row>> + Send + 'static,
        tell: &mut impl FnMut(u64),
    ) -> Result<(u64, usize)> {
        let (work, mut batches) = mpsc::channel(READ_AHEAD);
        let (run_id, size) = (self.run_id.clone(), self.pace.batch_size);
        let options = RunOptions { detached: true, ..self.options.clone() };
        let feeder =
            spawn_blocking(move || feed::feed(rows, &run_id, &options, size, &Past::default(), &work));

        let mut under_way = FuturesUnordered::new();
        let (mut part, mut turn, mut more) = (None, 0, true);
        let (mut uploaded, mut largest) = (0, 0);
        while more || !under_way.is_empty() {
            let full = tokio::select! {
                Some(brought) = under_way.next() => {
                    let indicators = brought?;
                    uploaded += indicators;
                    tell(uploaded);
                    None
                }
                work = batches.recv(), if more && under_way.len() < AT_ONCE => match work {
                    Some(Work::Batch(batch)) => {
                        largest = largest.max(batch.body.len());
                        Part::add(&mut part, &batch)
                    }
                    // Stays here: whoever collects the results reads the input again, and writes it down.
                    Some(Work::Rejected(_)) => None,
                    None => {
                        more = false;
                        part.take()
                    }
                },
            };
            if let Some(full) = full {
                under_way.push(full.send(&self.run_id, nodes, turn));
                turn += 1;
            }
        }
        let died = |error| Failure::unexpected(format!("the thread that reads the input died: {error}"));
        feeder.await.map_err(died)??;
        Ok((uploaded, largest))
    }
}

/// Consecutive batches of one page, as they are sent.
#[derive(Debug)]
struct Part {
    page: u64,
    indicators: u64,
    body: PageWriter,
}

impl Part {
    /// The next part: nothing yet of what begins with batch `index`.
    fn new(index: u64) -> Self {
        Self { page: index / PAGE, indicators: 0, body: PageWriter::new(index) }
    }

    /// Adds a batch to `part`; returns the part before it, where the batch begins another.
    fn add(part: &mut Option<Self>, batch: &Prepared) -> Option<Self> {
        let index = batch.key.index;
        let fits = |part: &Self| part.page == index / PAGE && part.body.size() + batch.body.len() <= REQUEST;
        let before = part.take_if(|part| !fits(part));
        let part = part.get_or_insert_with(|| Self::new(index));
        part.body.push(&batch.body);
        part.indicators += u64::from(batch.len().get());
        before
    }

    async fn send(self, run_id: &str, nodes: &[Ingress], turn: usize) -> Result<u64> {
        let (page, body) = (self.page, self.body.finish());
        let put = async |node: &Ingress| node.put_batches(run_id, page, body.clone(), TIMEOUT).await;
        on_any(nodes, turn, PATIENCE, put).await.map_err(|error| refused(&error))?;
        Ok(self.indicators)
    }
}

/// Does `work` unless somebody wants it stopped.
async fn unless<T>(
    stop: &Shutdown,
    level: Level,
    interrupted: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = stop.at_least(level) => Err(Failure::new(ExitStatus::Interrupted, interrupted)),
    }
}

/// The word to begin got no answer. The cluster may have it.
fn unsaid(error: &Error) -> Failure {
    Failure::unreachable("the cluster has the whole run, and nobody says that it has begun; it may begin")
        .detail(error.to_string())
        .hint("see what is wrong: `classify cluster status`")
}

fn refused(error: &Error) -> Failure {
    Failure::unreachable("the cluster does not take the run over; it has not begun")
        .detail(error.to_string())
        .hint("see what is wrong: `classify cluster status`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::BatchKey;
    use crate::domain::indicator::Indicator;
    use crate::domain::page::read_page;

    fn batch(index: u64, bytes: usize) -> Prepared {
        let key = BatchKey { run_id: "R".into(), index };
        Prepared {
            key,
            rows: [Indicator::default(), Indicator::default()].iter().collect(),
            bytes,
            body: vec![b'x'; bytes].into(),
        }
    }

    /// Page, index of the first batch and number of batches of each request.
    fn parts(batches: impl IntoIterator<Item = Prepared>) -> Vec<(u64, u64, usize)> {
        let mut part = None;
        let mut sent: Vec<Part> =
            batches.into_iter().filter_map(|batch| Part::add(&mut part, &batch)).collect();
        sent.extend(part);
        let summary = |part: Part| {
            let batches = read_page(part.body.finish()).unwrap();
            assert_eq!(part.indicators, 2 * batches.len() as u64);
            (part.page, batches[0].0, batches.len())
        };
        sent.into_iter().map(summary).collect()
    }

    #[test]
    fn a_request_brings_batches_of_one_page() {
        assert_eq!(parts((0..130).map(|index| batch(index, 10))), [(0, 0, 64), (1, 64, 64), (2, 128, 2)]);
    }

    #[test]
    fn large_batches_take_several_requests() {
        let sizes = [REQUEST / 2, REQUEST / 3, REQUEST / 2, 3 * REQUEST, 10];
        let batches = sizes.iter().zip(0..).map(|(bytes, index)| batch(index, *bytes));
        assert_eq!(parts(batches), [(0, 0, 2), (0, 2, 1), (0, 3, 1), (0, 4, 1)]);
    }
}
