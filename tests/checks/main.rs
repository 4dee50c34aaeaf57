//! What can be checked without a cluster: the command line, input, settings, models, and the repository itself. It takes
//! seconds, and `cargo test` runs it before the tests with a cluster.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod architecture;
mod bad_input;
mod chaos;
#[path = "../support/chaos/checks.rs"]
mod chaos_checks;
mod circles;
mod damaged_run;
mod hints;
mod keys;
mod llm;
#[path = "../support/llm_stub/mod.rs"]
mod llm_stub;
mod numbers;
mod repository;
mod restate_toml;
mod restore;
#[path = "../support/schema.rs"]
mod schema;
#[path = "../support/server.rs"]
mod server;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod usage;
