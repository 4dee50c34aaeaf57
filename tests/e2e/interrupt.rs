//! Ctrl-C.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::world::World;

fn reconciles(report: &Value) {
    let total = |key: &str| report["totals"][key].as_u64().expect("a number");
    assert_eq!(total("indicators"), total("succeeded") + total("failed") + total("pending"), "{report:#}");
    assert!(total("pending") > 0, "{report:#}");
    assert_eq!(report["interrupted"], true);
}

pub(crate) fn once_drains(world: &mut World) {
    let table = world.table(600);
    let before = world.executed().len();
    let mut run = world.begin(&["--rpm", "1200", "--json", "-o", "once.jsonl", &table]);
    world.wait_executed(before, 30);
    run.signal(Signal::SIGINT);
    run.wait_said("nothing more is submitted", Duration::from_secs(5));
    let ran = run.finish().expect_code(130);
    let report = ran.json();
    reconciles(&report);
    // What was in flight was waited for: everything executed is in the results.
    let rows = world.rows("once.jsonl.partial").len();
    assert_eq!(rows, world.executed().len() - before);
    assert_eq!(report["totals"]["succeeded"], rows);
    assert!(!world.path("once.jsonl").exists(), "an incomplete run must not look complete");
    assert!(ran.stderr.contains("stopped: classified"), "{}", ran.stderr);
    let resume = format!("classify runs resume {}", report["run_id"].as_str().expect("an id"));
    assert!(ran.stderr.contains(&resume), "{}", ran.stderr);
    world.classify(&["runs", "resume", "--rpm", "60000"]).expect_code(0);
    world.expect_each_once(&table, "once.jsonl");
}

pub(crate) fn twice_stops_at_once(world: &mut World) {
    let table = world.table(600);
    let before = world.executed().len();
    let mut run = world.begin(&["--rpm", "1200", "--json", "-o", "twice.jsonl", &table]);
    world.wait_executed(before, 30);
    // Without the service nothing in flight can finish: the first signal waits. That the cluster goes on taking batches hides nothing.
    world.end_service(Signal::SIGKILL);
    run.wait_said("the service does not answer", Duration::from_secs(15));
    run.signal(Signal::SIGINT);
    run.wait_said("nothing more is submitted", Duration::from_secs(5));
    run.signal(Signal::SIGINT);
    let ended = std::time::Instant::now();
    let ran = run.finish().expect_code(130);
    assert!(ended.elapsed() < Duration::from_secs(5), "the second signal ends the run, not the grace time");
    reconciles(&ran.json());

    // Nothing of it is lost, and nothing is left for the next test to meet.
    world.start_service();
    world.classify(&["runs", "resume", "--rpm", "60000"]).expect_code(0);
    world.expect_each_once(&table, "twice.jsonl");
}
