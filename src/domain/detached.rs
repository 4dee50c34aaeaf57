//! A run that was handed over to the cluster: what the cluster is told of it, and what it tells of it.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::max_failures::MaxFailures;
use super::tally::Tally;

/// Batches that are kept together in the cluster until their time comes.
pub const PAGE: u64 = 64;
/// Bytes of batches that may be moved together; a node holds one invocation to 32 MiB.
const TOGETHER: usize = 8 * 1024 * 1024;

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
    /// Bytes of the largest batch, as it is submitted.
    pub largest_batch: usize,
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

    /// Batches that may be moved together.
    pub fn batches_together(&self) -> usize {
        (TOGETHER / self.largest_batch.max(1)).max(1)
    }

    /// Indicators of the first `batches` batches.
    pub fn rows_before(&self, batches: u64) -> u64 {
        batches.saturating_mul(u64::from(self.batch_size.get())).min(self.indicators)
    }

    /// Indicators of one batch.
    pub fn rows(&self, batch: u64) -> u64 {
        self.rows_before(batch.saturating_add(1)) - self.rows_before(batch)
    }
}

/// What may be other than it was when a run goes on; absent where it stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Indicators submitted per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<f64>,
    /// Failures from which the run halts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<MaxFailures>,
    /// Most US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
}

/// A batch that shall be submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its place in the run.
    pub batch: u64,
    /// How long from now.
    pub delay: Duration,
}

/// What a batch tells its run at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its place in the run.
    pub batch: u64,
    /// What came of it.
    pub tally: Tally,
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
    /// Of these, those that have not said what came of them.
    #[serde(with = "ranges")]
    pub under_way: BTreeSet<u64>,
    /// What became of their indicators.
    pub tally: Tally,
    /// When the run began, in milliseconds since 1970.
    pub begun_at_ms: u64,
    /// When the last batch finished that will; in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
}

impl Progress {
    /// Batches finished.
    pub fn finished(&self) -> u64 {
        self.released.saturating_sub(self.under_way.len() as u64)
    }

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
        all_out && self.under_way.is_empty()
    }
}

/// Batches as (first, last) of each unbroken row of them: nearly all finish in order, and the state of a run is read and written
/// whole with each.
mod ranges {
    use std::collections::BTreeSet;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// More than can be unfinished at once. A range of any length can be written in a few bytes.
    const MOST_UNDER_WAY: u64 = 1 << 22;

    pub(super) fn serialize<S: Serializer>(set: &BTreeSet<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for &number in set {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        serializer.collect_seq(ranges)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<u64>, D::Error> {
        let ranges = Vec::<(u64, u64)>::deserialize(deserializer)?;
        let length = |(first, last): &(u64, u64)| last.saturating_sub(*first).saturating_add(1);
        if ranges.iter().map(length).fold(0, u64::saturating_add) > MOST_UNDER_WAY {
            return Err(D::Error::custom(format!("more than {MOST_UNDER_WAY} batches under way")));
        }
        Ok(ranges.into_iter().flat_map(|(first, last)| first..=last).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batch_is_what_is_left() {
        let size = NonZeroU32::new(10).unwrap();
        let plan = Plan {
            indicators: 641,
            batch_size: size,
            per_minute: None,
            max_in_flight: size,
            largest_batch: 1_000,
            max_failures: None,
            max_cost_usd: None,
            expected_cost_usd: 0.0,
        };
        assert_eq!((plan.batches(), plan.pages(), plan.rows(0), plan.rows(64)), (65, 2, 10, 1));
        assert_eq!((plan.rows(65), plan.rows_before(1_000)), (0, 641));
    }

    #[test]
    fn batches_under_way_are_written_as_ranges() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Some(#[serde(with = "ranges")] BTreeSet<u64>);
        let some = Some([1, 2, 3, 7, 9, 10].into());
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(text, "[[1,3],[7,7],[9,10]]");
        assert_eq!(serde_json::from_str::<Some>(&text).unwrap(), some);
        for endless in ["[[0,18446744073709551615]]", "[[0,4000000],[5000000,9000000]]"] {
            assert!(serde_json::from_str::<Some>(endless).is_err(), "{endless}");
        }
    }
}
