//! A limit on tokens, by the provider's own record.

use std::time::Instant;

use super::{MINUTE, wait_asked, with_model};
use crate::llm_stub::{Plan, Seen};
use crate::note;
use crate::provider::Provider;
use crate::world::{World, wait_for};

const MODEL: &str = "stub-tokens";
/// Tokens a minute.
const LIMIT: f64 = 360_000.0;
/// Each takes some 1,750 tokens: all of them three times the limit, and nothing but the limit keeps them back.
const ROWS: u16 = 720;
/// How long it is watched, in seconds. The bucket that paces a minute is one second deep, and full at the start.
const WATCHED: f64 = 11.0;
const WARM_UP: f64 = 2.0;
const DEPTH: f64 = 1.0;
/// How much closer together than leased two requests may arrive, in seconds: a lease is good for a quarter of a second.
const SPREAD: f64 = 0.4;

fn tokens(seen: &Seen) -> f64 {
    f64::from(u32::try_from(seen.input_tokens + seen.output_tokens).expect("a small number"))
}

fn at(first: Instant, seen: &Seen) -> f64 {
    seen.at.duration_since(first).as_secs_f64()
}

pub(crate) fn a_limit_on_tokens_is_kept_and_used(world: &mut World) {
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--llm-tpm", &LIMIT.to_string()]);
    let table = world.table(ROWS.into());
    let run = world.begin(&with_model("openai", MODEL, &["-o", "tokens.jsonl", &table]));
    wait_asked(&provider, MODEL, 1);
    let first = provider.seen(MODEL)[0].at;
    wait_for("the watched time to pass", MINUTE, || first.elapsed().as_secs_f64() > WATCHED);
    let seen = provider.seen(MODEL);

    let used = |from: f64, until: f64| -> f64 {
        seen.iter().filter(|seen| (from..until).contains(&at(first, seen))).map(tokens).sum()
    };
    let largest = seen.iter().map(tokens).fold(0.0, f64::max);
    let every_second = LIMIT / 60.0;
    let total = used(0.0, f64::INFINITY);
    assert!(total <= LIMIT, "{total} tokens in less than a minute");
    // Spread over the minute: not even a part of it has more than its share.
    let most = every_second * (WATCHED + DEPTH + SPREAD) + largest;
    let all = used(0.0, WATCHED);
    assert!(all <= most, "{all} tokens in {WATCHED} s instead of {most}");
    let used = used(WARM_UP, WATCHED) / (every_second * (WATCHED - WARM_UP));
    note(&format!("tokens: {:.1} % of the limit used", used * 100.0));
    assert!(used >= 0.9, "only {used} of the limit was used");
    // All rows together would have passed it by far.
    let each = total / f64::from(u32::try_from(seen.len()).expect("a small count"));
    assert!(each * f64::from(ROWS) > 3.0 * LIMIT, "{each} tokens a row");

    // Nothing but the limit has kept the rest back.
    world.classify(&["limits", "set", &format!("openai/{MODEL}"), "--tpm", "360000000"]).expect_code(0);
    let ran = run.finish().expect_code(0);
    world.expect_each_once(&table, "tokens.jsonl");
    provider.expect_same_counts(MODEL, &ran.json());
    assert!(first.elapsed() < MINUTE, "the rest took until {:?}", first.elapsed());
}
