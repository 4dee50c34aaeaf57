//! When the batches of a detached run leave: a token bucket one batch deep (GCRA), asked now and then for what will be
//! due until it is asked again.
//!
//! Pure: it is told what time it is. Because batches are planned a little ahead, each for its own moment, whoever asks may be
//! late by a third of the time planned and nothing is lost; what was not planned in time is never caught up with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How far ahead batches are planned, in milliseconds. What is planned cannot be called back.
const AHEAD: u64 = 1_500;
/// Nanoseconds in a millisecond. A float has no room for fractions of a millisecond since 1970.
const NANOS: u64 = 1_000_000;

/// When to ask again.
pub const PERIOD: Duration = Duration::from_secs(1);

/// The moment from which the next batch may leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// In nanoseconds of the clock that is looked at.
    due_ns: u64,
    /// When it was last looked at the clock, in milliseconds; absent where a longer time since then says nothing.
    looked_ms: Option<u64>,
}

impl Schedule {
    /// Looks at the clock, which is at so many milliseconds, before any [`Self::next`].
    pub fn look(&mut self, now: u64) {
        let earliest = match self.looked_ms {
            // Nobody looked in time, and perhaps there was nobody to take what was planned: it may all be leaving just now. So the
            // whole plan moves to now.
            Some(looked) if now.saturating_sub(looked) > AHEAD => {
                self.due_ns.saturating_add(nanos(now - looked))
            }
            _ => self.due_ns,
        };
        self.due_ns = earliest.max(nanos(now));
        self.looked_ms = Some(now);
    }

    /// How long after `now`, when it was last looked at the clock, the next batch leaves; `None` if not before the next look.
    pub fn next(&self, now: u64) -> Option<Duration> {
        let delay = self.due_ns.saturating_sub(nanos(now));
        (delay < AHEAD * NANOS).then(|| Duration::from_nanos(delay))
    }

    /// A batch of so many rows leaves at that moment; `per_minute` rows may, `None` for no limit.
    pub fn take(&mut self, rows: u64, per_minute: Option<f64>) {
        // Rounded up: nanoseconds too few add up to a row too many a minute.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; a rate is above 0"
        )]
        let each = per_minute.map_or(0, |rate| (60e9 / rate).ceil() as u64);
        self.due_ns = self.due_ns.saturating_add(rows.saturating_mul(each));
    }

    /// Nobody will look for a while, because nobody shall.
    pub fn rest(&mut self) {
        self.looked_ms = None;
    }
}

/// What does not fit is never.
fn nanos(milliseconds: u64) -> u64 {
    milliseconds.saturating_mul(NANOS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_700_000_000_000;
    const MINUTE: f64 = 60_000.0;

    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    fn float(number: u64) -> f64 {
        number as f64
    }

    /// Asks at these moments; returns when each batch left, in milliseconds since the start: since 1970 they would have no
    /// fractions. Nothing leaves while there is nobody to take it: in the
    /// times from the one to the other of `outages`, in which nobody asks, either.
    fn leave(asked: &[u64], outages: &[(u64, u64)], rate: f64, rows: u64) -> Vec<f64> {
        let mut schedule = Schedule::default();
        let mut left = Vec::new();
        for &now in asked.iter().filter(|now| !outages.iter().any(|(from, to)| (from..to).contains(now))) {
            schedule.look(now);
            while let Some(delay) = schedule.next(now) {
                let planned = float(now - START) + delay.as_secs_f64() * 1e3;
                let within =
                    |(from, to): &&(u64, u64)| (float(from - START)..float(to - START)).contains(&planned);
                left.push(outages.iter().find(within).map_or(planned, |(_, to)| float(to - START)));
                schedule.take(rows, Some(rate));
            }
        }
        left
    }

    fn fullest_minute(left: &[f64], rows: u64) -> f64 {
        let mut sorted = left.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut end = 0;
        let mut most = 0;
        for (first, start) in sorted.iter().enumerate() {
            while end < sorted.len() && sorted[end] - start < MINUTE {
                end += 1;
            }
            most = most.max(end - first);
        }
        float(most as u64 * rows)
    }

    fn moments(pauses: &[u64]) -> Vec<u64> {
        let sum = |now: &mut u64, pause: &u64| Some(std::mem::replace(now, *now + pause));
        pauses.iter().scan(START, sum).collect()
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_rate_and_one_batch(
            rate in 10.0_f64..200_000.0,
            rows in 1_u64..100,
            pauses in prop::collection::vec(prop_oneof![20 => 900_u64..1_300, 1 => 1_300_u64..40_000], 150),
        ) {
            let left = leave(&moments(&pauses), &[], rate, rows);
            prop_assert!(fullest_minute(&left, rows) <= rate + float(rows) + 1e-3);
        }

        #[test]
        fn nor_after_an_outage(
            rate in 10.0_f64..20_000.0,
            rows in 1_u64..100,
            begins in 3_000_u64..60_000,
            lasts in 100_u64..60_000,
        ) {
            let outage = (START + begins, START + begins + lasts);
            let left = leave(&moments(&[1_050; 180]), &[outage], rate, rows);
            // An outage too short to be noticed delays what was planned and no more.
            let unnoticed = rate * (float(lasts.min(AHEAD)) / MINUTE);
            let allowed = if lasts > AHEAD + 1_050 { 0.0 } else { unnoticed };
            prop_assert!(fullest_minute(&left, rows) <= rate + float(rows) + allowed + 1e-3);
        }

        #[test]
        fn the_rate_is_held_though_every_question_comes_late(
            rate in 600.0_f64..200_000.0,
            rows in 1_u64..10,
            pauses in prop::collection::vec(1_000_u64..1_450, 300),
        ) {
            let left = leave(&moments(&pauses), &[], rate, rows);
            let minutes = (left[left.len() - 1] - left[0]) / MINUTE;
            let achieved = float((left.len() as u64 - 1) * rows) / minutes;
            prop_assert!((achieved / rate - 1.0).abs() < 0.01, "{achieved} of {rate}");
        }
    }

    #[test]
    fn a_gap_is_not_caught_up_with() {
        let mut asked = moments(&[1_000; 10]);
        asked.extend(moments(&[1_000; 10]).iter().map(|now| now + 60_000));
        let left = leave(&asked, &[], 600.0, 10);
        let second = |from: u64| left.iter().filter(|at| (**at - float(from)).abs() < 500.0).count();
        assert_eq!([5_000, 30_000, 60_000, 61_000, 62_000, 63_000].map(second), [1, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn what_is_due_in_centuries_does_not_leave_after_a_gap() {
        let mut schedule = Schedule::default();
        schedule.look(START);
        schedule.take(1_000, Some(1e-9));
        schedule.look(START + 60_000);
        assert_eq!(schedule.next(START + 60_000), None);
    }

    #[test]
    fn a_rest_is_no_gap() {
        let mut schedule = Schedule::default();
        schedule.look(START);
        schedule.rest();
        schedule.look(START + 60_000);
        assert_eq!(schedule.next(START + 60_000), Some(Duration::ZERO));
    }

    #[test]
    fn without_a_rate_everything_may_leave_at_once() {
        let mut schedule = Schedule::default();
        schedule.look(START);
        for _ in 0..1_000 {
            assert_eq!(schedule.next(START), Some(Duration::ZERO));
            schedule.take(50, None);
        }
    }
}
