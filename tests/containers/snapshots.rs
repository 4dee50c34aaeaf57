//! Snapshots of partitions in a store, and the return of a node whose volume is gone.

use std::time::Duration;

use crate::docker::{docker, gateway, try_docker};
use crate::running::wait_for;
use crate::world::{Stage, World};

/// Snapshots soon, instead of after minutes and thousands of records.
const SOON: &str = r#"snapshot-interval="1s", snapshot-interval-num-records=50"#;
const BUCKET: &str = "restate/snapshots";

/// The other store, and where it is told to listen: at the one address of this machine that containers reach.
const OTHER_STORE: &str = "classify-ct-seaweedfs";
const OTHER_IMAGE: &str = "docker.io/chrislusf/seaweedfs:4.48";
const OTHER_PORT: u16 = 18_333;
const OTHER_KEY: [&str; 2] = ["seaweed-key", "seaweed-secret"];

/// Where snapshots go and with which key: the same in each command of a stage.
pub(crate) fn environment(stage: Stage) -> Vec<(&'static str, String)> {
    let at = |endpoint: &str| {
        format!(r#"{SOON}, destination="s3://{BUCKET}", aws-endpoint-url="{endpoint}", aws-allow-http=true"#)
    };
    match stage {
        Stage::OtherStore => {
            let [id, secret] = OTHER_KEY.map(str::to_owned);
            let endpoint = format!("http://host.docker.internal:{OTHER_PORT}");
            vec![("SNAPSHOTS", at(&endpoint)), ("S3_ACCESS_KEY_ID", id), ("S3_SECRET_ACCESS_KEY", secret)]
        }
        Stage::Started | Stage::FiveNodes => vec![("SNAPSHOTS", at("http://store:9000"))],
        Stage::Plain => Vec::new(),
    }
}

pub(crate) fn start_other_store() {
    remove_other_store();
    let [id, secret] = OTHER_KEY;
    let (id, secret) = (format!("AWS_ACCESS_KEY_ID={id}"), format!("AWS_SECRET_ACCESS_KEY={secret}"));
    let run = [
        "run",
        "--detach",
        "--name",
        OTHER_STORE,
        "--network",
        "host",
        "--env",
        &id,
        "--env",
        &secret,
        OTHER_IMAGE,
    ];
    let (ip, bind) = (format!("-ip={}", gateway()), format!("-ip.bind={}", gateway()));
    let port = format!("-s3.port={OTHER_PORT}");
    let mini =
        ["mini", "-dir=/tmp", &ip, &bind, &port, "-bucket=restate", "-webdav=false", "-admin.ui=false"];
    docker(&[&run[..], &mini].concat());
    let said = || try_docker(&["logs", OTHER_STORE]).unwrap_or_default();
    wait_for("SeaweedFS", Duration::from_mins(1), || said().contains("ready to use"));
}

pub(crate) fn remove_other_store() {
    // Not there is fine.
    let _tried = try_docker(&["rm", "--force", "--volumes", OTHER_STORE]);
}

/// Partitions that have a snapshot in the bucket. Asked of the store itself, by `mc`.
fn partitions_in_bucket(world: &World) -> usize {
    let (id, secret, at) = match world.stage() {
        Stage::OtherStore => (OTHER_KEY[0], OTHER_KEY[1], format!("{}:{OTHER_PORT}", gateway())),
        _ => ("classify", "classify-development", "localhost:9000".to_owned()),
    };
    let alias = format!("MC_HOST_it=http://{id}:{secret}@{at}");
    let store = world.project().container("store");
    let listed =
        docker(&["exec", "--env", &alias, &store, "mc", "ls", "--recursive", &format!("it/{BUCKET}/")]);
    // PARTITION/latest.json names the last snapshot of a partition.
    listed.lines().filter(|line| line.ends_with("/latest.json")).count()
}

/// Partitions of whose snapshot `cluster status` knows.
fn known_snapshots(world: &World) -> usize {
    let status = world.status();
    let partitions = status["snapshots"]["partitions"].as_array();
    partitions.map_or(0, |all| all.iter().filter(|one| one["archived_lsn"].is_u64()).count())
}

pub(crate) fn a_wiped_node_comes_back(world: &mut World) {
    let table = world.table(300);
    // The rules' answers are remembered by batch, so both runs take batches of the same size; many of them, so that each partition has some.
    let run = ["--mode", "max", "--batch-size", "5", &table];
    world.classify(&run).expect_code(0);
    let before = world.executed().len();
    wait_for("a snapshot of each partition", Duration::from_mins(2), || partitions_in_bucket(world) == 6);
    wait_for("`cluster status` to know of them", Duration::from_mins(1), || known_snapshots(world) == 6);

    let project = world.project();
    docker(&["rm", "--force", &project.container("restate-2")]);
    docker(&["volume", "rm", &format!("{}_restate-2", project.0)]);
    let refused = world.try_start_nodes();
    assert_eq!(
        refused.code,
        Some(4),
        "a node that lost its data does not simply come back: {}",
        refused.stderr
    );
    assert!(project.logs("restate-2").contains("storage-state is `data-loss`"), "{}", refused.stderr);

    // As docs/restore.md says.
    world.classify(&["cluster", "restore", "2", "--yes"]).expect_code(0);
    world.start_nodes(&[]);

    let restored = || project.logs("restate-2").contains("Found partition snapshot, restoring it");
    wait_for("restate-2 to restore a snapshot", Duration::from_mins(2), restored);
    let leads = || world.status()["nodes"][1]["partitions_led"].as_u64() > Some(0);
    wait_for("restate-2 to lead partitions again", Duration::from_mins(2), leads);
    let again = world.classify(&[&run[..], &["--json", "-o", "wiped.jsonl"]].concat()).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], 300);
    assert_eq!(world.executed().len(), before, "nothing was lost with the volume");
    world.expect_each_once(&table, "wiped.jsonl");
}
