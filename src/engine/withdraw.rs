//! What a run that ends early takes back: batches that the cluster is at. What of them has not left for a model's provider ends, what has
//! left ends with its answer. Going on with the run asks for the rest again, under the batch's next key.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::attach;
use crate::domain::batch::BatchKey;
use crate::domain::detached::Progress;
use crate::restate::ingress::Ingress;

/// Patience with one node.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long a detached run may take to end that was cancelled; docs/runs.md promises it.
const TAKEN_BACK: Duration = Duration::from_secs(15);
/// How often its batches are taken back. Twice as long is enough for one to arrive from its page.
const PERIOD: Duration = Duration::from_secs(2);
/// Questions to the nodes at once.
const AT_ONCE: usize = 32;

/// Batches that the cluster is at.
#[derive(Debug)]
pub(super) struct UnderWay {
    nodes: Vec<Ingress>,
    /// Ids of their invocations, by the batch.
    ids: Mutex<BTreeMap<u64, String>>,
    withdrawn: CancellationToken,
}

impl UnderWay {
    /// None yet; it is `nodes` that are told.
    pub(super) fn of(nodes: &[(String, Ingress)]) -> Arc<Self> {
        let nodes = nodes.iter().map(|(_, node)| node.clone()).collect();
        Arc::new(Self { nodes, ids: Mutex::default(), withdrawn: CancellationToken::new() })
    }

    /// Whether they are taken back, and those that are submitted still.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawn.is_cancelled()
    }

    pub(super) fn begins(&self, batch: u64, invocation: &str) {
        self.lock().insert(batch, invocation.to_owned());
    }

    pub(super) fn ends(&self, batch: u64) {
        self.lock().remove(&batch);
    }

    /// As [`Self::withdraw`], while the run goes on to collect.
    pub(super) fn take_back(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.withdraw().await });
    }

    /// Takes back what the cluster is at.
    pub(super) async fn withdraw(&self) {
        self.withdrawn.cancel();
        let all = self.all();
        let told = async {
            for node in &self.nodes {
                if all.is_empty() || node.withdraw(&all, TIMEOUT).await.is_ok() {
                    return;
                }
            }
        };
        // Whoever stops a run does not wait for a cluster that does not answer: then it goes on with them.
        let _untold = timeout(2 * TIMEOUT, told).await;
    }

    fn all(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes back what a detached run that was cancelled has submitted, until all of it has said what became of it, or for 15 s: a call that has
/// left for a model's provider ends with its answer. Where the run is then.
pub async fn take_back(nodes: &[Ingress], run_id: &str, mut progress: Progress) -> Progress {
    let begun = Instant::now();
    let mut missing = BTreeSet::new();
    while !progress.under_way.is_empty() && begun.elapsed() < TAKEN_BACK {
        let ids = invocations(nodes, run_id, &progress).await;
        for node in nodes {
            if ids.is_empty() || node.withdraw(&ids, TIMEOUT).await.is_ok() {
                break;
            }
        }
        sleep(PERIOD).await;
        // A batch that was not at work when it was cancelled says nothing; one that no node knows may be on its way from its page still.
        if let Ok(unknown) = attach::look_after(nodes, run_id, &progress, &missing).await {
            missing = unknown;
        }
        for node in nodes {
            if let Ok(now) = attach::show(node, run_id).await {
                progress = now;
                break;
            }
        }
    }
    progress
}

/// Ids of the batches that are under way.
async fn invocations(nodes: &[Ingress], run_id: &str, progress: &Progress) -> Vec<String> {
    let id = async |batch: &u64| {
        let key = BatchKey { run_id: run_id.to_owned(), index: *batch };
        for node in nodes {
            if let Ok(id) = node.batch_id(&key, TIMEOUT).await {
                return Some(id);
            }
        }
        None
    };
    stream::iter(&progress.under_way).map(id).buffer_unordered(AT_ONCE).filter_map(ready).collect().await
}
