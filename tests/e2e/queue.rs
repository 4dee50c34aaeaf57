//! `queue status`.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::world::{World, http, wait_for};

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
    let (batches, indicators) = succeeded(world);
    let table = world.table(30);
    world.classify(&["--mode", "max", "--batch-size", "10", &table]).expect_code(0);
    assert_eq!(succeeded(world), (batches + 3, indicators + 30));

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
    let admin = world.admin_url();
    let query =
        "SELECT id FROM sys_invocation WHERE target_service_name = 'ClassifyBatch' AND status <> 'completed'";
    wait_for("the run to end", Duration::from_secs(30), || {
        let open = http("POST", &format!("{admin}/query"), &json!({ "query": query }));
        for batch in open["rows"].as_array().expect("rows") {
            let id = batch["id"].as_str().expect("an id");
            http("PATCH", &format!("{admin}/invocations/{id}/kill"), &Value::Null);
        }
        run.has_ended()
    });
    let report = run.finish().expect_code(3).json();
    let cancelled = report["totals"]["failed"].as_u64().expect("a number");
    assert!(cancelled > 0, "{report:#}");
    assert_eq!(report["failed_by_class"], json!({ "cancelled": cancelled }));
    assert!(world.rows("killed.failures.jsonl").iter().all(|row| row["class"] == "cancelled"));

    world.start_service();
    let again = world.classify(&["--mode", "max", "--json", "-o", "killed.jsonl", &table]).expect_code(0);
    assert_eq!(again.json()["totals"]["succeeded"], 60, "a failure that Restate remembers is no answer");
}
