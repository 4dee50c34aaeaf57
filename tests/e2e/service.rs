//! `serve` as a process.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use restate_sdk::context::RequestTarget;
use restate_sdk::prelude::*;
use serde_json::{Value, json};

use crate::queue::also_serve;
use crate::world::{Guarded, World, http, send, wait_for};

pub(crate) fn says_when_its_port_is_taken(world: &mut World) {
    let bind = format!("127.0.0.1:{}", world.service_port());
    let refused = world.classify(&["serve", "--bind", &bind]).expect_code(2);
    let expected = format!("error: cannot listen on {bind}: the port is taken");
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
}

pub(crate) fn drains_on_sigterm(world: &mut World) {
    for (signal, results) in [(Signal::SIGTERM, "term.jsonl"), (Signal::SIGINT, "int.jsonl")] {
        let table = world.table(1_000);
        let before = world.executed().len();
        let run = world.begin(&["--rpm", "12000", "--batch-size", "10", "-o", results, &table]);
        world.wait_executed(before, 200);
        assert_eq!(world.end_service(signal), Some(0), "{signal}");
        world.start_service();
        run.finish().expect_code(0);
        world.expect_each_once(&table, results);
        // Drained: what the service had begun it also answered.
        assert_eq!(world.repeated_since(before), 0, "{signal}: rows that were looked at again");
    }
}

/// Restate compares what a replay answers with what its journal has: an answer with a time of its own in it would be refused, and asked
/// for again, for ever.
pub(crate) fn the_rules_say_the_same_when_asked_again(world: &mut World) {
    let status = world.classify(&["cluster", "status", "--json"]).expect_code(0).json();
    let node = &status["nodes"][0];
    let (runtime, deployment) = also_serve(world, Endpoint::builder().bind(Asker).build());
    let url = format!("{}/Asker/rules", node["ingress_url"].as_str().expect("a URL"));
    let request = json!({
        "terms": {
            "method": { "provider": "rules" },
            "taxonomy": node["service"]["taxonomy_digest"],
            "at": "2026-01-02T03:04:05Z",
            "origin": "RUN.0",
        },
        "indicators": [{ "id": "A", "name": "Exports of goods" }],
    });
    let answer = http("POST", &url, &request);
    assert_eq!(answer[0]["classified"]["classified_at"], "2026-01-02T03:04:05Z", "{answer:#}");
    assert_eq!(answer, http("POST", &url, &request));
    http("DELETE", &deployment, &Value::Null);
    runtime.shutdown_background();
}

/// Asks the rules, which only handlers may.
struct Asker;

#[restate_sdk::service(name = "Asker")]
impl Asker {
    #[handler]
    async fn rules(&self, ctx: Context<'_>, request: Json<Value>) -> HandlerResult<Json<Value>> {
        let target = RequestTarget::service("Classifier", "rules");
        Ok(ctx.request::<Json<Value>, Json<Value>>(target, request).call().await?)
    }
}

pub(crate) fn says_when_no_node_can_keep_the_limits(world: &mut World) {
    let nowhere = "http://127.0.0.1:1";
    let _service = Guarded(world.spawn_service(0, "alone.log", "alone.jsonl", |service| {
        service.env("OPENAI_API_KEY", "none").args(["--ingress", nowhere]);
    }));
    wait_for("a warning", Duration::from_secs(20), || {
        let said = fs::read_to_string(world.path("alone.log")).unwrap_or_default();
        said.contains(&format!("warning: no Restate node answers at {nowhere}: requests to models wait"))
    });
}

pub(crate) fn takes_the_place_of_another_only_when_told_to(world: &mut World) {
    let ours = format!("http://127.0.0.1:{}", world.service_port());
    let serves = |world: &mut World| {
        let table = world.table(5);
        world.classify(&["--mode", "max", "-o", "served.jsonl", &table]).expect_code(0);
    };
    let refused = world.classify(&["serve", "--register", "--bind", "127.0.0.1:0"]).expect_code(2);
    let said = format!("error: another service is registered, and answers: {ours}");
    assert!(refused.stderr.contains(&said) && refused.stderr.contains("--replace"), "{}", refused.stderr);
    serves(world);

    let second = |world: &World, log: &str| {
        let second = world.spawn_service(0, log, "second.jsonl", |service| {
            service.args(["--register", "--replace"]);
        });
        let (log, second) = (world.path(log), Guarded(second));
        wait_for("the second to be registered", Duration::from_secs(30), || {
            fs::read_to_string(&log).unwrap_or_default().contains("in place of")
        });
        second
    };
    // It ends, and the first serves again.
    let mut replacing = second(world, "replacing.log");
    send(replacing.0.id(), Signal::SIGTERM);
    assert_eq!(replacing.0.wait().expect("its status").code(), Some(0));
    let said = fs::read_to_string(world.path("replacing.log")).expect("a log");
    assert!(said.contains(&format!("{ours} is registered again")), "{said}");
    serves(world);

    // The first ends, and the second serves on: an upgrade without a gap.
    let upgrade = second(world, "upgrade.log");
    world.end_service(Signal::SIGTERM);
    serves(world);
    drop(upgrade);
    let table = world.table(5);
    let gone = world.classify(&["--mode", "max", "-o", "gone.jsonl", "--force", &table]).expect_code(4);
    assert!(gone.stderr.contains("classify cluster register"), "{}", gone.stderr);
    world.start_service();
    serves(world);
}
