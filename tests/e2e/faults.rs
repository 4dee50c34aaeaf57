//! What dies in mid-run costs nothing but time.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::world::{World, send};

/// Unfinished indicators at once in these runs: the bound on what a crash may repeat.
const IN_FLIGHT: usize = 300;

pub(crate) fn a_killed_node_costs_nothing_but_time(world: &mut World) {
    let table = world.table(8_000);
    let before = world.executed().len();
    let in_flight = IN_FLIGHT.to_string();
    let mut run = world.begin(&[
        "--rpm",
        "15000",
        "--batch-size",
        "10",
        "--max-in-flight",
        &in_flight,
        "--json",
        "-o",
        "node.jsonl",
        &table,
    ]);
    world.wait_executed(before, 500);
    send(world.node_pids()[1], Signal::SIGKILL);
    run.wait_said("restate-2   out", Duration::from_secs(15));
    world.start_nodes();
    run.wait_said("restate-2   back", Duration::from_secs(30));

    let ran = run.finish().expect_code(0);
    world.expect_each_once(&table, "node.jsonl");
    let repeated = world.repeated_since(before);
    assert!(repeated <= IN_FLIGHT, "{repeated} classifications were repeated");
    let report = ran.json();
    assert_eq!(report["totals"]["succeeded"], 8_000);
    assert!(report["nodes"][1]["errors"].as_u64() > Some(0), "{report:#}");
}

pub(crate) fn a_killed_service_costs_nothing_but_time(world: &mut World) {
    let table = world.table(2_000);
    let before = world.executed().len();
    let in_flight = IN_FLIGHT.to_string();
    let mut run = world.begin(&[
        "--mode",
        "max",
        "--batch-size",
        "10",
        "--max-in-flight",
        &in_flight,
        "-o",
        "service.jsonl",
        &table,
    ]);
    world.wait_executed(before, 300);
    world.end_service(Signal::SIGKILL);
    run.wait_said("the service does not answer", Duration::from_secs(15));
    let queue = world.classify(&["queue", "status", "--json"]).expect_code(0).json();
    let retrying = queue["retrying"].as_array().expect("a list");
    assert!(
        retrying.iter().any(|one| one["error"].as_str().is_some_and(|text| !text.is_empty())),
        "{queue:#}"
    );
    world.start_service();

    run.finish().expect_code(0);
    world.expect_each_once(&table, "service.jsonl");
    let repeated = world.repeated_since(before);
    assert!(repeated <= IN_FLIGHT, "{repeated} classifications were repeated");
}

pub(crate) fn lost_quorum_is_told_and_outlived(world: &mut World) {
    let table = world.table(2_000);
    let before = world.executed().len();
    let mut run = world.begin(&["--rpm", "20000", "--batch-size", "10", "-o", "quorum.jsonl", &table]);
    world.wait_executed(before, 300);
    let pids = world.node_pids();
    send(pids[1], Signal::SIGKILL);
    send(pids[2], Signal::SIGKILL);
    run.wait_said("quorum lost", Duration::from_secs(15));
    send(pids[0], Signal::SIGKILL);
    run.wait_said("no node answers", Duration::from_secs(15));
    world.start_nodes();

    run.finish().expect_code(0);
    world.expect_each_once(&table, "quorum.jsonl");
}
