//! Orders to runs that the cluster has, what is said about them, and ways to them.

use std::fs;
use std::time::{Duration, Instant};

use classify::domain::detached::Phase;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::detached::{Detached, RESULTS};
use crate::running::Ran;
use crate::schema::problems;
use crate::world::{Guarded, Running, World, http, wait_for};

/// Whatever is in the way, the user knows by then.
pub(crate) const TOLD: Duration = Duration::from_secs(15);

/// A command that can do nothing, and says why in time.
pub(crate) fn in_vain(world: &World, args: &[&str]) -> Ran {
    let begun = Instant::now();
    let ran = world.classify(args).expect_code(4);
    assert!(begun.elapsed() < TOLD, "{args:?} took {:?}: {}", begun.elapsed(), ran.stderr);
    assert!(!ran.stderr.contains("--up"), "{}", ran.stderr);
    ran
}

fn invocations(world: &World, condition: &str) -> Vec<String> {
    let query = json!({ "query": format!("SELECT id FROM sys_invocation WHERE {condition}") });
    let answer = http("POST", &format!("{}/query", world.admin_url()), &query);
    let rows = answer["rows"].as_array().expect("rows").iter();
    rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

pub(crate) fn an_order_that_nobody_carries_out_is_withdrawn(world: &mut World) {
    let run = Detached::begin(world, 200);
    run.wait("some of it", |progress| progress.finished() >= 2);
    // Something of the run that is paused lets in nobody else.
    world.end_service(Signal::SIGKILL);
    let ours = format!("target_service_name = 'DetachedRun' AND target_service_key = '{}'", run.id);
    let retrying = format!("{ours} AND status = 'backing-off'");
    wait_for("a step without a service", Duration::from_secs(20), || {
        !invocations(world, &retrying).is_empty()
    });

    // Without a service no order is given.
    let refused = in_vain(world, &["runs", "cancel", &run.id]);
    assert!(
        refused.stderr.contains("error: the classification service does not answer"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("order"), "{}", refused.stderr);

    let step = invocations(world, &retrying).remove(0);
    let admin = world.admin_url();
    http("PATCH", &format!("{admin}/invocations/{step}/pause"), &Value::Null);
    let paused = format!("{ours} AND status = 'paused'");
    wait_for("the step to be paused", Duration::from_secs(10), || {
        invocations(world, &paused) == [step.clone()]
    });
    world.start_service();
    assert_eq!(run.show().phase, Phase::Running, "the order to cancel is not there");

    // Who knows no admin API cannot withdraw it, and says that it stands.
    let (home, node) = (world.path("elsewhere").display().to_string(), run.node.url().to_owned());
    let there: &World = world;
    let (withdrawn, stands) = std::thread::scope(|scope| {
        let elsewhere = ["--home", &home, "runs", "pause", &run.id, "--ingress", &node];
        let stands = scope.spawn(move || in_vain(there, &elsewhere));
        (in_vain(there, &["runs", "pause", &run.id]), stands.join().expect("an answer"))
    });
    let said = format!("the order to pause was withdrawn: the run {} is as it was", run.id);
    assert!(withdrawn.stderr.contains(&said), "{}", withdrawn.stderr);
    let orders = format!("{ours} AND target_handler_name IN ('pause', 'cancel')");
    assert!(stands.stderr.contains("the order to pause stands"), "{}", stands.stderr);
    assert_eq!(
        invocations(world, &orders).len(),
        1,
        "one order waits, in one copy, and it is the one that stands"
    );

    http("PATCH", &format!("{admin}/invocations/{step}/resume"), &Value::Null);
    run.wait("the order that stands", |progress| progress.phase == Phase::Paused);
    world.classify(&["runs", "resume", &run.id, "--rpm", "60000"]).expect_code(0);
    assert_eq!(run.attach(world, 0)["succeeded"], 200);
    world.expect_each_once(&run.table, RESULTS);
}

pub(crate) fn a_cluster_that_moved_is_reached_from_anywhere(world: &mut World) {
    let run = Detached::begin(world, 100);
    let spec = world.path(&format!("state/runs/{}/run.json", run.id));
    let mut moved: Value = serde_json::from_slice(&fs::read(&spec).expect("a run")).expect("JSON");
    moved["target"]["ingress"] = json!(["http://127.0.0.1:9"]);
    fs::write(&spec, moved.to_string()).expect("a run");

    for command in ["pause", "resume", "cancel"] {
        let gone = in_vain(world, &["runs", command, &run.id]);
        assert!(gone.stderr.contains("no Restate node answers\n  http://127.0.0.1:9"), "{}", gone.stderr);
    }
    let node = run.node.url().to_owned();
    world.classify(&["runs", "pause", &run.id, "--ingress", &node]).expect_code(0);
    assert_eq!(run.show().phase, Phase::Paused);
    let by_variable = |args: &[&str]| -> Ran {
        let mut command = world.command(args);
        command.env("CLASSIFY_INGRESS", &node).output().expect("the binary runs").into()
    };
    by_variable(&["runs", "resume", &run.id]).expect_code(0);
    assert_eq!(run.show().phase, Phase::Running);
    by_variable(&["runs", "pause", &run.id]).expect_code(0);
    // By its name, too.
    world.classify(&["runs", "resume", &run.id, "--cluster", "e2e"]).expect_code(0);

    // Another machine can do all but collect.
    let home = world.path("elsewhere").display().to_string();
    let elsewhere = |command: &str| {
        let args = ["--home", &home, "runs", command, &run.id, "--ingress", &node];
        world.classify(&args).expect_code(0)
    };
    elsewhere("pause");
    assert_eq!(run.show().phase, Phase::Paused);
    let resumed = elsewhere("resume");
    assert!(resumed.stderr.contains("resumed"), "{}", resumed.stderr);
    world.classify(&["runs", "resume", &run.id, "--ingress", &node, "--rpm", "60000"]).expect_code(0);
    world.classify(&["runs", "attach", &run.id, "--ingress", &node]).expect_code(0);
    world.expect_each_once(&run.table, RESULTS);
}

pub(crate) fn what_is_in_the_way_of_a_detached_run_is_told(world: &mut World) {
    let run = Detached::begin(world, 400);
    run.wait("some of it", |progress| progress.finished() >= 2);
    world.end_service(Signal::SIGKILL);
    let mut attach = Running::begin(world.command(&["runs", "attach", &run.id]), world.path("attach.stderr"));
    attach.wait_said("waiting    the service does not answer the cluster", TOLD);
    // From another machine, for who deletes a run claims it in the ledger while the cluster is asked.
    let (home, node) = (world.path("elsewhere").display().to_string(), run.node.url().to_owned());
    let there: &World = world;
    let id = run.id.as_str();
    std::thread::scope(|scope| {
        let elsewhere = ["--home", &home, "runs", "resume", id, "--ingress", &node];
        let resumed = scope.spawn(move || in_vain(there, &elsewhere).stderr);
        let deleted = in_vain(there, &["runs", "delete", id, "--yes"]).stderr;
        assert!(deleted.contains("the cluster may be at the run"), "{deleted}");
        let resumed = resumed.join().expect("an answer");
        assert!(resumed.contains("the classification service does not answer"), "{resumed}");
    });
    world.start_service();
    attach.wait_said("waiting    over: the cluster answers, the run goes on", TOLD);
    assert_eq!(run.show().phase, Phase::Running);

    // The service of another label set: batches wait for the right one.
    let other = include_str!("../../taxonomies/economic.toml").replacen("version = 1", "version = 2", 1);
    fs::write(world.path("others.toml"), other).expect("a taxonomy");
    let port = crate::balance::free_port();
    let others = world.spawn_service(port, "others.log", "others.audit", |service| {
        service.args(["--taxonomy", "others.toml"]);
    });
    // It stays: what began there goes on there.
    let _others = Guarded(others);
    wait_for("the other service", Duration::from_secs(30), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    world.classify(&["cluster", "register", &format!("http://127.0.0.1:{port}")]).expect_code(0);
    attach.wait_said("another service was registered, which classifies by economic@2", TOLD);
    world.register();

    world.classify(&["runs", "resume", &run.id, "--rpm", "60000"]).expect_code(0);
    attach.finish().expect_code(0);
    world.expect_each_once(&run.table, RESULTS);
}

pub(crate) fn what_is_said_about_a_detached_run_is_its_own(world: &mut World) {
    let table = world.table(60);
    let args = ["--detach", "--rpm", "600", "--batch-size", "5", "-o", "own.jsonl", &table];
    let handed = world.classify(&[&args[..], &["--json"]].concat()).expect_code(0).json();
    let id = handed["run_id"].as_str().expect("an id").to_owned();
    assert_eq!((&handed["phase"], &handed["plan"]["indicators"]), (&json!("running"), &json!(60)));

    // Its place is taken, although nothing is there yet.
    let second = world.table(10);
    for detach in [&["--detach"][..], &[]] {
        let ran =
            world.classify(&[detach, &["--mode", "max", "-o", "own.jsonl", &second]].concat()).expect_code(2);
        assert!(
            ran.stderr.contains(&format!("own.jsonl is where the run {id} will put its own")),
            "{}",
            ran.stderr
        );
    }
    let refused = world.classify(&["runs", "resume", &id, "--accept-changes"]).expect_code(2);
    assert!(refused.stderr.contains("`--accept-changes` does nothing here"), "{}", refused.stderr);

    let path = world.path(&table);
    let rows = fs::read_to_string(&path).expect("the table");
    fs::write(&path, format!("{rows}one-more,Exports of more,USD Million,Monthly\n")).expect("the table");
    let changed = world.classify(&["runs", "attach", &id]).expect_code(2);
    for part in
        ["the input of the run", "put it back as it was", "run the command again: rows that are classified"]
    {
        assert!(changed.stderr.contains(part), "{}", changed.stderr);
    }
    fs::write(&path, rows).expect("the table");
    let report = world.classify(&["runs", "attach", &id, "--json"]).expect_code(0).json();
    let schema: Value =
        serde_json::from_str(include_str!("../../schema/report.schema.json")).expect("a schema");
    assert_eq!(problems(&schema, &report), [""; 0], "{report:#}");
    // Sixty rows, ten a second, the first five at once.
    let took = report["elapsed_s"].as_f64().expect("seconds");
    assert!((5.0..8.0).contains(&took), "{report:#}");
    let rate = report["rate"]["achieved_rpm"].as_f64().expect("a rate");
    assert!((rate - 60.0 * 60.0 / took).abs() < 1.0, "{report:#}");
    assert_eq!(
        (&report["rate"]["target_rpm"], &report["rate"]["max_60s_window"]),
        (&json!(600.0), &Value::Null)
    );
    assert!(report["nodes"].as_array().expect("nodes").iter().all(|node| node["mean_ms"].is_null()));

    // The place is free again. A run that was given up does not take it from a younger one.
    let quiet = ["-q", "--detach", "--rpm", "600", "--batch-size", "5", "-o", "own.jsonl", &second];
    let ran = world.classify(&quiet).expect_code(0);
    let id = ran.stdout.trim().to_owned();
    assert_eq!((id.len(), ran.stderr.as_str()), (26, ""));
    world.classify(&["runs", "cancel", &id]).expect_code(0);
    world.classify(&["--mode", "max", "-o", "own.jsonl", &second]).expect_code(0);
    let kept = world.classify(&["runs", "attach", &id]).expect_code(2);
    assert!(kept.stderr.contains("is what the younger run"), "{}", kept.stderr);
    world.expect_each_once(&second, "own.jsonl");
    fs::rename(world.path("own.jsonl"), world.path("aside.jsonl")).expect("results");
    world.classify(&["runs", "attach", &id]).expect_code(3);
}
