//! Rates and bounds of a run, by its journal and by the provider's own count.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Sent, journal, kill, sent, text, wait_asked, with_model, youngest_run};
use crate::llm_stub::Plan;
use crate::note;
use crate::provider::Provider;
use crate::world::{World, send};

pub(crate) fn max_in_flight_bounds_unfinished_rows(world: &mut World) {
    bounded(world, 24, &["--batch-size", "4"]);
    // A batch of default size would have 50 rows.
    bounded(world, 10, &[]);
}

/// Runs rows of which `most` may be unfinished, and checks that so many are and never more.
fn bounded(world: &mut World, most: usize, size: &[&str]) {
    const MODEL: &str = "stub-bounded";
    let provider = Provider::start(Plan::healthy().slowed(Duration::from_millis(50)));
    provider.serve(world, &["--llm-concurrency", "1000"]);
    provider.stub.hold(true);
    let table = world.table(6 * most);
    let bound = most.to_string();
    let options = [&["--max-in-flight", &bound, "-o", "bounded.jsonl", &table][..], size].concat();
    let run = world.begin(&with_model("openai", MODEL, &options));
    wait_asked(&provider, MODEL, most);
    // The cluster and the service have room for more: a whole run by the rules comes and goes meanwhile.
    let other = world.table(60);
    world.classify(&["--mode", "max", "--batch-size", "5", "-o", "beside.jsonl", &other]).expect_code(0);
    assert_eq!(provider.stub.number_for(MODEL), most, "rows that were asked about while none was answered");
    provider.stub.hold(false);
    run.finish().expect_code(0);
    world.expect_each_once(&table, "bounded.jsonl");
    assert_eq!(provider.stub.most_open(), most, "rows unfinished at once");
}

/// Rows a second that each of three nodes gets of `rpm`.
fn share(rpm: u32) -> f64 {
    f64::from(rpm) / 60.0 / 3.0
}

pub(crate) fn a_dead_node_keeps_its_share(world: &mut World) {
    const RPM: u32 = 3_600;
    const BATCH: f64 = 5.0;
    // Long enough for a node that got half of the dead one's share to be far above its own.
    const OUTAGE: f64 = 6.0;
    let table = world.table(480);
    let before = world.executed().len();
    let dead = world.node_pids()[1];
    let mut run =
        world.begin(&["--rpm", &RPM.to_string(), "--batch-size", "5", "--json", "-o", "share.jsonl", &table]);
    world.wait_executed(before, 100);
    send(dead, Signal::SIGKILL);
    run.wait_said("restate-2   out", Duration::from_secs(15));
    let report = run.finish().expect_code(0).json();
    world.expect_each_once(&table, "share.jsonl");

    let batches = sent(&journal(world, text(&report["run_id"])));
    let mut by_node: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    for batch in &batches {
        by_node.entry(&batch.node).or_default().push(batch);
    }
    let end = batches.last().expect("batches").at;
    let died = by_node["restate-2"].last().expect("batches").at;
    assert!(end - died > OUTAGE, "it was gone for {} s only", end - died);
    for (node, batches) in by_node {
        // A bucket of one batch; a quarter of a second is what a busy machine may take from the gate to the clock.
        let over = most_above(&batches, share(RPM));
        assert!(over <= BATCH + share(RPM) / 4.0, "{node}: {over} rows above its rate in some window");
        if node != "restate-2" {
            // It goes on at its own rate.
            let best = fullest(&batches, died, 3.0) / 3.0;
            note(&format!(
                "share: {node} sent {best:.1} rows a second of {:.1}, at most {over:.1} too early",
                share(RPM)
            ));
            assert!(best >= share(RPM) * 0.9, "{node}: {best} rows a second at best");
        }
    }
}

/// How many rows more than at `rate` were sent in some window, at most. A window holds the batches at both its ends.
fn most_above(batches: &[&Sent], rate: f64) -> f64 {
    let mut most: f64 = 0.0;
    for (place, first) in batches.iter().enumerate() {
        let mut rows = 0.0;
        for batch in &batches[place..] {
            rows += batch.rows;
            most = most.max(rows - rate * (batch.at - first.at));
        }
    }
    most
}

/// Most rows within `length` seconds after `from`.
fn fullest(batches: &[&Sent], from: f64, length: f64) -> f64 {
    let starts = batches.iter().map(|batch| batch.at).filter(|at| *at > from);
    let within = |start: f64| {
        let inside = batches.iter().filter(|batch| (start..start + length).contains(&batch.at));
        inside.map(|batch| batch.rows).sum::<f64>()
    };
    starts.map(within).fold(0.0, f64::max)
}

pub(crate) fn a_resumed_run_takes_the_new_rate(world: &mut World) {
    const NEW: u32 = 3_000;
    const BATCH: f64 = 5.0;
    let table = world.table(200);
    let before = world.executed().len();
    // A tenth of the new rate: what is left would take 36 s.
    let mut run = world.begin(&["--rpm", "300", "--batch-size", "5", "-o", "faster.jsonl", &table]);
    world.wait_executed(before, 10);
    kill(&mut run);
    let id = youngest_run(world);
    world.classify(&["runs", "resume", "--rpm", &NEW.to_string()]).expect_code(0);
    world.expect_each_once(&table, "faster.jsonl");

    let lines = journal(world, &id);
    let opened = lines.iter().rposition(|line| line["event"] == "opened").expect("the second process");
    let batches = sent(&lines[opened..]);
    let rows: f64 = batches.iter().map(|batch| batch.rows).sum();
    assert!(rows >= 150.0, "{rows} rows were left");
    let length = batches.last().expect("batches").at - batches[0].at;
    // The first batch of each node leaves at once.
    let ideal = (rows - 3.0 * BATCH) / (3.0 * share(NEW));
    assert!((ideal * 0.95..ideal * 3.0).contains(&length), "took {length} s instead of {ideal} s");
}
