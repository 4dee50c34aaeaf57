//! A run that the cluster went on with, as the report of who collects its results has it.

use std::time::Duration;

use crate::domain::detached::{Phase, Progress};

/// How a run went in the cluster, of which this process only collects what came of it.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) cancelled: bool,
    /// Rows that will stay pending: it was cancelled before they were submitted.
    pub(super) never_submitted: u64,
    pub(super) finished: u64,
    pub(super) took: Duration,
    pub(super) per_minute: Option<f64>,
}

impl HandedOver {
    pub(super) fn new(progress: &Progress) -> Self {
        let Progress { plan, tally, begun_at_ms, ended_at_ms, .. } = progress;
        let ended = ended_at_ms.unwrap_or(*begun_at_ms);
        Self {
            cancelled: progress.phase == Phase::Cancelled,
            never_submitted: plan.indicators.saturating_sub(plan.rows_before(progress.released)),
            finished: tally.rows(),
            took: Duration::from_millis(ended.saturating_sub(*begun_at_ms)),
            per_minute: plan.per_minute,
        }
    }
}
