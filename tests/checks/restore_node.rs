//! `scripts/restore-node.sh` against a `restatectl` that says what it is told to say.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{Folder, Ran};

/// Runs the script for node 2 with a `restatectl` of these lines; what it was asked is in `asked`.
fn restore(lines: &str) -> (Folder, Ran) {
    let folder = Folder::new();
    let folder =
        folder.file("restatectl", format!("#!/bin/sh\necho \"$*\" >>\"${{0%/*}}/asked\"\n{lines}\n"));
    let tool = folder.path("restatectl");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/restore-node.sh");
    let ran = Command::new("sh").arg(script).arg("2").arg(&tool).output().unwrap().into();
    (folder, ran)
}

#[test]
fn a_cluster_that_does_not_answer_is_not_one_without_the_node() {
    let (_, ran) = restore("echo 'Error: connection refused' >&2; exit 1");
    ran.failed(4).mentioned(&["Error: connection refused", "error: restatectl failed"]);
    assert!(!ran.stderr.contains("knows no node"), "{ran:#?}");
}

#[test]
fn a_node_that_is_not_there_or_has_its_data_is_left_alone() {
    let (_, ran) = restore("echo 'N1 x read-write 3 4'");
    ran.failed(2).mentioned(&["error: the cluster knows no node 2"]);
    let (_, ran) = restore("echo 'N2 x read-write 3 4'");
    ran.failed(2).mentioned(&["node 2 has storage state read-write, not data-loss"]);
}

#[test]
fn nothing_is_changed_where_the_partitions_are_not_told() {
    let lines =
        "case \"$1\" in replicated-loglet) echo 'N2 x data-loss 1 1' ;; sql) echo oops >&2; exit 1 ;; esac";
    let (folder, ran) = restore(lines);
    ran.failed(4).mentioned(&["oops"]);
    let asked = std::fs::read_to_string(folder.path("asked")).unwrap();
    assert_eq!(asked.lines().count(), 2, "{asked}");
}

#[test]
fn a_lost_node_is_let_back_in() {
    let lines =
        "case \"$1\" in replicated-loglet) echo 'N2 x data-loss 0 0' ;; sql) echo '{\"last\":5}' ;; esac";
    let (folder, ran) = restore(lines);
    assert_eq!((ran.code, ran.stdout.trim_end()), (Some(0), "node 2 may be started again"), "{ran:#?}");
    let asked = std::fs::read_to_string(folder.path("asked")).unwrap();
    for step in
        ["logs reconfigure --log-id 0-5", "set-storage-state --nodes 2", "metadata-server remove-node 2"]
    {
        assert!(asked.contains(step), "{asked}");
    }
}
