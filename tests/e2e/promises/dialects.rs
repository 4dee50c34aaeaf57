//! Providers that are not OpenAI, through service and cluster: what they are sent, and what is counted.

use std::process::Command;

use super::with_model;
use crate::llm_stub::{Fault, KEY, Plan, RetryAfter};
use crate::provider::Provider;
use crate::world::World;

const ROWS: usize = 30;

/// Runs a table of new rows through `provider` and checks its results and counts against the stub's; `environment` is the service's.
/// Every request has to come to `path`, with these `credentials` and no others.
fn asked(
    world: &mut World,
    stub: &Provider,
    [provider, model]: [&str; 2],
    environment: impl FnOnce(&mut Command),
    path: &str,
    credentials: &[String],
) {
    world.replace_service(environment);
    let (table, results) = (world.table(ROWS), format!("{model}.jsonl"));
    let ran = world.classify(&with_model(provider, model, &["-o", &results, &table])).expect_code(0);
    world.expect_each_once(&table, &results);

    let seen = stub.seen(model);
    // The first request is answered with an error, once.
    assert_eq!(seen.len(), ROWS + 1);
    for seen in &seen {
        assert_eq!((seen.path.as_str(), seen.credentials.as_slice()), (path, credentials));
    }
    let report = ran.json();
    stub.expect_same_counts(model, &report);
    assert_eq!(report["llm"]["retries"], 1, "{report:#}");

    // Each row says what it took, and who answered.
    let rows = world.rows(&results);
    let sum = |name: &str| -> u64 { rows.iter().filter_map(|row| row["usage"][name].as_u64()).sum() };
    assert_eq!(["requests", "input_tokens", "output_tokens"].map(sum), stub.totals(model));
    for row in &rows {
        assert_eq!((&row["provider"], &row["model"]), (&provider.into(), &model.into()), "{row}");
        // The first thing the schema allows.
        assert_eq!(row["labels"]["family"], "physical-fundamental", "{row}");
        assert_eq!(row["confidence"], 0.5, "{row}");
    }
}

pub(crate) fn anthropic_is_asked_in_its_own_words(world: &mut World) {
    let stub = Provider::start(Plan::script([Some(Fault::Overloaded)]));
    let url = stub.stub.url();
    asked(
        world,
        &stub,
        ["anthropic", "stub-claude"],
        |service| {
            service.env("CLASSIFY_ANTHROPIC_URL", &url).env("ANTHROPIC_API_KEY", KEY);
        },
        "/v1/messages",
        &[format!("x-api-key: {KEY}")],
    );
}

pub(crate) fn compatible_servers_work_with_and_without_a_key(world: &mut World) {
    for (model, key) in [("stub-open", None), ("stub-locked", Some(KEY))] {
        let plan = Plan::script([Some(Fault::RateLimited(RetryAfter::Seconds(0.1)))]);
        let stub = Provider::start(plan);
        let url = stub.stub.compatible_url();
        let credentials: Vec<String> =
            key.map(|key| format!("authorization: Bearer {key}")).into_iter().collect();
        asked(
            world,
            &stub,
            ["compatible", model],
            |service| {
                // A key of another provider is none of this one's.
                service
                    .env("CLASSIFY_COMPATIBLE_URL", &url)
                    .env("OPENAI_API_KEY", "stub-of-another-provider");
                service.envs(key.map(|key| ("CLASSIFY_COMPATIBLE_API_KEY", key)));
            },
            "/compatible/v1/chat/completions",
            &credentials,
        );
    }
}
