//! One clock for all processes that keep a model's limits or a run's schedule, though each has a clock of its own: clocks of two machines
//! differ, and any of them may be set. Pure.
//!
//! Every process tells how long it has been running, by a clock that nobody sets. Between two readings of one process as much time has
//! passed as it says; the clock is the furthest of them. What a process that was not heard of before says of the date moves it forward,
//! and never back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Processes that are remembered. One that is heard again after that is as good as new.
const REMEMBERED: usize = 8;

/// What a process reads on its clocks, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Names the process.
    pub process: String,
    /// How long it has been running.
    pub running: u64,
    /// Since 1970, as its machine says.
    pub date: u64,
}

/// The clock. Begins with the date of the first reading and never goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedClock {
    now: u64,
    /// Of the last reading.
    date: u64,
    /// Each process's last reading, and what this clock said then.
    processes: BTreeMap<String, (u64, u64)>,
}

impl SharedClock {
    /// What time it is at this date, for who keeps no clock itself.
    pub fn at(&self, date: u64) -> u64 {
        self.now.saturating_add(date.saturating_sub(self.date))
    }

    /// What time it is, in milliseconds.
    pub fn read(&mut self, reading: &Reading) -> u64 {
        let Reading { process, running, date } = reading;
        let now = match self.processes.get(process) {
            Some((before, then)) => then.saturating_add(running.saturating_sub(*before)),
            None if self.processes.is_empty() => *date,
            None => self.now.saturating_add(date.saturating_sub(self.date)),
        };
        (self.now, self.date) = (self.now.max(now), *date);
        self.processes.insert(process.clone(), (*running, self.now));
        if self.processes.len() > REMEMBERED {
            let oldest = self.processes.iter().min_by_key(|(_, (_, then))| *then);
            if let Some(oldest) = oldest.map(|(process, _)| process.clone()) {
                self.processes.remove(&oldest);
            }
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: u64 = 1_795_000_000_000;

    fn reading(process: &str, running: u64, date: u64) -> Reading {
        Reading { process: process.into(), running, date }
    }

    #[test]
    fn a_date_that_steps_back_or_forward_changes_nothing() {
        let mut clock = SharedClock::default();
        assert_eq!(clock.read(&reading("a", 0, DATE)), DATE);
        assert_eq!(clock.read(&reading("a", 1_000, DATE - 120_000)), DATE + 1_000);
        assert_eq!(clock.read(&reading("a", 2_000, DATE + 120_000)), DATE + 2_000);
    }

    #[test]
    fn a_process_that_follows_another_goes_on_by_the_date() {
        let mut clock = SharedClock::default();
        clock.read(&reading("a", 5_000, DATE));
        assert_eq!(clock.read(&reading("b", 20, DATE + 90_000)), DATE + 90_000, "nobody was there");
        // Its date is of an hour ago: time stands still until it is heard again, and no longer.
        assert_eq!(clock.read(&reading("c", 0, DATE - 3_600_000)), DATE + 90_000);
        assert_eq!(clock.read(&reading("c", 700, DATE - 3_599_300)), DATE + 90_700);
    }

    proptest! {
        /// Processes on machines whose dates differ by up to an hour and are set at any time, heard in any order: once each was heard
        /// twice, the clock runs as fast as time does.
        #[test]
        fn it_runs_as_time_does(
            skews in prop::collection::vec(-3_600_000_i64..3_600_000, 1..5),
            steps in prop::collection::vec((0_usize..5, 0_u64..2_000, prop::option::weighted(0.1, -3_600_000_i64..3_600_000)), 1..200),
        ) {
            let mut clock = SharedClock::default();
            let mut skews = skews;
            let read = |clock: &mut SharedClock, process: usize, time: u64, skew: i64| {
                clock.read(&reading(&process.to_string(), time, (DATE + time).saturating_add_signed(skew)))
            };
            for (process, skew) in skews.iter().enumerate().chain(skews.iter().enumerate()) {
                read(&mut clock, process, 0, *skew);
            }
            let begin = clock.now;
            let mut time = 0;
            for (process, pause, set) in steps {
                let process = process % skews.len();
                time += pause;
                skews[process] = set.unwrap_or(skews[process]);
                prop_assert_eq!(read(&mut clock, process, time, skews[process]), begin + time);
            }
        }
    }

    #[test]
    fn it_survives_being_written_down_and_stays_small() {
        let mut clock = SharedClock::default();
        for process in 0..1_000 {
            clock.read(&reading(&format!("{process:026}"), process, DATE + process));
        }
        let text = serde_json::to_string(&clock).unwrap();
        assert!(text.len() < 600, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<SharedClock>(&text).unwrap(), clock);
    }
}
