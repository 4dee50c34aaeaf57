//! Who gets through at the ports of nodes that listen at sockets.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::world::{Ran, World, send, wait_for};

/// URLs of all ports: ingress, admin API and the port for other nodes of each node, each with a path that it answers with 200.
fn urls(world: &World) -> Vec<String> {
    let state = std::fs::read(world.cluster_folder().join("cluster.json")).expect("a record");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    let ports = |node: &Value| {
        [("ingress", "restate/health"), ("admin", "version"), ("fabric", "metrics")]
            .map(|(purpose, path)| format!("http://127.0.0.1:{}/{path}", node["ports"][purpose]))
    };
    state["nodes"].as_array().expect("nodes").iter().flat_map(ports).collect()
}

fn client(http2: bool) -> Client {
    let client = classify::tls::node_client("http://").timeout(Duration::from_secs(10));
    let client = if http2 { client.http2_prior_knowledge() } else { client };
    client.build().expect("a client")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn get(url: &str, http2: bool, headers: &[(&str, &str)]) -> reqwest::Result<(StatusCode, String)> {
    let mut request = client(http2).get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    block_on(async {
        let answer = request.send().await?;
        Ok((answer.status(), answer.text().await?))
    })
}

fn guard(world: &World) -> Value {
    let status = world.classify(&["cluster", "status", "--json"]).json();
    status["guard"].clone()
}

pub(crate) fn programs_of_the_user_get_through(world: &mut World) {
    let urls = urls(world);
    assert_eq!(urls.len(), 9);
    for url in &urls {
        for http2 in [false, true] {
            let (status, said) = get(url, http2, &[]).expect("an answer");
            assert!(status == 200 && !said.is_empty(), "{url}, HTTP/2 {http2}: {status} {said}");
        }
    }
    // The web UI is a page of the admin API's own origin, and asks there.
    let admin = &urls[1];
    let origin = admin.trim_end_matches("/version");
    let of_the_ui = [("origin", origin), ("sec-fetch-site", "same-origin")];
    assert_eq!(get(admin, false, &of_the_ui).expect("an answer").0, 200);
    // Bodies both ways, as many as a run has.
    let table = world.table(2_000);
    let ingress: Vec<&str> =
        urls.iter().step_by(3).map(|url| url.trim_end_matches("/restate/health")).collect();
    let run = ["--mode", "max", "--ingress", &ingress.join(","), "-o", "guarded.jsonl", &table];
    world.classify(&run).expect_code(0);
    world.expect_each_once(&table, "guarded.jsonl");
}

pub(crate) fn pages_and_other_names_are_refused(world: &mut World) {
    let before = world.executed().len();
    for url in urls(world) {
        for headers in [
            [("host", "evil.example:8080"), ("accept", "*/*")],
            [("origin", "http://evil.example"), ("accept", "*/*")],
            [("origin", "null"), ("content-type", "text/plain")],
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
            [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")],
        ] {
            let (status, said) = get(&url, false, &headers).expect("an answer");
            assert_eq!(status, StatusCode::FORBIDDEN, "{url} {headers:?}: {said}");
            assert!(said.contains("docs/security.md"), "{said}");
        }
        let (status, said) = get(&url, true, &[("origin", "http://evil.example")]).expect("an answer");
        assert_eq!(status, StatusCode::FORBIDDEN, "{url} over HTTP/2: {said}");
        // What a page would ask before it may send JSON.
        let preflight =
            client(false).request(reqwest::Method::OPTIONS, &url).header("origin", "http://evil.example");
        let answer = block_on(async { preflight.send().await.expect("an answer") });
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{url}");
        assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control")), "{url}");
    }
    assert_eq!(world.executed().len(), before);
}

pub(crate) fn another_user_is_refused(world: &mut World) {
    // Whoever runs this as somebody else cannot become another user.
    assert!(nix::unistd::geteuid().is_root(), "needs root");
    let as_nobody = |script: &str, arg: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script, "bash", arg]);
        Ran::from(command.current_dir("/").output().expect("setpriv and bash")).expect_code(0).stdout
    };
    let ask = r#"exec 3<>"/dev/tcp/127.0.0.1/$1"; printf 'GET /version HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3; cat <&3"#;
    for url in urls(world) {
        let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
        let said = as_nobody(ask, port);
        assert!(said.starts_with("HTTP/1.0 403") && said.contains("user 65534 asked"), "{url}: {said}");
    }
    for node in ["restate-1", "restate-2", "restate-3"] {
        for api in ["ingress", "admin", "fabric"] {
            let socket = world.cluster_folder().join("data").join(node).join(format!("{api}.sock"));
            let found = socket.metadata().expect("a socket");
            assert!(found.file_type().is_socket());
            assert_eq!(found.permissions().mode() & 0o077, 0, "{}", socket.display());
            let seen =
                as_nobody(r#"[ -e "$1" ] && echo seen || echo closed"#, socket.to_str().expect("UTF-8"));
            assert_eq!(seen.trim(), "closed", "{}", socket.display());
        }
    }
}

pub(crate) fn one_that_died_is_started_again(world: &mut World) {
    let pid = guard(world)["pid"].as_u64().expect("a guard");
    send(u32::try_from(pid).expect("a pid"), Signal::SIGKILL);
    wait_for("the guard to be gone", Duration::from_secs(10), || guard(world)["alive"] == false);
    let shown = world.classify(&["cluster", "status"]).expect_code(4);
    assert!(shown.stdout.contains("guard      not running"), "{}", shown.stdout);
    let urls = urls(world);
    assert!(get(&urls[0], false, &[]).expect_err("nobody listens").is_connect());
    // Runs do not need it.
    let table = world.table(50);
    world.classify(&["--mode", "max", "-o", "unguarded.jsonl", &table]).expect_code(0);
    world.expect_each_once(&table, "unguarded.jsonl");

    let started = world.classify(&["cluster", "start"]).expect_code(0);
    assert!(started.stderr.contains("guard started again"), "{}", started.stderr);
    assert_eq!(get(&urls[0], false, &[]).expect("an answer").0, 200);
    let again = guard(world)["pid"].as_u64().expect("a guard");
    assert_ne!(again, pid);
    let untouched = world.classify(&["cluster", "start"]).expect_code(0);
    assert!(untouched.stderr.contains("already up"), "{}", untouched.stderr);
    assert_eq!(guard(world)["pid"], again);
}
