//! What dies in mid-run costs nothing but time.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use classify::domain::detached::Phase;
use classify::engine::diagnosis::{conclude, examine};
use classify::restate::ingress::Ingress;
use nix::sys::signal::Signal;

use crate::detached::{Detached, RESULTS};
use crate::note;
use crate::orders::in_vain;
use crate::world::{Running, World, send, wait_for};

/// Unfinished indicators at once in these runs: the bound on what a crash may repeat.
const IN_FLIGHT: usize = 300;

pub(crate) fn a_killed_node_costs_nothing_but_time(world: &mut World) {
    let table = world.table(8_000);
    let before = world.executed().len();
    let in_flight = IN_FLIGHT.to_string();
    let mut run = world.begin(&[
        "--rpm",
        "15000",
        "--batch-size",
        "10",
        "--max-in-flight",
        &in_flight,
        "--json",
        "-o",
        "node.jsonl",
        &table,
    ]);
    world.wait_executed(before, 500);
    send(world.node_pids()[1], Signal::SIGKILL);
    run.wait_said("restate-2   out", Duration::from_secs(15));
    world.start_nodes();
    run.wait_said("restate-2   back", Duration::from_secs(30));

    let ran = run.finish().expect_code(0);
    world.expect_each_once(&table, "node.jsonl");
    let repeated = world.repeated_since(before);
    note(&format!("node killed: the rules looked at {repeated} rows again"));
    assert!(repeated <= IN_FLIGHT, "{repeated} classifications were repeated");
    let report = ran.json();
    assert_eq!(report["totals"]["succeeded"], 8_000);
    assert!(report["nodes"][1]["errors"].as_u64() > Some(0), "{report:#}");
}

pub(crate) fn a_node_that_hangs_is_not_waited_for(world: &mut World) {
    // It takes connections and says nothing.
    let hung = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hung = format!("http://{}", hung.local_addr().expect("an address"));
    let status = world.classify(&["cluster", "status", "--json"]).json();
    let nodes = status["nodes"].as_array().expect("nodes");
    let serving = nodes.iter().map(|node| node["ingress_url"].as_str().expect("a URL").to_owned());
    let urls: Vec<String> = std::iter::once(hung).chain(serving).collect();

    let ingress: Vec<Ingress> = urls.iter().map(|url| Ingress::new(url).expect("a client")).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(examine(&ingress, "hung"));
    assert!(found[0].is_none(), "the start would wait for it: {found:?}");
    assert_eq!(conclude(&found), None);

    // The first batch goes there, and then elsewhere.
    let table = world.table(40);
    let ran = world
        .classify(&[
            "--mode",
            "max",
            "--batch-size",
            "10",
            "--json",
            "--ingress",
            &urls.join(","),
            "-o",
            "hung.jsonl",
            &table,
        ])
        .expect_code(0);
    world.expect_each_once(&table, "hung.jsonl");
    assert!(ran.json()["nodes"][0]["errors"].as_u64() > Some(0), "{}", ran.stderr);
}

pub(crate) fn a_killed_service_costs_nothing_but_time(world: &mut World) {
    let table = world.table(2_000);
    let before = world.executed().len();
    let in_flight = IN_FLIGHT.to_string();
    let mut run = world.begin(&[
        "--mode",
        "max",
        "--batch-size",
        "10",
        "--max-in-flight",
        &in_flight,
        "-o",
        "service.jsonl",
        &table,
    ]);
    world.wait_executed(before, 300);
    world.end_service(Signal::SIGKILL);
    run.wait_said("the service does not answer", Duration::from_secs(15));
    let queue = world.classify(&["queue", "status", "--json"]).expect_code(0).json();
    let retrying = queue["retrying"].as_array().expect("a list");
    assert!(
        retrying.iter().any(|one| one["error"].as_str().is_some_and(|text| !text.is_empty())),
        "{queue:#}"
    );
    world.start_service();

    run.finish().expect_code(0);
    world.expect_each_once(&table, "service.jsonl");
    let repeated = world.repeated_since(before);
    note(&format!("service killed: the rules looked at {repeated} rows again"));
    assert!(repeated <= IN_FLIGHT, "{repeated} classifications were repeated");
}

pub(crate) fn lost_quorum_is_told_and_outlived(world: &mut World) {
    let table = world.table(2_000);
    let before = world.executed().len();
    let detached = Detached::begin(world, 300);
    let attached = world.command(&["runs", "attach", &detached.id]);
    let mut attached = Running::begin(attached, world.path("attached.stderr"));
    let mut run = world.begin(&["--rpm", "20000", "--batch-size", "10", "-o", "quorum.jsonl", &table]);
    world.wait_executed(before, 300);
    let pids = world.node_pids();
    send(pids[1], Signal::SIGKILL);
    send(pids[2], Signal::SIGKILL);
    run.wait_said("quorum lost", Duration::from_secs(15));
    attached.wait_said("quorum lost", Duration::from_secs(15));
    let refused = in_vain(world, &["runs", "pause", &detached.id]);
    assert!(refused.stderr.contains("the cluster has no quorum"), "{}", refused.stderr);
    send(pids[0], Signal::SIGKILL);
    run.wait_said("no node answers", Duration::from_secs(15));
    attached.wait_said("no node answers", Duration::from_secs(15));
    world.start_nodes();
    let (back, stood) = (Instant::now(), world.executed().len());
    wait_for("work to go on within 10 s of the nodes' return", Duration::from_secs(10), || {
        world.executed().len() > stood
    });
    note(&format!("quorum back: on again after {:.1} s", back.elapsed().as_secs_f64()));

    run.finish().expect_code(0);
    world.expect_each_once(&table, "quorum.jsonl");
    assert_eq!(detached.show().phase, Phase::Running, "nothing was ordered");
    attached.finish().expect_code(0);
    world.expect_each_once(&detached.table, RESULTS);
}
