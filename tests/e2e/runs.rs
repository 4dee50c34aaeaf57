//! Runs that outlive their process.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::world::{Ran, Running, World, wait_for};

/// Begins a run and kills it when `count` rows of it were classified.
fn killed_after(world: &World, count: usize, args: &[&str]) -> Vec<Value> {
    killed_at(world, count, &[&["--rpm", "1200"], args].concat())
}

/// As [`killed_after`], at a rate that the arguments tell.
fn killed_at(world: &World, count: usize, args: &[&str]) -> Vec<Value> {
    let before = world.executed().len();
    let mut run = world.begin(&[&["--batch-size", "10"], args].concat());
    world.wait_executed(before, count);
    kill(&mut run);
    listed(world)
}

fn kill(run: &mut Running) {
    run.signal(Signal::SIGKILL);
    wait_for("the killed run to end", Duration::from_secs(5), || run.has_ended());
}

/// What `runs list` says, youngest run last.
fn listed(world: &World) -> Vec<Value> {
    let ran = world.classify(&["runs", "list", "--json"]).expect_code(0);
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn resume(world: &World, args: &[&str]) -> Ran {
    world.classify(&[&["runs", "resume", "--rpm", "60000", "--json"], args].concat())
}

fn id(run: &Value) -> &str {
    run["run_id"].as_str().expect("an id")
}

pub(crate) fn a_killed_run_is_resumed_and_nothing_is_done_twice(world: &mut World) {
    let table = world.table(400);
    let before = world.executed().len();
    let runs = killed_after(world, 60, &["-o", "dead-client.jsonl", &table]);
    let run = runs.last().expect("a run");
    assert_eq!(run["state"], "interrupted", "{run:#}");
    assert!(!world.path("dead-client.jsonl").exists());

    // What a loss of power may leave.
    let journal = world.path(&format!("state/runs/{}/journal.jsonl", id(run)));
    let mut journal = OpenOptions::new().append(true).open(journal).expect("a journal");
    journal.write_all(b"{\"event\":\"done\",\"batch\":3").expect("a torn line");

    let report = resume(world, &[]).expect_code(0).json();
    assert_eq!(report["run_id"], run["run_id"]);
    assert_eq!(
        (&report["totals"]["succeeded"], &report["totals"]["reused"]),
        (&400.into(), &0.into()),
        "{report:#}"
    );
    assert_eq!(report["resumed"]["sessions"], 2);
    world.expect_each_once(&table, "dead-client.jsonl");
    assert_eq!(world.executed().len() - before, 400);
    assert!(!world.path("dead-client.jsonl.partial").exists());

    // There is nothing left to do, and the report says what it said.
    let again = resume(world, &[id(run)]).expect_code(0);
    assert_eq!(again.json(), report);
    assert!(again.stderr.contains("is finished"), "{}", again.stderr);
    assert_eq!(world.classify(&["runs", "report", id(run), "--json"]).expect_code(0).json(), report);
    assert_eq!(listed(world).last().expect("it")["state"], "finished");
}

pub(crate) fn a_run_has_one_process_at_a_time(world: &mut World) {
    let table = world.table(400);
    let before = world.executed().len();
    let mut run = world.begin(&["--rpm", "600", "-o", "one.jsonl", &table]);
    world.wait_executed(before, 10);
    let refused = resume(world, &[]).expect_code(2);
    let pid = run.child.id();
    assert!(
        refused.stderr.contains(&format!("another `classify` (pid {pid}) is at the run")),
        "{}",
        refused.stderr
    );
    let runs = listed(world);
    let id = id(runs.last().expect("it"));
    assert_eq!(runs.last().expect("it")["state"], format!("running (pid {pid})"));
    let alive = world.classify(&["runs", "delete", id, "--yes"]).expect_code(2);
    assert!(alive.stderr.contains("is at the run"), "{}", alive.stderr);
    kill(&mut run);
    resume(world, &[]).expect_code(0);
    world.expect_each_once(&table, "one.jsonl");

    // What ends a run or deletes it wants to know which, or asks.
    let which = world.classify(&["runs", "cancel"]).expect_code(2);
    assert!(which.stderr.contains(&format!("classify runs cancel {id}")), "{}", which.stderr);
    let asks = world.classify(&["runs", "delete", id]).expect_code(2);
    assert!(asks.stderr.contains("`--yes`"), "{}", asks.stderr);
    world.classify(&["runs", "delete"]).expect_code(2);
    world.classify(&["runs", "delete", id, "--yes"]).expect_code(0);
    assert!(listed(world).iter().all(|run| run["run_id"] != id));
    world.expect_each_once(&table, "one.jsonl");
}

pub(crate) fn reading_again_can_be_interrupted(world: &mut World) {
    let table = world.table(200);
    killed_after(world, 20, &["-o", "slow-disk.jsonl", &table]);
    // A disk that gives nothing for now.
    let (path, aside) = (world.path(&table), world.path("aside.csv"));
    fs::rename(&path, &aside).expect("the table");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let run = world.begin(&["runs", "resume"]);
        let mut writer = OpenOptions::new().write(true).open(&path).expect("a reader");
        writer.write_all(b"id,name\n").expect("a header");
        run.signal(signal);
        let ran = run.finish().expect_code(130);
        assert!(ran.stderr.contains("interrupted before anything was submitted"), "{}", ran.stderr);
    }
    fs::rename(&aside, &path).expect("the table");
    resume(world, &[]).expect_code(0);
    world.expect_each_once(&table, "slow-disk.jsonl");
}

pub(crate) fn a_changed_input_is_refused_until_it_is_accepted(world: &mut World) {
    // What the rules say is free and remembered by batch; what a model says is not.
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &[]);
    let table = world.table(200);
    let args = ["--provider", "openai", "--model", "stub-changed", "-o", "changed.jsonl", &table];
    let runs = killed_after(world, 30, &args);
    let text = fs::read_to_string(world.path(&table)).expect("the table");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1].push_str(" with another name");
    lines.remove(2);
    let added = lines[5].replacen(',', "-new,", 1);
    lines.push(added);
    fs::write(world.path(&table), lines.join("\n") + "\n").expect("the table");

    let refused = resume(world, &[]).expect_code(2);
    assert!(refused.stderr.contains("1 added, 1 removed, 1 with other content"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--accept-changes"), "{}", refused.stderr);

    let report = resume(world, &["--accept-changes"]).expect_code(0).json();
    assert_ne!(report["run_id"], runs.last().expect("it")["run_id"]);
    world.expect_each_once(&table, "changed.jsonl");
    // 200 rows, one of them gone before it was ever asked or not, one new, one with two contents.
    let calls = provider.seen("stub-changed").len();
    assert!((200..=202).contains(&calls), "{calls} calls");
    let old = world.classify(&["runs", "resume", id(runs.last().expect("it"))]).expect_code(2);
    assert!(old.stderr.contains("belong to the run"), "{}", old.stderr);
}

pub(crate) fn rows_that_are_gone_are_collected_again(world: &mut World) {
    let table = world.table(200);
    let before = world.executed().len();
    let runs = killed_after(world, 50, &["-o", "gone.jsonl", &table]);
    // Another run takes the place, and leaves it to the first one again.
    let other = world.table(20);
    world.classify(&["--mode", "max", "-o", "gone.jsonl", &other]).expect_code(0);
    let ran = resume(world, &[id(runs.last().expect("it"))]).expect_code(0);
    assert!(ran.stderr.contains("collecting them again"), "{}", ran.stderr);
    world.expect_each_once(&table, "gone.jsonl");
    assert_eq!(world.executed().len() - before, 220);
    assert_eq!(ran.json()["totals"]["succeeded"], 200);
}

pub(crate) fn batches_that_the_cluster_forgot_are_sent_again_and_cost_nothing(world: &mut World) {
    let table = world.table(3_000);
    let before = world.executed().len();
    // As fast as it goes: something is under way all the time.
    let args = ["--mode", "max", "--max-in-flight", "300", "-o", "forgotten.jsonl", &table];
    let runs = killed_at(world, 300, &args);
    let run = id(runs.last().expect("a run"));
    // As after a day: results of batches are gone, answers to rows are not.
    let filter = ["--run", run, "--service", "ClassifyBatch", "--state", "succeeded"];
    wait_for("the batches under way to end", Duration::from_secs(30), || {
        let list = |state| {
            let ran = world.classify(&["queue", "list", "--run", run, "--state", state, "--json"]);
            ran.expect_code(0).json()["total"].as_u64().expect("a number")
        };
        ["waiting", "running", "suspended", "retrying"].into_iter().all(|state| list(state) == 0)
    });
    world.classify(&[&["queue", "purge", "--yes"], &filter[..]].concat()).expect_code(0);
    let report = resume(world, &[]).expect_code(0).json();
    assert!(report["resumed"]["forgotten"].as_u64() > Some(0), "{report:#}");
    assert_eq!(report["resumed"]["recovered"], 0);
    world.expect_each_once(&table, "forgotten.jsonl");
    assert_eq!(world.executed().len() - before, 3_000);
}

pub(crate) fn standard_input_and_output_survive_as_well(world: &mut World) {
    let table = world.table(200);
    let before = world.executed().len();
    let mut command =
        world.command(&["--rpm", "1200", "--batch-size", "10", "--input-format", "csv", "-o", "-", "-"]);
    command.stdin(fs::File::open(world.path(&table)).expect("the table"));
    let mut run = Running::begin(command, world.path("piped.stderr"));
    world.wait_executed(before, 40);
    kill(&mut run);
    let ran = world.classify(&["runs", "resume", "--rpm", "60000"]).expect_code(0);
    fs::write(world.path("piped.jsonl"), &ran.stdout).expect("rows");
    world.expect_each_once(&table, "piped.jsonl");
    assert_eq!(world.executed().len() - before, 200);
}

pub(crate) fn bad_rows_are_counted_once_and_order_is_kept(world: &mut World) {
    let table = world.table(300);
    let mut text = fs::read_to_string(world.path(&table)).expect("the table");
    text.insert_str(text.find('\n').expect("a header") + 1, ",without an id\n");
    text.push_str(",without one either\n");
    fs::write(world.path(&table), &text).expect("the table");
    for (name, args) in [("ordered.jsonl", &[][..]), ("ordered.csv", &["--output-format", "csv"])] {
        killed_after(
            world,
            20,
            &[&["--skip-invalid", "--ordered", "--force", "-o", name, &table], args].concat(),
        );
        let report = resume(world, &[]).expect_code(3).json();
        assert_eq!(report["failed_by_class"]["invalid_input"], 2, "{report:#}");
        assert_eq!(report["totals"]["pending"], 0);
        let ids =
            |text: &str, id: fn(&str) -> Option<String>| text.lines().filter_map(id).collect::<Vec<_>>();
        let first_cell =
            |line: &str| Some(line.split(',').next()?.to_owned()).filter(|id| !id.is_empty() && id != "id");
        let written = fs::read_to_string(world.path(name)).expect("results");
        let order = match name {
            "ordered.csv" => ids(&written, first_cell),
            _ => ids(&written, |line| {
                Some(serde_json::from_str::<Value>(line).ok()?["id"].as_str()?.to_owned())
            }),
        };
        assert_eq!(order, ids(&text, first_cell), "{name}");
    }
}
