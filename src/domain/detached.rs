//! A run that was handed over to the cluster: what the cluster is told of it, and what it tells of it.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::brakes::MaxFailures;
use super::tally::Tally;

/// Batches that are kept together in the cluster until their time comes.
pub const PAGE: u64 = 64;

/// Everything the cluster has to know besides the batches. They are all of one size, but for the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Indicators of the run.
    pub indicators: u64,
    /// Indicators per batch.
    pub batch_size: NonZeroU32,
    /// Indicators submitted per minute; `None` without a limit.
    pub per_minute: Option<f64>,
    /// Most indicators that may be unfinished at once.
    pub max_in_flight: NonZeroU32,
    /// Failures from which the run halts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<MaxFailures>,
    /// Most US dollars, of what is spent and what is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// What an indicator is expected to cost, until some are paid for; in US dollars.
    #[serde(default)]
    pub expected_cost_usd: f64,
}

impl Plan {
    /// Number of batches.
    pub fn batches(&self) -> u64 {
        self.indicators.div_ceil(u64::from(self.batch_size.get()))
    }

    /// Number of pages they are kept on.
    pub fn pages(&self) -> u64 {
        self.batches().div_ceil(PAGE)
    }

    /// Indicators of the first `batches` batches.
    pub fn rows_before(&self, batches: u64) -> u64 {
        batches.saturating_mul(u64::from(self.batch_size.get())).min(self.indicators)
    }

    /// Indicators of one batch.
    pub fn rows(&self, batch: u64) -> u64 {
        self.rows_before(batch + 1) - self.rows_before(batch)
    }
}

/// What somebody wants of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It shall go on.
    Running,
    /// It shall wait.
    Paused,
    /// It shall end; what was not submitted is thrown away.
    Cancelled,
}

/// Where a run is. `indicators = succeeded + failed + pending`, always.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What was handed over.
    pub plan: Plan,
    /// What is wanted.
    pub phase: Phase,
    /// Why it is paused, if not because somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
    /// Batches submitted: those with a lower index, and no other.
    pub released: u64,
    /// Batches finished.
    pub finished: u64,
    /// What became of their indicators.
    pub tally: Tally,
    /// When the run began, in milliseconds since 1970.
    pub begun_at_ms: u64,
    /// When the last batch finished that will; in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
}

impl Progress {
    /// Indicators that are submitted and not finished.
    pub fn in_flight(&self) -> u64 {
        self.plan.rows_before(self.released).saturating_sub(self.tally.rows())
    }

    /// Indicators that are neither classified nor failed.
    pub fn pending(&self) -> u64 {
        self.plan.indicators.saturating_sub(self.tally.rows())
    }

    /// Whether nothing of it will happen any more.
    pub fn is_over(&self) -> bool {
        let all_out = self.released == self.plan.batches() || self.phase == Phase::Cancelled;
        all_out && self.finished >= self.released
    }
}
