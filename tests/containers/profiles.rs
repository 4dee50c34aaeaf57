//! The compose file as people use it without `classify cluster`: all profiles at once.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::docker::docker;
use crate::running::wait_for;
use crate::world::World;

/// Where the load balancer listens.
const LB: &str = "http://127.0.0.1:8000";

/// Starts a run of 300 rows through `ingress` that takes about 10 s, waits until some of them are on disk, and does
/// something to the cluster.
fn run_with_a_fault(world: &mut World, results: &str, ingress: &[&str], fault: impl FnOnce(&World)) {
    let table = world.table(300);
    let args = ["--rpm", "1800", "--batch-size", "5", "--json", "-o", results, &table];
    let mut run = world.begin(&[&args[..], ingress].concat());
    let partial = world.path(&format!("{results}.partial"));
    let written = || std::fs::read_to_string(&partial).map_or(0, |text| text.lines().count());
    wait_for("the first results", Duration::from_mins(1), || written() >= 30);
    fault(world);
    assert!(!run.has_ended(), "the fault came too late: {}", run.said());
    let ran = run.finish().expect_code(0);
    world.expect_each_once(&table, results);
    assert_eq!(ran.json()["totals"]["failed"], 0);
}

/// A web page is refused, whatever name it found the proxy by; others are served.
fn web_pages_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let status = |headers: &[(&str, &str)]| {
        let mut request =
            classify::tls::client().build().expect("a client").get(format!("{LB}/restate/health"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        runtime.block_on(async { request.send().await.expect("an answer").status().as_u16() })
    };
    assert_eq!(status(&[]), 200);
    assert_eq!(status(&[("host", "localhost:8000")]), 200);
    assert_eq!(status(&[("origin", "https://evil.example")]), 403);
    assert_eq!(status(&[("host", "evil.example:8000")]), 403);
}

pub(crate) fn one_url_survives_a_killed_node(world: &mut World) {
    web_pages_are_refused();
    run_with_a_fault(world, "lb.jsonl", &["--ingress", LB], |world| world.docker("kill", "restate-3"));
}

pub(crate) fn the_service_drains_and_returns(world: &mut World) {
    run_with_a_fault(world, "service.jsonl", &[], |world| {
        world.docker("stop", "service");
        let service = world.project().container("service");
        // Drained and ended by itself: neither SIGKILL (137) nor SIGTERM's default (143).
        assert_eq!(docker(&["inspect", "--format", "{{.State.ExitCode}}", &service]), "0");
        let user = docker(&["inspect", "--format", "{{.Config.User}}", &service]);
        assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "runs as `{user}`");
        world.docker("start", "service");
    });
}

pub(crate) fn prometheus_scrapes_all(_world: &mut World) {
    let targets = || {
        let body = docker(&[
            "run",
            "--rm",
            "--network",
            "host",
            "debian:trixie-slim",
            "curl",
            "-sf",
            "http://127.0.0.1:9090/api/v1/targets?state=active",
        ]);
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["data"]["activeTargets"].as_array().expect("targets").clone()
    };
    let all_up = |targets: &[Value]| {
        // A service on the host would be scraped, too, if there were one.
        targets.iter().all(|target| {
            target["health"] == "up" || target["labels"]["instance"] == "host.docker.internal:9464"
        })
    };
    let of =
        |targets: &[Value], job: &str| targets.iter().filter(|target| target["labels"]["job"] == job).count();
    wait_for("all targets to be up", Duration::from_mins(1), || {
        let targets = targets();
        of(&targets, "restate") == 3 && of(&targets, "classify") == 2 && all_up(&targets)
    });
}

/// Every metric that dashboard and alerts name exists, and every panel shows something: after some work, as both show rates.
pub(crate) fn the_dashboard_shows_something(world: &mut World) {
    let table = world.table(100);
    let check = || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/metrics.py");
        Command::new("python3").args([script, "http://127.0.0.1:9090"]).output().expect("python3 runs")
    };
    // A rate needs work between two scrapes, so there is work until then.
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        world.classify(&["--mode", "max", "--force", "-o", "shown.jsonl", &table]).expect_code(0);
        let checked = check();
        if checked.status.success() {
            return;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
