//! The table of `docs/runs.md`, walked: each state is brought about on a real cluster, and each command is typed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::llm_stub::Plan;
use crate::note;
use crate::provider::Provider;
use crate::world::{Ran, Running, World, http, wait_for};

/// Rows and batches of a run that takes a while to be handed over.
const MANY: usize = 40_000;

struct Walk<'w> {
    world: &'w mut World,
    /// What stands in the cell of a state and a command.
    table: BTreeMap<(String, String), String>,
    walked: BTreeSet<(String, String)>,
}

impl<'w> Walk<'w> {
    fn new(world: &'w mut World) -> Self {
        let docs = include_str!("../../docs/runs.md");
        let lines = docs.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        let rows: Vec<Vec<String>> =
            lines.map(|line| line.split(" | ").map(|cell| cell.trim().replace('`', "")).collect()).collect();
        let commands = &rows[0][1..];
        let mut table = BTreeMap::new();
        for row in &rows[1..] {
            for (command, cell) in commands.iter().zip(&row[1..]) {
                table.insert((row[0].clone(), command.clone()), cell.clone());
            }
        }
        Self { world, table, walked: BTreeSet::new() }
    }

    fn type_it(&self, command: &str, id: &str) -> Ran {
        let yes: &[&str] = if command == "delete" { &["--yes"] } else { &[] };
        self.world.classify(&[&["runs", command, id], yes].concat())
    }

    /// Types each command that the table says is refused in this state: it says so, and names the way out. `other` is the run that has its
    /// files. A report can always be had.
    fn refusals(&mut self, state: &str, id: &str, other: &str) {
        let cells = self.table.iter().filter(|((of, _), cell)| of == state && cell.starts_with('→'));
        let cells: Vec<(String, String)> =
            cells.map(|((_, command), cell)| (command.clone(), cell.clone())).collect();
        assert!(!cells.is_empty(), "no row `{state}`");
        for (command, cell) in cells {
            let way = match cell.trim_start_matches("→ ") {
                "wait" => "hint: wait for it, or end it with Ctrl-C".to_owned(),
                "the command again" => "run the command again: rows that are classified already".to_owned(),
                "show of the other" => format!("`classify runs show {other}`"),
                "retry of the other" => format!("`classify runs retry {other}`"),
                next => format!("`classify runs {next} {id}`"),
            };
            let code = if state == "detached, halted" && command == "attach" { 3 } else { 2 };
            let ran = self.type_it(&command, id);
            assert_eq!(ran.code, Some(code), "{command} of a run that is {state}: {}", ran.stderr);
            assert!(
                ran.stderr.contains(&way),
                "{command} of a run that is {state}: no {way} in {}",
                ran.stderr
            );
            self.walked.insert((state.to_owned(), command));
        }
        self.type_it("show", id).expect_code(0);
        self.does(state, "report", id, 0);
    }

    /// Types a command that the table says does something in this state.
    fn does(&mut self, state: &str, command: &str, id: &str, code: i32) -> Ran {
        self.goes(state, command);
        let ran = self.type_it(command, id);
        assert_eq!(ran.code, Some(code), "{command} of a run that is {state}: {}", ran.stderr);
        ran
    }

    fn goes(&mut self, state: &str, command: &str) {
        let cell = (state.to_owned(), command.to_owned());
        assert!(!self.table[&cell].starts_with('→'), "{command} of a run that is {state} is refused");
        self.walked.insert(cell);
    }

    /// `attach` of a run that does not end: it shows it until Ctrl-C.
    fn watches(&mut self, state: &str, id: &str, said: &str) {
        self.goes(state, "attach");
        let mut attach = begin(self.world, &["runs", "attach", id]);
        attach.wait_said(said, Duration::from_secs(10));
        attach.signal(Signal::SIGINT);
        let ran = attach.finish().expect_code(130);
        assert!(
            ran.stderr.contains(&format!("`classify runs attach {id}` shows it again")),
            "{}",
            ran.stderr
        );
    }

    fn state_of(&self, id: &str) -> String {
        let ran = self.world.classify(&["runs", "show", id, "--json"]).expect_code(0);
        ran.json()["state"].as_str().expect("a state").to_owned()
    }

    fn begin(&mut self, output: &str) -> (Running, String, String) {
        let table = self.world.table(40);
        let before = self.world.executed().len();
        let args = ["--rpm", "600", "--batch-size", "5", "-o", output, &table];
        let run = begin(self.world, &args);
        self.world.wait_executed(before, 5);
        let id = youngest(self.world);
        (run, id, table)
    }

    fn interrupted(&mut self, output: &str) -> (String, String) {
        let (mut run, id, table) = self.begin(output);
        kill(&mut run);
        assert_eq!(self.state_of(&id), "interrupted");
        (id, table)
    }

    fn detached(&mut self, rows: usize, args: &[&str], output: &str) -> String {
        let table = self.world.table(rows);
        let all = [&["-q", "--detach", "--batch-size", "5"], args, &["-o", output, &table]].concat();
        self.world.classify(&all).expect_code(0).stdout.trim().to_owned()
    }

    /// A run whose client died while it was handed over.
    fn torn(&mut self, output: &str) -> String {
        let table = self.world.table(MANY);
        let before = youngest(self.world);
        let args = ["--detach", "--rpm", "600", "--batch-size", "5", "-o", output, &table];
        let mut run = begin(self.world, &args);
        let (mut id, admin) = (before.clone(), self.world.admin_url());
        wait_for("the hand-over", Duration::from_secs(30), || {
            id = youngest(self.world);
            let journal = self.world.path(&format!("state/runs/{id}/journal.jsonl"));
            let begun = fs::read_to_string(journal).is_ok_and(|lines| lines.contains("handing_over"));
            id != before && begun && kept(&admin, &id) > 0
        });
        kill(&mut run);
        assert_eq!(self.state_of(&id), "not handed over");
        id
    }
}

fn begin(world: &World, args: &[&str]) -> Running {
    Running::begin(world.command(args), world.path("walk.stderr"))
}

fn kill(run: &mut Running) {
    run.signal(Signal::SIGKILL);
    wait_for("the killed run to end", Duration::from_secs(5), || run.has_ended());
}

/// The youngest run in the ledger.
fn youngest(world: &World) -> String {
    let names = fs::read_dir(world.path("state/runs")).into_iter().flatten().flatten();
    let ids = names.filter(|entry| entry.path().join("run.json").exists());
    ids.filter_map(|entry| entry.file_name().into_string().ok()).max().unwrap_or_default()
}

/// Batches of a run that wait in the cluster.
fn kept(admin: &str, id: &str) -> u64 {
    let pages = format!("service_name = 'BatchPage' AND service_key LIKE '{id}.%'");
    let query = json!({ "query": format!("SELECT COUNT(*) AS n FROM state WHERE {pages}") });
    http("POST", &format!("{admin}/query"), &query)["rows"][0]["n"].as_u64().expect("a number")
}

pub(crate) fn every_command_does_in_every_state_what_the_docs_say(world: &mut World) {
    let mut walk = Walk::new(world);
    of_this_machine(&mut walk);
    not_handed_over(&mut walk);
    of_the_cluster(&mut walk);
    halted(&mut walk);
    let left: Vec<_> = walk.table.keys().filter(|cell| !walk.walked.contains(*cell)).collect();
    assert!(left.is_empty(), "not walked: {left:?}");
    note(&format!("states: {} cells walked", walk.walked.len()));
}

fn of_this_machine(walk: &mut Walk<'_>) {
    let (mut run, id, _) = walk.begin("walk-a.jsonl");
    let told = walk.world.classify(&["runs", "report", &id]).expect_code(0);
    assert!(told.stderr.contains("is at the run") && !told.stdout.contains("stopped"), "{}", told.stdout);
    walk.refusals("running", &id, "");
    kill(&mut run);

    walk.refusals("interrupted", &id, "");
    walk.does("interrupted", "resume", &id, 0);
    walk.refusals("finished", &id, "");
    for command in ["attach", "resume"] {
        let told = walk.does("finished", command, &id, 0);
        assert!(told.stderr.contains("classified 40 of 40"), "{}", told.stderr);
    }
    walk.does("finished", "retry", &id, 0);
    walk.does("finished", "delete", &id, 0);

    let (id, _) = walk.interrupted("walk-b.jsonl");
    walk.does("interrupted", "delete", &id, 0);
    let (id, _) = walk.interrupted("walk-c.jsonl");
    walk.does("interrupted", "cancel", &id, 0);
    walk.refusals("cancelled", &id, "");
    walk.does("cancelled", "attach", &id, 3);
    walk.does("cancelled", "cancel", &id, 0);
    walk.does("cancelled", "delete", &id, 0);

    let (id, table) = walk.interrupted("walk-d.jsonl");
    let path = walk.world.path(&table);
    let rows = fs::read_to_string(&path).expect("the table");
    fs::write(&path, rows + "one-more,Exports of more,USD Million,Monthly\n").expect("the table");
    walk.world.classify(&["runs", "resume", &id, "--accept-changes", "--rpm", "60000"]).expect_code(0);
    let by = youngest(walk.world);
    walk.refusals("taken over", &id, &by);
    walk.does("taken over", "delete", &id, 0);
}

fn not_handed_over(walk: &mut Walk<'_>) {
    let id = walk.torn("walk-e.jsonl");
    walk.refusals("not handed over", &id, "");
    walk.does("not handed over", "cancel", &id, 0);
    let admin = walk.world.admin_url();
    wait_for("the cluster to forget its batches", Duration::from_secs(20), || kept(&admin, &id) == 0);
    assert_eq!(walk.state_of(&id), "cancelled");
    walk.refusals("cancelled", &id, "");
    walk.does("cancelled", "attach", &id, 3);
    assert!(!walk.world.path("walk-e.jsonl").exists(), "nothing was classified");

    let id = walk.torn("walk-f.jsonl");
    let handed = walk.does("not handed over", "resume", &id, 0);
    assert!(
        handed.stderr.contains("detached   the cluster goes on with 40,000 indicators"),
        "{}",
        handed.stderr
    );
    let executed = walk.world.executed().len();
    walk.world.wait_executed(executed, 5);
    walk.does("detached, going", "cancel", &id, 0);
    walk.refusals("detached, cancelled", &id, "");
    walk.does("detached, cancelled", "cancel", &id, 0);
    // What was classified is in its place, and nothing leads back to the run.
    let collected = walk.does("detached, cancelled", "attach", &id, 3);
    assert!(
        collected.stderr.contains("was cancelled") && !collected.stderr.contains("runs resume"),
        "{}",
        collected.stderr
    );
    assert!(collected.stderr.contains("run the command again"), "{}", collected.stderr);
    let rows = walk.world.rows("walk-f.jsonl").len();
    assert!((1..MANY).contains(&rows), "{rows} rows");
    assert!(!walk.world.path("walk-f.jsonl.partial").exists());
    assert_eq!(walk.state_of(&id), "cancelled");
    walk.refusals("cancelled", &id, "");
    let again = walk.does("cancelled", "attach", &id, 3);
    assert!(again.stderr.contains(&format!("the run {id} was cancelled")), "{}", again.stderr);
    walk.does("cancelled", "delete", &id, 0);
    assert_eq!(walk.world.rows("walk-f.jsonl").len(), rows, "rows stay");
}

fn of_the_cluster(walk: &mut Walk<'_>) {
    let id = walk.detached(200, &["--rpm", "600"], "walk-g.jsonl");
    assert_eq!(walk.state_of(&id), "detached");
    let told = walk.world.classify(&["runs", "report", &id]).expect_code(0);
    assert!(told.stderr.contains(&format!("classify runs attach {id}")) && !told.stdout.contains("stopped"));
    walk.refusals("detached, going", &id, "");
    walk.watches("detached, going", &id, "progress");
    walk.does("detached, going", "resume", &id, 0);
    walk.does("detached, going", "pause", &id, 0);
    walk.refusals("detached, paused", &id, "");
    walk.watches("detached, paused", &id, "paused");
    walk.does("detached, paused", "pause", &id, 0);
    walk.does("detached, paused", "resume", &id, 0);
    walk.does("detached, going", "pause", &id, 0);
    walk.does("detached, paused", "cancel", &id, 0);
    walk.does("detached, cancelled", "delete", &id, 0);

    let id = walk.detached(40, &["--mode", "max"], "walk-h.jsonl");
    let over = |walk: &Walk<'_>| walk.world.classify(&["runs", "resume", &id]).stderr.contains("over  ");
    wait_for("the end of it", Duration::from_secs(20), || over(walk));
    walk.refusals("detached, over", &id, "");
    let told = walk.does("detached, over", "resume", &id, 0);
    assert!(told.stderr.contains(&format!("next       classify runs attach {id}")), "{}", told.stderr);
    walk.does("detached, over", "attach", &id, 0);
    walk.refusals("finished", &id, "");
    let told = walk.does("finished", "attach", &id, 0);
    assert!(told.stderr.contains("classified 40 of 40"), "{}", told.stderr);
    let id = walk.detached(5, &["--mode", "max"], "walk-i.jsonl");
    wait_for("the end of it", Duration::from_secs(20), || {
        walk.world.classify(&["runs", "resume", &id]).stderr.contains("over  ")
    });
    walk.does("detached, over", "delete", &id, 0);
}

/// A key that is refused halts a run. Once it is right the run goes on, and its results are collected at once, whatever failed before.
fn halted(walk: &mut Walk<'_>) {
    const MODEL: &str = "stub-halted";
    let provider = Provider::start(Plan::healthy());
    walk.world.replace_service(|service| {
        provider.is_known_to(service);
        service.env("OPENAI_API_KEY", "stub-wrong-9876543210zyxwvutsrq");
    });
    let with = ["--provider", "openai", "--model", MODEL, "--rpm", "1200", "--max-in-flight", "10"];
    let id = walk.detached(60, &with, "walk-j.jsonl");
    let halts = walk.world.classify(&["runs", "attach", &id]).expect_code(3);
    assert!(halts.stderr.contains("401"), "{}", halts.stderr);
    walk.refusals("detached, halted", &id, "");
    let paused = walk.does("detached, halted", "pause", &id, 0);
    assert!(paused.stderr.contains("halted     every further call"), "{}", paused.stderr);
    provider.serve(walk.world, &[]);
    walk.does("detached, halted", "resume", &id, 0);
    let done = walk.world.classify(&["runs", "attach", &id, "--json"]).expect_code(3);
    let totals = done.json()["totals"].clone();
    let failed = totals["failed"].as_u64().expect("a number");
    assert!((1..60).contains(&failed) && totals["pending"] == 0, "{totals}");
    assert!(!done.stderr.contains("error:"), "{}", done.stderr);
    assert_eq!(walk.world.rows("walk-j.jsonl").len() as u64, 60 - failed);
    assert!(!walk.world.path("walk-j.jsonl.partial").exists());
    let retried = walk.world.classify(&["runs", "retry", &id, "--rpm", "60000"]).expect_code(0);
    assert!(retried.stderr.contains("60 of 60"), "{}", retried.stderr);

    walk.world.replace_service(|service| {
        provider.is_known_to(service);
        service.env("OPENAI_API_KEY", "stub-wrong-9876543210zyxwvutsrq");
    });
    let id = walk.detached(60, &with, "walk-k.jsonl");
    walk.world.classify(&["runs", "attach", &id]).expect_code(3);
    walk.does("detached, halted", "cancel", &id, 0);
}
