//! `classify cluster restore` against a `restatectl` that says what it is told to say.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::{Folder, Ran};

/// What the cluster notes of a node that lost its data, and how many partitions there are.
const LOST: &str = "replicated-loglet) echo ' N2   N2:1  data-loss  0  0' ;; sql) echo '{\"last\":5}' ;;";

/// A recorded cluster of three nodes, and a `restatectl` that answers by its first word in these ways; what it was asked is in `asked`.
fn cluster(answers: &str) -> Folder {
    // Whom it asks comes first.
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>\"${{0%/*}}/asked\"\nshift 2\ncase \"$1\" in {answers} *) exit 0 ;; esac\n"
    );
    let folder = Folder::new().file("restatectl", script);
    let tool = folder.path("restatectl");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let node = |number: u16| {
        let ports = json!({ "ingress": number, "admin": 10 + number, "fabric": 20 + number });
        json!({ "name": format!("restate-{number}"), "ports": ports, "process": null })
    };
    let record = json!({
        "format": 1, "name": "default", "runtime": "native", "ports": "auto", "provisioned": true, "server": null,
        "restatectl": tool, "snapshots": { "destination": "s3://bucket/x" },
        "nodes": [node(1), node(2), node(3)], "service": null,
    });
    fs::create_dir_all(folder.path("home/cluster/default")).unwrap();
    fs::write(folder.path("home/cluster/default/cluster.json"), record.to_string()).unwrap();
    folder
}

fn restore(folder: &Folder, more: &[&str]) -> Ran {
    folder.classify(&[&["cluster", "restore", "2"][..], more].concat())
}

fn asked(folder: &Folder) -> Vec<String> {
    let asked = fs::read_to_string(folder.path("asked")).unwrap_or_default();
    asked.lines().map(str::to_owned).collect()
}

#[test]
fn a_cluster_that_does_not_answer_is_not_one_without_the_node() {
    let folder = cluster("*) echo 'Error: connection refused' >&2; exit 1 ;;");
    let ran = restore(&folder, &["--yes"]);
    ran.failed(4).mentioned(&[
        "error: cannot ask the other nodes about it",
        "Error: connection refused",
        "hint: nothing was changed",
        "classify cluster status",
    ]);
    assert!(!ran.stderr.contains("knows no"), "{ran:#?}");
}

#[test]
fn a_node_that_is_not_there_or_has_its_data_is_left_alone() {
    let folder = cluster("*) echo 'N1 N1:2 read-write 3 4' ;;");
    restore(&folder, &["--yes"]).failed(2).mentioned(&["error: the cluster `default` knows no restate-2"]);
    let folder = cluster("*) echo 'N2 N2:1 read-write 3 4' ;;");
    restore(&folder, &["--yes"]).failed(2).mentioned(&[
        "restate-2 has storage state read-write, not data-loss",
        "start it once: `classify cluster start`",
    ]);
    folder
        .classify(&["cluster", "restore", "7", "--yes"])
        .failed(2)
        .mentioned(&["cluster `default` has no node `7`", "it has restate-1, restate-2, restate-3"]);
    assert_eq!(asked(&folder).len(), 1, "a node that is not recorded needs no asking");
}

#[test]
fn an_answer_that_cannot_be_read_changes_nothing() {
    for answers in [
        "replicated-loglet) echo 'N2 data-loss' ;;",
        "replicated-loglet) echo 'N2 x data-loss 1 1' ;; sql) echo oops >&2; exit 1 ;;",
        "replicated-loglet) echo 'N2 x data-loss 1 1' ;; sql) echo '{\"last\":null}' ;;",
    ] {
        let folder = cluster(answers);
        let ran = restore(&folder, &["--yes"]);
        assert!(matches!(ran.code, Some(1 | 4)), "{ran:#?}");
        ran.mentioned(&["nothing was changed"]);
        assert!(asked(&folder).len() <= 2, "{:?}", asked(&folder));
    }
}

#[test]
fn without_snapshots_or_without_a_yes_nothing_is_changed() {
    let folder = cluster(LOST);
    restore(&folder, &[]).failed(2).mentioned(&[
        "error: restate-2 is left as it is: there is no terminal to ask on",
        "`classify cluster restore restate-2 --yes`",
    ]);
    assert!(asked(&folder).iter().all(|line| line.contains("servers") || line.contains("sql")));
    let path = folder.path("home/cluster/default/cluster.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["snapshots"] = json!(null);
    let folder = folder.file("home/cluster/default/cluster.json", record.to_string());
    let before = asked(&folder).len();
    restore(&folder, &["--yes"]).failed(2).mentioned(&["keeps snapshots", "`classify cluster clean`"]);
    assert_eq!(asked(&folder).len(), before);
}

#[test]
fn a_lost_node_is_let_back_in() {
    let folder = cluster(LOST);
    let ran = restore(&folder, &["--yes"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:#?}");
    ran.mentioned(&["restate-2 may begin anew; next: `classify cluster start`"]);
    let asked = asked(&folder);
    let steps = [
        "logs reconfigure --log-id 0-5 --yes",
        "nodes set-storage-state --nodes 2 --storage-state provisioning --force --yes",
        "metadata-server remove-node 2 --yes",
    ];
    let changed: Vec<&String> =
        asked.iter().filter(|line| !line.contains("servers") && !line.contains("sql")).collect();
    assert_eq!(changed.len(), steps.len(), "{asked:#?}");
    for (line, step) in changed.iter().zip(steps) {
        assert_eq!(**line, format!("--address http://127.0.0.1:21,http://127.0.0.1:23 {step}"));
    }
}

#[test]
fn it_begins_anew_only_when_no_log_counts_on_it() {
    // The second snapshots let go of what the first did not.
    let answers = "replicated-loglet) if [ -e \"$0.2\" ]; then echo 'N2 x data-loss 0 0'; else echo 'N2 x data-loss 1 2'; fi ;;
        sql) echo '{\"last\":0}' ;; snapshots) if [ -e \"$0.1\" ]; then : >\"$0.2\"; else : >\"$0.1\"; fi ;;";
    let folder = cluster(answers);
    restore(&folder, &["--yes"]).mentioned(&["3 of the logs count on restate-2 still", "may begin anew"]);
    let asked = asked(&folder);
    let at = |word: &str| asked.iter().rposition(|line| line.contains(word)).unwrap();
    assert_eq!(asked.iter().filter(|line| line.contains("snapshots create --trim-log")).count(), 2);
    assert!(at("snapshots create") < at("set-storage-state"), "{asked:#?}");
}

#[test]
fn a_step_that_fails_is_named_and_can_be_made_again() {
    let folder = cluster(&format!("metadata-server) echo 'no leader' >&2; exit 1 ;; {LOST}"));
    restore(&folder, &["--yes"]).failed(4).mentioned(&[
        "error: cannot take the node's old place among the metadata servers away",
        "no leader",
        "`classify cluster restore restate-2`",
    ]);
    // By now the node may begin, and the step that failed is the one that is left.
    let folder = cluster("replicated-loglet) echo 'N2 x provisioning 0 0' ;; sql) echo '{\"last\":5}' ;;");
    assert_eq!(restore(&folder, &["--yes"]).code, Some(0));
    let asked = asked(&folder);
    assert!(!asked.iter().any(|line| line.contains("reconfigure") || line.contains("set-storage")));
    assert!(asked.last().unwrap().ends_with("metadata-server remove-node 2 --yes"), "{asked:#?}");
}

#[test]
fn in_containers_a_node_beside_it_is_asked() {
    let docker = "#!/bin/sh\ndir=\"${0%/*}\"\ncase \"$1\" in ps) echo all ;; inspect) cat \"$dir/inspect\" ;;\n\
                  exec) echo \"$2\" >>\"$dir/through\"; tool=\"$3\"; shift 3; exec \"$dir/$tool\" \"$@\" ;; esac\n";
    let container = |number: u8, status: &str| {
        let service = format!("restate-{number}");
        json!({
            "Id": format!("id-{number}"), "Name": format!("/classify-{service}-1"), "State": { "Status": status },
            "Config": {
                "Env": ["RESTATE_WORKER__SNAPSHOTS={snapshot-interval=\"5m\", destination=\"s3://restate/x\"}"],
                "Labels": { "com.docker.compose.service": service },
            },
            "HostConfig": { "PortBindings": null },
        })
    };
    let inspected = json!([container(1, "exited"), container(2, "running"), container(3, "running")]);
    let folder = cluster(LOST).file("docker", docker).file("inspect", inspected.to_string());
    fs::set_permissions(folder.path("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path("home/cluster/default/cluster.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["runtime"] = json!("docker");
    record["snapshots"] = json!(null);
    record["restatectl"] = json!(null);
    record["project"] = json!({ "name": "classify", "origin": "found" });
    let folder = folder.file("home/cluster/default/cluster.json", record.to_string());
    let path = format!("{}:/usr/bin:/bin", folder.path("").display());
    let ran = folder.classify_with(&[("PATH", &path)], &["cluster", "restore", "2", "--yes"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    // Somebody else's, so it is not for `cluster start` to start.
    ran.mentioned(&["restate-2 may begin anew; next: `docker compose -p classify restart restate-2`"]);
    let through = fs::read_to_string(folder.path("through")).unwrap();
    assert!(through.lines().all(|id| id == "id-3"), "{through}");
    let asked = asked(&folder);
    assert_eq!(
        asked.last().unwrap(),
        "--address http://restate-1:5122,http://restate-3:5122 metadata-server remove-node 2 --yes"
    );

    // Where no other node runs, there is none to ask.
    let alone = json!([container(1, "exited"), container(2, "running"), container(3, "exited")]);
    let folder = folder.file("inspect", alone.to_string());
    folder
        .classify_with(&[("PATH", &path)], &["cluster", "restore", "2", "--yes"])
        .failed(2)
        .mentioned(&["no other node of the cluster `default` runs that keeps snapshots"]);
}
