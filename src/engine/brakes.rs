//! When a run must not go on although it could: every call would fail, or too many have failed. The money is `purse`'s.
//!
//! Pure: looks at the counts after each event. Stopping is the owner's business.

use crate::domain::event::RunEvent;
use crate::domain::max_failures::MaxFailures;
use crate::domain::outcome::Obstacle;
use crate::domain::stats::RunStats;
use crate::error::{ExitStatus, Failure};

/// The limits of one run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Brakes {
    /// Most failures.
    pub max_failures: Option<MaxFailures>,
    /// Most US dollars, of what is spent and what is under way.
    pub max_cost_usd: Option<f64>,
    /// What an indicator is expected to cost, until some are paid for; in US dollars.
    pub expected_cost_usd: f64,
    /// What is collected has happened already: that every further call would fail is no reason to leave it.
    pub collects: bool,
}

impl Brakes {
    /// Why the run must stop submitting, if `event` made it so; `stats` includes it.
    pub(super) fn check(&self, event: &RunEvent, stats: &RunStats) -> Option<Failure> {
        match event {
            RunEvent::Recorded(recorded) => {
                if let Some(hopeless) = recorded.hopeless.as_ref().filter(|_| !self.collects) {
                    let said = format!("stopped: every further call would fail as this one did: {hopeless}");
                    // A service of an earlier version does not say what is in the way; it knew of keys only.
                    let obstacle = hopeless.obstacle.unwrap_or(Obstacle::Key);
                    return Some(Failure::usage(said).hint(obstacle.next_step()));
                }
                self.too_many_failures(stats)
            }
            RunEvent::Rejected => self.too_many_failures(stats),
            _ => None,
        }
    }

    /// Why the run must stop submitting before it begins to, if earlier processes made it so.
    pub fn are_on(&self, stats: &RunStats) -> Option<Failure> {
        self.too_many_failures(stats)
    }

    fn too_many_failures(&self, stats: &RunStats) -> Option<Failure> {
        let said = self.max_failures?.excess(stats.failures(), stats.finished())?;
        let go_on = if self.collects { "attach" } else { "resume" };
        Some(Failure::new(ExitStatus::SomeFailed, format!("stopped: {said}")).hint(format!(
            "the failures file says why each of them did; go on with `classify runs {go_on} --max-failures N`"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::domain::event::Recorded;
    use crate::domain::outcome::{FailureClass, Hopeless, Usage};
    use crate::domain::stats::NodeStats;

    fn after(events: &[RunEvent], brakes: Brakes) -> Option<String> {
        let mut stats = RunStats::new(1_000, vec![NodeStats::new("a".into(), "http://a".into())]);
        events.iter().find_map(|event| {
            stats.apply(event);
            brakes.check(event, &stats).map(|failure| failure.message().to_owned())
        })
    }

    fn recorded(succeeded: u64, failed: u64) -> RunEvent {
        RunEvent::Recorded(Recorded {
            node: 0,
            succeeded,
            reused: 0,
            failed: BTreeMap::from([(FailureClass::Schema, failed)]),
            usage: Usage::default(),
            spared: 0,
            hopeless: None,
            remarks: Box::default(),
            took: Duration::ZERO,
        })
    }

    #[test]
    fn failures_are_counted_or_weighed() {
        let count = Brakes { max_failures: Some("3".parse().unwrap()), ..Brakes::default() };
        assert_eq!(after(&[recorded(5, 3)], count), None);
        assert!(after(&[recorded(5, 3), recorded(0, 1)], count).unwrap().contains("more than 3"));
        let share = Brakes { max_failures: Some("10%".parse().unwrap()), ..Brakes::default() };
        assert_eq!(after(&[recorded(0, 10)], share), None, "too few to tell");
        assert_eq!(after(&[recorded(90, 10)], share), None);
        assert!(after(&[recorded(89, 11)], share).unwrap().contains("more than 10% of 100"));
        for wrong in ["", "-1", "101%", "x%", "1.5"] {
            assert!(wrong.parse::<MaxFailures>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refused_key_stops_the_run() {
        let RunEvent::Recorded(recorded) = recorded(0, 1) else { unreachable!("made above") };
        let refused = RunEvent::Recorded(Recorded { hopeless: Some("openai: 401".into()), ..recorded });
        assert!(after(std::slice::from_ref(&refused), Brakes::default()).unwrap().ends_with("openai: 401"));
        // What is collected has failed in the past: the key may be right by now.
        assert_eq!(after(&[refused], Brakes { collects: true, ..Brakes::default() }), None);
    }

    #[test]
    fn the_next_step_is_the_right_one() {
        let stats = RunStats::new(1_000, vec![NodeStats::new("a".into(), "http://a".into())]);
        for (obstacle, step) in [
            (Obstacle::Key, "put the right key"),
            (Obstacle::Money, "pay, or raise"),
            (Obstacle::Model, "`--model`"),
            (Obstacle::Request, "`--reasoning-effort`"),
        ] {
            let RunEvent::Recorded(recorded) = recorded(0, 1) else { unreachable!("made above") };
            let hopeless = Some(Hopeless { message: "no".into(), obstacle: Some(obstacle) });
            let event = RunEvent::Recorded(Recorded { hopeless, ..recorded });
            let failure = Brakes::default().check(&event, &stats).unwrap();
            assert!(failure.hints()[0].contains(step), "{:?}", failure.hints());
        }
    }
}
