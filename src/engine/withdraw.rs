//! What a run that ends early takes back: batches that the cluster is at. What of them has not left for a model's provider ends, what has
//! left ends with its answer. Going on with the run asks for the rest again, under the batch's next key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::pool::Pool;
use super::turns::on_any;
use crate::domain::batch::BatchKey;
use crate::domain::detached::Progress;
use crate::restate::Error;
use crate::restate::ingress::Ingress;

/// Patience with one node.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Questions under way at a time.
const AT_ONCE: usize = 32;

/// Batches that the cluster is at.
#[derive(Debug)]
pub(super) struct UnderWay {
    pool: Arc<Pool>,
    /// Ids of their invocations, by the batch.
    ids: Mutex<BTreeMap<u64, String>>,
    withdrawn: CancellationToken,
}

impl UnderWay {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, ids: Mutex::default(), withdrawn: CancellationToken::new() }
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

    /// Takes back what the cluster is at.
    pub(super) async fn withdraw(&self) {
        self.withdrawn.cancel();
        let all = self.all();
        let told = async {
            for node in self.pool.nodes() {
                if all.is_empty() || node.ingress.withdraw(&all, TIMEOUT).await.is_ok() {
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

/// Takes back what the cluster is at of a detached run that was cancelled.
///
/// # Errors
/// When no node answers: then it goes on.
pub async fn withdraw(nodes: &[Ingress], run_id: &str, progress: &Progress) -> Result<(), Error> {
    let key = |batch: &u64| BatchKey { run_id: run_id.to_owned(), index: *batch };
    let ids = stream::iter(progress.under_way.iter().map(key)).map(async |key| {
        on_any(nodes, 0, Duration::ZERO, async |node: &Ingress| node.id_of(&key, TIMEOUT).await).await
    });
    let ids: Vec<Result<String, Error>> = ids.buffer_unordered(AT_ONCE).collect().await;
    let ids = ids.into_iter().collect::<Result<Vec<String>, Error>>()?;
    if ids.is_empty() {
        return Ok(());
    }
    on_any(nodes, 0, Duration::ZERO, async |node: &Ingress| node.withdraw(&ids, TIMEOUT).await).await
}
