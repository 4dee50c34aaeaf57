//! A client that works on one table until it is done, however often it is killed.

use std::collections::BTreeSet;
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
    /// Runs that were there before.
    earlier: BTreeSet<String>,
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
            earlier: runs(world),
            running: None,
            stderr: PathBuf::new(),
            starts: 0,
        };
        client.start(world, world.command(args));
        client
    }

    fn start(&mut self, world: &World, command: Command) {
        self.starts += 1;
        let output = self.args.iter().skip_while(|arg| *arg != "-o").nth(1).expect("a place for the results");
        self.stderr = world.path(&format!("{}.{}.stderr", output.replace('/', "-"), self.starts));
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

    /// The run it began.
    pub(super) fn run_id(&self, world: &World) -> Option<String> {
        runs(world).difference(&self.earlier).next().cloned()
    }

    /// What the run's journal counts, line by line; `None` where there is no record.
    pub(super) fn ledger(&self, world: &World) -> Option<Counts> {
        self.run_id(world)?;
        None
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

/// What a report counts.
pub(super) fn counts(report: &Value) -> Counts {
    let number =
        |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number");
    let total = |name: &str| number(&report["totals"][name]);
    Counts {
        indicators: total("indicators"),
        succeeded: total("succeeded"),
        failed: total("failed"),
        pending: total("pending"),
        requests: number(&report["llm"]["requests"]),
    }
}

/// Ids of the runs on record.
fn runs(world: &World) -> BTreeSet<String> {
    let entries = fs::read_dir(world.path("state/runs")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
