//! What `runs show`, `limits show` and `queue status --watch` tell.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{kill, text, wait_asked, with_model};
use crate::llm_stub::{Fault, Plan, RetryAfter};
use crate::provider::Provider;
use crate::world::{Guarded, World, send, wait_for};

pub(crate) fn runs_are_shown_as_they_stand(world: &mut World) {
    let table = world.table(100);
    let rows = fs::read_to_string(world.path(&table)).expect("the table");
    fs::write(world.path(&table), rows + ",without an id\n").expect("the table");
    let before = world.executed().len();
    let args = ["--rpm", "1200", "--batch-size", "5"];
    let mut run = world.begin(&[&args[..], &["--skip-invalid", "-o", "shown.jsonl", &table]].concat());
    world.wait_executed(before, 20);
    let show = |args: &[&str]| world.classify(&[&["runs", "show"], args].concat()).expect_code(0);
    let shown = || show(&["--json"]).json();

    assert_eq!(shown()["state"], format!("running (pid {})", run.child.id()));
    kill(&mut run);
    let stopped = shown();
    assert_eq!(stopped["state"], "interrupted");
    let id = text(&stopped["run_id"]).to_owned();
    let total = |key: &str| stopped["report"]["totals"][key].as_u64().expect("a count");
    let on_disk = world.rows("shown.jsonl.partial").len() as u64;
    // A batch may have been on disk, and not counted yet, when the process died.
    assert!((1..=on_disk).contains(&total("succeeded")) && on_disk <= total("succeeded") + 5, "{stopped:#}");
    assert_eq!(total("pending"), 101 - total("succeeded") - total("failed"));
    let line = format!(
        "rows       101: {} classified, {} failed, {} pending\n",
        total("succeeded"),
        total("failed"),
        total("pending")
    );
    assert!(show(&[]).stdout.contains(&line), "no `{line}` in {}", show(&[]).stdout);

    world.classify(&["runs", "resume", "--rpm", "60000"]).expect_code(3);
    // The youngest run, and the one of this id.
    assert_eq!(show(&[]).stdout, show(&[&id]).stdout);
    let place = |name: &str| world.path(name).display().to_string();
    let ended = shown();
    assert_eq!(
        show(&[]).stdout,
        [
            format!("run        {id}"),
            "state      finished".into(),
            format!("made       {}", text(&stopped["created_at"])),
            format!("input      {table}"),
            "provider   rules".into(),
            "taxonomy   economic@1".into(),
            "rows       101: 100 classified, 1 failed, 0 pending".into(),
            format!("results    {}", place("shown.jsonl")),
            format!("failures   {}", place("shown.failures.jsonl")),
            format!("ledger     {}\n", place(&format!("state/runs/{id}"))),
        ]
        .join("\n")
    );
    assert_eq!((&ended["state"], text(&ended["run_id"])), (&json!("finished"), id.as_str()));
    assert_eq!(ended["report"], world.classify(&["runs", "report", "--json"]).expect_code(0).json());
    assert_eq!(ended["report"]["totals"]["succeeded"], 100);
    let unknown = world.classify(&["runs", "show", "01JD0000000000000000000000"]).expect_code(2);
    assert!(unknown.stderr.contains("no run `01JD0000000000000000000000`"), "{}", unknown.stderr);
}

pub(crate) fn limits_are_shown_with_their_use(world: &mut World) {
    const MODEL: &str = "stub-limits";
    const NAME: &str = "openai/stub-limits";
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--llm-rpm", "6000", "--llm-tpm", "9000000", "--llm-concurrency", "7"]);
    provider.stub.hold(true);
    let table = world.table(20);
    let run = world.begin(&with_model("openai", MODEL, &["-o", "limits.jsonl", &table]));
    wait_asked(&provider, MODEL, 7);
    let limits = |args: &[&str]| world.classify(&[&["limits"], args].concat()).expect_code(0);
    let show = || limits(&["show", NAME, "--json"]).json();
    let given = json!({ "requests": 6_000, "tokens": 9_000_000, "concurrency": 7 });

    // Calls under way count, and so do the tokens that they may take.
    wait_for("seven calls under way", Duration::from_secs(10), || show()["usage"]["in_flight"] == 7);
    let busy = show();
    assert_eq!((&busy["limits"], &busy["set_by_hand"]), (&given, &json!(false)));
    assert_eq!((&busy["usage"]["granted"][0], &busy["usage"]["processes"]), (&json!(7), &json!(1)));
    let text = limits(&["show", NAME]).stdout;
    for line in [cells("requests/min", "6,000", "7"), cells("at once", "7", "7")] {
        assert!(text.contains(&line), "no `{line}` in {text}");
    }
    assert_eq!(text.matches("the service\n").count(), 3, "{text}");
    provider.stub.hold(false);
    run.finish().expect_code(0);
    world.expect_each_once(&table, "limits.jsonl");

    // Afterwards it is what the provider has counted, within a minute.
    let [requests, input, output] = provider.totals(MODEL);
    assert_eq!(requests, 20);
    let used = json!([requests, input + output]);
    wait_for("the use to be told", Duration::from_secs(10), || show()["usage"]["granted"] == used);
    wait_for("all calls to be over", Duration::from_secs(10), || show()["usage"]["in_flight"] == 0);

    // What a person sets counts from then on; what is not named stays.
    let set = limits(&["set", NAME, "--rpm", "1234"]).stdout;
    assert!(set.contains(&cells("requests/min", "1,234", "20")), "{set}");
    assert!(set.contains("tokens/min      9,000,000"), "{set}");
    assert_eq!((set.matches("`limits set`").count(), set.matches("the service\n").count()), (1, 2), "{set}");
    let by_hand = json!({ "requests": 1_234, "tokens": 9_000_000, "concurrency": 7 });
    assert_eq!((&show()["limits"], &show()["set_by_hand"]), (&by_hand, &json!(true)));
    let another = limits(&["show", "openai/stub-never-asked", "--json"]).json();
    assert_eq!((&another["limits"], &another["usage"]), (&given, &json!(null)), "nobody has asked yet");
    limits(&["set", "openai/stub-never-asked", "--rpm", "1234"]);
    let another = limits(&["show", "openai/stub-never-asked", "--json"]).json();
    assert_eq!((&another["limits"], &another["set"]), (&by_hand, &json!({ "requests": 1_234 })));
    let all = limits(&["show", "--json"]).stdout;
    for name in [NAME, "openai/stub-never-asked"] {
        assert!(all.contains(&format!("\"model\":\"{name}\"")), "no {name} in {all}");
    }
    limits(&["set", NAME, "--reset"]);
    assert_eq!((&show()["limits"], &show()["set_by_hand"]), (&given, &json!(false)));
}

pub(crate) fn a_paused_model_is_named_and_can_be_asked_again(world: &mut World) {
    const MODEL: &str = "stub-paused";
    const NAME: &str = "openai/stub-paused";
    let hour = Fault::RateLimited(RetryAfter::Seconds(3_600.0));
    let provider = Provider::start(Plan::script([Some(hour)]));
    provider.serve(world, &["--llm-concurrency", "2"]);
    let table = world.table(20);
    let mut run = world.begin(&with_model("openai", MODEL, &["-o", "paused.jsonl", &table]));
    run.wait_said("waiting    openai/stub-paused is paused for 60 min", Duration::from_secs(20));
    let asked = provider.seen(MODEL).len();
    let shown = |args: &[&str]| world.classify(args).expect_code(0).stdout;
    for text in [shown(&["queue", "status"]), shown(&["limits", "show", NAME])] {
        assert!(text.contains("openai/stub-paused for 59 min"), "{text}");
    }
    assert_eq!(provider.seen(MODEL).len(), asked, "it is left alone");
    shown(&["limits", "set", NAME, "--reset"]);
    wait_for("calls to leave again", Duration::from_secs(3), || provider.seen(MODEL).len() > asked);
    // The row whose call was refused for an hour has failed; no other has.
    let report = run.finish().expect_code(3).json();
    assert_eq!((&report["totals"]["succeeded"], &report["totals"]["failed"]), (&json!(19), &json!(1)));
}

/// A line of the table: a name, a limit, its use.
fn cells(name: &str, limit: &str, used: &str) -> String {
    format!("{name:<12} {limit:>12} {used:>12}   ")
}

/// `queue status --watch`, and the file its frames go to.
fn watch(world: &World, name: &str, args: &[&str]) -> (Guarded, PathBuf) {
    let mut command = world.command(&[&["queue", "status", "--watch", "--interval", "1"], args].concat());
    command.stdout(File::create(world.path(name)).expect("a file"));
    (Guarded(command.spawn().expect("the binary runs")), world.path(name))
}

/// What complete frames in the file say of batches that succeeded, in order. `of_line` reads it from a line, if it stands there.
fn succeeded(file: &PathBuf, of_line: impl Fn(&str) -> Option<u64>) -> Vec<u64> {
    let frames = fs::read_to_string(file).expect("frames");
    let complete = frames.rfind('\n').map_or("", |end| &frames[..end]);
    complete.lines().filter_map(of_line).collect()
}

fn of_json(line: &str) -> Option<u64> {
    let frame: Value = serde_json::from_str(line).expect("a frame is a line of JSON");
    let batches =
        frame["services"].as_array()?.iter().find(|service| service["service"] == "ClassifyBatch")?;
    batches["succeeded"].as_u64()
}

/// waiting, running, suspended, retrying, paused, succeeded, failed.
fn of_table(line: &str) -> Option<u64> {
    let cells: Vec<&str> = line.strip_prefix("ClassifyBatch ")?.split_whitespace().collect();
    cells[5].replace(',', "").parse().ok()
}

pub(crate) fn the_queue_is_watched(world: &mut World) {
    let (mut json, json_frames) = watch(world, "watched.json", &["--json"]);
    let (mut table, table_frames) = watch(world, "watched.txt", &[]);
    let seen = || (succeeded(&json_frames, of_json), succeeded(&table_frames, of_table));
    let patience = Duration::from_secs(20);
    wait_for("a frame of each", patience, || !seen().0.is_empty() && !seen().1.is_empty());
    let before = seen().0[0];
    let rows = world.table(30);
    world.classify(&["--mode", "max", "--batch-size", "10", "-o", "watched.jsonl", &rows]).expect_code(0);
    wait_for("frames with three batches more", patience, || {
        let (json, table) = seen();
        [json, table].iter().all(|frames| frames.last() == Some(&(before + 3)))
    });
    // Again and again: what does not change is shown as well.
    let number = seen().0.len();
    wait_for("two more frames", patience, || seen().0.len() >= number + 2);
    for frames in [seen().0, seen().1] {
        assert_eq!(frames[0], before);
        assert!(frames.is_sorted(), "{frames:?}");
    }

    for watched in [&mut json.0, &mut table.0] {
        assert!(matches!(watched.try_wait(), Ok(None)), "it ended by itself");
        send(watched.id(), Signal::SIGINT);
        wait_for("the watch to end", Duration::from_secs(5), || !matches!(watched.try_wait(), Ok(None)));
        assert_eq!(watched.wait().expect("its status").code(), Some(0), "Ctrl-C is how it ends");
    }
}
