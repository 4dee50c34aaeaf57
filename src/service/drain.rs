//! The end of a process that was asked to end: nothing begins any more, and what has begun comes to its end.

use std::future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Whether the process is about to end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    begun: CancellationToken,
    /// Attempts that came too late.
    late: AtomicUsize,
}

/// One that came too late, until it is cut off.
struct Late<'a>(&'a AtomicUsize);

impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drain {
    /// From now on nothing begins.
    pub(super) fn start(&self) {
        self.begun.cancel();
    }

    pub(super) fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Lets something begin. What comes too late waits until its connection breaks: then Restate asks the next process.
    pub(super) async fn begin(&self) {
        if self.begun.is_cancelled() {
            self.late.fetch_add(1, Ordering::Relaxed);
            let _late = Late(&self.late);
            future::pending::<()>().await;
        }
    }

    /// How many wait for the next process.
    pub(super) fn late(&self) -> usize {
        self.late.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_waits_and_is_counted() {
        let drain = Drain::default();
        drain.begin().await;
        drain.start();
        let late = Box::pin(timeout(Duration::from_secs(1), drain.begin()));
        let (ended, ()) = tokio::join!(late, async {
            tokio::task::yield_now().await;
            assert_eq!(drain.late(), 1);
        });
        assert!(ended.is_err());
        assert_eq!(drain.late(), 0);
    }
}
