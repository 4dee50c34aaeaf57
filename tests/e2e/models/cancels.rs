//! What is cancelled costs no more, by the provider's own record.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Provider, with_model};
use crate::llm_stub::{Fault, Plan};
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
    expect_no_row_twice(provider, model);
}

fn expect_no_row_twice(provider: &Provider, model: &str) {
    let ids: Vec<String> = provider.seen(model).into_iter().flat_map(|seen| seen.ids).collect();
    let once: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), once.len()), (ROWS, ROWS), "calls, and rows they were about");
}

fn running_calls(world: &World, id: &str) -> u64 {
    let listed = ["queue", "list", "--run", id, "--service", "Classifier", "--state", "running", "--json"];
    world.classify(&listed).expect_code(0).json()["total"].as_u64().expect("a number")
}

/// A second Ctrl-C: what has not left stays, and `runs resume` asks for it, and pays for nothing twice.
pub(crate) fn what_is_stopped_is_not_paid_for(world: &mut World) {
    const MODEL: &str = "stub-stopped";
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--llm-concurrency", &AT_ONCE.to_string()]);
    let table = world.table(ROWS);
    provider.stub.hold(true);
    let mut run = world.begin(&with_model(MODEL, &["--batch-size", "5", "-o", "stopped.jsonl", &table]));
    wait_for("calls under way", MINUTE, || provider.seen(MODEL).len() == AT_ONCE);
    let id = run_id(&run);
    wait_for("all calls to wait", MINUTE, || running_calls(world, &id) == ROWS as u64);
    run.signal(Signal::SIGINT);
    run.wait_said("nothing more is submitted", Duration::from_secs(5));
    run.signal(Signal::SIGINT);
    let ended = Instant::now();
    let report = run.finish().expect_code(130).json();
    assert!(ended.elapsed() < Duration::from_secs(5), "{:?}", ended.elapsed());
    assert_eq!(report["totals"]["pending"], ROWS);
    wait_for("what had not left to end", MINUTE, || running_calls(world, &id) == AT_ONCE as u64);
    provider.stub.hold(false);
    wait_for("the rest to end", MINUTE, || running_calls(world, &id) == 0);
    assert_eq!(provider.seen(MODEL).len(), AT_ONCE, "calls that left after the order");

    let resumed = world.classify(&["runs", "resume", &id, "--json"]).expect_code(0);
    world.expect_each_once(&table, "stopped.jsonl");
    expect_no_row_twice(&provider, MODEL);
    provider.expect_same_counts(MODEL, &resumed.json());
    too_many_failures(world);
}

/// The same of a run that the cluster goes on with: what had not left never leaves, and the answers of what had are kept.
pub(crate) fn a_detached_run_that_is_cancelled_is_not_paid_for(world: &mut World) {
    const MODEL: &str = "stub-detached";
    const RESULTS: &str = "given-up.jsonl";
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--llm-concurrency", &AT_ONCE.to_string()]);
    let table = world.table(ROWS);
    let options = ["--batch-size", "5", "-o", RESULTS, &table];
    let detached = ["--detach", "--provider", "openai", "--model", MODEL, "--rpm", "6000", "--json"];
    provider.stub.hold(true);
    let handed = world.classify(&[&detached[..], &options].concat()).expect_code(0).json();
    let id = handed["run_id"].as_str().expect("an id").to_owned();
    wait_for("calls under way", MINUTE, || provider.seen(MODEL).len() == AT_ONCE);
    wait_for("all calls to wait", MINUTE, || running_calls(world, &id) == ROWS as u64);

    let cancel = world.begin(&["runs", "cancel", &id]);
    wait_for("what had not left to end", MINUTE, || running_calls(world, &id) == AT_ONCE as u64);
    provider.stub.hold(false);
    let cancelled = cancel.finish().expect_code(0);
    assert!(cancelled.stderr.contains(&format!("cancelled  {id}")), "{}", cancelled.stderr);
    assert_eq!(running_calls(world, &id), 0, "it waits for what had left");
    assert_eq!(provider.seen(MODEL).len(), AT_ONCE, "calls that left after the order");
    let collected = world.classify(&["runs", "attach", &id, "--json"]).expect_code(3).json();
    assert_eq!(collected["totals"]["succeeded"], AT_ONCE, "{collected:#}");
    provider.expect_same_counts(MODEL, &collected);

    let again = world.classify(&with_model(MODEL, &options)).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], AT_ONCE);
    world.expect_each_once(&table, RESULTS);
    expect_no_row_twice(&provider, MODEL);
}

/// One failure is too many: the other calls stay where they are.
fn too_many_failures(world: &mut World) {
    const MODEL: &str = "stub-too-many";
    let provider = Provider::start(Plan::script([Some(Fault::Refusal)]).slowed(Duration::from_millis(500)));
    provider.serve(world, &["--llm-concurrency", "4"]);
    let table = world.table(ROWS);
    let options = ["--batch-size", "1", "--max-failures", "0", "-o", "many.jsonl", &table];
    let stopped = world.classify(&with_model(MODEL, &options)).expect_code(3);
    let (asked, report) = (provider.seen(MODEL).len(), stopped.json());
    note(&format!("--max-failures 0: {asked} calls of {ROWS}"));
    assert!(asked <= 12, "{asked} calls");
    provider.expect_same_counts(MODEL, &report);
    assert_eq!(report["totals"]["failed"], 1, "what was taken back has not failed: {report:#}");
    let id = report["run_id"].as_str().expect("an id");
    let resumed = world.classify(&["runs", "resume", id, "--max-failures", "5", "--json"]).expect_code(3);
    assert_eq!(resumed.json()["totals"]["succeeded"], ROWS - 1);
    expect_no_row_twice(&provider, MODEL);
    provider.expect_same_counts(MODEL, &resumed.json());
}
