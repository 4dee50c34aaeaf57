//! Runs on a clock of the tests' own, step by step.

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
    assert_eq!(releases(&run.step(START + 500)), [(2, Duration::ZERO)], "who says it twice is heard once");
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
    assert_eq!((first.discards, first.again), (1..501, Some(SOON)), "the page that is half submitted, too");
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

#[test]
fn a_run_without_a_limit_on_its_cost_gets_none_later() {
    let mut run = Run::new(plan(100), START);
    run.step(START);
    let limit = Changes { max_cost_usd: Some(1.0), ..Changes::default() };
    assert!(run.resume(limit).unwrap_err().contains("without a limit on its cost"));
    run.resume(Changes::default()).unwrap();
}

#[test]
fn a_run_that_had_halted_and_was_cancelled_says_so() {
    let mut run = Run::new(plan(100), START);
    run.step(START);
    finish(&mut run, 0, Tally { hopeless: Some("openai: 401".into()), ..failed(10) });
    assert!(run.progress().halted.is_some());
    run.cancel();
    assert_eq!((run.progress().phase, &run.progress().halted), (Phase::Cancelled, &None));
}

#[test]
fn only_a_run_that_goes_on_is_woken() {
    let mut run = Run::new(plan(100), START);
    let epoch = run.epoch();
    assert!(run.wake() && run.epoch() > epoch);
    run.pause();
    let epoch = run.epoch();
    assert!(!run.wake() && run.epoch() == epoch);
    assert_eq!(run.progress().phase, Phase::Paused);
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
