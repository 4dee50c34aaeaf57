//! Limits on what a run may cost and how much of it may fail, by the provider's own record.

use std::fs;
use std::time::Duration;

use super::{Provider, with_model};
use crate::llm_stub::{Fault, Plan};
use crate::note;
use crate::world::{Ran, World};

const REFUSED: Fault = Fault::Error(400, r#"{"error":{"message":"This row is not to our liking"}}"#);
/// US dollars per million tokens. Cached ones are no cheaper, so that cost is counts times price.
const PRICES: &str = r#"version = 1
[[prices]]
provider = "openai"
models = ["stub-cap"]
input = 1.0
cached = 1.0
output = 10.0
date = "2026-12-01"
source = "a test"
"#;

/// What the provider would charge for `model` by now.
fn charged(provider: &Provider, model: &str) -> f64 {
    let [_, input, output] = provider.totals(model);
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let usd = (input as f64 + 10.0 * output as f64) / 1e6;
    usd
}

/// A table of `rows` to which every other row is one that the provider refuses.
fn half_bad(world: &World, name: &str, rows: usize) {
    let row = |number: usize| {
        let kind = if number % 2 == 1 { "bad" } else { "good" };
        format!("{kind}-{name}-{number},Series {number}\n")
    };
    let text: String = std::iter::once("id,name\n".to_owned()).chain((0..rows).map(row)).collect();
    fs::write(world.path(name), text).expect("a table");
}

fn cost(ran: &Ran) -> f64 {
    ran.json()["llm"]["cost_usd"].as_f64().expect("a cost")
}

pub(crate) fn a_cap_holds_by_the_providers_record(world: &mut World) {
    const MODEL: &str = "stub-cap";
    fs::write(world.path("cap.toml"), PRICES).expect("prices");
    let prices = world.path("cap.toml").display().to_string();
    // Many more tokens of output than of a model that does not think, and failures that cost nothing.
    let plan = Plan::healthy().slowed(Duration::from_millis(20)).thinking(1_500).about("bad", REFUSED, 1);
    let provider = Provider::start(plan);
    // The service knows no price: what the run counts with is the run's.
    provider.serve(world, &[]);
    let at_cost = ["--prices", &prices, "--reasoning-effort", "none"];
    let calls = || provider.seen(MODEL).len();

    half_bad(world, "cap.csv", 300);
    let options = [&at_cost[..], &["--max-cost", "1", "-o", "cap.jsonl", "cap.csv"]].concat();
    let ran = world.classify(&with_model(MODEL, &options)).expect_code(3);
    let usd = charged(&provider, MODEL);
    note(&format!("--max-cost 1: {usd:.4} USD charged, {} calls", calls()));
    assert!(ran.stderr.contains("--max-cost"), "{}", ran.stderr);
    // 0.017 USD a row, of which the most is 0.11.
    assert!((0.85..=1.0).contains(&usd), "{usd} USD of 1");
    assert!((cost(&ran) - usd).abs() < 1e-6, "{} told, {usd} charged", cost(&ran));
    let before = calls();
    world.classify(&["runs", "resume", "--json"]).expect_code(3);
    assert_eq!(calls(), before, "there was no money left");

    // What is known costs nothing, however small the limit.
    let options = [&at_cost[..], &["-o", "small.jsonl", "small.csv"]].concat();
    fs::write(world.path("small.csv"), "id,name\nA,GDP\nB,CPI\nC,PPI\n").expect("a table");
    world.classify(&with_model(MODEL, &options)).expect_code(0);
    let before = calls();
    let nothing = [&["--max-cost", "0.0001"][..], &options].concat();
    let again = world.classify(&with_model(MODEL, &nothing)).expect_code(0);
    assert_eq!((calls(), &again.json()["totals"]["reused"]), (before, &3.into()));

    // A limit that comes later is one as well.
    half_bad(world, "later.csv", 60);
    let options = [&at_cost[..], &["-o", "later.jsonl", "later.csv"]].concat();
    world.classify(&with_model(MODEL, &options)).expect_code(3);
    let before = charged(&provider, MODEL);
    let retried = world.classify(&["runs", "retry", "--max-cost", "0.2", "--json"]).expect_code(3);
    let usd = charged(&provider, MODEL) - before;
    assert!(retried.stderr.contains("--max-cost") && usd > 0.05 && usd <= 0.2, "{usd} USD of 0.2");
    world.classify(&["runs", "resume", "--max-cost", "5", "--json"]).expect_code(0);
    assert!(
        (cost(&world.classify(&["runs", "report", "--json"])) - (charged(&provider, MODEL) - before)).abs()
            < 1e-6
    );

    // Without a price there is no limit to keep to.
    half_bad(world, "free.csv", 20);
    let options = ["-o", "free.jsonl", "free.csv"];
    world.classify(&with_model("stub-unpriced", &options)).expect_code(3);
    let refused = world.classify(&["runs", "retry", "--max-cost", "1"]).expect_code(2);
    assert!(refused.stderr.contains("needs a price"), "{}", refused.stderr);
}

pub(crate) fn a_limit_that_is_passed_sends_nothing(world: &mut World) {
    const MODEL: &str = "stub-limited";
    let provider = Provider::start(Plan::healthy().about("bad", REFUSED, usize::MAX));
    provider.serve(world, &[]);
    half_bad(world, "limited.csv", 300);
    let three = |results: &'static str, table: &'static str| {
        let pace = ["--rpm", "6000", "--batch-size", "5", "--max-in-flight", "20", "--max-failures", "3"];
        [&["--provider", "openai", "--model", MODEL], &pace[..], &["-o", results, table]].concat()
    };
    world.classify(&three("limited.jsonl", "limited.csv")).expect_code(3);
    let calls = provider.seen(MODEL).len();
    let again = world.classify(&["runs", "resume"]).expect_code(3);
    assert!(again.stderr.contains("more than 3 (`--max-failures`)"), "{}", again.stderr);
    assert_eq!(provider.seen(MODEL).len(), calls);
    world.classify(&["runs", "resume", "--max-failures", "150", "--rpm", "60000"]).expect_code(3);
    assert_eq!(provider.seen(MODEL).len(), 300);

    // The same of a run that the cluster goes on with.
    half_bad(world, "limits.csv", 300);
    let detached = [&["--detach"], &three("limits.jsonl", "limits.csv")[..]].concat();
    world.classify(&detached).expect_code(0);
    let halted = world.classify(&["runs", "attach"]).expect_code(3);
    assert!(halted.stderr.contains("more than 3 (`--max-failures`)"), "{}", halted.stderr);
    let calls = provider.seen(MODEL).len();
    let again = world.classify(&["runs", "resume"]).expect_code(2);
    assert!(again.stderr.contains("more than 3 (`--max-failures`)"), "{}", again.stderr);
    assert_eq!(provider.seen(MODEL).len(), calls);
    world.classify(&["runs", "cancel", &halted_id(&halted)]).expect_code(0);
}

fn halted_id(ran: &Ran) -> String {
    let (_, rest) = ran.stderr.split_once("classify runs resume ").expect("the next step");
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

pub(crate) fn a_group_is_of_one_run(world: &mut World) {
    let provider =
        Provider::start(Plan::healthy().slowed(Duration::from_millis(50)).about("bad", REFUSED, usize::MAX));
    provider.serve(world, &[]);
    half_bad(world, "theirs.csv", 80);
    let clean = world.table(80);
    let options = |output, table| {
        with_model(
            "stub-group",
            &["--rpm", "6000", "--batch-size", "5", "--items-per-call", "10", "-o", output, table],
        )
        .into_iter()
        .filter(|option| !["--mode", "max"].contains(option))
        .collect::<Vec<_>>()
    };
    let theirs = world.begin(&options("theirs.jsonl", "theirs.csv"));
    let ours = world.classify(&options("ours.jsonl", &clean)).expect_code(0);
    let theirs = theirs.finish().expect_code(3);
    assert_eq!(ours.json()["totals"]["succeeded"], 80);
    // Who was refused together was asked about singly: none fails for another.
    assert_eq!(theirs.json()["failed_by_class"]["provider"], 40, "{:#}", theirs.json());
    for seen in provider.seen("stub-group") {
        let bad = seen.ids.iter().filter(|id| id.contains("theirs")).count();
        assert!(bad == 0 || bad == seen.ids.len(), "{:?} are of two runs", seen.ids);
    }
}
