//! How much of a run may be unfinished at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::courier::Places;
use super::feed::Prepared;

/// Memory that batches in flight may take up, in KiB.
const MEMORY_KIB: u32 = 32 * 1024;
/// Times of its JSON that a row is reckoned to take up in memory, at most: for what is kept of it, and for its answer until that is on disk.
const IN_MEMORY: usize = 4;

/// How much may be unfinished at once: rows, as the pace says, and memory, so that huge rows do not pile up.
pub(super) struct Room {
    rows: (Arc<Semaphore>, u32),
    kib: (Arc<Semaphore>, u32),
}

impl Room {
    pub(super) fn new(rows: u32) -> Self {
        let places = |number: u32| (Arc::new(Semaphore::new(number as usize)), number);
        Self { rows: places(rows), kib: places(MEMORY_KIB) }
    }

    /// Waits for places for `batch`. One that is larger than all the room there is travels alone.
    pub(super) async fn places(&self, batch: &Prepared) -> Option<Places> {
        let take = async |(places, all): &(Arc<Semaphore>, u32), number: u32| {
            Arc::clone(places).acquire_many_owned(number.min(*all)).await.ok()
        };
        let kib = u32::try_from(batch.bytes * IN_MEMORY / 1024 + 1).unwrap_or(u32::MAX);
        Some(Places {
            rows: Some(take(&self.rows, batch.len().get()).await?),
            kib: take(&self.kib, kib).await?,
        })
    }
}
