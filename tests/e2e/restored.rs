//! `cluster restore` with real nodes: one loses its folder, and comes back from the others' snapshots and logs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program;
use crate::store::Store;
use crate::world::{World, send, wait_for};

pub(crate) fn a_node_that_lost_its_data_comes_back() {
    let store = Store::start();
    let mut program = program("restore");
    program.environment = vec![("AWS_ACCESS_KEY_ID", "any".into()), ("AWS_SECRET_ACCESS_KEY", "one".into())];
    let mut world = World::start(program);
    let without = world.classify(&["cluster", "restore", "2", "--yes"]).expect_code(2);
    assert!(without.stderr.contains("keeps snapshots"), "{}", without.stderr);
    world.classify(&["cluster", "stop"]).expect_code(0);
    let snapshots = ["--snapshots", "s3://restate/x", "--snapshots-endpoint", &store.url];
    world.classify(&[&["cluster", "start"], &snapshots[..]].concat()).expect_code(0);
    world.start_service();
    let table = world.table(300);
    let run = ["--mode", "max", "--batch-size", "5", "--json", "-o", "before.jsonl", &table];
    world.classify(&run).expect_code(0);
    let before = world.executed().len();

    let healthy = world.classify(&["cluster", "restore", "2", "--yes"]).expect_code(2);
    assert!(healthy.stderr.contains("storage state read-write, not data-loss"), "{}", healthy.stderr);
    lose(&world, 2);
    let refused = world.classify(&["cluster", "start"]).expect_code(4);
    let hint = "hint: the node lost its data; the others let it back in where they keep snapshots: `classify cluster restore \
                restate-2 --name restore`";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
    let restored = world.classify(&["cluster", "restore", "restate-2", "--yes"]).expect_code(0);
    for said in
        ["none of them on restate-2", "have all that restate-2 held", "restate-2 may begin anew; next: "]
    {
        assert!(restored.stderr.contains(said), "{}", restored.stderr);
    }
    world.start_nodes();

    // It counts again: the cluster outlives the loss of another one, and knows what it knew.
    let status = || world.classify(&["cluster", "status", "--json"]).json();
    let leads = || status()["nodes"][1]["partitions_led"].as_u64() > Some(0);
    wait_for("restate-2 to lead partitions", Duration::from_mins(1), leads);
    // As docs/restore.md says: Restate does so by itself, and takes its time where little is written.
    restatectl(&world, &["logs", "reconfigure", "--log-id", "0-5", "--yes"]);
    wait_for("every log to count on restate-2", Duration::from_mins(1), || {
        let [first, second] = [1, 2].map(|number| logs_on(&world, number));
        second > 0 && second == first
    });
    send(world.node_pids()[2], Signal::SIGKILL);
    wait_for("restate-1 and restate-2 to write", Duration::from_mins(1), || {
        let nodes = status()["nodes"].clone();
        nodes[0]["ready"] == true && nodes[1]["ready"] == true
    });
    let again = ["--mode", "max", "--batch-size", "5", "--json", "-o", "after.jsonl", &table];
    let again = world.classify(&again).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], 300);
    assert_eq!(world.executed().len(), before, "nothing was lost with the folder");
    world.expect_each_once(&table, "after.jsonl");
}

/// What `restatectl` says to these words, through the port of the first node.
fn restatectl(world: &World, words: &[&str]) -> String {
    let record = fs::read(world.cluster_folder().join("cluster.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let address = format!("http://127.0.0.1:{}", record["nodes"][0]["ports"]["fabric"]);
    let mut restatectl = Command::new(record["restatectl"].as_str().unwrap());
    let told = restatectl.args(["--address", &address]).args(words).output().unwrap();
    assert!(told.status.success(), "{words:?}: {told:?}");
    String::from_utf8(told.stdout).unwrap()
}

/// Logs that are written to a node now.
fn logs_on(world: &World, number: usize) -> u64 {
    let table = restatectl(world, &["replicated-loglet", "servers"]);
    let line = table.lines().find(|line| line.trim_start().starts_with(&format!("N{number} ")));
    line.and_then(|line| line.split_whitespace().nth(4)?.parse().ok()).unwrap_or_default()
}

/// Kills a node and deletes its folder.
fn lose(world: &World, number: usize) {
    let pid = world.node_pids()[number - 1];
    send(pid, Signal::SIGKILL);
    wait_for("the node to be gone", Duration::from_secs(10), || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    fs::remove_dir_all(world.cluster_folder().join(format!("data/restate-{number}"))).unwrap();
}
