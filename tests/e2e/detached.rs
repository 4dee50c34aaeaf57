//! Runs that were handed over: the cluster goes on with them when nobody is there.

use std::num::NonZeroU32;
use std::thread::park_timeout;
use std::time::Duration;

use classify::domain::batch::RunOptions;
use classify::domain::detached::{Changes, Phase, Progress};
use classify::domain::indicator::Indicator;
use classify::domain::method::Method;
use classify::engine::Brakes;
use classify::engine::handover::Handover;
use classify::input::Row;
use classify::restate::ingress::Ingress;
use classify::restate::names::Order;
use classify::shutdown;
use classify::taxonomy::Taxonomy;
use classify::throttle::{Pace, Rate};
use jiff::Timestamp;
use nix::sys::signal::Signal;

use crate::support::{World, http, wait_for};

const TIMEOUT: Duration = Duration::from_secs(10);
/// 20 a second, in batches of 5.
const RPM: f64 = 1_200.0;
const BATCH: u32 = 5;

/// A run of `rows` rows that was handed over, and nothing of it is left in this process.
struct Detached {
    id: String,
    nodes: Vec<Ingress>,
    runtime: tokio::runtime::Runtime,
}

impl Detached {
    fn begin(world: &World, id: &str, rows: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let status = world.classify(&["cluster", "status", "--json", "--name", "e2e"]).json();
        let url = |node: &serde_json::Value| node["ingress_url"].as_str().expect("a URL").to_owned();
        let urls: Vec<String> = status["nodes"].as_array().expect("nodes").iter().map(url).collect();
        let nodes: Vec<Ingress> = urls.iter().map(|url| Ingress::new(url).expect("a client")).collect();
        let batch = NonZeroU32::new(BATCH);
        let handover = Handover {
            run_id: id.to_owned(),
            options: RunOptions {
                method: Method::rules(),
                taxonomy: Taxonomy::economic().digest().to_owned(),
                nonce: Some(id.to_owned()),
                detached: false,
            },
            pace: Pace::new(Rate::Total(RPM), NonZeroU32::new(3).expect("three"), batch, None),
            brakes: Brakes::default(),
        };
        let prefix = id.to_owned();
        let row = move |row| {
            let id = format!("{prefix}-{row}");
            Ok(Row::Valid(Indicator { id, name: "Exports of goods".into(), ..Indicator::default() }))
        };
        let (_raise, stop) = shutdown::channel();
        let handed_over = handover.run(&nodes, (0..rows).map(row), |_| {}, &stop);
        let progress = runtime.block_on(handed_over).expect("the cluster takes it");
        assert_eq!(progress.plan.indicators, u64::from(rows));
        Self { id: id.to_owned(), nodes, runtime }
    }

    /// Orders through one node or the other; every answer reconciles.
    fn order(&self, order: Order) -> Progress {
        let node = &self.nodes[order.handler().len() % self.nodes.len()];
        let asked = node.detached_run(&self.id, order, TIMEOUT);
        let progress = self.runtime.block_on(asked).expect("an answer");
        assert_eq!(progress.plan.indicators, progress.tally.rows() + progress.pending());
        progress
    }

    fn wait(&self, what: &str, mut reached: impl FnMut(&Progress) -> bool) -> Progress {
        let mut progress = None;
        wait_for(what, Duration::from_mins(1), || {
            let now = self.order(Order::Show);
            let there = reached(&now);
            progress = Some(now);
            there
        });
        progress.expect("looked at least once")
    }

    /// When each of its rows was classified, in order.
    fn arrivals(&self, world: &World) -> Vec<Timestamp> {
        let ours = format!("{}-", self.id);
        let executed = world.executed().into_iter();
        let mut arrivals: Vec<_> =
            executed.filter(|(id, _)| id.starts_with(&ours)).map(|(_, at)| at).collect();
        arrivals.sort_unstable();
        arrivals
    }

    /// Batches of it that the cluster keeps.
    fn kept(&self, world: &World) -> u64 {
        let pages = format!("service_name = 'BatchPage' AND service_key LIKE '{}.%'", self.id);
        let query = serde_json::json!({ "query": format!("SELECT COUNT(*) AS n FROM state WHERE {pages}") });
        let answer = http("POST", &format!("{}/query", world.admin_url()), &query);
        answer["rows"][0]["n"].as_u64().expect("a number")
    }
}

/// Most arrivals within a second.
fn fullest_second(arrivals: &[Timestamp]) -> usize {
    let within = |from: &Timestamp| {
        arrivals.iter().filter(|at| (0.0..1.0).contains(&at.duration_since(*from).as_secs_f64())).count()
    };
    arrivals.iter().map(within).max().unwrap_or_default()
}

pub(crate) fn goes_on_at_its_rate_when_nobody_is_there(world: &mut World) {
    let run = Detached::begin(world, "ALONE", 300);
    let over = run.wait("the end", Progress::is_over);
    assert_eq!((over.tally.succeeded, over.pending(), over.in_flight()), (300, 0, 0));
    assert_eq!((over.released, over.finished()), (60, 60));

    let arrivals = run.arrivals(world);
    assert_eq!(arrivals.len(), 300, "each row once");
    // The first batch leaves at once, and each other a quarter of a second after the one before.
    let took = arrivals[299].duration_since(arrivals[0]).as_secs_f64();
    assert!((took / 14.75 - 1.0).abs() < 0.08, "took {took} s instead of 14.75 s");
    // What the cluster takes for a batch may bring two more into a second that has four.
    let fullest = fullest_second(&arrivals);
    assert!(fullest <= 35, "{fullest} in a second");
    let noted = over.ended_at_ms.expect("it has ended") - over.begun_at_ms;
    assert!((14_500..20_000).contains(&noted), "noted {noted} ms");

    // Saying it all again changes nothing.
    assert_eq!(Detached::begin(world, "ALONE", 300).order(Order::Show), over);
    assert_eq!((run.arrivals(world).len(), run.kept(world)), (300, 0));
}

pub(crate) fn a_pause_stops_it_and_it_goes_on_where_it_was(world: &mut World) {
    let run = Detached::begin(world, "PAUSED", 300);
    run.wait("some of it", |progress| progress.finished() >= 10);
    let paused = run.order(Order::Pause);
    let at = Timestamp::now();
    assert_eq!(paused.phase, Phase::Paused);
    let still = run.wait("what is in flight", |progress| progress.in_flight() == 0);
    // Long enough for several more batches, were there any.
    park_timeout(Duration::from_secs(3));
    assert_eq!(run.order(Order::Show), still);
    let last = *run.arrivals(world).last().expect("some");
    let late = last.duration_since(at).as_secs_f64();
    assert!(late < 2.0, "{late} s after the pause");

    assert_eq!(run.order(Order::Resume(Changes::default())).phase, Phase::Running);
    let over = run.wait("the end", Progress::is_over);
    assert_eq!((over.tally.succeeded, over.pending()), (300, 0));
    assert_eq!(run.arrivals(world).len(), 300, "each row once");
}

pub(crate) fn cancelled_it_ends_and_keeps_nothing(world: &mut World) {
    let run = Detached::begin(world, "CANCELLED", 5 * 64 * 20);
    run.wait("some of it", |progress| progress.finished() >= 10);
    assert!(run.kept(world) > 1_000);
    run.order(Order::Cancel);
    let over = run.wait("the end", Progress::is_over);
    assert_eq!(over.tally.rows(), over.plan.rows_before(over.released), "what was submitted was finished");
    assert!(over.pending() > 5_000);
    let node = &run.nodes[0];
    let refused =
        run.runtime.block_on(node.detached_run(&run.id, Order::Resume(Changes::default()), TIMEOUT));
    assert!(refused.expect_err("it was cancelled").is_conflict());

    wait_for("the cluster to forget its batches", Duration::from_secs(20), || run.kept(world) == 0);
}

pub(crate) fn a_service_that_comes_back_meets_no_burst(world: &mut World) {
    let run = Detached::begin(world, "OUTAGE", 400);
    run.wait("some of it", |progress| progress.finished() >= 10);
    world.end_service(Signal::SIGKILL);
    let gone = Timestamp::now();
    // Twice as long as batches are planned ahead, and then some.
    park_timeout(Duration::from_secs(6));
    world.start_service();
    let back = Timestamp::now();
    let over = run.wait("the end", Progress::is_over);
    assert_eq!((over.tally.succeeded, over.pending()), (400, 0));

    let arrivals = run.arrivals(world);
    let after: Vec<_> = arrivals.iter().copied().filter(|at| *at > gone).collect();
    // Six seconds' worth would be 120. What was under way, and what had been planned for the next second and a half, may come at once.
    let fullest = fullest_second(&after);
    assert!(fullest <= 75, "{fullest} in a second");
    let later: Vec<_> =
        after.iter().copied().filter(|at| at.duration_since(back).as_secs_f64() > 6.0).collect();
    let fullest = fullest_second(&later);
    assert!(fullest <= 35, "{fullest} in a second, after all is well again");
}

pub(crate) fn a_run_nobody_knows_is_told(world: &mut World) {
    let run = Detached::begin(world, "KNOWN", 5);
    let unknown = run.runtime.block_on(run.nodes[0].detached_run("UNKNOWN", Order::Show, TIMEOUT));
    assert!(unknown.expect_err("nobody began it").is_unknown_run());
}
