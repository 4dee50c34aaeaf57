//! A client that works on one table until it is done, however often it is killed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::checks::Counts;
use crate::running::{Ran, Running, wait_for};
use crate::world::World;

/// A run over some hundred rows that is not done by then will never be.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) struct Client {
    /// What was typed.
    args: Vec<String>,
    /// Where its results go, a name of its own.
    results: String,
    running: Option<Running>,
    stderr: PathBuf,
    /// Started so many times.
    starts: usize,
}

impl Client {
    /// Types the command.
    pub(super) fn begin(world: &World, args: &[&str]) -> Self {
        let mut client = Self {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            results: (*args.iter().skip_while(|arg| **arg != "-o").nth(1).expect("a place for the results"))
                .to_owned(),
            running: None,
            stderr: PathBuf::new(),
            starts: 0,
        };
        client.start(world, world.command(args));
        client
    }

    fn start(&mut self, world: &World, command: Command) {
        self.starts += 1;
        let name = self.results.replace('/', "-");
        self.stderr = world.path(&format!("{name}.{}.stderr", self.starts));
        self.running = Some(Running::begin(command, self.stderr.clone()));
    }

    /// Ends it with SIGKILL, wherever it is. False if it had ended by itself.
    pub(super) fn kill(&mut self) -> bool {
        let mut running = self.running.take().expect("a running client");
        if running.has_ended() {
            self.running = Some(running);
            return false;
        }
        running.signal(Signal::SIGKILL);
        drop(running);
        true
    }

    /// Goes on with the run that was killed or stopped. One that was killed before it had a record is typed again.
    pub(super) fn resume(&mut self, world: &World) {
        let command = match self.run_id(world) {
            Some(id) => world.command(&["runs", "resume", &id, "--json"]),
            None => world.command(&self.args.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        self.start(world, command);
    }

    /// The run it began, if it got as far as writing down what it was asked.
    pub(super) fn run_id(&self, world: &World) -> Option<String> {
        let mine = world.path(&self.results);
        let entries = fs::read_dir(world.path("state/runs")).into_iter().flatten().flatten();
        let mut specs = entries.filter_map(|entry| {
            let spec = fs::read_to_string(entry.path().join("run.json")).ok()?;
            serde_json::from_str::<Value>(&spec).ok()
        });
        let spec = specs.find(|spec| {
            spec["output"]["results"]
                .as_str()
                .is_some_and(|path| mine.as_path() == std::path::Path::new(path))
        })?;
        spec["run_id"].as_str().map(str::to_owned)
    }

    /// What the run's record counts.
    pub(super) fn ledger(&self, world: &World) -> Counts {
        let id = self.run_id(world).expect("a run on record");
        let read =
            |name: &str| fs::read_to_string(world.path(&format!("state/runs/{id}/{name}"))).expect(name);
        let spec: Value = serde_json::from_str(&read("run.json")).expect("JSON");
        journaled(&spec, &read("journal.jsonl"))
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(Running::has_ended)
    }

    /// What it has said on stderr since it was last started.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until it says `text`; returns how long after `since` that was.
    pub(super) fn wait_said(&mut self, text: &str, since: Instant) -> Duration {
        self.running.as_mut().expect("a running client").wait_said(text, PATIENCE);
        since.elapsed()
    }

    /// Waits for its end.
    pub(super) fn finish(&mut self) -> Ran {
        let mut running = self.running.take().expect("a running client");
        wait_for("the client to end", PATIENCE, || running.has_ended());
        running.finish()
    }
}

/// What a journal counts, line by line: rows count with the mark behind them.
fn journaled(spec: &Value, journal: &str) -> Counts {
    let rows = &spec["rows"]["tables"];
    let indicators = number(&rows["rows"]) - number(&rows["duplicates"]);
    let nothing = Counts { indicators, ..Counts::default() };
    let (mut counts, mut marked) = (nothing, nothing);
    for line in journal.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        match line["event"].as_str() {
            Some("opened") => counts = marked,
            Some("restarted") => (counts, marked) = (nothing, nothing),
            Some("mark" | "sealed") => marked = counts,
            Some("done") => {
                counts.succeeded += number(&line["succeeded"]);
                counts.failed += line["failed"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(_, failed)| number(failed))
                    .sum::<usize>();
                counts.requests += number(&line["usage"]["requests"]);
            }
            _ => {}
        }
    }
    marked.pending = indicators - marked.succeeded - marked.failed;
    marked
}

fn number(value: &Value) -> usize {
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or_else(|| panic!("`{value}` is no number"))
}

/// What a report counts.
pub(super) fn counts(report: &Value) -> Counts {
    let total = |name: &str| number(&report["totals"][name]);
    Counts {
        indicators: total("indicators"),
        succeeded: total("succeeded"),
        failed: total("failed"),
        pending: total("pending"),
        requests: number(&report["llm"]["requests"]),
    }
}
