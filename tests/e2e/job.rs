//! The main job.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::promises::{exposed, listeners};
use crate::running::Ran;
use crate::schema::problems;
use crate::world::{Guarded, World, wait_for};

pub(crate) fn classifies_every_row_once(world: &mut World) {
    let table = world.table(300);
    let before = world.executed().len();
    let ran = world
        .classify(&["--mode", "max", "--batch-size", "5", "--json", "-o", "all.jsonl", &table])
        .expect_code(0);
    world.expect_each_once(&table, "all.jsonl");
    assert_eq!(world.executed().len(), before + 300);
    assert_eq!(world.repeated_since(before), 0);

    let row = &world.rows("all.jsonl")[0];
    assert_eq!(row["labels"]["family"], "physical-fundamental", "{row}");
    assert_eq!((&row["labels"]["currency"], &row["provider"]), (&json!("USD"), &json!("rules")));

    let report = ran.json();
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../schema/report.schema.json")).expect("a schema");
    assert_eq!(problems(&schema, &report), [""; 0], "{report:#}");
    assert_eq!(
        report["totals"],
        json!({"indicators": 300, "succeeded": 300, "failed": 0, "pending": 0, "reused": 0, "carried": 0})
    );
    // Strict round robin: 60 batches, 20 for each node.
    for node in report["nodes"].as_array().expect("nodes") {
        assert_eq!(
            (&node["batches"], &node["indicators"], &node["errors"]),
            (&json!(20), &json!(100), &json!(0))
        );
    }
    assert!(ran.stderr.contains("classified 300 of 300"), "{}", ran.stderr);
    assert!(!world.path("all.failures.jsonl").exists() && !world.path("all.jsonl.partial").exists());
}

pub(crate) fn a_second_run_pays_for_nothing(world: &mut World) {
    let table = world.table(40);
    world.classify(&["--mode", "max", &table]).expect_code(0);
    let before = world.executed().len();
    let again = world.classify(&["--mode", "max", "--json", "-o", "again.jsonl", &table]).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], 40);
    assert_eq!(world.executed().len(), before, "nothing was executed again");
    world.expect_each_once(&table, "again.jsonl");
    let forced = world.classify(&["--mode", "max", "--json", "--force", &table]).expect_code(0);
    assert_eq!(forced.json()["totals"]["reused"], 0);
    assert_eq!(world.executed().len(), before + 40);
}

pub(crate) fn reads_every_format_and_writes_csv(world: &mut World) {
    let rows =
        [json!({"id": "f1", "name": "Inflation \"CPI\", Índice"}), json!({"id": "f2", "name": "日本 GDP"})];
    let lines = format!("{}\n{}\n", rows[0], rows[1]);
    fs::write(world.path("in.jsonl"), &lines).expect("a table");
    fs::write(world.path("in.json"), json!(rows).to_string()).expect("a table");
    for input in ["in.jsonl", "in.json"] {
        let ran = world.classify(&["--mode", "max", "-q", "-o", "-", input]).expect_code(0);
        assert_eq!(ran.stdout.lines().count(), 2, "stdout is data only: {}", ran.stdout);
        assert_eq!(ran.stderr, "");
    }
    let mut piped = world.command(&["--mode", "max", "-o", "out.csv", "-"]);
    piped.stdin(Stdio::from(fs::File::open(world.path("in.jsonl")).expect("a table")));
    let ran = piped.output().expect("the binary runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut results = csv::Reader::from_path(world.path("out.csv")).expect("a CSV");
    let names: Vec<String> = results.records().map(|row| row.expect("a row")[1].to_owned()).collect();
    assert_eq!(names.len(), 2);
    assert!(
        names.contains(&"Inflation \"CPI\", Índice".to_owned()) && names.contains(&"日本 GDP".to_owned())
    );
}

pub(crate) fn bad_rows_go_to_the_failures_file(world: &mut World) {
    fs::write(world.path("mixed.csv"), "id,name\nm1,GDP\nm2\nm3,Inflation\n").expect("a table");
    let ran = world.classify(&["--mode", "max", "--skip-invalid", "--json", "mixed.csv"]).expect_code(3);
    let report = ran.json();
    assert_eq!((&report["totals"]["succeeded"], &report["totals"]["failed"]), (&json!(2), &json!(1)));
    assert_eq!(report["input"], json!({"files": 1, "rows": 3, "invalid": 1, "duplicates": 0}));
    let failures = world.rows("mixed.failures.jsonl");
    assert_eq!((failures.len(), &failures[0]["class"]), (1, &json!("invalid_input")));
    assert_eq!(failures[0]["origin"], "mixed.csv:3");

    // The same table corrected: the failures of the earlier run must not outlive it.
    fs::write(world.path("mixed.csv"), "id,name\nm1,GDP\nm2,Exports\nm3,Inflation\n").expect("a table");
    world.classify(&["--mode", "max", "mixed.csv"]).expect_code(0);
    assert!(!world.path("mixed.failures.jsonl").exists());
}

pub(crate) fn another_taxonomy_is_refused(world: &mut World) {
    let table = world.table(1);
    let other = include_str!("../../taxonomies/economic.toml").replacen("version = 1", "version = 2", 1);
    fs::write(world.path("other.toml"), other).expect("a taxonomy");
    let ran = world.classify(&["--taxonomy", "other.toml", "-o", "other.jsonl", &table]).expect_code(2);
    assert!(
        ran.stderr.contains("the service classifies by economic@1, this run expects economic@2"),
        "{}",
        ran.stderr
    );
    let model = ["--provider", "anthropic", "--model", "claude-haiku-5-5", "-o", "other.jsonl", &table];
    let ran = world.classify(&model).expect_code(2);
    assert!(ran.stderr.contains("the service has no provider `anthropic`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: export ANTHROPIC_API_KEY=… where"), "{}", ran.stderr);
    assert!(!world.path("other.jsonl").exists() && !world.path("other.jsonl.partial").exists());
}

pub(crate) fn another_taxonomy_registered_in_mid_run_is_waited_out(world: &mut World) {
    let table = world.table(200);
    let other = include_str!("../../taxonomies/economic.toml").replacen("version = 1", "version = 2", 1);
    fs::write(world.path("theirs.toml"), other).expect("a taxonomy");
    let before = world.executed().len();
    let mut run =
        world.begin(&["--rpm", "1200", "--batch-size", "5", "--json", "-o", "theirs.jsonl", &table]);
    world.wait_executed(before, 20);
    let port = crate::balance::free_port();
    let theirs = world.spawn_service(port, "theirs.log", "theirs.audit", |service| {
        service.args(["--taxonomy", "theirs.toml"]);
    });
    let _theirs = Guarded(theirs);
    wait_for("the other service", Duration::from_secs(30), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    world.classify(&["cluster", "register", &format!("http://127.0.0.1:{port}")]).expect_code(0);
    run.wait_said("another service was registered, which classifies by economic@2", Duration::from_secs(40));
    world.register();
    let report = run.finish().expect_code(0).json();
    assert_eq!(report["totals"]["succeeded"], 200, "{report:#}");
    world.expect_each_once(&table, "theirs.jsonl");
}

pub(crate) fn stop_and_start_keep_all_state(world: &mut World) {
    let table = world.table(100);
    world.classify(&["--mode", "max", &table]).expect_code(0);
    let before = world.executed().len();
    world.end_service(Signal::SIGTERM);
    world.classify(&["cluster", "stop", "--name", "e2e"]).expect_code(0);
    let refused = world.classify(&["--mode", "max", &table]).expect_code(4);
    assert!(refused.stderr.starts_with("input"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("error: no Restate node answers\n  http://127.0.0.1:"),
        "{}",
        refused.stderr
    );
    world.make_whole();
    let again = world.classify(&["--mode", "max", "--json", &table]).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], 100);
    assert_eq!(world.executed().len(), before, "what was known before the stop is known after it");
}

pub(crate) fn up_starts_what_is_missing(world: &mut World) {
    world.end_service(Signal::SIGTERM);
    world.classify(&["cluster", "stop", "--name", "e2e"]).expect_code(0);
    let table = world.table(30);
    let first = world.classify(&["--up", "--mode", "max", "-o", "up.jsonl", &table]).expect_code(0);
    for said in ["3 nodes up", "registered on all nodes", "next       classify cluster stop --name e2e"] {
        assert!(first.stderr.contains(said), "{}", first.stderr);
    }
    world.expect_each_once(&table, "up.jsonl");
    let status = world.classify(&["cluster", "status", "--json"]).expect_code(0).json();
    let service = status["service"]["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid");
    let listeners = listeners(service);
    assert_eq!((listeners.len(), exposed(&listeners)), (1, vec![]), "{listeners:?}");

    // All of it is there now, and was not started by this run: nothing to do, nothing to undo.
    let second = world.classify(&["--up", "--mode", "max", "-o", "up.jsonl", &table]).expect_code(0);
    assert!(!second.stderr.contains("nodes up") && !second.stderr.contains("next "), "{}", second.stderr);

    // A clock that was set, and another spelling of the home folder, hide nobody.
    let record = world.path("state/cluster/e2e/cluster.json");
    let mut recorded: Value = serde_json::from_slice(&fs::read(&record).expect("a record")).expect("JSON");
    let started = recorded.pointer_mut("/service/process/started").expect("a start");
    *started = json!(started.as_u64().expect("seconds") + 3600);
    for node in recorded["nodes"].as_array_mut().expect("nodes") {
        node["process"]["started"] = json!(node["process"]["started"].as_u64().expect("seconds") - 3600);
    }
    fs::write(&record, recorded.to_string()).expect("a record");
    std::os::unix::fs::symlink(world.path("state"), world.path("link")).expect("a link");
    let link = world.path("link");
    let other = |args: &[&str]| world.command(args).env("CLASSIFY_HOME", &link).output().expect("it runs");
    let status: Value =
        serde_json::from_slice(&other(&["cluster", "status", "--json"]).stdout).expect("a status");
    assert_eq!((&status["ready"], &status["service"]["alive"]), (&json!(true), &json!(true)), "{status}");

    let stopped: Ran = other(&["cluster", "stop", "--name", "e2e"]).into();
    let stopped = stopped.expect_code(0);
    assert!(
        stopped.stderr.contains("stopped service, restate-1, restate-2, restate-3"),
        "{}",
        stopped.stderr
    );

    // A name that nobody gave to a cluster is no way to whatever listens on the default ports.
    let unknown =
        world.classify(&["--cluster", "typo", "--mode", "max", "-o", "up.jsonl", &table]).expect_code(4);
    assert!(unknown.stderr.contains("typo"), "{}", unknown.stderr);
}
