//! A provider of models in a test's own process, and the service that knows it.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

use std::process::Command;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::llm_stub::{KEY, Plan, Seen, Stub};
use crate::world::World;

/// A provider and the threads it runs on.
pub(crate) struct Provider {
    pub(crate) stub: Stub,
    pub(crate) runtime: Runtime,
}

impl Provider {
    pub(crate) fn start(plan: Plan) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let stub = runtime.block_on(Stub::start(plan));
        Self { stub, runtime }
    }

    /// Where a service finds it.
    pub(crate) fn is_known_to(&self, service: &mut Command) {
        service.env("CLASSIFY_OPENAI_URL", self.stub.url()).env("OPENAI_API_KEY", KEY);
    }

    /// Puts a service that knows it in the place of the world's.
    pub(crate) fn serve(&self, world: &mut World, args: &[&str]) {
        world.replace_service(|service| {
            self.is_known_to(service);
            service.args(args);
        });
    }

    /// Requests for `model`. What an earlier test left in the cluster may still ask for others.
    pub(crate) fn seen(&self, model: &str) -> Vec<Seen> {
        self.stub.seen().into_iter().filter(|seen| seen.model == model).collect()
    }

    /// Requests, input and output tokens of `model`.
    pub(crate) fn totals(&self, model: &str) -> [u64; 3] {
        let seen = self.seen(model);
        let sum = |of: fn(&Seen) -> u64| seen.iter().filter(|seen| seen.billed).map(of).sum();
        [seen.len() as u64, sum(|seen| seen.input_tokens), sum(|seen| seen.output_tokens)]
    }

    /// Checks that a run counted what the provider counted, to the unit.
    pub(crate) fn expect_same_counts(&self, model: &str, report: &Value) {
        let ours = ["requests", "input_tokens", "output_tokens"].map(|name| report["llm"][name].as_u64());
        assert_eq!(ours, self.totals(model).map(Some), "{report:#}\n{:?}", self.stub.counts());
    }
}
