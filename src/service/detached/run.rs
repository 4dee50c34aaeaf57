//! What a detached run does next. Pure: the object around it tells it the time and does what it decides.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::detached::{Changes, PAGE, Phase, Plan, Progress, Release, Report};
use crate::domain::money::Account;
use crate::domain::tally::Tally;
use crate::throttle::schedule::{PERIOD, Schedule};

/// When to look again where there is no rate, or no room: what finishes makes room at any time.
const SOON: Duration = Duration::from_millis(250);
/// Pages thrown away in one step, so that no step takes long.
const DISCARDED_AT_ONCE: u64 = 500;

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    progress: Progress,
    /// Steps of an earlier epoch are none any more.
    epoch: u64,
    schedule: Schedule,
    account: Account,
    /// Pages before this one hold nothing that is still to be thrown away.
    discarded: u64,
}

/// What to do now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Step {
    /// Batches to submit, in order.
    pub(super) releases: Vec<Release>,
    /// Pages to be cleared of what was not submitted.
    pub(super) discards: Range<u64>,
    /// When to take the next step; `None`: not until something else happens.
    pub(super) again: Option<Duration>,
}

impl Run {
    /// A run that begins now.
    pub(super) fn new(plan: Plan, now: u64) -> Self {
        let account = Account::new(plan.max_cost_usd, plan.expected_cost_usd);
        let progress = Progress {
            plan,
            phase: Phase::Running,
            halted: None,
            released: 0,
            under_way: BTreeSet::new(),
            tally: Tally::default(),
            begun_at_ms: now,
            ended_at_ms: None,
        };
        Self { progress, epoch: 0, schedule: Schedule::default(), account, discarded: 0 }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is to be done now, taken as done.
    pub(super) fn step(&mut self, now: u64) -> Step {
        match self.progress.phase {
            Phase::Running => self.release(now),
            Phase::Paused => Step::default(),
            Phase::Cancelled => self.discard(),
        }
    }

    fn release(&mut self, now: u64) -> Step {
        self.schedule.look(now);
        let mut step = Step { again: Some(PERIOD), ..Step::default() };
        let batches = self.progress.plan.batches();
        while self.progress.released < batches {
            let Some(delay) = self.schedule.next(now) else { return step };
            let rows = self.progress.plan.rows(self.progress.released);
            let in_flight = self.progress.in_flight();
            // A batch larger than all the room there is travels alone.
            let most = u64::from(self.progress.plan.max_in_flight.get());
            if in_flight > 0 && in_flight + rows > most {
                step.again = Some(SOON);
                return step;
            }
            if !self.account.take(rows) {
                step.again = Some(SOON);
                if self.account.is_idle() {
                    self.halt(self.account.excess().unwrap_or_default());
                    step.again = None;
                }
                return step;
            }
            self.schedule.take(rows, self.progress.plan.per_minute);
            step.releases.push(Release { batch: self.progress.released, delay });
            self.progress.under_way.insert(self.progress.released);
            self.progress.released += 1;
        }
        step.again = None;
        step
    }

    fn discard(&mut self) -> Step {
        let from = self.discarded.max(self.progress.released / PAGE);
        let to = self.progress.plan.pages().min(from + DISCARDED_AT_ONCE);
        self.discarded = to;
        let again = (to < self.progress.plan.pages()).then_some(SOON);
        Step { discards: from..to, again, ..Step::default() }
    }

    /// Counts a finished batch, once. What it says may make the run halt.
    pub(super) fn finished(&mut self, Report { batch, tally }: Report) {
        if !self.progress.under_way.remove(&batch) {
            return;
        }
        self.account.settle(tally.rows(), tally.reused + tally.spared, &tally.usage);
        let hopeless = tally.hopeless.clone();
        self.progress.tally.add(tally);
        let Progress { tally, plan, .. } = &self.progress;
        let too_many = plan.max_failures.and_then(|most| most.excess(tally.failures(), tally.rows()));
        let reason = hopeless
            .map(|said| format!("every further call would fail as this one did: {said}"))
            .or(too_many);
        if let Some(reason) = reason.filter(|_| !self.progress.is_over()) {
            self.halt(reason);
        }
    }

    /// Whether it is over, and nobody has noted when.
    pub(super) fn has_just_ended(&self) -> bool {
        self.progress.is_over() && self.progress.ended_at_ms.is_none()
    }

    pub(super) fn end(&mut self, now: u64) {
        self.progress.ended_at_ms = Some(now);
    }

    fn halt(&mut self, reason: String) {
        if self.progress.phase == Phase::Running {
            self.pause();
            self.progress.halted = Some(reason);
        }
    }

    /// Submits nothing more until it is resumed; what is planned already is submitted within two seconds.
    pub(super) fn pause(&mut self) {
        if self.progress.phase == Phase::Running {
            self.progress.phase = Phase::Paused;
            self.epoch += 1;
        }
    }

    /// Goes on. A run that goes on already begins a new epoch, too: should its next step have been killed, this is how it
    /// gets another.
    ///
    /// # Errors
    /// When it was cancelled: what was not submitted may be gone.
    pub(super) fn resume(&mut self, changes: Changes) -> Result<(), &'static str> {
        if self.progress.phase == Phase::Cancelled {
            return Err("the run was cancelled");
        }
        let plan = &mut self.progress.plan;
        plan.per_minute = changes.per_minute.or(plan.per_minute);
        plan.max_failures = changes.max_failures.or(plan.max_failures);
        if let Some(most) = changes.max_cost_usd {
            plan.max_cost_usd = Some(most);
            self.account.allow(most);
        }
        self.progress.phase = Phase::Running;
        self.progress.halted = None;
        self.epoch += 1;
        self.schedule.rest();
        Ok(())
    }

    /// Submits nothing more, ever.
    pub(super) fn cancel(&mut self) {
        if !self.progress.is_over() {
            self.progress.phase = Phase::Cancelled;
            self.epoch += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::max_failures::MaxFailures;
    use crate::domain::outcome::{FailureClass, Usage};

    const START: u64 = 1_700_000_000_000;

    fn plan(indicators: u64) -> Plan {
        Plan {
            indicators,
            batch_size: NonZeroU32::new(10).unwrap(),
            per_minute: Some(600.0),
            max_in_flight: NonZeroU32::new(1_000).unwrap(),
            largest_batch: 1_000,
            max_failures: None,
            max_cost_usd: None,
            expected_cost_usd: 0.0,
        }
    }

    fn succeeded(rows: u64) -> Tally {
        Tally { succeeded: rows, ..Tally::default() }
    }

    fn failed(rows: u64) -> Tally {
        Tally { failed: BTreeMap::from([(FailureClass::Schema, rows)]), ..Tally::default() }
    }

    fn releases(step: &Step) -> Vec<(u64, Duration)> {
        step.releases.iter().map(|release| (release.batch, release.delay)).collect()
    }

    fn finish(run: &mut Run, batch: u64, tally: Tally) {
        run.finished(Report { batch, tally });
    }

    #[test]
    fn batches_leave_at_the_rate_and_the_last_is_smaller() {
        let mut run = Run::new(plan(35), START);
        let first = run.step(START);
        assert_eq!(releases(&first), [(0, Duration::ZERO), (1, Duration::from_secs(1))]);
        assert_eq!(first.again, Some(PERIOD));
        assert_eq!(releases(&run.step(START + 1_000)), [(2, Duration::from_secs(1))]);
        assert_eq!(run.progress().in_flight(), 30);
        let last = run.step(START + 2_000);
        assert_eq!((releases(&last), last.again), (vec![(3, Duration::from_secs(1))], None));
        assert_eq!(run.progress().in_flight(), 35);
        for batch in 0..4 {
            assert!(!run.has_just_ended());
            let rows = run.progress().plan.rows(batch);
            finish(&mut run, batch, succeeded(rows));
        }
        assert!(run.has_just_ended());
        assert_eq!((run.progress().pending(), run.progress().in_flight()), (0, 0));
    }

    #[test]
    fn what_is_in_flight_leaves_no_room() {
        let most = NonZeroU32::new(20).unwrap();
        let mut run = Run::new(Plan { per_minute: None, max_in_flight: most, ..plan(1_000) }, START);
        let step = run.step(START);
        assert_eq!((step.releases.len(), step.again), (2, Some(SOON)));
        assert_eq!(run.step(START + 250).releases, []);
        for _ in 0..2 {
            finish(&mut run, 0, succeeded(10));
        }
        assert_eq!(
            releases(&run.step(START + 500)),
            [(2, Duration::ZERO)],
            "who says it twice is heard once"
        );
    }

    #[test]
    fn a_batch_larger_than_all_the_room_travels_alone() {
        let mut run = Run::new(Plan { max_in_flight: NonZeroU32::MIN, ..plan(20) }, START);
        assert_eq!(run.step(START).releases.len(), 1);
        assert_eq!(run.step(START + 1_000).releases, []);
        finish(&mut run, 0, failed(10));
        assert_eq!(run.step(START + 2_000).releases.len(), 1);
    }

    #[test]
    fn a_pause_is_an_epoch_of_its_own_and_costs_no_time_of_the_schedule() {
        let mut run = Run::new(plan(1_000), START);
        let released = run.step(START).releases.len() as u64;
        let epoch = run.epoch();
        run.pause();
        assert!(run.epoch() > epoch);
        assert_eq!(run.step(START + 1_000), Step::default());
        let epoch = run.epoch();
        run.resume(Changes::default()).unwrap();
        assert!(run.epoch() > epoch);
        assert_eq!(releases(&run.step(START + 60_000))[0], (released, Duration::ZERO));
    }

    #[test]
    fn cancelled_is_for_good_and_clears_what_was_not_submitted() {
        let mut run = Run::new(Plan { per_minute: None, ..plan(640 * 600) }, START);
        assert_eq!(run.step(START).releases.len(), 100);
        run.cancel();
        assert!(run.resume(Changes::default()).is_err());
        let first = run.step(START + 1_000);
        assert_eq!(
            (first.discards, first.again),
            (1..501, Some(SOON)),
            "the page that is half submitted, too"
        );
        let second = run.step(START + 2_000);
        assert_eq!((second.discards, second.again), (501..600, None));
        for batch in 0..100 {
            assert!(!run.progress().is_over());
            finish(&mut run, batch, succeeded(10));
        }
        assert!(run.has_just_ended());
        assert_eq!(run.progress().pending(), 640 * 600 - 1_000);
    }

    #[test]
    fn a_run_that_is_over_cannot_be_cancelled() {
        let mut run = Run::new(plan(10), START);
        run.step(START);
        finish(&mut run, 0, succeeded(10));
        run.cancel();
        assert_eq!(run.progress().phase, Phase::Running);
    }

    #[test]
    fn it_halts_when_every_call_would_fail_or_too_many_did() {
        let mut run = Run::new(plan(100), START);
        run.step(START);
        finish(&mut run, 0, Tally { hopeless: Some("openai: 401".into()), ..failed(10) });
        assert_eq!(run.progress().phase, Phase::Paused);
        assert!(run.progress().halted.as_ref().unwrap().ends_with("openai: 401"));
        assert_eq!(run.step(START + 1_000), Step::default());
        run.resume(Changes::default()).unwrap();
        assert_eq!((run.progress().phase, &run.progress().halted), (Phase::Running, &None));

        let mut run = Run::new(Plan { max_failures: Some(MaxFailures::Count(9)), ..plan(100) }, START);
        run.step(START);
        finish(&mut run, 0, failed(9));
        assert_eq!(run.progress().halted, None);
        finish(&mut run, 1, failed(1));
        assert!(run.progress().halted.as_ref().unwrap().contains("more than 9"));
    }

    #[test]
    fn it_halts_when_the_money_is_spent() {
        let money = Plan { max_cost_usd: Some(0.25), expected_cost_usd: 0.01, per_minute: None, ..plan(100) };
        let mut run = Run::new(money, START);
        let step = run.step(START);
        assert_eq!((step.releases.len(), step.again), (2, Some(SOON)), "the rest may turn out to fit");
        for batch in 0..2 {
            let usage = Usage { cost_usd: Some(0.1), ..Usage::default() };
            finish(&mut run, batch, Tally { usage, ..succeeded(10) });
        }
        let step = run.step(START + 250);
        assert_eq!((step.releases.len(), step.again), (0, None));
        assert!(run.progress().halted.as_ref().unwrap().contains("0.2000 USD are spent"));
        run.resume(Changes { max_cost_usd: Some(0.35), ..Changes::default() }).unwrap();
        assert_eq!(run.step(START + 1_000).releases.len(), 1);
    }

    #[derive(Debug, Clone)]
    enum Happens {
        Step,
        Finish(bool),
        Pause,
        Resume,
        Cancel,
    }

    proptest! {
        #[test]
        fn rows_reconcile_whatever_happens(
            indicators in 1_u64..2_000,
            happens in prop::collection::vec(
                prop_oneof![
                    8 => Just(Happens::Step),
                    8 => any::<bool>().prop_map(Happens::Finish),
                    1 => Just(Happens::Pause),
                    2 => Just(Happens::Resume),
                    1 => Just(Happens::Cancel),
                ],
                1..300,
            ),
        ) {
            let mut run = Run::new(Plan { max_in_flight: NonZeroU32::new(70).unwrap(), ..plan(indicators) }, START);
            let mut out = std::collections::VecDeque::new();
            let mut next = 0;
            for (second, what) in happens.into_iter().enumerate() {
                match what {
                    Happens::Step => {
                        for Release { batch, .. } in run.step(START + second as u64 * 1_000).releases {
                            prop_assert_eq!(batch, next, "each once and in order");
                            next += 1;
                            out.push_back(batch);
                        }
                    }
                    Happens::Finish(well) => if let Some(batch) = out.pop_front() {
                        let rows = run.progress().plan.rows(batch);
                        finish(&mut run, batch, if well { succeeded(rows) } else { failed(rows) });
                    },
                    Happens::Pause => run.pause(),
                    Happens::Resume => drop(run.resume(Changes::default())),
                    Happens::Cancel => run.cancel(),
                }
                let progress = run.progress();
                let in_flight: u64 = out.iter().map(|batch| progress.plan.rows(*batch)).sum();
                prop_assert_eq!(progress.in_flight(), in_flight);
                prop_assert!(in_flight <= 70);
                prop_assert_eq!(progress.tally.rows() + progress.pending(), indicators);
            }
        }
    }
}
