//! The rate, by the run's own journal and the service's record of arrivals.

use std::time::Duration;

use crate::note;
use crate::world::World;

/// Indicators per minute, per batch, and in the run: 20 a second for 15 s.
const RPM: usize = 1_200;
const BATCH: usize = 5;
const ROWS: usize = 300;
const NODES: usize = 3;

pub(crate) fn arrivals_follow_the_rate(world: &mut World) {
    let table = world.table(ROWS);
    let before = world.executed().len();
    let (rpm, batch) = (RPM.to_string(), BATCH.to_string());
    let args = ["--rpm", &rpm, "--batch-size", &batch, "--json", "-o", "rate.jsonl", &table];
    let report = world.classify(&args).expect_code(0).json();

    // The contract is on submissions, and the journal has each of them: what a busy machine makes of the way from there to
    // the service is another matter.
    let submitted = submissions(world, report["run_id"].as_str().expect("an id"));
    assert_eq!(submitted.len(), ROWS / BATCH);
    let within =
        |start: f64| submitted.iter().filter(|at| (start..start + 1.0).contains(*at)).count() * BATCH;
    let worst = submitted.iter().map(|start| within(*start)).max().unwrap_or_default();
    assert!(worst <= RPM / 60 + NODES * BATCH, "{worst} within a second");

    // The first batch of each node leaves at once; the others follow at the rate.
    let expected = Duration::from_mins(1).mul_f64(ratio(ROWS - NODES * BATCH, RPM)).as_secs_f64();
    let length = submitted[submitted.len() - 1] - submitted[0];
    note(&format!("rate: {length:.2} s, {expected} s expected"));
    assert!((0.99..=1.02).contains(&(length / expected)), "took {length} s instead of {expected} s");
    assert_eq!(world.executed().len() - before, ROWS);
}

/// When each batch of a run was let through, in seconds, sorted.
fn submissions(world: &World, run_id: &str) -> Vec<f64> {
    let mut times: Vec<f64> = world
        .rows(&format!("state/runs/{run_id}/journal.jsonl"))
        .iter()
        .filter(|line| line["event"] == "sent")
        .map(|line| line["t"].as_f64().expect("a time"))
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times
}

fn ratio(number: usize, of: usize) -> f64 {
    let [number, of] = [number, of].map(|count| f64::from(u32::try_from(count).expect("a small count")));
    number / of
}
