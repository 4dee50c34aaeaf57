//! What a run that ends early takes back: batches that the cluster is at. What of them has not left for a model's provider ends, what has
//! left ends with its answer. Going on with the run asks for the rest again, under the batch's next key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::restate::ingress::Ingress;

/// Patience with one node.
const TIMEOUT: Duration = Duration::from_secs(1);

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
