//! What would fall over a service: bodies that unfold, connections that say nothing, no descriptor left. A real node's ingress brings the
//! bodies.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use classify::restate::secret::{Call, SIGNATURE};

use crate::note;
use crate::world::{World, wait_for};

/// What a body may add to the service's memory, in kilobytes.
const MEMORY: u64 = 150_000;
/// Connections that say nothing, and file descriptors that the service has.
const IDLE: usize = 2_000;
const DESCRIPTORS: usize = 1_024;
/// Heads that never end, where metrics are.
const SLOW_HEADS: usize = 300;

pub(crate) fn a_body_that_unfolds_is_refused_for_good(world: &mut World) {
    // A process of its own: how much one ever took says nothing after other tests.
    world.replace_service(|_| {});
    let pid = world.service_pid().expect("a service");
    let before = peak(pid);
    let ingress = ingress(world);
    // Whoever does not know the secret is refused before anything is read. These come from one who does.
    let secret = world.secret();
    for (name, call, body) in bombs() {
        let size = body.len();
        let signature = secret.sign(call, &body);
        let (status, said) = post(&format!("{ingress}/restate/call/{}", path(call)), body, &signature);
        note(&format!(
            "           {name}: {size} bytes, {} MB more than before",
            (peak(pid) - before) / 1_000
        ));
        let beginning: String = said.chars().take(300).collect();
        assert_eq!(status, 400, "{name}: {beginning}");
        assert!(said.len() < 1_000, "{name}: {beginning}");
    }
    // What nobody waits for must not be tried again and again either.
    for (name, call, body) in bombs() {
        let signature = secret.sign(call, &body);
        let (status, said) = post(&format!("{ingress}/restate/send/{}", path(call)), body, &signature);
        assert!((200..300).contains(&status), "{name}: {said}");
    }
    wait_for("what was sent to end", Duration::from_secs(20), || world.is_idle());
    assert_eq!(world.service_pid(), Some(pid), "it was another process that ended");
    assert!(health(world.service_port()) < Duration::from_secs(1));
    let took = peak(pid) - before;
    assert!(took < MEMORY, "{took} kB");
}

pub(crate) fn who_says_nothing_keeps_nobody_out(world: &mut World) {
    limit(std::process::id(), "4096:");
    world.replace_service(|service| {
        service.args(["--metrics", "127.0.0.1:0"]);
    });
    limit(world.service_pid().expect("a service"), &format!("{DESCRIPTORS}:{DESCRIPTORS}"));
    let log = fs::read_to_string(world.path("service.log")).expect("a log");
    let metrics = log.rsplit_once("metrics    http://").and_then(|(_, rest)| rest.split_once('/'));
    let metrics: SocketAddr = metrics.and_then(|(address, _)| address.parse().ok()).expect("an address");
    let table = world.table(600);
    let before = world.executed().len();
    let run = world.begin(&["--rpm", "6000", "--batch-size", "5", "-o", "pressed.jsonl", &table]);
    world.wait_executed(before, 50);

    let service = SocketAddr::from(([127, 0, 0, 1], world.service_port()));
    let begun = Instant::now();
    let mut held: Vec<TcpStream> = (0..IDLE).filter_map(|_| connect(service)).collect();
    for _ in 0..SLOW_HEADS {
        if let Some(mut stream) = connect(metrics) {
            let _closed = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ");
            held.push(stream);
        }
    }
    let beside = health(world.service_port());
    let (_, _, body) = bombs().swap_remove(0);
    // A workflow's key is taken for good: the other test of this file may have had this cluster.
    let call = Call { service: "ClassifyBatch", key: "IDLE.0", handler: "run" };
    let signature = world.secret().sign(call, &body);
    assert_eq!(post(&format!("{}/restate/call/{}", ingress(world), path(call)), body, &signature).0, 400);
    let scraped = Instant::now();
    let answer = get(&format!("http://{metrics}/metrics"), false);
    assert_eq!(answer, 200);
    let scraped = scraped.elapsed();
    let connections = held.len();
    drop(held);
    let after = health(world.service_port());
    note(&format!(
        "           {connections} connections in {:?}; health {beside:?} beside them, {after:?} after; metrics {scraped:?}",
        begun.elapsed()
    ));
    assert!(connections > IDLE, "it lets {connections} in");
    assert!(
        beside < Duration::from_secs(1) && after < Duration::from_secs(1) && scraped < Duration::from_secs(1)
    );
    run.finish().expect_code(0);
    world.expect_each_once(&table, "pressed.jsonl");
}

/// Bodies that are small on the way and large in memory: name, what is called, and what they are.
fn bombs() -> Vec<(&'static str, Call<'static>, Vec<u8>)> {
    let batch = |rows: &str, number: usize| {
        let all = r#"{"options":{"provider":"rules","taxonomy":"d"},"indicators":["#.to_owned()
            + &rows.repeat(number)
            + r#"{"id":"","name":""}]}"#;
        packed(&all)
    };
    let row = r#"{"id":"","name":""},"#;
    let columns: Vec<String> = (0..2_500_000).map(|number| format!(r#""{number}":1"#)).collect();
    let columns = columns.join(",");
    let wide = format!(r#"{{"id":"a","name":"b","extra":{{{columns}}}}}"#);
    let deep =
        format!(r#"{{"id":"a","name":"b","extra":{{"x":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let of = |service, key, handler| Call { service, key, handler };
    vec![
        ("1.5 million rows", of("ClassifyBatch", "PRESSURE.0", "run"), batch(row, 1_500_000)),
        ("3 million rows", of("ClassifyBatch", "PRESSURE.1", "run"), batch(row, 3_000_000)),
        ("2.5 million columns", of("ClassifyBatch", "PRESSURE.2", "run"), batch(&format!("{wide},"), 1)),
        ("a deep value", of("ClassifyBatch", "PRESSURE.3", "run"), batch(&format!("{deep},"), 1)),
        ("25,000 batches", of("BatchPage", "PRESSURE.0", "put"), vec![0; 8 + 4 * 25_000]),
        (
            "many reports",
            of("DetachedRun", "PRESSURE", "finished"),
            format!("[{}0]", "0,".repeat(5_000_000)).into_bytes(),
        ),
    ]
}

fn path(Call { service, key, handler }: Call<'_>) -> String {
    format!("{service}/{key}/{handler}")
}

fn packed(text: &str) -> Vec<u8> {
    zstd::bulk::compress(text.as_bytes(), 3).expect("memory")
}

/// Most memory that a process ever had, in kilobytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// File descriptors of a process, soft and hard.
fn limit(pid: u32, nofile: &str) {
    let args = ["--pid", &pid.to_string(), &format!("--nofile={nofile}")].map(str::to_owned);
    assert!(Command::new("prlimit").args(args).status().expect("util-linux").success());
}

fn ingress(world: &World) -> String {
    let status = world.classify(&["cluster", "status", "--json"]).expect_code(0).json();
    status["nodes"][0]["ingress_url"].as_str().expect("a URL").to_owned()
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok()
}

fn client(http2: bool) -> reqwest::Client {
    let client = classify::tls::node_client("http://");
    let client = if http2 { client.http2_prior_knowledge() } else { client };
    client.build().expect("a client")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// How long `GET /health` takes.
fn health(port: u16) -> Duration {
    let begun = Instant::now();
    // It answers; what it has to say is for its nodes, who sign.
    assert_eq!(get(&format!("http://127.0.0.1:{port}/health"), true), 401);
    begun.elapsed()
}

fn get(url: &str, http2: bool) -> u16 {
    let request = client(http2).get(url).timeout(Duration::from_secs(5));
    runtime().block_on(async { request.send().await.expect("an answer").status().as_u16() })
}

/// Status of the answer, and what it said.
fn post(url: &str, body: Vec<u8>, signature: &str) -> (u16, String) {
    let json = body.first() == Some(&b'[');
    let kind = if json { "application/json" } else { "application/octet-stream" };
    let request = client(false).post(url).header("content-type", kind).header(SIGNATURE, signature);
    let request = request.timeout(Duration::from_secs(30));
    runtime().block_on(async {
        let answer = request.body(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let said = String::from_utf8_lossy(&answer.bytes().await.expect("a body")).into_owned();
        (status, said)
    })
}
