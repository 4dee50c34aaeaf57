//! `queue status`.

use serde_json::Value;

use crate::support::World;

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
