//! More nodes than three.

use serde_json::json;

use crate::world::World;

pub(crate) fn five_nodes_serve(world: &mut World) {
    let status = world.status();
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(5));
    assert_eq!(status["ready"], true, "{status:#}");
    let table = world.table(100);
    let ran = world
        .classify(&["--mode", "max", "--batch-size", "5", "--json", "-o", "five.jsonl", &table])
        .expect_code(0);
    world.expect_each_once(&table, "five.jsonl");
    let report = ran.json();
    for node in report["nodes"].as_array().expect("nodes") {
        assert_eq!((&node["batches"], &node["errors"]), (&json!(4), &json!(0)), "{report:#}");
    }
}
