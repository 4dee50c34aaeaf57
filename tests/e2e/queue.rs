//! `queue`: what it shows, and what it does to what it shows and to nothing else.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use nix::pty::openpty;
use nix::sys::signal::Signal;
use restate_sdk::prelude::*;
use serde_json::{Value, json};

use crate::world::{Ran, Running, World, http, wait_for};

pub(crate) fn tells_success_from_failure(world: &mut World) {
    let succeeded = |world: &World| {
        let queue = world.classify(&["queue", "status", "--json"]).expect_code(0).json();
        let services = queue["services"].as_array().expect("services").clone();
        let count = |name: &str, key: &str| {
            let service: Option<&Value> = services.iter().find(|service| service["service"] == name);
            service.and_then(|service| service[key].as_u64()).expect("a count")
        };
        assert_eq!(count("Classifier", "failed"), 0);
        (count("ClassifyBatch", "succeeded"), count("Classifier", "succeeded"))
    };
    let (batches, calls) = succeeded(world);
    let table = world.table(30);
    world.classify(&["--mode", "max", "--batch-size", "10", &table]).expect_code(0);
    assert_eq!(succeeded(world), (batches + 3, calls + 3), "the rules take one call per batch");

    let shown = world.classify(&["queue", "status"]).expect_code(0).stdout;
    let head = shown.lines().next().unwrap_or_default();
    for column in ["waiting", "running", "retrying", "succeeded", "failed"] {
        assert!(head.contains(column), "{shown}");
    }
    let nobody = world.classify(&["queue", "status", "--admin", "http://127.0.0.1:1"]).expect_code(4);
    assert!(nobody.stderr.contains("connection refused"), "{}", nobody.stderr);
}

pub(crate) fn cancelled_work_is_told_and_can_be_done_again(world: &mut World) {
    let table = world.table(60);
    let before = world.executed().len();
    let mut run =
        world.begin(&["--rpm", "1200", "--batch-size", "5", "--json", "-o", "killed.jsonl", &table]);
    world.wait_executed(before, 10);
    // Without the service the rest waits where it can be killed.
    world.end_service(Signal::SIGKILL);
    run.wait_said("the service does not answer", Duration::from_secs(15));
    let id = run_id(world);
    let known = || {
        let listed = world.classify(&["queue", "list", "--run", &id, "--service", "ClassifyBatch", "--json"]);
        listed.expect_code(0).json()["total"].as_u64().expect("a number")
    };
    wait_for("all batches to be submitted", Duration::from_secs(30), || known() == 12);
    let cancel = ["queue", "cancel", "--run", &id, "--service", "ClassifyBatch", "--kill", "--yes"];
    world.classify(&cancel).expect_code(0);
    wait_for("the run to end", Duration::from_secs(30), || run.has_ended());
    let report = run.finish().expect_code(3).json();
    let cancelled = report["totals"]["failed"].as_u64().expect("a number");
    assert!(cancelled > 0, "{report:#}");
    assert_eq!(report["failed_by_class"], json!({ "cancelled": cancelled }));
    assert!(world.rows("killed.failures.jsonl").iter().all(|row| row["class"] == "cancelled"));

    world.start_service();
    let again = world.classify(&["--mode", "max", "--json", "-o", "killed.jsonl", &table]).expect_code(0);
    assert_eq!(again.json()["totals"]["succeeded"], 60, "a failure that Restate remembers is no answer");
}

/// A run whose service was killed when it had done a part; all of the rest waits in the cluster.
fn stuck(world: &mut World, results: &str) -> Running {
    let table = world.table(40);
    let before = world.executed().len();
    let mut run = world.begin(&["--rpm", "1200", "--batch-size", "5", "--json", "-o", results, &table]);
    world.wait_executed(before, 10);
    world.end_service(Signal::SIGKILL);
    run.wait_said("the service does not answer", Duration::from_secs(15));
    run
}

fn list(world: &World, filters: &[&str]) -> Vec<Value> {
    let listed = world.classify(&[&["queue", "list", "--json"], filters].concat()).expect_code(0).json();
    let invocations = listed["invocations"].as_array().expect("invocations").clone();
    assert_eq!(listed["total"], invocations.len(), "all of them fit below the default limit");
    invocations
}

fn texts<'a>(invocations: &'a [Value], key: &str) -> Vec<&'a str> {
    invocations.iter().map(|one| one[key].as_str().expect("a text")).collect()
}

/// The run whose batches wait.
fn run_id(world: &World) -> String {
    let waiting = list(world, &["--service", "ClassifyBatch", "--state", "waiting,running,retrying"]);
    let key = texts(&waiting, "target")[0].split('/').nth(1).expect("a key");
    key.split('.').next().expect("a run").to_owned()
}

/// Runs the binary on a terminal of its own, and answers its question.
fn answer(world: &World, args: &[&str], reply: &str) -> (Ran, String) {
    let terminal = openpty(None, None).expect("a terminal");
    let (mut person, theirs) = (File::from(terminal.master), File::from(terminal.slave));
    let mut command = world.command(args);
    command.stdin(theirs.try_clone().expect("a copy")).stderr(theirs);
    person.write_all(reply.as_bytes()).expect("an answer");
    let ran = command.output().expect("the binary runs").into();
    // Without this the other end stays open and reading never ends.
    drop(command);
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    // Linux ends a terminal that nobody has open any more with an error.
    while let Ok(length @ 1..) = person.read(&mut piece) {
        said.extend_from_slice(&piece[..length]);
    }
    (ran, String::from_utf8_lossy(&said).into_owned())
}

pub(crate) fn a_run_is_cancelled_and_forgotten(world: &mut World) {
    let run = stuck(world, "cancelled.jsonl");
    let id = run_id(world);
    let of_run = ["--run", id.as_str()];
    let open = || list(world, &[&of_run[..], &["--state", "waiting,running,suspended,retrying"]].concat());
    let ids = |invocations: &[Value]| -> Vec<String> {
        let mut ids: Vec<String> = texts(invocations, "id").into_iter().map(Into::into).collect();
        ids.sort_unstable();
        ids
    };
    let before = open();
    assert!(!before.is_empty());
    let shown = world.classify(&["queue", "list", "--state", "retrying", "--limit", "1"]).expect_code(0);
    assert!(shown.stdout.contains("retrying") && shown.stdout.contains(" old"), "{}", shown.stdout);
    assert_eq!(shown.stdout.lines().count(), 1);
    assert!(shown.stderr.contains("the oldest 1 of"), "{}", shown.stderr);

    // Nothing of this does anything.
    let nobody = world.classify(&["queue", "cancel", "--run", &id]).expect_code(2);
    assert!(nobody.stderr.contains("there is no terminal to ask on"), "{}", nobody.stderr);
    let (ran, said) = answer(world, &["queue", "cancel", "--run", &id], "n");
    ran.expect_code(0);
    let question = format!("Cancel {} invocations?", before.len());
    assert!(said.contains(&question) && said.contains("nothing was cancelled"), "{said}");
    let other = world.classify(&["queue", "cancel", "--run", "00000000000000000000000000", "--yes"]);
    assert!(other.expect_code(0).stderr.contains("nothing to cancel"));
    world.classify(&["queue", "purge", &ids(&before)[0], "--yes"]).expect_code(3);
    assert_eq!(ids(&open()), ids(&before));

    // One node of the two is dead: the other does it.
    let nodes = format!("http://127.0.0.1:1,{}", world.admin_url());
    let cancel = ["queue", "cancel", "--run", &id, "--yes", "--admin", &nodes];
    let cancelled = world.classify(&cancel).expect_code(0);
    assert!(cancelled.stderr.contains("told to end"), "{}", cancelled.stderr);
    world.classify(&cancel).expect_code(0);
    world.start_service();
    let totals = run.finish().expect_code(3).json()["totals"].clone();
    assert_eq!(totals["pending"], 0);
    let failures = world.rows("cancelled.failures.jsonl");
    assert!(failures.iter().all(|row| row["class"] == "cancelled"));
    assert_eq!(totals["failed"], failures.len());
    assert_eq!(totals["succeeded"], 40 - failures.len());
    wait_for("all of the run to end", Duration::from_secs(30), || {
        list(world, &[&of_run[..], &["--state", "waiting,running,suspended,retrying"]].concat()).is_empty()
    });

    let ended = |state: &str| list(world, &[&of_run[..], &["--state", state]].concat()).len();
    let (succeeded, failed) = (ended("succeeded"), ended("failed"));
    assert_eq!(list(world, &[&of_run[..], &["--error", "cancelled"]].concat()).len(), failed);
    assert!(failed > 0);
    let purged = world.classify(&["queue", "purge", "--run", &id, "--yes"]).expect_code(0);
    assert!(purged.stderr.contains(&format!("{failed} invocations purged")), "{}", purged.stderr);
    assert_eq!((ended("succeeded"), ended("failed")), (succeeded, 0), "answers are kept");
    world.classify(&["queue", "purge", "--run", &id, "--yes"]).expect_code(0);
}

struct Payments;

/// Somebody else's service in the same cluster.
#[restate_sdk::service(name = "Payments")]
impl Payments {
    #[handler]
    async fn hold(&self, ctx: Context<'_>, Json(()): Json<()>) -> HandlerResult<()> {
        Ok(ctx.sleep(Duration::from_hours(1)).await?)
    }
}

pub(crate) fn what_is_not_ours_is_neither_shown_nor_touched(world: &mut World) {
    let (runtime, deployment) = also_serve(world, Endpoint::builder().bind(Payments).build());
    let admin = world.admin_url();
    let status = world.classify(&["cluster", "status", "--json", "--name", "e2e"]).json();
    let ingress = status["nodes"][0]["ingress_url"].as_str().expect("a URL").to_owned();
    let accepted = http("POST", &format!("{ingress}/restate/send/Payments/hold"), &Value::Null);
    let held = accepted["invocationId"].as_str().expect("an id").to_owned();
    let state = || {
        let query = format!("SELECT status FROM sys_invocation WHERE id = '{held}'");
        let found = http("POST", &format!("{admin}/query"), &json!({ "query": query }));
        found["rows"][0]["status"].as_str().unwrap_or_default().to_owned()
    };
    wait_for("the other service's call to begin", Duration::from_secs(10), || {
        ["running", "suspended"].contains(&state().as_str())
    });

    let all = world.classify(&["queue", "list", "--json", "--limit", "100000"]).expect_code(0);
    assert!(!all.stdout.contains(&held) && !all.stdout.contains("Payments"));
    for verb in ["cancel", "retry", "purge"] {
        let refused = world.classify(&["queue", verb, &held, "--yes"]).expect_code(2);
        assert!(refused.stderr.contains(&format!("{held} is no invocation of")), "{}", refused.stderr);
    }
    world.classify(&["queue", "cancel", "--all", "--kill", "--yes"]).expect_code(0);
    assert!(["running", "suspended"].contains(&state().as_str()), "{}", state());

    http("PATCH", &format!("{admin}/invocations/{held}/kill"), &Value::Null);
    http("DELETE", &deployment, &Value::Null);
    runtime.shutdown_background();
}

/// Serves `endpoint` to the cluster as well; what does so, and the URL by which a `DELETE` ends it.
pub(crate) fn also_serve(world: &World, endpoint: Endpoint) -> (tokio::runtime::Runtime, String) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    runtime.spawn(async move { HttpServer::new(endpoint).listen_and_serve(address).await });
    wait_for("the other service", Duration::from_secs(10), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let deployments = format!("{}/deployments", world.admin_url());
    let uri = format!("http://127.0.0.1:{port}");
    let deployment = http("POST", &deployments, &json!({ "uri": uri }))["id"].clone();
    (runtime, format!("{deployments}/{}?force=true", deployment.as_str().expect("an id")))
}

pub(crate) fn paused_work_goes_on_when_it_is_retried(world: &mut World) {
    let run = stuck(world, "paused.jsonl");
    let admin = world.admin_url();
    let retrying = list(world, &["--service", "ClassifyBatch", "--state", "retrying"]);
    let id = texts(&retrying, "id")[0].to_owned();
    http("PATCH", &format!("{admin}/invocations/{id}/pause"), &Value::Null);
    wait_for("the batch to be paused", Duration::from_secs(10), || {
        texts(&list(world, &["--state", "paused"]), "id") == [id.as_str()]
    });
    let no_answer = texts(&list(world, &["--error", "RT0010"]), "id").contains(&id.as_str());
    assert!(no_answer, "why it failed is known");
    world.start_service();
    let retried = world.classify(&["queue", "retry", &id, "--yes"]).expect_code(0);
    assert!(retried.stderr.contains("1 invocation retried"), "{}", retried.stderr);
    assert_eq!(run.finish().expect_code(0).json()["totals"]["succeeded"], 40);
    let ended = world.classify(&["queue", "retry", &id, "--yes"]).expect_code(3);
    assert!(
        ended.stderr.contains("it is succeeded") && ended.stderr.contains("runs retry"),
        "{}",
        ended.stderr
    );
}

pub(crate) fn what_is_purged_in_mid_run_is_sent_again_at_the_rate(world: &mut World) {
    let table = world.table(60);
    let before = world.executed().len();
    let mut run =
        world.begin(&["--rpm", "1200", "--batch-size", "5", "--json", "-o", "purged.jsonl", &table]);
    world.wait_executed(before, 10);
    world.end_service(Signal::SIGKILL);
    run.wait_said("the service does not answer", Duration::from_secs(15));
    let id = run_id(world);
    let open = ["--run", &id, "--state", "waiting,running,suspended,retrying"];
    let batches = || list(world, &[&["--service", "ClassifyBatch"], &open[..]].concat()).len();
    let purged = batches();
    assert!(purged >= 8, "{purged} batches wait");
    // While nobody asks, all of them are forgotten.
    run.signal(Signal::SIGSTOP);
    world.classify(&[&["queue", "cancel", "--kill", "--yes"], &open[..]].concat()).expect_code(0);
    wait_for("the batches to end", Duration::from_secs(10), || batches() == 0);
    world.classify(&["queue", "purge", "--run", &id, "--yes"]).expect_code(0);
    world.start_service();
    let executed = world.executed().len();
    run.signal(Signal::SIGCONT);
    let report = run.finish().expect_code(0).json();
    world.expect_each_once(&table, "purged.jsonl");
    assert_eq!(report["resumed"]["forgotten"], 5 * purged, "{report:#}");
    // A batch each on three nodes at once, and then one in a quarter of a second.
    let mut again: Vec<_> = world.executed().into_iter().skip(executed).map(|(_, at)| at).collect();
    again.sort_unstable();
    let took = again[again.len() - 1].duration_since(again[0]).as_secs_f64();
    let least = 0.25 * f64::from(u32::try_from(purged - 4).expect("few"));
    assert!(took > least, "{purged} batches in {took} s");
}
