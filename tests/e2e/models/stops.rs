//! Runs that end early because going on would be of no use, or too dear.

use std::fs;

use super::{Provider, ids, with_model};
use crate::llm_stub::{Fault, Plan};
use crate::note;
use crate::world::World;

/// Calls that may still be made once the client knows that a run must stop: those of rows under way.
const UNDER_WAY: usize = 50;
const PACE: [&str; 6] = ["--rpm", "6000", "--batch-size", "5", "--max-in-flight", "50"];

pub(crate) fn a_refused_key_stops_the_run(world: &mut World) {
    const WRONG: &str = "stub-wrong-9876543210zyxwvutsrq";
    let provider = Provider::start(Plan::healthy());
    world.replace_service(|service| {
        provider.is_known_to(service);
        service.env("OPENAI_API_KEY", WRONG);
    });
    let table = world.table(1_000);
    let options = ["--provider", "openai", "--model", "stub-key", "-o", "key.jsonl", &table];
    let ran = world.classify(&[&PACE[..], &options].concat()).expect_code(2);
    assert!(ran.stderr.contains("every further call would fail"), "{}", ran.stderr);
    assert!(ran.stderr.contains("401") && ran.stderr.contains("hint: put the right key"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    let calls = provider.stub.counts()["rejected"];
    note(&format!("refused key: {calls} calls"));
    // The first batch that ends with it is enough.
    assert!((1..=UNDER_WAY).contains(&calls), "{calls} calls for nothing");
    // The provider's words, in which the key was.
    let failures = fs::read_to_string(world.path("key.failures.jsonl.partial")).expect("failures");
    assert!(failures.contains("Incorrect API key provided: Bearer [redacted]"), "{failures}");
    assert!(!failures.contains(WRONG) && !ran.stderr.contains(WRONG));

    // With the right key the same command does the rest: what failed is no answer.
    provider.serve(world, &[]);
    world.classify(&with_model("stub-key", &["-o", "key.jsonl", &table])).expect_code(0);
    world.expect_each_once(&table, "key.jsonl");
    what_every_row_will_meet_stops_the_run(world);
}

/// A model that there is none of, and an account without money: not a call for each row, and the right next step.
fn what_every_row_will_meet_stops_the_run(world: &mut World) {
    const NO_MODEL: &str = r#"{"error":{"message":"There is no such model","code":"model_not_found"}}"#;
    const NO_MONEY: &str = r#"{"error":{"message":"Insufficient Balance","type":"unknown_error"}}"#;
    for (model, status, body, hint) in [
        ("stub-none", 404, NO_MODEL, "hint: name a model"),
        ("stub-poor", 402, NO_MONEY, "hint: pay, or raise"),
    ] {
        let provider = Provider::start(Plan::always(Fault::Error(status, body)));
        provider.serve(world, &[]);
        let table = world.table(300);
        let options = ["--provider", "openai", "--model", model, "-o", "none.jsonl", &table];
        let ran = world.classify(&[&PACE[..], &options].concat()).expect_code(2);
        for part in [&status.to_string(), hint, "most often openai: "] {
            assert!(ran.stderr.contains(part), "no `{part}` in {}", ran.stderr);
        }
        let calls = provider.seen(model).len();
        note(&format!("{status}: {calls} calls"));
        assert!((1..=UNDER_WAY).contains(&calls), "{status}: {calls} calls for nothing");
    }
}

pub(crate) fn too_many_failures_stop_the_run(world: &mut World) {
    let provider = Provider::start(Plan::shares(3, [(Fault::Refusal, 0.5)]));
    provider.serve(world, &[]);
    // Half of the calls fail. Six failures need about twelve calls, hardly ever thirty; a share is judged from 50 finished rows on.
    for (most, said, needed) in [("5", "more than 5", 6..30), ("20%", "more than 20% of", 50..60)] {
        let table = world.table(2_000);
        let before = provider.seen("stub-bad").len();
        let options = ["--provider", "openai", "--model", "stub-bad", "--max-failures", most, &table];
        let ran = world.classify(&[&PACE[..], &options].concat()).expect_code(3);
        assert!(ran.stderr.contains(said) && ran.stderr.contains("--max-failures"), "{}", ran.stderr);
        let calls = provider.seen("stub-bad").len() - before;
        note(&format!("--max-failures {most}: {calls} calls"));
        assert!((needed.start..=needed.end + UNDER_WAY).contains(&calls), "{calls} calls");
    }
}

pub(crate) fn spent_money_stops_the_run_and_is_not_spent_twice(world: &mut World) {
    let prices = r#"version = 1
[[prices]]
provider = "openai"
models = ["stub-dear"]
input = 1000.0
cached = 1000.0
output = 0.0
date = "2026-11-22"
source = "a test"
"#;
    fs::write(world.path("prices.toml"), prices).expect("prices");
    let prices = world.path("prices.toml").display().to_string();
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--prices", &prices]);
    let table = world.table(400);
    let run = |most| {
        let options =
            ["--prices", &prices, "--max-cost", most, "--batch-size", "5", "-o", "dear.jsonl", &table];
        world.classify(&with_model("stub-dear", &options))
    };
    // An indicator takes some 1,700 tokens, and so 1.7 USD; the most it can cost is a little more than twice that.
    let plan = ["--prices", &prices, "--plan", &table];
    let plan = world.classify(&with_model("stub-dear", &plan)).expect_code(0).json();
    let batch = 5.0 * plan["most_each_usd"].as_f64().expect("a price");
    let first = run("200").expect_code(3);
    assert!(first.stderr.contains("--max-cost"), "{}", first.stderr);
    let report = first.json();
    provider.expect_same_counts("stub-dear", &report);
    let spent = report["llm"]["cost_usd"].as_f64().expect("a cost");
    note(&format!("--max-cost 200: {spent} USD"));
    assert!(
        (200.0 - batch..=200.0).contains(&spent) && batch < 30.0,
        "{spent} USD, a batch can cost {batch}"
    );
    let asked = provider.seen("stub-dear").len();

    let second = run("2000").expect_code(0);
    world.expect_each_once(&table, "dear.jsonl");
    assert_eq!(second.json()["totals"]["reused"], asked);
    let mut seen: Vec<String> = provider.seen("stub-dear").into_iter().flat_map(|seen| seen.ids).collect();
    seen.sort_unstable();
    assert_eq!(seen, ids(world, &table), "each was paid for once");
}

/// Collecting pays again for what the cluster has forgotten, at the run's own rate and within its limit.
pub(crate) fn a_collected_run_keeps_its_limits(world: &mut World) {
    const MODEL: &str = "stub-forgotten";
    let prices = r#"version = 1
[[prices]]
provider = "openai"
models = ["stub-forgotten"]
input = 1000.0
cached = 1000.0
output = 0.0
date = "2026-11-27"
source = "a test"
"#;
    fs::write(world.path("forgotten.toml"), prices).expect("prices");
    let prices = world.path("forgotten.toml").display().to_string();
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--prices", &prices]);
    let table = world.table(30);
    // An indicator takes some 1,500 tokens, and so 1.5 USD: all of them 45.
    let limits = ["--prices", &prices, "--max-cost", "75", "--rpm", "600", "--batch-size", "5"];
    let options =
        [&["--detach", "--provider", "openai", "--model", MODEL], &limits[..], &["-o", "kept.jsonl"]];
    let ran = world.classify(&[&options.concat()[..], &[&table]].concat()).expect_code(0);
    let id = ran.stderr.lines().find_map(|line| line.strip_prefix("run        ")).expect("an id").to_owned();
    let status = world.classify(&["cluster", "status", "--json", "--name", "e2e"]).json();
    let node = status["nodes"][0]["ingress_url"].as_str().expect("a URL").to_owned();
    let home = world.path("elsewhere").display().to_string();
    // Another machine sees it to its end and collects nothing.
    world.classify(&["--home", &home, "runs", "attach", &id, "--ingress", &node]).expect_code(0);
    assert_eq!(provider.seen(MODEL).len(), 30);
    // As after eight days, in which the service was started again: it remembers what it was told itself.
    world.classify(&["queue", "purge", "--run", &id, "--state", "succeeded", "--yes"]).expect_code(0);
    provider.serve(world, &["--prices", &prices]);

    let stopped = world.classify(&["runs", "attach", &id, "--json"]).expect_code(3);
    assert!(stopped.stderr.contains("--max-cost"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("classify runs attach"), "{}", stopped.stderr);
    let paid_again = provider.seen(MODEL).len() - 30;
    note(&format!("--max-cost 75: {paid_again} rows were paid for again"));
    assert!(
        (5..=10).contains(&paid_again),
        "45 of 75 USD were spent, a batch can cost 23: {}",
        stopped.stderr
    );
    assert_eq!(stopped.json()["resumed"]["forgotten"], paid_again, "{:#}", stopped.json());

    let done = world.classify(&["runs", "attach", &id, "--max-cost", "1000", "--json"]).expect_code(0);
    assert_eq!(done.json()["totals"]["succeeded"], 30);
    world.expect_each_once(&table, "kept.jsonl");
    let seen = provider.seen(MODEL);
    assert_eq!(seen.len(), 60, "no row was paid for three times");
    // Ten a second, and a batch at once.
    let took = seen[59].at.duration_since(seen[30 + paid_again].at).as_secs_f64();
    assert!(took > 1.4, "{} rows in {took} s", 30 - paid_again);
}
