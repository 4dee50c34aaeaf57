//! One gate per node: a token bucket (GCRA, by `governor`) that lets batches through at the node's share.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::clock::TokioClock;

/// Holds one node to its rate. The bucket is one batch deep: at most one batch above the rate in any window, and
/// no minute-sized burst at the start.
#[derive(Debug)]
pub struct Gate {
    bucket: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
    depth: NonZeroU32,
}

impl Gate {
    /// A gate that lets `per_minute` indicators through in batches of up to `batch`. `None`: always open.
    pub fn new(per_minute: Option<f64>, batch: NonZeroU32) -> Self {
        let bucket = per_minute
            .and_then(|rate| Quota::with_period(Duration::from_secs_f64(60.0 / rate)))
            .map(|quota| {
                let clock = TokioClock::new();
                let limiter = RateLimiter::direct_with_clock(quota.allow_burst(batch), clock.clone());
                Bucket { limiter, clock, depth: batch }
            });
        Self { bucket }
    }

    /// Waits until `indicators` may pass, and counts them as passed. More than the gate's batch size pass as one
    /// full batch.
    pub async fn pass(&self, indicators: NonZeroU32) {
        let Some(bucket) = &self.bucket else { return };
        let cells = indicators.min(bucket.depth);
        // governor's own `until_ready` sleeps outside Tokio's clock.
        while let Ok(Err(not_yet)) = bucket.limiter.check_n(cells) {
            tokio::time::sleep(not_yet.wait_time_from(bucket.clock.now())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn cells(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    /// When each of `batches` batches passed, in seconds since the start.
    async fn passages(per_minute: f64, batch: u32, batches: usize) -> Vec<f64> {
        let gate = Gate::new(Some(per_minute), cells(batch));
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..batches {
            gate.pass(cells(batch)).await;
            times.push(start.elapsed().as_secs_f64());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn one_batch_at_once_and_then_the_rate() {
        let times = passages(300.0, 5, 61).await;
        assert!(times[0] < 0.001, "{times:?}");
        for (index, time) in times.iter().enumerate() {
            let expected = f64::from(u32::try_from(index).unwrap());
            assert!((time - expected).abs() < 0.1, "batch {index} passed at {time}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_holds_more_than_the_rate_and_one_batch() {
        // 1,666⅔ a minute, the share of `ultra`.
        let times = passages(5000.0 / 3.0, 28, 300).await;
        for (index, start) in times.iter().enumerate() {
            let within = times[index..].iter().take_while(|time| *time - start < 60.0).count() * 28;
            assert!(within <= 1667 + 28, "{within} in the minute from {start}");
        }
        let achieved = 299.0 * 28.0 / times[299] * 60.0;
        assert!((achieved / (5000.0 / 3.0) - 1.0).abs() < 0.005, "{achieved}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let gate = Gate::new(None, cells(50));
        let start = Instant::now();
        for _ in 0..10_000 {
            gate.pass(cells(50)).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_batch_counts_as_a_full_batch() {
        let gate = Gate::new(Some(60.0), cells(2));
        let start = Instant::now();
        gate.pass(cells(9)).await;
        gate.pass(cells(2)).await;
        assert!((start.elapsed().as_secs_f64() - 2.0).abs() < 0.01, "{:?}", start.elapsed());
    }
}
