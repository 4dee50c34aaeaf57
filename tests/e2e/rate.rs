//! The rate, by the service's own record of arrivals.

use std::time::Duration;

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
    world.classify(&["--rpm", &rpm, "--batch-size", &batch, "-o", "rate.jsonl", &table]).expect_code(0);

    let mut arrivals: Vec<_> = world.executed().into_iter().skip(before).map(|(_, at)| at).collect();
    arrivals.sort_unstable();
    let arrivals: Vec<f64> = arrivals.iter().map(|at| at.duration_since(arrivals[0]).as_secs_f64()).collect();
    assert_eq!(arrivals.len(), ROWS);
    let burst = NODES * BATCH;
    let within =
        |start: f64, length: f64| arrivals.iter().filter(|at| (start..start + length).contains(*at)).count();

    // The contract is on submissions. A batch may reach the service late by what the cluster takes, and so crowd the
    // next one: one batch more.
    let first_second = within(arrivals[0], 1.0);
    assert!(first_second <= RPM / 60 + burst, "{first_second} in the first second");
    let worst = arrivals.iter().map(|start| within(*start, 1.0)).max().unwrap_or_default();
    assert!(worst <= RPM / 60 + burst + BATCH, "{worst} within a second");

    let length = arrivals[ROWS - 1] - arrivals[0];
    // The first batch of each node leaves at once; the others follow at the rate.
    let expected = Duration::from_mins(1).mul_f64(ratio(ROWS - burst, RPM)).as_secs_f64();
    assert!((length / expected - 1.0).abs() < 0.08, "took {length} s instead of {expected} s");
}

fn ratio(number: usize, of: usize) -> f64 {
    let [number, of] = [number, of].map(|count| f64::from(u32::try_from(count).expect("a small count")));
    number / of
}
