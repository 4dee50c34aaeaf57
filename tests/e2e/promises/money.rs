//! A run that ran out of money goes on when it gets more.

use std::fs;

use super::{number, with_model};
use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::world::{Ran, World};

const MODEL: &str = "stub-costly";
const ROWS: usize = 120;
const BATCH: usize = 5;

pub(crate) fn a_run_that_ran_out_of_money_is_resumed_with_more(world: &mut World) {
    let prices = format!(
        r#"version = 1
[[prices]]
provider = "openai"
models = ["{MODEL}"]
input = 1000.0
cached = 1000.0
output = 0.0
date = "2026-11-22"
source = "a test"
"#
    );
    fs::write(world.path("costly.toml"), prices).expect("prices");
    let prices = world.path("costly.toml").display().to_string();
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--prices", &prices]);
    let table = world.table(ROWS);

    // An indicator takes some 1,700 tokens, and so 1.7 USD.
    let plan = world.classify(&with_model("openai", MODEL, &["--prices", &prices, "--plan", &table])).json();
    let batch = number(&plan["most_each_usd"]) * f64::from(u8::try_from(BATCH).expect("a small batch"));
    let size = BATCH.to_string();
    let options =
        ["--prices", &prices, "--max-cost", "80", "--batch-size", &size, "-o", "costly.jsonl", &table];
    let first = world.classify(&with_model("openai", MODEL, &options)).expect_code(3);
    expect_spent_nearly(&provider, &first, 80.0, batch);
    let asked = provider.seen(MODEL).len();
    assert!(asked > 0);

    // No more money, no more requests.
    let resume = |more: &[&str]| world.classify(&[&["runs", "resume", "--json"], more].concat());
    let again = resume(&[]).expect_code(3);
    expect_spent_nearly(&provider, &again, 80.0, batch);
    assert_eq!(provider.seen(MODEL).len(), asked);

    let more = resume(&["--max-cost", "150"]).expect_code(3);
    expect_spent_nearly(&provider, &more, 150.0, batch);
    assert!(provider.seen(MODEL).len() > asked);
    assert!(!world.path("costly.jsonl").exists(), "the run is not complete");

    let last = resume(&["--max-cost", "1000"]).expect_code(0);
    assert_eq!(last.json()["totals"]["succeeded"], ROWS);
    provider.expect_same_counts(MODEL, &last.json());
    world.expect_each_once(&table, "costly.jsonl");
    let mut paid: Vec<String> = provider.seen(MODEL).into_iter().flat_map(|seen| seen.ids).collect();
    paid.sort_unstable();
    assert_eq!(paid.len(), ROWS);
    paid.dedup();
    assert_eq!(paid.len(), ROWS, "each row was paid for once");
}

/// Checks that a run has stopped for the money: what it has spent, by the provider's record, is within `most`, and what a `batch` can
/// cost more would not have been.
fn expect_spent_nearly(provider: &Provider, ran: &Ran, most: f64, batch: f64) {
    assert!(ran.stderr.contains("--max-cost"), "{}", ran.stderr);
    let report = ran.json();
    provider.expect_same_counts(MODEL, &report);
    let [_, input, _] =
        provider.totals(MODEL).map(|count| f64::from(u32::try_from(count).expect("a small count")));
    let spent = input / 1_000.0;
    let told = number(&report["llm"]["cost_usd"]);
    assert!((told - spent).abs() < 0.01, "{told} USD told, {spent} USD by the provider's record");
    assert!(spent <= most && spent + batch > most, "{spent} USD of {most}, a batch can cost {batch}");
}
