//! Runs that were handed over: the cluster goes on with them when nobody is there.

use std::sync::Arc;
use std::time::Duration;

use classify::domain::detached::{Phase, Progress};
use classify::restate::ingress::Ingress;
use classify::restate::names::Order;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::note;
use crate::world::{World, http, wait_for};

const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const RESULTS: &str = "detached.jsonl";

/// A run that was handed over, 20 rows a second in batches of 5, and of which no process is left.
pub(crate) struct Detached {
    pub(crate) id: String,
    pub(crate) table: String,
    /// Classifications executed before it.
    before: usize,
    pub(crate) node: Ingress,
    runtime: tokio::runtime::Runtime,
}

impl Detached {
    pub(crate) fn begin(world: &mut World, rows: usize) -> Self {
        let table = world.table(rows);
        let before = world.executed().len();
        let status = world.classify(&["cluster", "status", "--json", "--name", "e2e"]).json();
        let node =
            Ingress::new(status["nodes"][1]["ingress_url"].as_str().expect("a URL")).expect("a client");
        let node = node.with_secret(Some(Arc::new(world.secret())));
        let ran = world
            .classify(&["--detach", "--rpm", "1200", "--batch-size", "5", "-o", RESULTS, &table])
            .expect_code(0);
        let id =
            ran.stderr.lines().find_map(|line| line.strip_prefix("run        ")).expect("an id").to_owned();
        assert!(ran.stderr.contains(&format!("next       classify runs attach {id}")), "{}", ran.stderr);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { id, table, before, node, runtime }
    }

    /// Where it is; every answer reconciles.
    pub(crate) fn show(&self) -> Progress {
        let asked = self.node.detached_run(&self.id, Order::Show, TIMEOUT);
        let progress = self.runtime.block_on(asked).expect("an answer");
        assert_eq!(progress.plan.indicators, progress.tally.rows() + progress.pending());
        progress
    }

    pub(crate) fn wait(&self, what: &str, mut reached: impl FnMut(&Progress) -> bool) -> Progress {
        let mut progress = None;
        wait_for(what, Duration::from_mins(2), || {
            let now = self.show();
            let there = reached(&now);
            progress = Some(now);
            there
        });
        progress.expect("looked at least once")
    }

    /// Watches it to its end and collects its results; returns the totals of the report.
    pub(crate) fn attach(&self, world: &World, code: i32) -> Value {
        world.classify(&["runs", "attach", &self.id, "--json"]).expect_code(code).json()["totals"].clone()
    }

    /// When each of its rows was classified, in order.
    fn arrivals(&self, world: &World) -> Vec<Timestamp> {
        let executed = world.executed().into_iter().skip(self.before);
        let mut arrivals: Vec<_> = executed.map(|(_, at)| at).collect();
        arrivals.sort_unstable();
        arrivals
    }

    /// Batches of it that the cluster keeps.
    fn kept(&self, world: &World) -> u64 {
        let pages = format!("service_name = 'BatchPage' AND service_key LIKE '{}.%'", self.id);
        let query = json!({ "query": format!("SELECT COUNT(*) AS n FROM state WHERE {pages}") });
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
    let run = Detached::begin(world, 300);
    let over = run.wait("the end", Progress::is_over);
    assert_eq!((over.tally.succeeded, over.pending(), over.in_flight()), (300, 0, 0));
    assert_eq!((over.released, over.finished()), (60, 60));

    let arrivals = run.arrivals(world);
    assert_eq!((arrivals.len(), run.kept(world)), (300, 0), "each row once, and nothing is kept");
    // The first batch leaves at once, and each other a quarter of a second after the one before: never faster, and slower only by
    // what a step came late.
    let took = arrivals[299].duration_since(arrivals[0]).as_secs_f64();
    let noted = over.ended_at_ms.expect("it has ended") - over.begun_at_ms;
    note(&format!("detached: 300 rows in {took:.2} s, noted {noted} ms"));
    assert!((14.5..15.5).contains(&took), "took {took} s, which should be 14.75 s");
    assert!((14_500..17_000).contains(&noted), "noted {noted} ms");

    // Another machine sees the counts, and this one has the results.
    let nodes = run.node.url().to_owned();
    let home = world.path("another");
    let home = home.to_str().expect("UTF-8");
    let elsewhere = world
        .classify(&["--home", home, "runs", "attach", &run.id, "--ingress", &nodes, "--json"])
        .expect_code(0);
    assert_eq!(elsewhere.json()["tally"]["succeeded"], 300);
    assert!(
        elsewhere.stderr.contains("results    with the machine that handed it over"),
        "{}",
        elsewhere.stderr
    );
    let totals =
        json!({"indicators": 300, "succeeded": 300, "failed": 0, "pending": 0, "reused": 0, "carried": 0});
    assert_eq!(run.attach(world, 0), totals);
    world.expect_each_once(&run.table, RESULTS);
    assert_eq!(run.attach(world, 0), totals, "the same is told again");
    assert_eq!(run.arrivals(world).len(), 300, "nothing was classified to collect it");
}

pub(crate) fn a_pause_stops_it_and_it_goes_on_where_it_was(world: &mut World) {
    let run = Detached::begin(world, 300);
    run.wait("some of it", |progress| progress.finished() >= 10);
    world.classify(&["runs", "pause", &run.id]).expect_code(0);
    let paused = run.show();
    assert_eq!(paused.phase, Phase::Paused);
    // Ten were finished. What was planned already is at most a second and a half of it, six batches; some are under way.
    note(&format!("paused: {} batches released", paused.released));
    assert!(paused.released <= 20, "{paused:?}");
    let still = run.wait("what is in flight", |progress| progress.in_flight() == 0);
    // Another run at the same rate: this one would have released as many.
    let other = world.table(60);
    let pace = ["--rpm", "1200", "--batch-size", "5", "-o", "other.jsonl", &other];
    world.classify(&pace).expect_code(0);
    assert_eq!((run.show(), still.released), (still, paused.released));

    world.classify(&["runs", "resume", &run.id]).expect_code(0);
    assert_eq!(run.attach(world, 0)["succeeded"], 300);
    world.expect_each_once(&run.table, RESULTS);
    assert_eq!(run.arrivals(world).len(), 360, "each row of both runs once");
}

pub(crate) fn cancelled_it_ends_and_keeps_nothing(world: &mut World) {
    let run = Detached::begin(world, 5 * 64 * 20);
    run.wait("some of it", |progress| progress.finished() >= 10);
    assert!(run.kept(world) > 1_000);
    let at_it = world.classify(&["runs", "delete", &run.id, "--yes"]).expect_code(2);
    assert!(at_it.stderr.contains("the cluster is at the run"), "{}", at_it.stderr);
    world.classify(&["runs", "cancel", &run.id]).expect_code(0);
    let over = run.wait("the end", Progress::is_over);
    let submitted = over.plan.rows_before(over.released);
    assert_eq!(over.tally.rows(), submitted, "what was submitted was finished");
    wait_for("the cluster to forget its batches", Duration::from_secs(20), || run.kept(world) == 0);

    let refused = world.classify(&["runs", "resume", &run.id]).expect_code(2);
    assert!(refused.stderr.contains("cancelled"), "{}", refused.stderr);
    let totals = run.attach(world, 3);
    assert_eq!((&totals["succeeded"], &totals["pending"]), (&json!(submitted), &json!(6_400 - submitted)));
    assert_eq!(world.rows(RESULTS).len() as u64, submitted);
    world.classify(&["runs", "delete", &run.id, "--yes"]).expect_code(0);
    assert_eq!(world.rows(RESULTS).len() as u64, submitted, "rows stay");
}

pub(crate) fn a_service_that_comes_back_meets_no_burst(world: &mut World) {
    let run = Detached::begin(world, 400);
    run.wait("some of it", |progress| progress.finished() >= 10);
    world.end_service(Signal::SIGKILL);
    let gone = Timestamp::now();
    // Four times as long as batches are planned ahead: a run that caught up would have that much to send.
    let outage = Duration::from_secs(6);
    wait_for("the outage to last", 2 * outage, || {
        Timestamp::now().duration_since(gone) >= outage.try_into().expect("a short time")
    });
    world.start_service();
    let back = Timestamp::now();
    assert_eq!(run.attach(world, 0)["succeeded"], 400);

    let arrivals = run.arrivals(world);
    let after: Vec<_> = arrivals.iter().copied().filter(|at| *at > gone).collect();
    // Six seconds' worth would be 120. What was under way, what had been planned for the next second and a half, and a second's worth
    // of the plan that goes on may come at once: 10, 30 and 20.
    let fullest = fullest_second(&after);
    let later: Vec<_> =
        after.iter().copied().filter(|at| at.duration_since(back).as_secs_f64() > 6.0).collect();
    let later = fullest_second(&later);
    note(&format!("after an outage: {fullest} in the fullest second, {later} once all is well again"));
    assert!(fullest <= 50, "{fullest} in a second");
    assert!(later <= 30, "{later} in a second, after all is well again");
}

pub(crate) fn batches_that_are_killed_are_counted_by_who_attaches(world: &mut World) {
    let run = Detached::begin(world, 60);
    run.wait("some of it", |progress| progress.finished() >= 2);
    world.end_service(Signal::SIGKILL);
    // With nobody to serve it, what is submitted stays where it can be killed.
    let admin = world.admin_url();
    let ours = format!("target_service_name = 'ClassifyBatch' AND target_service_key LIKE '{}.%'", run.id);
    let query = format!("SELECT id FROM sys_invocation WHERE {ours} AND status <> 'completed'");
    let open = || {
        let answer = http("POST", &format!("{admin}/query"), &json!({ "query": query }));
        let ids = answer["rows"].as_array().expect("rows").iter();
        ids.map(|row| row["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    wait_for("a batch under way", Duration::from_secs(20), || !open().is_empty());
    let killed = open();
    for id in &killed {
        http("PATCH", &format!("{admin}/invocations/{id}/kill"), &Value::Null);
    }
    world.start_service();
    let totals = run.attach(world, 3);
    let failed = totals["failed"].as_u64().expect("a number");
    assert!(failed > 0 && failed <= 5 * killed.len() as u64, "{totals}");
    assert_eq!((&totals["indicators"], &totals["pending"]), (&json!(60), &json!(0)));
    assert!(run.show().is_over());
}

pub(crate) fn a_run_nobody_knows_is_told(world: &mut World) {
    let id = "01JD0000000000000000000000";
    let unknown = world.classify(&["runs", "attach", id]).expect_code(2);
    assert!(unknown.stderr.contains(&format!("no detached run `{id}`")), "{}", unknown.stderr);
    let table = world.table(5);
    world.classify(&["--mode", "max", "-o", "attached.jsonl", &table]).expect_code(0);
    let not_one = world.classify(&["runs", "pause"]).expect_code(2);
    assert!(not_one.stderr.contains("is finished"), "{}", not_one.stderr);
}

pub(crate) fn reports_that_were_cancelled_are_made_up_for(world: &mut World) {
    let run = Detached::begin(world, 100);
    let mut cancelled = 0;
    run.wait("all batches to be submitted", |progress| {
        let ran = world.classify(&["queue", "cancel", "--service", "BatchReports", "--yes"]);
        cancelled += u64::from(!ran.expect_code(0).stderr.contains("nothing to cancel"));
        progress.released == 20
    });
    note(&format!("reports: cancelled {cancelled} times, {} batches told", run.show().finished()));
    assert!(cancelled > 0, "none was cancelled");
    assert_eq!(run.attach(world, 0)["succeeded"], 100);
    world.expect_each_once(&run.table, RESULTS);
    assert_eq!(run.arrivals(world).len(), 100, "nothing was classified twice");
}
