//! The compose file and what goes with it, before anything is started.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::docker::Compose;

const FILE: &str = "docker-compose.cluster.yml";

fn read(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn render(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
    let output = command.args(["cluster", "render"]).args(args).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What compose makes of the file, all profiles included.
fn config(compose: Compose, file: &str) -> String {
    let profiles = ["--profile", "service", "--profile", "lb", "--profile", "monitoring"];
    let output = compose.run_file(file, &[&profiles[..], &["config"]].concat());
    assert!(output.status.success(), "{compose:?} {file}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Compose v2, and v1 where this machine has it.
fn composes() -> Vec<Compose> {
    let v1 = Command::new("docker-compose").args(["version", "--short"]).output();
    let has_v1 = v1.is_ok_and(|output| output.stdout.starts_with(b"1."));
    [Some(Compose::V2), has_v1.then_some(Compose::V1)].into_iter().flatten().collect()
}

pub(crate) fn compose_takes_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let five = folder.path().join("five");
    let five = five.to_str().expect("UTF-8");
    render(&[five, "--nodes", "5"]);
    let checked_in = format!("{}/{FILE}", env!("CARGO_MANIFEST_DIR"));
    for compose in composes() {
        for (file, nodes) in [(&checked_in, 3), (&format!("{five}/{FILE}"), 5)] {
            let config = config(compose, file);
            for node in 1..=nodes {
                assert!(config.contains(&format!("\n  restate-{node}:\n")), "{compose:?}: {config}");
            }
            assert!(!config.contains(&format!("restate-{}", nodes + 1)), "{compose:?}: {config}");
        }
    }
}

pub(crate) fn rendered_for_three_is_the_checked_in_one() {
    assert_eq!(render(&["--nodes", "3"]), read(FILE));
}

/// Names after `${` in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    text.split("${")
        .skip(1)
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

pub(crate) fn every_variable_is_in_the_example() {
    let example = read(".env.example");
    let told: BTreeSet<&str> = example
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        // Compose's own.
        .filter(|name| !name.starts_with("COMPOSE_"))
        .collect();
    assert_eq!(told, variables(&read(FILE)));
}

pub(crate) fn nothing_is_published_beyond_loopback() {
    let checked_in = format!("{}/{FILE}", env!("CARGO_MANIFEST_DIR"));
    let output = Compose::V2.run_file(
        &checked_in,
        &["--profile", "service", "--profile", "lb", "--profile", "monitoring", "config", "--format", "json"],
    );
    let config: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let services = config["services"].as_object().expect("services");
    let ports: Vec<&Value> =
        services.values().filter_map(|service| service["ports"].as_array()).flatten().collect();
    // Three for each node, one for the store, the load balancer, Prometheus and Grafana.
    assert_eq!(ports.len(), 13, "{ports:#?}");
    for port in ports {
        assert_eq!(port["host_ip"], "127.0.0.1", "{port}");
    }
}
