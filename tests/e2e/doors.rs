//! Who may use the cluster: its own clients, and nobody else who reaches a node.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use classify::restate::secret::{Call, SIGNATURE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::world::{Guarded, Ran, World};

/// What a web page needs no permission to send.
const PLAIN: (&str, &str) = ("content-type", "text/plain");

/// One exchange as a program makes it that got past the guard.
fn ask(method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = classify::tls::client().build().expect("a client");
        let mut request = client.request(method, url).timeout(Duration::from_secs(20));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body.to_owned()).send().await.expect("an answer");
        (response.status(), response.text().await.unwrap_or_default())
    })
}

fn node(world: &World) -> Value {
    let status = world.classify(&["cluster", "status", "--json"]).expect_code(0).json();
    status["nodes"][1].clone()
}

pub(crate) fn who_does_not_know_the_secret_gets_nothing(world: &mut World) {
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &[]);
    let node = node(world);
    let ingress = node["ingress_url"].as_str().expect("a URL");
    let indicator = json!({ "id": "A", "name": "Unemployment rate, %" });
    let terms = json!({
        "method": { "provider": "openai", "model": "openai/stub-door" },
        "taxonomy": node["service"]["taxonomy_digest"], "at": "2026-01-02T03:04:05Z", "origin": "01KBEVEVEVEVEVEVEVEVEVEVEV.0",
    });

    // What only handlers of ours call: Restate itself refuses it.
    for (target, body) in [
        ("Classifier/classify", json!({ "terms": terms, "indicator": indicator })),
        ("Classifier/rules", json!({ "terms": terms, "indicators": [indicator] })),
        ("Classifier/fits", terms),
        ("BatchReports/x.0/add", json!({ "batch": 0, "tally": {} })),
        ("BatchReports/x.0/pass_on", Value::Null),
        ("BatchPage/x.0/release", json!([])),
        ("BatchPage/x.0/discard", json!(0)),
        ("DetachedRun/x/step", json!(0)),
    ] {
        let url = format!("{ingress}/restate/call/{target}");
        // The key under which a victim's answer would be looked up: it cannot be taken.
        let headers = [("content-type", "application/json"), ("idempotency-key", "victim")];
        let (status, said) = ask(Method::POST, &url, &headers, &body.to_string());
        assert!(status.is_client_error() && said.contains("not public"), "{target}: {status} {said}");
    }

    // What clients call: the service looks for the signature first.
    let options = json!({ "provider": "openai", "model": "openai/stub-door",
        "taxonomy": node["service"]["taxonomy_digest"] });
    let batch = json!({ "options": options, "indicators": [indicator] }).to_string();
    let limits = json!({ "requests": 1_000_000 }).to_string();
    for (target, body) in [
        ("ClassifyBatch/01KBEVEVEVEVEVEVEVEVEVEVEV.0/run", batch.as_str()),
        ("ModelLimits/openai%2Fstub-door/set", &limits),
        ("ModelLimits/openai%2Fstub-door/show", ""),
        ("ModelLimits/openai%2Fstub-door/lease", "{}"),
        ("DetachedRun/x/begin", "{}"),
        ("DetachedRun/x/give_up", "{}"),
        ("DetachedRun/x/finished", "[]"),
        ("DetachedRun/x/pause", ""),
        ("DetachedRun/x/resume", "{}"),
        ("DetachedRun/x/wake", ""),
        ("DetachedRun/x/cancel", ""),
        ("DetachedRun/x/show", ""),
        ("BatchPage/x.0/put", "\0"),
        ("Classifier/withdraw", "[]"),
    ] {
        let url = format!("{ingress}/restate/call/{target}");
        let headers: &[_] = if body.is_empty() { &[] } else { &[PLAIN] };
        let (status, said) = ask(Method::POST, &url, headers, body);
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{target}: {said}");
        assert!(said.contains("not signed with the cluster's secret"), "{target}: {said}");
    }
    assert_eq!(provider.seen("stub-door").len(), 0, "nothing was asked, so nothing was paid");
    let shown = world.classify(&["limits", "show", "openai/stub-door", "--json"]).expect_code(0);
    assert!(!shown.stdout.contains("1000000"), "{}", shown.stdout);

    // A signature is of one call: seen in a log, it opens nothing else.
    let secret = world.secret();
    let call = Call { service: "ModelLimits", key: "openai/other", handler: "set" };
    let signature = secret.sign(call, limits.as_bytes());
    let headers = [PLAIN, (SIGNATURE, signature.as_str())];
    let set = |model: &str| format!("{ingress}/restate/call/ModelLimits/openai%2F{model}/set");
    assert_eq!(ask(Method::POST, &set("stub-door"), &headers, &limits).0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Method::POST, &set("other"), &headers, &limits).0, StatusCode::OK);

    // What ended so is no work that waits.
    let waits = [
        "queue",
        "list",
        "--run",
        "01KBEVEVEVEVEVEVEVEVEVEVEV",
        "--state",
        "waiting,running,suspended,retrying,paused",
        "--json",
    ];
    let waits = world.classify(&waits).expect_code(0);
    assert!(!waits.stdout.contains("01KBEVEVEVEVEVEVEVEVEVEVEV"), "{}", waits.stdout);
    // A client of the cluster is served, detached as well.
    let table = world.table(20);
    let model = ["--provider", "openai", "--model", "stub-door"];
    world.classify(&[&model[..], &["-o", "door.jsonl", &table]].concat()).expect_code(0);
    world.expect_each_once(&table, "door.jsonl");
}

pub(crate) fn a_client_elsewhere_needs_the_secret(world: &mut World) {
    let path = world.cluster_folder().join("secret");
    let mode = fs::metadata(&path).expect("a secret").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("a secret").trim().to_owned();
    let node = node(world);
    let ingress = node["ingress_url"].as_str().expect("a URL");
    let table = world.table(8);
    let elsewhere = |secret: Option<&str>| {
        let mut command = world.command(&["--ingress", ingress, "--mode", "max", "-o", "far.jsonl", &table]);
        command.env("CLASSIFY_HOME", world.path("elsewhere")).env_remove("CLASSIFY_CLUSTER");
        command.envs(secret.map(|secret| ("CLASSIFY_CLUSTER_SECRET", secret)));
        Ran::from(command.output().expect("it runs"))
    };
    for (secret, has) in [(None, "none"), (Some("00".repeat(32)), "another one")] {
        let ran = elsewhere(secret.as_deref()).expect_code(2);
        assert!(ran.stderr.contains(&format!("this client has {has}")), "{}", ran.stderr);
        assert!(ran.stderr.contains("CLASSIFY_CLUSTER_SECRET"), "{}", ran.stderr);
    }
    let limits = world
        .command(&["limits", "set", "openai/door", "--rpm", "9", "--ingress", ingress])
        .env("CLASSIFY_HOME", world.path("elsewhere"))
        .env_remove("CLASSIFY_CLUSTER")
        .output();
    let limits = Ran::from(limits.expect("it runs")).expect_code(2);
    assert!(
        limits.stderr.contains("not signed") && limits.stderr.contains("hint: name the cluster"),
        "{}",
        limits.stderr
    );
    assert!(elsewhere(Some("no secret")).expect_code(2).stderr.contains("64 hexadecimal digits"));
    elsewhere(Some(&text)).expect_code(0);
    world.expect_each_once(&table, "far.jsonl");
    let detached = ["--detach", "--mode", "max", "-o", "door-detached.jsonl", "--json", &table];
    let handed = world.classify(&detached).expect_code(0).json();
    world.classify(&["runs", "attach", handed["run_id"].as_str().expect("an id")]).expect_code(0);
    world.expect_each_once(&table, "door-detached.jsonl");

    // It is in the file of its own and in nothing else that is kept, logs and stores of the nodes included.
    let found = having(&world.path("state"), text.as_bytes());
    assert_eq!(found, [path]);
}

/// A proxy with TLS and a login before a node, as docs/operations.md advises for whoever shares a cluster.
pub(crate) fn a_proxy_with_tls_asks_for_a_token(world: &mut World) {
    let node = node(world);
    let [certificate, key] = ["proxy.pem", "proxy.key"].map(|name| world.path(name).display().to_string());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=proxy"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", &certificate, "-keyout", &key])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls_proxy.py");
    let mut proxy = Command::new("python3");
    proxy.args([script, &certificate, &key, "let-me-in", node["ingress_url"].as_str().expect("a URL")]);
    let mut proxy = proxy.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    let mut port = String::new();
    BufReader::new(proxy.stdout.take().expect("a pipe")).read_line(&mut port).expect("a port");
    let _proxy = Guarded(proxy);
    let url = format!("https://127.0.0.1:{}", port.trim());

    let table = world.table(40);
    let ask = |url: &str, token: &str, trusts: bool| {
        let mut command = world.command(&["--ingress", url, "--mode", "max", "-o", "tls.jsonl", &table]);
        command.env("CLASSIFY_INGRESS_TOKEN", token);
        if trusts {
            command.env("SSL_CERT_FILE", &certificate);
        }
        Ran::from(command.output().expect("it runs"))
    };
    let stranger = ask(&url, "let-me-in", false).expect_code(4);
    assert!(stranger.stderr.contains("certificate"), "{}", stranger.stderr);
    let nobody = ask(&url, "", true).expect_code(4);
    assert!(nobody.stderr.contains("403"), "{}", nobody.stderr);
    ask(&url, "let-me-in", true).expect_code(0);
    world.expect_each_once(&table, "tls.jsonl");
    let clear = ask("http://192.0.2.1:8080", "let-me-in", true).expect_code(2);
    assert!(clear.stderr.contains("would go to http://192.0.2.1:8080 in clear"), "{}", clear.stderr);
    let login = ask("http://user:hunter2@127.0.0.1:1", "", true).expect_code(2);
    assert!(
        login.stderr.contains("it names a user") && !login.stderr.contains("hunter2"),
        "{}",
        login.stderr
    );
}

/// Files below `folder` that have `word` in them.
fn having(folder: &Path, word: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| memchr::memmem::find(&bytes, word).is_some()) {
                found.push(path);
            }
        }
    }
    found
}
