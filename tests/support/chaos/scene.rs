//! One round on its way: a table nobody has seen, clients that work on it, and what is noted while things break.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::Signal;

use super::Measured;
use super::arena::{Arena, LATENCY};
use super::checks::{self, Answers, Call, Found, Risk, Verdict};
use super::client::{self, Client};
use super::isolation::SmallDisk;
use super::leftovers::leftovers;
use super::progress::Watch;
use crate::running::wait_for;

/// From an answer's arrival at the service until it is in the journal.
const STORED: Duration = Duration::from_millis(300);
/// The provider has seen calls of a run by then, or never will.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Scene<'a> {
    pub(super) arena: &'a mut Arena,
    pub(super) rng: Rng,
    /// Name of the model, and the beginning of the names of all files.
    pub(super) model: String,
    pub(super) table: String,
    asked: BTreeSet<String>,
    jobs: Vec<Job>,
    risks: Vec<Risk>,
    /// What was found on the way and must not be.
    pub(super) violations: Vec<String>,
    /// How long it took until the client said what was wrong.
    pub(super) told: Option<Duration>,
    /// When what had been taken away was there again.
    pub(super) returned: Option<Instant>,
    /// A client was stopped before it had all it had bought.
    stopped: bool,
    /// Held until everything on it has been read.
    pub(super) disk: Option<SmallDisk>,
}

/// A client, and where its results go.
struct Job {
    client: Client,
    results: String,
    watch: Watch,
}

impl<'a> Scene<'a> {
    pub(super) fn new(arena: &'a mut Arena, rng: Rng, rows: usize) -> Self {
        let table = arena.world.table(rows);
        let asked = ids(&fs::read_to_string(arena.world.path(&table)).expect("the table"));
        let model = arena.new_model();
        let (jobs, risks, violations) = Default::default();
        Self {
            arena,
            rng,
            model,
            table,
            asked,
            jobs,
            risks,
            violations,
            told: None,
            returned: None,
            stopped: false,
            disk: None,
        }
    }

    /// Starts a client on the table.
    pub(super) fn begin(&mut self) {
        let (table, results) = (self.table.clone(), format!("{}.jsonl", self.model));
        self.begin_with(&table, &results);
    }

    /// Starts a client on the table, with more options.
    pub(super) fn begin_with_more(&mut self, more: &[&str]) {
        let (table, results) = (self.table.clone(), format!("{}.jsonl", self.model));
        self.begin_job(&table, &results, more);
    }

    /// Starts a client on `table`, with the results at `results`.
    pub(super) fn begin_with(&mut self, table: &str, results: &str) {
        self.begin_job(table, results, &[]);
    }

    fn begin_job(&mut self, table: &str, results: &str, more: &[&str]) {
        let model = self.model.clone();
        let args = [
            &["--provider", "openai", "--model", &model, "--mode", "max", "--batch-size", "10"][..],
            &["--max-in-flight", "200", "--json", "-o", results],
            more,
            &[table],
        ]
        .concat();
        let watch = Watch::begin(self.arena.world.path(results));
        let client = Client::begin(&self.arena.world, &args);
        self.jobs.push(Job { client, results: results.to_owned(), watch });
    }

    /// The first client.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.jobs[0].client
    }

    /// The first client and the world, to start it again.
    pub(super) fn resume(&mut self) {
        self.jobs[0].client.resume(&self.arena.world);
    }

    /// Waits until the first client has stopped, and asks the same again: in its place, and with `more` options.
    pub(super) fn again(&mut self, more: &[&str]) {
        self.wait_stopped();
        let job = self.jobs.remove(0);
        let _marks = job.watch.end();
        // What it was given before, and not told, nobody counts as bought.
        self.stopped = true;
        let world = &self.arena.world;
        if let Some(id) = job.client.run_id(world) {
            // A run that is given up leaves its rows where they are; nobody else takes them away.
            world.classify(&["runs", "cancel", &id]);
            world.classify(&["runs", "delete", &id, "--yes"]).expect_code(0);
        }
        for name in [&job.results, &job.results.replace(".jsonl", ".failures.jsonl")] {
            let path = world.path(name);
            for path in [classify::output::partial_path(&path), path] {
                let _not_there = fs::remove_file(path);
            }
        }
        self.begin_with_more(more);
    }

    /// Waits for the end of the first client, however that is.
    pub(super) fn wait_stopped(&mut self) {
        let client = &mut self.jobs[0].client;
        wait_for("the client to stop", PATIENCE, || client.has_ended());
    }

    /// The first client's run, if it got as far as having one.
    pub(super) fn run_id(&self) -> Option<String> {
        self.jobs[0].client.run_id(&self.arena.world)
    }

    /// Rows of the table.
    pub(super) fn rows(&self) -> f64 {
        f64::from(u32::try_from(self.asked.len()).expect("a small table"))
    }

    /// What the provider has charged, in US dollars: a tenth of a cent for a token it has read.
    pub(super) fn charged(&self) -> f64 {
        let [_, input, _] = self.arena.provider.totals(&self.model);
        f64::from(u32::try_from(input).expect("a small sum")) / 1_000.0
    }

    /// Kills the service and starts another a little later.
    pub(super) fn kill_service(&mut self) {
        self.arena.world.end_service(Signal::SIGKILL);
        self.service_died(Instant::now());
        self.hold(0..3_000);
        self.returned = Some(Instant::now());
        self.arena.start_service();
    }

    /// Where the first client's results are until they are complete.
    pub(super) fn partial(&self) -> PathBuf {
        classify::output::partial_path(&self.arena.world.path(&self.jobs[0].results))
    }

    /// The journal of the first client's run, if it got as far as that.
    pub(super) fn journal(&self) -> Option<PathBuf> {
        let id = self.jobs[0].client.run_id(&self.arena.world)?;
        let path = self.arena.world.path(&format!("state/runs/{id}/journal.jsonl"));
        path.exists().then_some(path)
    }

    /// Waits until a random share of the rows has been asked for.
    pub(super) fn wait_share(&mut self, shares: Range<u32>) {
        let share = self.rng.u32(shares) as usize;
        let number = self.asked.len() * share / 100 + 1;
        wait_for(&format!("{number} calls"), PATIENCE, || {
            let seen = self.arena.provider.stub.number_for(&self.model);
            let client = &mut self.jobs[0].client;
            assert!(seen >= number || !client.has_ended(), "ended after {seen} calls: {}", client.said());
            seen >= number
        });
    }

    /// Lets a random time pass, in ms.
    pub(super) fn hold(&mut self, ms: Range<u64>) {
        let (until, time) = (Instant::now(), Duration::from_millis(self.rng.u64(ms)));
        wait_for("time to pass", time + PATIENCE, || until.elapsed() >= time);
    }

    /// Notes that nodes died, stood still or were cut off at `at`: what was in flight then must not be asked again.
    pub(super) fn cut_off(&mut self, at: Instant) {
        self.note(at, false);
    }

    /// Notes that the service died at `at`: what was in flight then has to be asked again.
    pub(super) fn service_died(&mut self, at: Instant) {
        self.note(at, true);
    }

    fn note(&mut self, at: Instant, by_service: bool) {
        let at = self.arena.at(at);
        self.risks.push(Risk { from: at.saturating_sub(LATENCY + STORED), until: at, by_service });
    }

    /// Waits for all clients and looks at everything they left.
    pub(super) fn end(mut self) -> Measured {
        let mut answers = Vec::new();
        let mut marks = Vec::new();
        let jobs = std::mem::take(&mut self.jobs);
        let clients = jobs.len();
        for mut job in jobs {
            let ran = job.client.finish().expect_code(0);
            answers.push(self.answers(&job.client, &job.results, &ran.json()));
            marks.push(job.watch.end());
        }
        let seen = self.arena.provider.seen(&self.model);
        let calls = seen.into_iter().flat_map(|seen| {
            let (at, served) = (self.arena.at(seen.at), seen.what == "served");
            seen.ids.into_iter().map(move |id| Call { id, at, served })
        });
        let calls = calls.collect();
        let mut left = self.arena.unfinished();
        left.extend(self.arena.strangers());
        left.extend(leftovers(&self.arena.world.path("")));
        let stopped = self.stopped;
        let found = Found { asked: self.asked, answers, calls, risks: self.risks, left, stopped };
        let mut verdict = checks::judge(&found);
        verdict.violations.append(&mut self.violations);

        let back = self.returned.and_then(|returned| {
            let next = marks[0].iter().find(|mark| **mark >= returned)?;
            Some(*next - returned)
        });
        let stall = |marks: &Vec<Instant>| {
            checks::longest_gap(&marks.iter().map(|mark| self.arena.at(*mark)).collect::<Vec<_>>())
        };
        let stall = marks.iter().map(stall).max().unwrap_or_default();
        let Verdict { lost, duplicated, repeated, at_risk, violations } = verdict;
        let (rows, told) = (found.asked.len() * clients, self.told);
        Measured { rows, lost, duplicated, repeated, at_risk, stall, told, back, violations }
    }

    fn answers(&self, client: &Client, results: &str, report: &serde_json::Value) -> Answers {
        let world = &self.arena.world;
        let failures = results.replace(".jsonl", ".failures.jsonl");
        let failed = if world.path(&failures).exists() { world.rows(&failures) } else { Vec::new() };
        let id = |id: &serde_json::Value| id.as_str().unwrap_or("a row without an id").to_owned();
        Answers {
            results: world.rows(results).iter().map(|row| id(&row["id"])).collect(),
            failures: failed.iter().map(|row| id(&row["input"]["id"])).collect(),
            report: client::counts(report),
            ledger: client.ledger(world),
        }
    }
}

/// Ids in a CSV.
fn ids(table: &str) -> BTreeSet<String> {
    table.lines().skip(1).filter_map(|line| Some(line.split_once(',')?.0.to_owned())).collect()
}
