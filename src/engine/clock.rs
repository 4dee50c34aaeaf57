//! Time of work: what earlier processes spent on the run, and this one since it began.

use std::time::Duration;

use tokio::time::Instant;

/// Runs on from where the last process left it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    before: Duration,
    start: Instant,
}

impl Clock {
    /// Starts now, `before` having passed already.
    pub(super) fn start(before: Duration) -> Self {
        Self { before, start: Instant::now() }
    }

    /// All of it.
    pub(super) fn elapsed(&self) -> Duration {
        self.before + self.start.elapsed()
    }
}
