//! Failed rows, classified again.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Provider, ids, with_model};
use crate::llm_stub::{Fault, Plan};
use crate::world::{World, wait_for};

pub(crate) fn failed_rows_are_retried_alone_and_put_among_the_results(world: &mut World) {
    let provider = Provider::start(Plan::shares(5, [(Fault::Refusal, 0.3)]));
    provider.serve(world, &[]);
    let table = world.table(200);
    let options = ["--ordered", "-o", "retried.jsonl", &table];
    let first = world.classify(&with_model("stub-retry", &options)).expect_code(3);
    let report = first.json();
    let failed = report["totals"]["failed"].as_u64().expect("a number");
    assert!((20..=120).contains(&failed), "{report:#}");
    assert!(first.stderr.contains("classify runs retry"), "{}", first.stderr);
    let run_id = report["run_id"].as_str().expect("an id");
    let asked = provider.seen("stub-retry").len() as u64;

    // None of them were of this class.
    let none = world.classify(&["runs", "retry", run_id, "--class", "timeout,schema"]).expect_code(0);
    assert!(none.stderr.contains("nothing to retry"), "{}", none.stderr);

    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &[]);
    let second = world.classify(&["runs", "retry", "--class", "refused", "--json"]).expect_code(0);
    let report = second.json();
    assert_eq!(
        provider.seen("stub-retry").len() as u64,
        failed,
        "only what had failed, of {asked} calls before"
    );
    let totals = &report["totals"];
    assert_eq!(
        (&totals["succeeded"], &totals["failed"], &totals["carried"]),
        (&200.into(), &0.into(), &(200 - failed).into())
    );
    world.expect_each_once(&table, "retried.jsonl");
    let order: Vec<String> =
        world.rows("retried.jsonl").iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
    let text = fs::read_to_string(world.path(&table)).expect("the table");
    let input: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(order, input, "as in the input, retried rows among the others");
    assert_eq!(ids(world, &table).len(), 200);
    assert!(!world.path("retried.failures.jsonl").exists());

    let again = world.classify(&["runs", "retry", run_id]).expect_code(2);
    assert!(again.stderr.contains("was retried already"), "{}", again.stderr);
}

pub(crate) fn a_retry_takes_over_nothing_but_what_its_run_left(world: &mut World) {
    let provider = Provider::start(Plan::shares(7, [(Fault::Refusal, 0.3)]));
    provider.serve(world, &[]);
    let table = world.table(40);
    world.classify(&with_model("stub-carry", &["-o", "carried.jsonl", &table])).expect_code(3);
    let (results, partial) = (world.path("carried.jsonl"), world.path("carried.jsonl.partial"));

    let provider = Provider::start(Plan::healthy().slowed(Duration::from_secs(3)));
    provider.serve(world, &[]);
    let mut retry = world.begin(&["runs", "retry"]);
    wait_for("the first call", Duration::from_mins(1), || !provider.seen("stub-carry").is_empty());
    retry.signal(Signal::SIGKILL);
    wait_for("its end", Duration::from_secs(5), || retry.has_ended());
    // Another run took the place: its rows are as long, and its partial file was in the way of ours.
    let _not_there_yet = fs::remove_file(partial);
    let kept = world.path("kept.jsonl");
    fs::rename(&results, &kept).expect("the results");
    let text = fs::read_to_string(&kept).expect("the results");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.rotate_left(1);
    fs::write(&results, lines.join("\n") + "\n").expect("other results");

    let refused = world.classify(&["runs", "resume"]).expect_code(2);
    assert!(refused.stderr.contains("carried.jsonl is not what the run"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: put that file back"), "{}", refused.stderr);
    fs::rename(&kept, &results).expect("the results");
    world.classify(&["runs", "resume", "--json"]).expect_code(0);
    world.expect_each_once(&table, "carried.jsonl");
}

pub(crate) fn a_failed_row_is_asked_until_it_has_an_answer_and_never_after(world: &mut World) {
    let refused = Some(Fault::Refusal);
    let provider = Provider::start(Plan::script([refused, refused]));
    provider.serve(world, &[]);
    let table = world.table(1);
    let asked = || provider.seen("stub-again").len();
    let run = |results: &str| world.classify(&with_model("stub-again", &["-o", results, &table]));
    let planned = || {
        let plan = world.classify(&with_model("stub-again", &["--plan", &table])).json();
        (plan["known"].as_u64(), plan["requests"].as_u64())
    };
    run("again.jsonl").expect_code(3);
    assert_eq!((asked(), planned()), (1, (Some(0), Some(1))), "a failure is no answer");
    world.classify(&["runs", "retry", "--json"]).expect_code(3);
    assert_eq!((asked(), planned()), (2, (Some(0), Some(1))));
    // Another run finds the answer that this one gets, and so does each after it.
    run("third.jsonl").expect_code(0);
    assert_eq!((asked(), planned()), (3, (Some(1), Some(0))));
    for results in ["fourth.jsonl", "fifth.jsonl"] {
        assert_eq!(run(results).expect_code(0).json()["totals"]["reused"], 1);
    }
    assert_eq!(asked(), 3, "nothing is paid for twice");
}
