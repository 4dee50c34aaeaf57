//! `restate.toml` against the real server. Restate ignores keys it does not know in silence: one that was mistyped,
//! renamed or put into the wrong table would go unnoticed.

use std::path::Path;
use std::process::Command;

use classify::cluster::Snapshots;
use classify::cluster::snapshots::SCHEDULE;
use toml::{Table, Value};

use crate::server::{cache, server};

/// The whole configuration as the server understands this file.
async fn understood(config: &str) -> Table {
    understood_with(config, &[]).await
}

/// The same with variables in the environment.
async fn understood_with(config: &str, env: &[(&str, &str)]) -> Table {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("restate.toml"), config).unwrap();
    // Without the environment, of which `RESTATE_*` would count as well.
    let mut command = Command::new(server(cache(env!("CARGO_TARGET_TMPDIR"))).await);
    command
        .args(["--dump-config", "--config-file", "restate.toml"])
        .current_dir(folder.path())
        .env_clear()
        .envs(env.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    toml::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Keys that the server does not know, or knows with another value.
fn misunderstood(written: &Table, understood: &Table, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in written {
        let path = format!("{path}{key}");
        match (value, understood.get(key)) {
            (Value::Table(written), Some(Value::Table(understood))) => {
                found.extend(misunderstood(written, understood, &format!("{path}.")));
            }
            (value, Some(same)) if value == same => {}
            (value, Some(other)) => found.push(format!("{path} = {value} is understood as {other}")),
            (value, None) => found.push(format!("{path} = {value} is unknown")),
        }
    }
    found
}

fn ours() -> Table {
    toml::from_str(include_str!("../../restate.toml")).unwrap()
}

/// Sizes and durations are written as the server prints them, so that they can be compared as text.
#[tokio::test]
async fn the_server_knows_every_key_and_means_the_same_by_it() {
    let problems = misunderstood(&ours(), &understood(include_str!("../../restate.toml")).await, "");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// `worker.snapshots` as the server understands a value of `RESTATE_WORKER__SNAPSHOTS`.
async fn snapshots_by(setting: &str) -> Table {
    let env = [("RESTATE_WORKER__SNAPSHOTS", setting)];
    let understood = understood_with(include_str!("../../restate.toml"), &env).await;
    understood["worker"]["snapshots"].as_table().unwrap().clone()
}

/// Snapshots come by environment, see `SCHEDULE`; what is said there must be understood, too.
#[tokio::test]
async fn the_server_knows_every_key_about_snapshots() {
    let store = Snapshots::new("s3://restate/a/b", Some("http://127.0.0.1:9000")).unwrap();
    let told = snapshots_by(&store.setting()).await;
    let expected: Table = toml::from_str(
        "snapshot-interval = \"5m\"\nsnapshot-interval-num-records = 10000\ndestination = \"s3://restate/a/b\"\n\
         aws-endpoint-url = \"http://127.0.0.1:9000\"\naws-allow-http = true",
    )
    .unwrap();
    assert_eq!(misunderstood(&expected, &told, ""), [""; 0]);
    let amazon = snapshots_by(&Snapshots::new("s3://restate/a", None).unwrap().setting()).await;
    assert!(!amazon.keys().any(|key| key.starts_with("aws-")), "the chain decides: {amazon}");
}

/// The compose file says it in its own words.
#[tokio::test]
async fn the_compose_file_takes_the_same_snapshots() {
    let compose = include_str!("../../docker-compose.cluster.yml");
    let line =
        compose.lines().find_map(|line| line.trim().strip_prefix("RESTATE_WORKER__SNAPSHOTS: '")).unwrap();
    let (before, rest) = line.split_once("${SNAPSHOTS:-").unwrap();
    let (default, after) = rest.split_once("}}'").unwrap();
    assert_eq!((before, after), (format!("{{{SCHEDULE}, ").as_str(), ""));
    let ours = Snapshots::new("s3://restate/snapshots", Some("http://store:9000")).unwrap();
    assert_eq!(snapshots_by(&format!("{before}{default}}}")).await, snapshots_by(&ours.setting()).await);
    // What `.env` says of the schedule wins.
    let faster = snapshots_by(&format!("{before}{default}, snapshot-interval=\"1m\"}}")).await;
    assert_eq!(faster["snapshot-interval"].as_str(), Some("1m"));
}

#[tokio::test]
async fn a_key_that_it_does_not_know_would_be_found() {
    let mut wrong = ours();
    wrong.insert("default-num-partition".into(), Value::Integer(6));
    let invoker = wrong["worker"]["invoker"].as_table_mut().unwrap();
    invoker.insert("abort_timeout".into(), Value::String("10m".into()));
    invoker.insert("memory-limit".into(), Value::String("262144 KiB".into()));
    wrong.insert("no-such-table".into(), Value::Table(Table::from_iter([("x".into(), Value::Integer(1))])));
    let understood = understood(&toml::to_string(&wrong).unwrap()).await;
    let mut problems = misunderstood(&wrong, &understood, "");
    problems.sort();
    assert_eq!(
        problems,
        [
            "default-num-partition = 6 is unknown",
            "no-such-table = { x = 1 } is unknown",
            "worker.invoker.abort_timeout = \"10m\" is unknown",
            "worker.invoker.memory-limit = \"262144 KiB\" is understood as \"256.0 MiB\"",
        ]
    );
}

/// Keys and variables that older guides have, and that mean nothing to this server or never did. It would take them without
/// a word. docs/operations.md says what to write instead.
const DEAD: [&str; 22] = [
    "worker.ingress",
    "bind_address",
    "max_command_batch_size",
    "abort_timeout",
    "inactivity_timeout",
    "max_retry_attempts",
    "max-retry-attempts",
    "concurrent_invocations_limit",
    "in_memory_queue_length_limit",
    "worker.telemetry",
    "metrics_enabled",
    "metrics_port",
    "replicated_loglet_provider",
    "bifrost_replicated",
    "invoker.retry-policy",
    "invoker__retry_policy",
    "invocation.default-retry-policy",
    "rocksdb-bg-threads",
    "rocksdb_bg_threads",
    "max-message-size",
    "experimental-num-retained",
    "file:///",
];

/// Everything that configures a node, without its comments.
fn configurations() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("restate.toml"), root.join("docker-compose.cluster.yml")];
    let mut folders = vec![root.join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { paths.push(path) }
        }
    }
    paths
        .retain(|path| path.extension().is_some_and(|end| ["toml", "yml", "yaml"].iter().any(|e| end == *e)));
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let said: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        (path.display().to_string(), said.join("\n").to_lowercase())
    };
    paths.iter().map(read).collect()
}

fn dead_settings(files: &[(String, String)]) -> Vec<String> {
    let said = |(name, text): &(String, String)| {
        let dead = DEAD.iter().filter(|key| text.contains(&key.to_lowercase()));
        dead.map(|key| format!("{name}: {key}")).collect::<Vec<_>>()
    };
    files.iter().flat_map(said).collect()
}

#[test]
fn settings_that_do_not_exist_stay_away() {
    let files = configurations();
    assert!(files.len() > 5, "these are not the files: {files:?}");
    assert_eq!(dead_settings(&files), [""; 0]);
    let old = "[worker.invoker]\nabort_timeout = \"10m\"\nRESTATE_BIFROST_REPLICATED_LOGLET_PROVIDER: s3";
    let old = [("old".to_owned(), old.to_lowercase())];
    assert_eq!(
        dead_settings(&old),
        ["old: abort_timeout", "old: replicated_loglet_provider", "old: bifrost_replicated"]
    );
}

/// The configuration in the `RestateCluster` is this one, and what Kubernetes' operator wants besides.
#[tokio::test]
async fn kubernetes_runs_the_same_configuration() {
    let manifest = include_str!("../../deploy/kubernetes/restate.yaml");
    let (_, config) = manifest.split_once("\n  config: |\n").unwrap();
    let lines: Vec<&str> = config.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    let config = lines.join("\n");
    let mut table: Table = toml::from_str(&config).unwrap();
    let problems = misunderstood(&table, &understood(&config).await, "");
    assert!(problems.is_empty(), "{}", problems.join("\n"));

    assert_eq!(table.remove("auto-provision"), Some(Value::Boolean(false)), "the operator provisions");
    let addresses = table.remove("metadata-client").unwrap()["addresses"].clone();
    assert_eq!(addresses, Value::Array(vec!["http://restate-cluster:5122/".into()]));
    assert_eq!(table, ours());
}
