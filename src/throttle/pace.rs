//! What RPM means: indicators submitted per minute, split evenly over the nodes. Pure arithmetic.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::method::RULES;

/// Most indicators in a batch of default size: larger ones make coarser bursts, and one that waits for a model shows no progress
/// for minutes.
const LARGEST_DEFAULT_BATCH: u32 = 50;
/// Indicators in a batch where neither a rate nor a model has to be waited for: measured, see `docs/performance.md`.
const UNLIMITED_BATCH: u32 = 400;
/// Fewest indicators in flight by default: enough to keep three nodes busy whatever the rate.
const SMALLEST_DEFAULT_IN_FLIGHT: u32 = 500;
/// Indicators in flight without a rate, where a model is asked: as many as a fast one answers in some seconds.
const UNLIMITED_IN_FLIGHT: u32 = 2_000;
/// Batches in flight without a rate, where the rules answer: measured, see `docs/performance.md`.
const UNLIMITED_BATCHES: u32 = 30;

/// Presets of the whole cluster's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// 450 a minute.
    #[default]
    Safe,
    /// 900 a minute.
    Fast,
    /// 5,000 a minute.
    Ultra,
    /// As fast as the engine goes.
    Max,
}

impl Mode {
    /// The rate of the preset, which is meant for three nodes and stays the total for any number.
    pub fn rate(self) -> Rate {
        match self {
            Self::Safe => Rate::Total(450.0),
            Self::Fast => Rate::Total(900.0),
            Self::Ultra => Rate::Total(5_000.0),
            Self::Max => Rate::Unlimited,
        }
    }
}

/// A rate as the user gave it, in indicators per minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// No limit.
    Unlimited,
    /// For all nodes together.
    Total(f64),
    /// For each node.
    PerNode(f64),
}

/// Who answers, as far as the pace is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answerer {
    /// The built-in rules, at once.
    Rules,
    /// A model, for some or all indicators: in seconds, or in minutes.
    Model,
}

impl Answerer {
    /// Who answers with the provider of this name.
    pub fn of(provider: &str) -> Self {
        if provider == RULES { Self::Rules } else { Self::Model }
    }
}

/// Everything that follows from a rate, a number of nodes and who answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Indicators per minute and node; `None` without a limit.
    pub per_node: Option<f64>,
    /// Indicators per minute over all nodes; `None` without a limit.
    pub total: Option<f64>,
    /// Indicators per batch.
    pub batch_size: NonZeroU32,
    /// Most indicators that may be unfinished at once.
    pub max_in_flight: NonZeroU32,
}

impl Pace {
    /// Works out the pace for `nodes` nodes. `batch_size` and `max_in_flight` override what follows from the rest; a batch of
    /// default size is never larger than what may be unfinished.
    pub fn new(
        rate: Rate,
        nodes: NonZeroU32,
        answerer: Answerer,
        batch_size: Option<NonZeroU32>,
        max_in_flight: Option<NonZeroU32>,
    ) -> Self {
        let count = f64::from(nodes.get());
        let per_node = match rate {
            Rate::Unlimited => None,
            Rate::Total(total) => Some(total / count),
            Rate::PerNode(share) => Some(share),
        };
        let total = per_node.map(|share| share * count);
        let default_batch = match (per_node, answerer) {
            (Some(share), _) => whole(share / 60.0).min(LARGEST_DEFAULT_BATCH),
            (None, Answerer::Rules) => UNLIMITED_BATCH,
            (None, Answerer::Model) => LARGEST_DEFAULT_BATCH,
        };
        let default_batch = at_least_one(default_batch);
        let default_batch = max_in_flight.map_or(default_batch, |most| most.min(default_batch));
        let batch_size = batch_size.unwrap_or(default_batch);
        let default_in_flight = match (total, answerer) {
            (Some(rate), _) => whole(rate).max(SMALLEST_DEFAULT_IN_FLIGHT),
            (None, Answerer::Rules) => UNLIMITED_BATCHES * UNLIMITED_BATCH,
            (None, Answerer::Model) => UNLIMITED_IN_FLIGHT,
        };
        // Less than a batch per node in flight would leave nodes idle by construction.
        let floor = batch_size.saturating_mul(nodes);
        let max_in_flight = max_in_flight.unwrap_or_else(|| at_least_one(default_in_flight).max(floor));
        Self { per_node, total, batch_size, max_in_flight }
    }

    /// How long `indicators` take at this pace; `None` without a limit. The first batch of each node leaves at once.
    pub fn duration(&self, indicators: u64) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "a number to show")]
        self.total.map(|rate| Duration::from_secs_f64(indicators as f64 / rate * 60.0))
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and rates are positive"
)]
fn whole(number: f64) -> u32 {
    number.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }

    fn pace(rate: Rate) -> Pace {
        Pace::new(rate, number(3), Answerer::Model, None, None)
    }

    #[test]
    fn presets_split_over_three_nodes() {
        let row = |mode: Mode| {
            let pace = pace(mode.rate());
            let seconds = pace.duration(10_903).map(|time| time.as_secs());
            (pace.per_node.map(f64::round), pace.batch_size.get(), pace.max_in_flight.get(), seconds)
        };
        assert_eq!(row(Mode::Safe), (Some(150.0), 3, 500, Some(24 * 60 + 13)));
        assert_eq!(row(Mode::Fast), (Some(300.0), 5, 900, Some(12 * 60 + 6)));
        assert_eq!(row(Mode::Ultra), (Some(1667.0), 28, 5_000, Some(2 * 60 + 10)));
        assert_eq!(row(Mode::Max), (None, 50, 2_000, None));
    }

    #[test]
    fn the_rules_alone_take_large_batches_where_there_is_no_rate() {
        let sizes = |rate: Rate| {
            let pace = Pace::new(rate, number(3), Answerer::Rules, None, None);
            (pace.batch_size.get(), pace.max_in_flight.get())
        };
        assert_eq!(sizes(Rate::Unlimited), (400, 12_000));
        assert_eq!(sizes(Rate::Total(900.0)), (5, 900));
    }

    #[test]
    fn batches_are_about_a_second_of_a_node_between_1_and_50() {
        let sizes = [1.0, 60.0, 3_000.0, 900_000.0].map(|rpm| pace(Rate::PerNode(rpm)).batch_size.get());
        assert_eq!(sizes, [1, 1, 50, 50]);
    }

    #[test]
    fn a_rate_per_node_counts_for_each() {
        assert_eq!(pace(Rate::PerNode(100.0)).total, Some(300.0));
    }

    #[test]
    fn fixed_sizes_win() {
        let pace = Pace::new(Rate::Total(60.0), number(3), Answerer::Rules, Some(number(400)), None);
        assert_eq!((pace.batch_size.get(), pace.max_in_flight.get()), (400, 1_200));
        let pace = Pace::new(Rate::Total(60.0), number(3), Answerer::Rules, None, Some(number(7)));
        assert_eq!((pace.batch_size.get(), pace.max_in_flight.get()), (1, 7));
        let pace = Pace::new(Rate::Unlimited, number(3), Answerer::Model, None, Some(number(7)));
        assert_eq!((pace.batch_size.get(), pace.max_in_flight.get()), (7, 7));
    }
}
