//! Ways in for fuzz targets: a detached run without a cluster. Compiled under `cfg(fuzzing)` only.

use std::ops::Range;
use std::time::Duration;

use super::run::{Run, Step};
use crate::domain::detached::{Changes, Plan, Progress, Release, Report};

/// A run as its object has it: what the handlers do between reading and writing it.
#[derive(Debug, Clone, PartialEq)]
pub struct DetachedRun(Run);

/// What a step does.
#[derive(Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "they are explained in `run`")]
pub struct Stepped {
    pub releases: Vec<Release>,
    pub discards: Range<u64>,
    pub again: Option<Duration>,
}

impl DetachedRun {
    /// A run that begins now.
    pub fn new(plan: Plan, now: u64) -> Self {
        Self(Run::new(plan, now))
    }

    /// Where it is.
    pub fn progress(&self) -> &Progress {
        self.0.progress()
    }

    /// The epoch of its steps.
    pub fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    /// A step of an epoch; one of an earlier epoch does nothing.
    pub fn step(&mut self, epoch: u64, now: u64) -> Stepped {
        if self.0.epoch() != epoch {
            return Stepped::default();
        }
        let Step { releases, discards, again } = self.0.step(now);
        self.end(now);
        Stepped { releases, discards, again }
    }

    /// Counts batches that are done.
    pub fn finished(&mut self, reports: impl IntoIterator<Item = Report>, now: u64) {
        reports.into_iter().for_each(|report| self.0.finished(report));
        self.end(now);
    }

    /// Submits nothing more for the time being.
    pub fn pause(&mut self) {
        self.0.pause();
    }

    /// Goes on submitting.
    ///
    /// # Errors
    /// When it was cancelled.
    pub fn resume(&mut self, changes: Changes) -> Result<(), String> {
        self.0.resume(changes)
    }

    /// Submits nothing more, ever.
    pub fn cancel(&mut self) {
        self.0.cancel();
    }

    /// Written down and read again, as between two calls of the object.
    ///
    /// # Errors
    /// When it cannot be read again.
    pub fn again(&self) -> serde_json::Result<Self> {
        serde_json::from_slice(&serde_json::to_vec(&self.0)?).map(Self)
    }

    fn end(&mut self, now: u64) {
        if self.0.has_just_ended() {
            self.0.end(now);
        }
    }
}
