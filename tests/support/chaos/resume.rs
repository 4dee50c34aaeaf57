//! A client that is killed anywhere and resumed ends with the very bytes of an undisturbed run.
//!
//! The rows are known to the cluster, so that every byte of a result is settled beforehand and no call is to be made.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::Measured;
use super::arena::Arena;
use super::checks::{self, Answers, Found};
use super::client::{self, Client};
use super::leftovers::leftovers;

/// A kill that comes too late is drawn anew so often.
const DRAWS: usize = 20;
/// A client has read its input by then, at the latest.
const START_UP: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_mins(1);

/// A table whose answers the cluster knows, and what a run over it comes to.
pub(super) struct Known {
    table: String,
    model: String,
    asked: BTreeSet<String>,
    /// The results of an undisturbed run.
    reference: String,
    /// How long that took, start and end included.
    length: Duration,
    runs: usize,
}

/// Where a client is killed.
enum Moment {
    /// So long after its start.
    After(Duration),
    /// When the results have their final name and little is left to do.
    Renamed,
}

impl Known {
    /// Has the table classified once, and then reads what an undisturbed run makes of the known answers.
    pub(super) fn learn(arena: &mut Arena, rows: usize) -> Self {
        let (table, model) = (arena.world.table(rows), arena.new_model());
        let lines = fs::read_to_string(arena.world.path(&table)).expect("the table");
        let asked =
            lines.lines().skip(1).filter_map(|line| Some(line.split_once(',')?.0.to_owned())).collect();
        let mut known =
            Self { table, model, asked, reference: String::new(), length: Duration::ZERO, runs: 0 };
        known.undisturbed(arena);
        (known.reference, known.length) = known.undisturbed(arena);
        known
    }

    fn undisturbed(&mut self, arena: &Arena) -> (String, Duration) {
        let (mut client, results) = self.begin(arena);
        let begun = Instant::now();
        client.finish().expect_code(0);
        (fs::read_to_string(arena.world.path(&results)).expect("results"), begun.elapsed())
    }

    fn begin(&mut self, arena: &Arena) -> (Client, String) {
        self.runs += 1;
        let results = format!("{}-{}.jsonl", self.model, self.runs);
        let args = [
            &["--provider", "openai", "--model", &self.model, "--mode", "max", "--batch-size", "5"][..],
            &["--max-in-flight", "100", "--json", "-o", &results, &self.table],
        ]
        .concat();
        (Client::begin(&arena.world, &args), results)
    }

    /// Kills a client, once at least, and lets it end.
    pub(super) fn round(&mut self, arena: &mut Arena, mut rng: Rng) -> Measured {
        let calls = arena.provider.stub.number_for(&self.model);
        let (mut client, results) = self.killed_once(arena, &mut rng);
        client.resume(&arena.world);
        for _ in 0..rng.usize(..3) {
            if !self.kill(arena, &mut client, &results, &mut rng) {
                break;
            }
            client.resume(&arena.world);
        }
        let ran = client.finish().expect_code(0);

        let world = &arena.world;
        let text = fs::read_to_string(world.path(&results)).expect("results");
        let id = |row: &serde_json::Value| row["id"].as_str().unwrap_or("a row without an id").to_owned();
        let answers = Answers {
            results: world.rows(&results).iter().map(id).collect(),
            failures: Vec::new(),
            report: client::counts(&ran.json()),
            ledger: client.ledger(world),
        };
        let mut left = arena.unfinished();
        left.extend(arena.strangers());
        left.extend(leftovers(&arena.world.path("")));
        let found = Found { asked: self.asked.clone(), answers: vec![answers], left, ..Found::default() };
        let mut verdict = checks::judge(&found);
        verdict.violations.extend(checks::same_lines(&self.reference, &text));
        let repeated = arena.provider.stub.number_for(&self.model) - calls;
        if repeated > 0 {
            verdict.violations.push(format!("{repeated} calls for rows whose answers are known"));
        }
        let checks::Verdict { lost, duplicated, violations, .. } = verdict;
        Measured { rows: self.asked.len(), lost, duplicated, repeated, violations, ..Measured::default() }
    }

    /// A client that was killed in the midst of its work.
    fn killed_once(&mut self, arena: &Arena, rng: &mut Rng) -> (Client, String) {
        for _ in 0..DRAWS {
            let (mut client, results) = self.begin(arena);
            if self.kill(arena, &mut client, &results, rng) {
                return (client, results);
            }
            client.finish().expect_code(0);
        }
        panic!("a client was always done before it could be killed");
    }

    /// Kills the client at a random moment. False if it was done by then.
    fn kill(&self, arena: &Arena, client: &mut Client, results: &str, rng: &mut Rng) -> bool {
        let ms = |length: Duration, rng: &mut Rng| {
            Duration::from_micros(rng.u64(..u64::try_from(length.as_micros()).expect("a short time")))
        };
        let moment = match rng.u8(..10) {
            0 | 1 => Moment::After(ms(START_UP, rng)),
            2 | 3 => Moment::Renamed,
            _ => Moment::After(ms(self.length, rng)),
        };
        await_moment(&moment, &arena.world.path(results), client);
        client.kill()
    }
}

fn await_moment(moment: &Moment, results: &Path, client: &mut Client) {
    let begun = Instant::now();
    // Looks far more often than a process takes for its last steps.
    let reached = || match moment {
        Moment::After(time) => begun.elapsed() >= *time,
        Moment::Renamed => results.exists(),
    };
    while !reached() && !client.has_ended() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for a moment to kill a client");
        std::thread::park_timeout(Duration::from_micros(200));
    }
}
