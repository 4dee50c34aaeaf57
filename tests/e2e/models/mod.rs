//! Classification by models: the real service on the real cluster, and in place of the provider a stub that speaks HTTP.

mod counts;
mod limits;
mod retries;
mod secrets;
mod stops;

use std::fs;
use std::process::Command;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::llm_stub::{KEY, Plan, Seen, Stub};
use crate::support::World;

pub(crate) use counts::{
    hybrid_asks_only_where_the_rules_are_not_sure, several_indicators_share_a_request,
    the_plan_is_what_the_provider_then_counts,
};
pub(crate) use limits::{
    a_killed_service_repeats_only_calls_in_flight, faults_end_in_labels_or_a_class,
    two_services_share_one_limit,
};
pub(crate) use retries::failed_rows_are_retried_alone_and_put_among_the_results;
pub(crate) use secrets::the_key_is_nowhere;
pub(crate) use stops::{
    a_refused_key_stops_the_run, spent_money_stops_the_run_and_is_not_spent_twice,
    too_many_failures_stop_the_run,
};

/// A provider and the threads it runs on.
struct Provider {
    stub: Stub,
    runtime: Runtime,
}

impl Provider {
    fn start(plan: Plan) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let stub = runtime.block_on(Stub::start(plan));
        Self { stub, runtime }
    }

    /// Where a service finds it.
    fn is_known_to(&self, service: &mut Command) {
        service.env("CLASSIFY_OPENAI_URL", self.stub.url()).env("OPENAI_API_KEY", KEY);
    }

    /// Puts a service that knows it in the place of the world's.
    fn serve(&self, world: &mut World, args: &[&str]) {
        world.replace_service(|service| {
            self.is_known_to(service);
            service.args(args);
        });
    }

    /// Requests for `model`. What an earlier test left in the cluster may still ask for others.
    fn seen(&self, model: &str) -> Vec<Seen> {
        self.stub.seen().into_iter().filter(|seen| seen.model == model).collect()
    }

    /// Requests, input and output tokens of `model`.
    fn totals(&self, model: &str) -> [u64; 3] {
        let seen = self.seen(model);
        let sum = |of: fn(&Seen) -> u64| seen.iter().filter(|seen| seen.billed).map(of).sum();
        [seen.len() as u64, sum(|seen| seen.input_tokens), sum(|seen| seen.output_tokens)]
    }

    /// Checks that a run counted what the provider counted, to the unit.
    fn expect_same_counts(&self, model: &str, report: &Value) {
        let ours = ["requests", "input_tokens", "output_tokens"].map(|name| report["llm"][name].as_u64());
        assert_eq!(ours, self.totals(model).map(Some), "{report:#}\n{:?}", self.stub.counts());
    }
}

/// `classify` with the provider's model, in a hurry, with the report on stdout.
fn with_model<'a>(model: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["--provider", "openai", "--model", model, "--mode", "max", "--json"], rest].concat()
}

/// Ids in a table, sorted.
fn ids(world: &World, table: &str) -> Vec<String> {
    let text = fs::read_to_string(world.path(table)).expect("the table");
    let mut ids: Vec<String> =
        text.lines().skip(1).filter_map(|line| Some(line.split_once(',')?.0.to_owned())).collect();
    ids.sort_unstable();
    ids
}

/// Figures that a person wants to see, whatever the test makes of them.
#[expect(clippy::print_stderr, reason = "figures of a test belong into its output")]
fn measured(line: &str) {
    eprintln!("{line}");
}
