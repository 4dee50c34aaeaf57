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
                    self.halt(self.account.excess(rows).unwrap_or_default());
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
        self.account.settle(tally.rows(), &tally.done());
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

    /// Begins a new epoch if it goes on: its next step may have been killed. Whether it does.
    pub(super) fn wake(&mut self) -> bool {
        let goes_on = self.progress.phase == Phase::Running && !self.progress.is_over();
        self.epoch += u64::from(goes_on);
        goes_on
    }

    /// Goes on. A run that goes on already begins a new epoch, too: should its next step have been killed, this is how it
    /// gets another.
    ///
    /// # Errors
    /// When it was cancelled, for what was not submitted may be gone; and when a limit is passed already.
    pub(super) fn resume(&mut self, changes: Changes) -> Result<(), String> {
        let Progress { plan, tally, phase, released, .. } = &mut self.progress;
        if *phase == Phase::Cancelled {
            return Err("the run was cancelled".to_owned());
        }
        if changes.max_cost_usd.is_some() && plan.max_cost_usd.is_none() && *released < plan.batches() {
            let why = "it was handed over without a limit on its cost, so its requests have none, and cannot get \
                       one: cancel it and run it again with `--max-cost`; what is answered is not paid for again";
            return Err(why.to_owned());
        }
        let (max_failures, mut account) = (changes.max_failures.or(plan.max_failures), self.account);
        let max_cost_usd = changes.max_cost_usd.or(plan.max_cost_usd);
        if let Some(most) = max_cost_usd {
            account.allow(most);
        }
        if *released < plan.batches() {
            let too_many = max_failures.and_then(|most| most.excess(tally.failures(), tally.rows()));
            let too_dear = || {
                let rows = plan.rows(*released);
                (account.is_idle() && !{ account }.take(rows)).then(|| account.excess(rows))
            };
            if let Some(reason) = too_many.or_else(|| too_dear().flatten()) {
                return Err(reason);
            }
        }
        self.account = account;
        (plan.max_failures, plan.max_cost_usd) = (max_failures, max_cost_usd);
        plan.per_minute = changes.per_minute.or(plan.per_minute);
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
            // Nothing is to be put right any more.
            self.progress.halted = None;
            self.epoch += 1;
        }
    }
}

#[cfg(test)]
mod tests;
