//! The main job on a cluster that `cluster start --runtime docker` made.

use std::time::Duration;

use serde_json::json;

use crate::docker::{docker, identity, try_docker};
use crate::running::Ran;
use crate::world::World;

pub(crate) fn a_killed_node_loses_nothing(world: &mut World) {
    let status = world.status();
    assert_eq!(
        (&status["runtime"], &status["ready"], &status["quorum"]),
        (&json!("docker"), &json!(true), &json!(true))
    );
    let table = world.table(300);
    let before = world.executed().len();
    let args = ["--rpm", "3000", "--batch-size", "5", "--json", "-o", "killed.jsonl", &table];
    let mut run = world.begin(&args);
    world.wait_executed(before, 60);
    world.docker("kill", "restate-2");
    run.wait_said("restate-2   out", Duration::from_secs(15));

    let ran = run.finish().expect_code(0);
    world.expect_each_once(&table, "killed.jsonl");
    let totals = ran.json()["totals"].clone();
    assert_eq!(
        (&totals["succeeded"], &totals["failed"], &totals["pending"]),
        (&json!(300), &json!(0), &json!(0))
    );
    // The rules look again at batches that a new leader starts anew, here those under way at that moment (docs/durability.md).
    let repeated = world.repeated_since(before);
    assert!(repeated <= 60, "{repeated} classifications were repeated");

    assert_eq!(world.status()["nodes"][1]["alive"], false);
    world.start_nodes(&[]);
    assert_eq!(world.status()["ready"], true);
}

pub(crate) fn stop_and_start_keep_all_state(world: &mut World) {
    let table = world.table(100);
    world.classify(&["--mode", "max", &table]).expect_code(0);
    let before = world.executed().len();
    world.classify(&["cluster", "stop", "--name", world.cluster()]).expect_code(0);
    let running = docker(&[
        "ps",
        "--quiet",
        "--filter",
        &format!("label=com.docker.compose.project={}", world.project().0),
    ]);
    assert_eq!(running, "", "containers that still run");

    world.start_nodes(&[]);
    let again = world.classify(&["--mode", "max", "--json", "-o", "again.jsonl", &table]).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], 100);
    assert_eq!(world.executed().len(), before, "what was known before the stop is known after it");
    world.expect_each_once(&table, "again.jsonl");
}

/// Things of somebody else, whose project's name begins like ours.
struct Bystanders(String);

impl Bystanders {
    fn new(world: &World) -> Self {
        let name = format!("{}-bystander", world.project().0);
        let label = format!("com.docker.compose.project={name}");
        let bystanders = Self(name);
        bystanders.remove();
        let name = &bystanders.0;
        docker(&["network", "create", "--label", &label, name]);
        docker(&["volume", "create", "--label", &label, name]);
        let mount = format!("{name}:/data");
        let run =
            ["run", "--detach", "--name", name, "--label", &label, "--network", name, "--volume", &mount];
        docker(&[&run[..], &["debian:trixie-slim", "sleep", "infinity"]].concat());
        bystanders
    }

    fn remove(&self) {
        let name = &self.0;
        for args in
            [&["rm", "--force", name][..], &["network", "rm", name], &["volume", "rm", "--force", name]]
        {
            let _tried = try_docker(args);
        }
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        self.remove();
    }
}

pub(crate) fn clean_takes_ours_and_nothing_else(world: &mut World) {
    let bystanders = Bystanders::new(world);
    let name = &bystanders.0;
    let before = identity(name);
    let project = world.project();
    assert_ne!(project.everything(), Vec::<String>::new());
    let refused = world.classify(&["cluster", "clean", "--name", world.cluster()]);
    assert_eq!(refused.code, Some(2), "without a terminal and without --yes: {}", refused.stderr);
    assert_ne!(project.everything(), Vec::<String>::new());

    // Somebody's data under the very project's label: no cluster has it.
    let undeclared = format!("{}_pgdata", project.0);
    let label = format!("com.docker.compose.project={}", project.0);
    docker(&["volume", "create", "--label", &label, &undeclared]);
    let cleaned = world.classify(&["cluster", "clean", "--yes", "--name", world.cluster()]).expect_code(0);
    assert!(
        cleaned.stderr.contains(&format!("left as it is, for no cluster has it: volume {undeclared}")),
        "{}",
        cleaned.stderr
    );
    assert_eq!(project.everything(), [undeclared.as_str()]);
    docker(&["volume", "rm", &undeclared]);
    assert_eq!(identity(name), before);
    docker(&["network", "inspect", name]);
    docker(&["volume", "inspect", name]);
}

/// A cluster that somebody else uses. A home folder that started nothing, and one that has used it, leave it alone.
pub(crate) fn what_was_found_is_left_until_it_is_taken_over(world: &mut World) {
    let project = world.project();
    let nodes = ["restate-1", "restate-2", "restate-3"].map(|node| project.container(node));
    let seen = || nodes.iter().map(|node| identity(node)).collect::<Vec<_>>();
    let (before, everything) = (seen(), project.everything());
    let elsewhere = |args: &[&str]| -> Ran {
        world.command(args).env("CLASSIFY_HOME", world.path("elsewhere")).output().expect("it runs").into()
    };
    let clean = ["cluster", "clean", "--yes"];
    for ran in [elsewhere(&clean), world.classify(&clean)] {
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        let said = [
            "compose project `classify`",
            "was not started from here",
            "volume classify_restate-1",
            "`classify cluster adopt classify`",
        ];
        for words in said {
            assert!(ran.stderr.contains(words), "no `{words}`: {}", ran.stderr);
        }
    }
    assert!(!world.path("elsewhere/cluster").exists(), "nothing was recorded");
    let stopped = world.classify(&["cluster", "stop"]).expect_code(0);
    assert!(stopped.stderr.contains("left running, for it was not started from here"), "{}", stopped.stderr);
    assert_eq!((seen(), project.everything()), (before, everything));

    world.classify(&["cluster", "adopt", "nobodys"]).expect_code(2);
    world.classify(&["cluster", "adopt", "classify"]).expect_code(0);
    world.classify(&clean).expect_code(0);
    assert_eq!(project.everything(), Vec::<String>::new());
}
