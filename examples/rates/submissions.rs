//! Indicators submitted: when they arrived at the service, by its audit log.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::arrivals::{Arrivals, float, quantile};
use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::running::{Running, wait_for};
use crate::table::Table;
use crate::world::{World, send};

const NODES: usize = 3;
/// Indicators a minute.
const RATES: [u32; 4] = [450, 900, 5_000, 20_000];
/// What is done to a run begins and ends so many seconds after its first arrival.
const TROUBLE: (u64, u64) = (20, 40);
/// Its rate, in indicators a minute.
const DISTURBED: u32 = 5_000;

/// One run, as the service saw it.
struct Seen {
    rpm: u32,
    /// Indicators of a batch.
    size: usize,
    arrivals: Arrivals,
    /// When the first indicator of each batch came, by the batch's place in the run.
    batches: BTreeMap<usize, f64>,
}

/// A run that is under way.
struct Client {
    rpm: u32,
    running: Running,
}

/// Four rates at once, while all is well.
pub(crate) fn steady(world: &mut World, seconds: u32) -> Table {
    let mut table = Table::new(&[
        "target a minute",
        "achieved",
        "of the target",
        "fullest minute",
        "allowed",
        "first second",
        "allowed",
        "jitter of batches, median",
        "99 %",
    ]);
    let clients = RATES.map(|rpm| begin(world, rpm, &["--provider", "rules"], seconds));
    for client in clients {
        let seen = end(world, client);
        let burst = NODES * seen.size;
        let (rpm, achieved) = (f64::from(seen.rpm), seen.arrivals.per_minute());
        let (fullest, most) = (seen.arrivals.fullest(60.0), whole(rpm) + burst);
        let first = seen.arrivals.between(seen.arrivals.first(), seen.arrivals.first() + 1.0).number();
        let most_at_once = whole(rpm * 0.02) + burst;
        let [median, nearly_all] = seen.jitter();
        table.row(
            vec![
                format!("{rpm}"),
                format!("{achieved:.1}"),
                format!("{:.2} %", achieved / rpm * 100.0),
                fullest.to_string(),
                most.to_string(),
                first.to_string(),
                most_at_once.to_string(),
                format!("{median:.0} ms"),
                format!("{nearly_all:.0} ms"),
            ],
            &[
                (achieved >= rpm * 0.99, "less than 99 % of the target"),
                (fullest <= most, "too many in a minute"),
                (first <= most_at_once, "too many in the first second"),
            ],
        );
    }
    table
}

/// What goes wrong in the middle of a run.
#[derive(Clone, Copy)]
enum Trouble {
    /// A node is killed, and started again.
    DeadNode,
    /// A node stands still for half of every second.
    SlowNode,
    /// No call of the service is answered.
    SlowService,
}

/// A rate that is kept while something goes wrong.
pub(crate) fn disturbed(world: &mut World, seconds: u32) -> Table {
    let mut table = Table::new(&[
        "for 20 s",
        "before, of the target",
        "meanwhile",
        "afterwards",
        "fullest minute",
        "allowed",
        "fullest second afterwards",
    ]);
    for trouble in [Trouble::DeadNode, Trouble::SlowNode, Trouble::SlowService] {
        let provider = Provider::start(Plan::healthy());
        provider.serve(world, &["--llm-concurrency", "4000"]);
        // Room for 12 s, so that a service that stands still is felt.
        let args = ["--provider", "openai", "--model", "rates", "--max-in-flight", "1000"];
        let client = begin(world, DISTURBED, &args, seconds);
        wait_for("the first call", Duration::from_mins(1), || !provider.stub.seen().is_empty());
        let (first, origin) = (Instant::now(), jiff::Timestamp::now());
        let (from, until) = TROUBLE;
        wait(first, from);
        trouble.strike(world, &provider, first + Duration::from_secs(until));
        let ended = origin.duration_until(jiff::Timestamp::now()).as_secs_f64();
        let seen = end(world, client);

        // Rates are those of whole seconds away from what begins or ends.
        let target = f64::from(DISTURBED);
        let start = seen.arrivals.first();
        let (from, until) = (start + float_of(from), start + ended);
        let rate = |from: f64, until: f64| {
            float(seen.arrivals.between(from, until).number()) / (until - from) * 60.0 / target * 100.0
        };
        let after = seen.arrivals.between(until + 5.0, start + float_of(u64::from(seconds)) - 3.0);
        let (before, afterwards) = (
            seen.arrivals.between(start, from).per_minute() / target * 100.0,
            after.per_minute() / target * 100.0,
        );
        let (fullest, most) = (seen.arrivals.fullest(60.0), whole(target) + NODES * seen.size);
        table.row(
            vec![
                trouble.title().to_owned(),
                format!("{before:.1} %"),
                format!("{:.1} %", rate(from, until)),
                format!("{afterwards:.1} %"),
                fullest.to_string(),
                most.to_string(),
                seen.arrivals.between(until, f64::INFINITY).fullest(1.0).to_string(),
            ],
            &[
                (before >= 99.0, "less than 99 % before"),
                (afterwards >= 99.0, "less than 99 % afterwards"),
                (fullest <= most, "too many in a minute"),
            ],
        );
    }
    table
}

impl Trouble {
    fn title(self) -> &'static str {
        match self {
            Self::DeadNode => "a node is dead, and comes back",
            Self::SlowNode => "a node stands still for half of every second",
            Self::SlowService => "the service answers nothing",
        }
    }

    /// Begins now, ends at `end` or as soon afterwards as what it did is undone.
    fn strike(self, world: &World, provider: &Provider, end: Instant) {
        match self {
            Self::DeadNode => {
                send(world.node_pids()[1], Signal::SIGKILL);
                wait_until(end);
                world.start_nodes();
            }
            Self::SlowNode => {
                let pid = world.node_pids()[1];
                while Instant::now() < end {
                    for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
                        send(pid, signal);
                        wait_until(Instant::now() + Duration::from_millis(500));
                    }
                }
            }
            Self::SlowService => {
                provider.stub.hold(true);
                wait_until(end);
                provider.stub.hold(false);
            }
        }
    }
}

/// Starts a run of `seconds` at `rpm`.
fn begin(world: &mut World, rpm: u32, args: &[&str], seconds: u32) -> Client {
    let table = world.table(whole(f64::from(rpm) * f64::from(seconds) / 60.0));
    let (rate, results) = (rpm.to_string(), format!("{table}.jsonl"));
    let command = world.command(&[&["--rpm", &rate, "--json", "-o", &results, &table], args].concat());
    Client { rpm, running: Running::begin(command, world.path(&format!("{table}.stderr"))) }
}

/// Waits for its end, and reads what the service noted of it.
fn end(world: &World, client: Client) -> Seen {
    let report = client.running.finish().expect_code(0).json();
    let run = format!("{}.", report["run_id"].as_str().expect("an id"));
    let (mut moments, mut batches, mut sizes) =
        (Vec::new(), BTreeMap::new(), BTreeMap::<usize, usize>::new());
    for line in fs::read_to_string(world.audit_path()).expect("the audit log").lines() {
        let entry: Value = serde_json::from_str(line).expect("an audit line");
        let Some(place) = entry["batch"].as_str().and_then(|batch| batch.strip_prefix(&run)) else {
            continue;
        };
        let place = place.parse().expect("a place");
        let at: jiff::Timestamp = entry["at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
        let at = at.duration_since(jiff::Timestamp::UNIX_EPOCH).as_secs_f64();
        moments.push(at);
        let first = batches.entry(place).or_insert(at);
        *first = at.min(*first);
        *sizes.entry(place).or_default() += 1;
    }
    let size = sizes.values().copied().max().expect("batches");
    Seen { rpm: client.rpm, size, arrivals: Arrivals::new(moments), batches }
}

impl Seen {
    /// How far batches are from when they should have come, which is counted from when they came on average: the median and
    /// what 99 % stay below, in milliseconds.
    fn jitter(&self) -> [f64; 2] {
        let period = float(NODES * self.size) / f64::from(self.rpm) * 60.0;
        let late = self.batches.iter().map(|(place, at)| at - float(place / NODES) * period);
        let mut late: Vec<f64> = late.collect();
        let middle = quantile(&mut late, 0.5);
        let mut off: Vec<f64> = late.iter().map(|late| (late - middle).abs() * 1_000.0).collect();
        [0.5, 0.99].map(|share| quantile(&mut off, share))
    }
}

fn wait(since: Instant, seconds: u64) {
    wait_until(since + Duration::from_secs(seconds));
}

fn wait_until(end: Instant) {
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

fn float_of(seconds: u64) -> f64 {
    Duration::from_secs(seconds).as_secs_f64()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
fn whole(number: f64) -> usize {
    number.round() as usize
}
