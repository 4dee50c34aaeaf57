//! What is cancelled costs no more, by the provider's own record.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Provider, with_model};
use crate::llm_stub::Plan;
use crate::note;
use crate::world::{Running, World, wait_for};

const MINUTE: Duration = Duration::from_mins(1);
const AT_ONCE: usize = 8;
const ROWS: usize = 60;
/// From the order until the last call has heard of it.
const HEARD: Duration = Duration::from_secs(1);

fn run_id(run: &Running) -> String {
    run.said().lines().find_map(|line| line.strip_prefix("run        ")).expect("an id").to_owned()
}

pub(crate) fn what_is_cancelled_is_not_paid_for(world: &mut World) {
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--llm-concurrency", &AT_ONCE.to_string()]);
    for (model, how) in [
        ("stub-cancelled", &["--yes"][..]),
        ("stub-killed-run", &["--yes", "--kill"]),
        ("stub-call", &["--yes", "--service", "Classifier"]),
    ] {
        cancel(world, &provider, model, how);
    }
}

/// Calls are at the provider, others wait for their turn, and the run is cancelled.
fn cancel(world: &mut World, provider: &Provider, model: &str, how: &[&str]) {
    let table = world.table(ROWS);
    let results = format!("{model}.jsonl");
    let options = ["--batch-size", "5", "-o", &results, &table];
    provider.stub.hold(true);
    let run = world.begin(&with_model(model, &options));
    wait_for("calls under way", MINUTE, || provider.seen(model).len() == AT_ONCE);
    let id = run_id(&run);
    let calls = || {
        let listed =
            ["queue", "list", "--run", &id, "--service", "Classifier", "--state", "running", "--json"];
        world.classify(&listed).expect_code(0).json()["total"].as_u64().expect("a number")
    };
    wait_for("all calls to wait", MINUTE, || calls() == ROWS as u64);
    let killed = ["queue", "cancel", "--run", &id, "--service", "Classifier", "--kill", "--yes"];
    let refused = world.classify(&killed).expect_code(2);
    assert!(refused.stderr.contains("cannot be killed"), "{}", refused.stderr);

    let told = world.classify(&[&["queue", "cancel", "--run", &id], how].concat()).expect_code(0);
    note(&format!("{model}: {}", told.stderr.lines().last().unwrap_or_default()));
    let asked = Instant::now();
    wait_for("what had not left to end", MINUTE, || calls() == AT_ONCE as u64);
    assert!(asked.elapsed() < HEARD, "{:?}", asked.elapsed());
    provider.stub.hold(false);
    let ran = run.finish().expect_code(3);
    let report = ran.json();
    assert_eq!(provider.seen(model).len(), AT_ONCE, "calls that left after the order");
    assert_eq!(report["totals"]["succeeded"], AT_ONCE, "{report:#}");
    assert_eq!(report["failed_by_class"]["cancelled"], ROWS - AT_ONCE, "{report:#}");
    // What was spent is told, cancelled or not.
    provider.expect_same_counts(model, &report);

    let again = world.classify(&with_model(model, &options)).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], AT_ONCE);
    world.expect_each_once(&table, &results);
    let ids: Vec<String> = provider.seen(model).into_iter().flat_map(|seen| seen.ids).collect();
    let once: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), once.len()), (ROWS, ROWS), "calls, and rows they were about");
}
