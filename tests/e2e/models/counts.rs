//! What is asked, and what it is counted as: by the plan, by the provider, in the report.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::{Provider, with_model};
use crate::llm_stub::Plan;
use crate::note;
use crate::world::World;

/// Indicators of the example in the repository, to `name`; returns how many.
fn example(world: &World, name: &str) -> usize {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/indicators.csv");
    fs::copy(file, world.path(name)).expect("the example");
    world.classify(&["--mode", "max", "--json", "-o", "rules.jsonl", name]).expect_code(0);
    world.rows("rules.jsonl").len()
}

pub(crate) fn the_plan_is_what_the_provider_then_counts(world: &mut World) {
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &[]);
    let rows = example(world, "plan.csv");
    let plan = |world: &World| world.classify(&with_model("stub-plan", &["--plan", "plan.csv"])).json();

    let before = plan(world);
    assert_eq!((&before["indicators"], &before["known"]), (&rows.into(), &0.into()), "{before:#}");
    assert_eq!(provider.totals("stub-plan")[0], 0, "a plan sends nothing");
    assert_eq!(before["cost_usd"], Value::Null, "no price is made up");
    let sample = before["sample"]["user"].as_str().expect("a sample");

    let ran = world.classify(&with_model("stub-plan", &["-o", "plan.jsonl", "plan.csv"])).expect_code(0);
    let counted = provider.totals("stub-plan");
    assert_eq!(before["requests"].as_u64(), Some(counted[0]));
    assert_eq!(before["input_tokens"].as_u64(), Some(counted[1]));
    assert!(provider.seen("stub-plan").iter().any(|seen| seen.user == sample), "the sample was sent");
    provider.expect_same_counts("stub-plan", &ran.json());

    let after = plan(world);
    assert_eq!((&after["known"], &after["requests"]), (&rows.into(), &0.into()), "{after:#}");
    let again = world.classify(&with_model("stub-plan", &["-o", "plan2.jsonl", "plan.csv"])).expect_code(0);
    assert_eq!(again.json()["totals"]["reused"], rows);
    assert_eq!(provider.totals("stub-plan"), counted, "nothing is paid for twice");
}

pub(crate) fn hybrid_asks_only_where_the_rules_are_not_sure(world: &mut World) {
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &[]);
    let rows = example(world, "hybrid.csv");
    let sure = |row: &&Value| row["confidence"].as_f64().expect("a confidence") >= 0.85;
    let sure = world.rows("rules.jsonl").iter().filter(sure).count();
    assert!(sure > 0 && sure < rows, "{sure} of {rows}: the threshold divides nothing");

    let method = ["--provider", "hybrid", "--model", "openai/stub-hybrid", "--threshold", "0.85"];
    let run = [&method[..], &["--mode", "max", "--json", "-o", "hybrid.jsonl", "hybrid.csv"]].concat();
    let ran = world.classify(&run).expect_code(0);
    let report = ran.json();
    assert_eq!(provider.seen("stub-hybrid").len(), rows - sure);
    assert_eq!(report["llm"]["spared"], sure);
    assert!(ran.stderr.contains("needed no model"), "{}", ran.stderr);
    provider.expect_same_counts("stub-hybrid", &report);
    // Another threshold is another way to the same questions; so is none.
    let asked = provider.seen("stub-hybrid").len();
    let higher =
        run.iter().map(|option| if *option == "0.85" { "0.95" } else { *option }).collect::<Vec<_>>();
    let wider = world.classify(&higher).expect_code(0).json();
    assert_eq!(wider["totals"]["reused"], asked, "{wider:#}");
    let unsure = provider.seen("stub-hybrid").len();
    assert!(unsure > asked, "the higher threshold adds questions");
    world.classify(&run).expect_code(0);
    let plain = with_model("stub-hybrid", &["-o", "plain.jsonl", "hybrid.csv"]);
    let plain = world.classify(&plain).expect_code(0).json();
    assert_eq!((&plain["totals"]["reused"], provider.seen("stub-hybrid").len()), (&unsure.into(), rows));
    world.classify(&run).expect_code(0);
    let by = |name| world.rows("hybrid.jsonl").iter().filter(|row| row["provider"] == name).count();
    assert_eq!((by("rules"), by("openai")), (sure, rows - sure), "a row says who answered");
}

pub(crate) fn several_indicators_share_a_request(world: &mut World) {
    let provider = Provider::start(Plan::healthy().slowed(Duration::from_millis(50)));
    provider.serve(world, &[]);
    let table = world.table(200);
    let options = ["--items-per-call", "5", "--batch-size", "25", "-o", "shared.jsonl", &table];
    let ran = world.classify(&with_model("stub-shared", &options)).expect_code(0);
    world.expect_each_once(&table, "shared.jsonl");
    let (seen, report) = (provider.seen("stub-shared"), ran.json());
    assert!(seen.iter().all(|seen| seen.ids.len() <= 5));
    // 40 at best. A call that arrives late makes a request of its own.
    note(&format!("--items-per-call 5: {} requests for 200 rows", seen.len()));
    assert!((40..=44).contains(&seen.len()), "{} requests", seen.len());
    provider.expect_same_counts("stub-shared", &report);
    assert_eq!(report["llm"]["retries"], 0, "{report:#}");

    // Batches fill the requests, whatever the rate, and the plan counts what is sent. Groups are as large as models have room for.
    let table = world.table(150);
    let options = [
        "--provider",
        "openai",
        "--model",
        "stub-groups",
        "--rpm",
        "9000",
        "--items-per-call",
        "12",
        "--json",
    ];
    let plan = world.classify(&[&options[..], &["--plan", &table]].concat()).expect_code(0).json();
    world.classify(&[&options[..], &["-o", "groups.jsonl", &table]].concat()).expect_code(0);
    let sent = provider.seen("stub-groups");
    note(&format!("--items-per-call 12: {} planned, {} sent", plan["requests"], sent.len()));
    assert_eq!(plan["requests"], 13);
    assert!((13..=15).contains(&sent.len()), "{} requests", sent.len());
}
