//! A run that the cluster submits by itself: steps that come late, twice or never, reports in any order, pauses, and clocks that are off.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use arbitrary::{Result, Unstructured};
use classify::domain::detached::{Changes, Phase, Plan, Release, Report};
use classify::domain::max_failures::MaxFailures;
use classify::domain::outcome::{FailureClass, Usage};
use classify::domain::tally::Tally;
use classify::fuzzing::service::DetachedRun;

/// When the story begins, in milliseconds since 1970.
const START: u64 = 1_700_000_000_000;
/// No clock is ever before this.
const BEFORE: u64 = START - 1_000_000;
const MINUTE: f64 = 60e9;
/// Nanoseconds in a millisecond.
const NANOS: u64 = 1_000_000;
/// How far ahead batches are planned, in milliseconds.
const AHEAD: u64 = 1_500;

#[derive(Debug)]
struct World {
    run: DetachedRun,
    /// Steps that will be taken: when, and of which epoch.
    steps: Vec<(u64, u64)>,
    now: u64,
    skew: i64,
    /// Batches that are out.
    out: BTreeSet<u64>,
    /// When each batch leaves by the clock, in nanoseconds, and how many rows it has.
    left: Vec<(f64, u64)>,
    /// When each batch leaves in truth, whatever the clock says, in nanoseconds.
    truly: Vec<u64>,
    /// What the clock said, and what time it was, when it was last looked at, unless the run rested since.
    looked: Option<(u64, u64)>,
    /// The highest rate there was; nothing where there once was none.
    rate: Option<f64>,
    spent: f64,
    /// A step was lost, and nobody has resumed the run since.
    is_stuck: bool,
    ended: Option<u64>,
    /// How often the run is still written down and read again.
    rereads: u32,
}

/// Lives through a story drawn from `u`.
pub fn live(u: &mut Unstructured<'_>) -> Result<()> {
    let plan = plan(u)?;
    let rate = plan.per_minute;
    let run = DetachedRun::new(plan, START);
    let steps = vec![(START, run.epoch())];
    let mut world = World {
        run,
        steps,
        now: START,
        skew: 0,
        out: BTreeSet::new(),
        left: Vec::new(),
        truly: Vec::new(),
        looked: None,
        rate,
        spent: 0.0,
        is_stuck: false,
        ended: None,
        rereads: 3,
    };
    for _ in 0..400 {
        if u.is_empty() {
            break;
        }
        world.happens(u)?;
        world.reconciles();
    }
    world.rate_holds();
    Ok(())
}

fn rate(u: &mut Unstructured<'_>) -> Result<Option<f64>> {
    Ok(*u.choose(&[None, Some(600.0), Some(60_000.0), Some(37.5), Some(1.0), Some(1e-9), Some(1e18)])?)
}

fn plan(u: &mut Unstructured<'_>) -> Result<Plan> {
    let number =
        |u: &mut Unstructured<'_>, most| Ok(NonZeroU32::MIN.saturating_add(u.int_in_range(0..=most)?));
    Ok(Plan {
        indicators: *u.choose(&[0, 1, 35, 640, 1_000, 5_000])?,
        batch_size: number(u, 49)?,
        per_minute: rate(u)?,
        max_in_flight: number(u, 99)?,
        largest_batch: *u.choose(&[0, 1_000, usize::MAX])?,
        max_failures: *u.choose(&[
            None,
            None,
            Some(MaxFailures::Count(9)),
            Some(MaxFailures::Percent(10.0)),
        ])?,
        max_cost_usd: *u.choose(&[None, None, Some(0.25), Some(0.0), Some(1e300)])?,
        expected_cost_usd: *u.choose(&[0.0, 0.01, 1e300])?,
    })
}

impl World {
    fn happens(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=15)? {
            0..=5 => self.step(u)?,
            6..=9 => self.report(u)?,
            10 => self.run.pause(),
            11 => self.resume(u)?,
            12 if u.ratio(1, 4)? => {
                self.run.cancel();
                self.steps.push((self.now, self.run.epoch()));
            }
            13 => {
                let skew = *u.choose(&[0, 0, 40, -40, -5_000, 5_000, 100_000])?;
                self.skew = skew;
            }
            // A step that was killed.
            14 if u.ratio(1, 4)? && !self.steps.is_empty() => {
                self.steps.swap_remove(0);
                self.is_stuck = true;
            }
            // Not every time: nothing else takes as long.
            15 if self.rereads > 0 => {
                self.rereads -= 1;
                let again = self.run.again().expect("it is read again");
                assert_eq!(again, self.run);
                self.run = again;
            }
            _ => self.now += *u.choose(&[1, 400, 1_000, 20_000])?,
        }
        Ok(())
    }

    fn clock(&self) -> u64 {
        self.now.saturating_add_signed(self.skew)
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(place) = (0..self.steps.len()).min_by_key(|place| self.steps[*place]) else { return Ok(()) };
        let (due, epoch) = self.steps.swap_remove(place);
        let late = *u.choose(&[0, 0, 0, 30, 450, 501, 2_000, 61_000])?;
        self.now = self.now.max(due + late);
        let (clock, before) = (self.clock(), self.run.clone());
        let stepped = self.run.step(epoch, clock);
        // A process that died at it does it again.
        let mut again = before.clone();
        assert_eq!((again.step(epoch, clock), &again), (stepped_again(&stepped), &self.run));

        if epoch != before.epoch() || before.progress().phase != Phase::Running {
            assert!(stepped.releases.is_empty(), "a step of the past submits");
        } else if let Some((looked, then)) = self.looked.replace((clock, self.now))
            && clock > looked + AHEAD
        {
            // Nobody looked, and perhaps nobody was there to take what was planned: it leaves now.
            let now = float((clock - BEFORE) * NANOS);
            let planned = self.left.iter_mut().zip(&self.truly).rev();
            for ((at, _), _) in planned.take_while(|(_, truly)| **truly > (then - BEFORE) * NANOS) {
                *at = at.max(now);
            }
        }
        for &Release { batch, delay } in &stepped.releases {
            assert_eq!(batch, self.left.len() as u64, "each once and in order");
            let plan = &self.run.progress().plan;
            let rows = plan.rows(batch);
            // In the clock's time.
            let delay = u64::try_from(delay.as_nanos()).expect("it is short");
            self.left.push((float((clock - BEFORE) * NANOS + delay), rows));
            self.truly.push((self.now - BEFORE) * NANOS + delay);
            self.out.insert(batch);
            // The account takes a billionth of a dollar for what sums may differ by.
            let holds = plan.max_cost_usd.is_none_or(|most| self.spent <= most + 1e-9);
            assert!(holds, "{} USD were spent", self.spent);
        }
        if let Some(delay) = stepped.again {
            self.steps.push((self.now + u64::try_from(delay.as_millis()).expect("it is short"), epoch));
        }
        assert!(stepped.discards.is_empty() || self.run.progress().phase == Phase::Cancelled);
        Ok(())
    }

    fn report(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let batch = match u.int_in_range(0..=5)? {
            // Of one that was never submitted, or has reported already.
            0 => *u.choose(&[0, 7, 1 << 40, u64::MAX])?,
            _ => match self.out.iter().nth(u.int_in_range(0..=3)?).or_else(|| self.out.first()) {
                Some(batch) => *batch,
                None => return Ok(()),
            },
        };
        let plan = self.run.progress().plan.clone();
        let rows = if batch < plan.batches() { plan.rows(batch) } else { 1 };
        let failed = u.int_in_range(0..=rows)?;
        let mut tally = Tally { succeeded: rows - failed, ..Tally::default() };
        if failed > 0 {
            tally.failed = BTreeMap::from([(FailureClass::Schema, failed)]);
        }
        tally.reused = tally.succeeded / 2;
        let cost = *u.choose(&[None, Some(0.0), Some(0.1), Some(1e-9)])?;
        tally.usage = Usage { requests: rows, cost_usd: cost, ..Usage::default() };
        tally.hopeless = u.ratio(1, 20)?.then(|| "openai: 401".into());
        let is_new = self.out.remove(&batch);
        if is_new {
            self.spent += cost.unwrap_or_default();
        }
        let before = self.run.clone();
        let clock = self.clock();
        self.run.finished([Report { batch, tally: tally.clone() }, Report { batch, tally }], clock);
        let is_same = before.progress().tally == self.run.progress().tally;
        assert!(is_new || is_same, "a report that is none counts");
        Ok(())
    }

    fn resume(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let changes = Changes {
            per_minute: rate(u)?,
            max_failures: *u.choose(&[None, Some(MaxFailures::Count(1_000))])?,
            max_cost_usd: *u.choose(&[None, Some(5.0)])?,
        };
        if self.run.resume(changes).is_ok() {
            self.steps.push((self.now, self.run.epoch()));
            self.rate = self.rate.zip(self.run.progress().plan.per_minute).map(|(one, other)| one.max(other));
            self.is_stuck = false;
            self.looked = None;
        }
        Ok(())
    }

    /// What holds at any time.
    fn reconciles(&mut self) {
        let progress = self.run.progress();
        let plan = &progress.plan;
        let in_flight: u64 = self.out.iter().map(|batch| plan.rows(*batch)).sum();
        assert_eq!((progress.in_flight(), &progress.under_way), (in_flight, &self.out));
        assert!(in_flight <= u64::from(plan.max_in_flight.get()) || self.out.len() == 1, "{in_flight}");
        assert_eq!(progress.tally.rows() + progress.pending(), plan.indicators);
        assert_eq!(progress.finished() + self.out.len() as u64, progress.released);
        assert!(progress.halted.is_none() || progress.phase != Phase::Running);
        if let Some(ended) = progress.ended_at_ms {
            assert!(progress.is_over());
            assert_eq!(*self.ended.get_or_insert(ended), ended, "it ends once");
        }
        // Whatever waits is waited for.
        let next = self.steps.iter().any(|(_, epoch)| *epoch == self.run.epoch());
        let waits = progress.phase == Phase::Running && progress.released < plan.batches();
        assert!(!waits || next || self.is_stuck, "nobody takes the next step");
    }

    /// No minute holds more than the rate and one batch.
    fn rate_holds(&self) {
        let Some(rate) = self.rate else { return };
        let largest = float(self.left.iter().map(|(_, rows)| *rows).max().unwrap_or_default());
        let (mut first, mut rows) = (0, 0);
        for (last, (at, number)) in self.left.iter().enumerate() {
            assert!(last == 0 || self.left[last - 1].0 <= *at, "the schedule goes back");
            rows += number;
            while at - self.left[first].0 >= MINUTE {
                rows -= self.left[first].1;
                first += 1;
            }
            assert!(float(rows) <= rate + largest + 1e-3, "{rows} rows in a minute at {rate}");
        }
    }
}

fn stepped_again(stepped: &classify::fuzzing::service::Stepped) -> classify::fuzzing::service::Stepped {
    let classify::fuzzing::service::Stepped { releases, discards, again } = stepped;
    classify::fuzzing::service::Stepped {
        releases: releases.clone(),
        discards: discards.clone(),
        again: *again,
    }
}

#[expect(clippy::cast_precision_loss, reason = "times and rows")]
fn float(number: u64) -> f64 {
    number as f64
}
