//! When to ask for the output of a batch. Each question is a read at a partition leader: too many cost the cluster, and one that
//! comes late leaves finished rows lying about.
//!
//! Pure but for what it remembers: how long batches of this run usually take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shortest and longest pause. The shortest is also the first of a run, when nothing is known yet: a job of ten rows takes no longer.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The first question comes after this share of the usual time: batches differ.
const EARLY: f64 = 0.75;
/// Each other one comes this share of the batch's age later.
const LATER: f64 = 0.15;
/// Weight of one batch in the usual time.
const WEIGHT: f64 = 0.2;

/// How long batches of a run usually take.
#[derive(Debug, Default)]
pub(super) struct Polling {
    /// Microseconds; 0 before the first.
    usual: AtomicU64,
}

impl Polling {
    /// How long to wait with the first question about a batch that was just accepted.
    pub(super) fn first(&self) -> Duration {
        clamped(Duration::from_micros(self.usual.load(Ordering::Relaxed)).mul_f64(EARLY))
    }

    /// How long to wait with another question about a batch of this age.
    pub(super) fn next(age: Duration) -> Duration {
        clamped(age.mul_f64(LATER))
    }

    /// A batch was found finished at this age, by the first question or by a later one.
    pub(super) fn finished(&self, age: Duration, by_first: bool) {
        // The first question only tells that the batch was done by then: it may have been for long.
        let age = if by_first { age / 2 } else { age };
        // What is longer changes no pause, and an outage would have to be unlearned.
        let age = age.min(BOUNDS.1.div_f64(EARLY)).as_secs_f64();
        let learned = |usual: u64| {
            let usual = if usual == 0 { age } else { Duration::from_micros(usual).as_secs_f64() };
            let usual = Duration::from_secs_f64(usual + (age - usual) * WEIGHT);
            Some(u64::try_from(usual.as_micros()).unwrap_or(u64::MAX).max(1))
        };
        // The closure always has a value.
        let _always = self.usual.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learned);
    }
}

fn clamped(pause: Duration) -> Duration {
    let (shortest, longest) = BOUNDS;
    pause.clamp(shortest, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Questions about a batch that takes `took`, and how long it then lay about.
    fn questions(polling: &Polling, took: Duration) -> (u32, Duration) {
        let mut age = polling.first();
        let mut asked = 1;
        while age < took {
            age += Polling::next(age);
            asked += 1;
        }
        polling.finished(age, asked == 1);
        (asked, age.saturating_sub(took))
    }

    #[test]
    fn batches_that_take_about_as_long_take_few_questions_and_lose_little() {
        for (took, most) in [(30, 4), (330, 4), (5_000, 15)] {
            let took = Duration::from_millis(took);
            let polling = Polling::default();
            for _ in 0..40 {
                questions(&polling, took);
            }
            for _ in 0..40 {
                let (asked, lost) = questions(&polling, took);
                assert!(asked <= most, "{asked} questions about batches of {took:?}");
                assert!(lost <= took.mul_f64(LATER).max(BOUNDS.0), "{lost:?} lost of {took:?}");
            }
        }
    }

    #[test]
    fn what_became_quick_is_found_soon_after_the_first() {
        let polling = Polling::default();
        for _ in 0..40 {
            questions(&polling, Duration::from_mins(1));
        }
        assert!(polling.first() <= BOUNDS.1, "no question waits longer");
        for _ in 0..60 {
            questions(&polling, Duration::from_millis(10));
        }
        assert!(polling.first() < Duration::from_millis(50), "{:?}", polling.first());
    }

    #[test]
    fn an_outage_is_soon_forgotten() {
        let polling = Polling::default();
        polling.finished(Duration::from_hours(1), false);
        for _ in 0..30 {
            questions(&polling, Duration::from_millis(30));
        }
        assert!(polling.first() < Duration::from_millis(60), "{:?}", polling.first());
    }

    #[test]
    fn before_anything_is_known_a_short_job_does_not_wait_long() {
        assert_eq!(Polling::default().first(), BOUNDS.0);
    }
}
