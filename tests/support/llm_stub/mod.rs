//! A provider of language models for tests: an HTTP server on loopback that speaks OpenAI's and Anthropic's wire formats
//! as strictly as they do, answers with the first thing each schema allows, counts everything and fails on request.
//!
//! Knows no taxonomy: what it answers follows from the schema it was sent. Base URLs: `/` for OpenAI and Anthropic (their
//! paths differ), `/compatible` for a server that knows `max_tokens` and needs no key.

#![allow(
    dead_code,
    unused_imports,
    reason = "each target uses its own part; `expect` would fail in one that uses all of it"
)]

mod answer;
mod cache;
mod dialect;
mod fault;
mod server;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use fault::{Fault, Plan, RetryAfter, Takes};

/// The key it wants.
pub(crate) const KEY: &str = "stub-key-0123456789abcdefghij";

/// A running stub. Dropped, it hangs up on everybody.
#[derive(Debug)]
pub(crate) struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// One request as it arrived, and what was done with it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// When it had arrived in full.
    pub(crate) at: Instant,
    /// Path it came to.
    pub(crate) path: String,
    /// Headers a key may come in, as `name: value`.
    pub(crate) credentials: Vec<String>,
    /// Model it asks for; empty where it was no request to serve.
    pub(crate) model: String,
    /// Ids of its indicators.
    pub(crate) ids: Vec<String>,
    /// The system prompt, shared by all requests that have the same.
    pub(crate) system: Arc<str>,
    /// The user's message.
    pub(crate) user: String,
    /// Input tokens, counted here.
    pub(crate) input_tokens: u64,
    /// Of these, read from the cache.
    pub(crate) cached_tokens: u64,
    /// Of these, written to it.
    pub(crate) written_tokens: u64,
    /// Tokens of what all requests share.
    pub(crate) shared_tokens: u64,
    /// Most tokens the answer might take.
    pub(crate) room: u64,
    /// How the form of the answer was asked for: `strict`, `bounded` or `json`.
    pub(crate) form: &'static str,
    /// Output tokens it was told about; none where the answer had no usage.
    pub(crate) output_tokens: u64,
    /// Whether the answer told the usage, so that a client that waited for all of it has counted it.
    pub(crate) billed: bool,
    /// What was done to it: `served`, `rejected`, `limited` or the name of a fault.
    pub(crate) what: &'static str,
    /// What was wrong with it, where something was.
    pub(crate) complaint: Option<String>,
}

/// What it counted altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Requests, whatever became of them.
    pub(crate) requests: u64,
    /// Input tokens of answers that told their usage.
    pub(crate) input_tokens: u64,
    /// Output tokens of these.
    pub(crate) output_tokens: u64,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    /// Whether answers are kept back.
    held: watch::Sender<bool>,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    seen: Vec<Seen>,
    /// Requests that wait for their answer.
    open: usize,
    /// Most of them at once so far.
    most_open: usize,
    /// Beginnings of prompts that are in the cache.
    cache: cache::Cache,
    /// Tokens of prompts and schemas, which come with every request.
    counted: HashMap<Arc<str>, u64>,
}

impl Stub {
    /// Starts one on a free port of loopback.
    pub(crate) async fn start(plan: Plan) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.expect("a free port"), plan)
    }

    /// Starts one on `listener`.
    pub(crate) fn listen(listener: TcpListener, plan: Plan) -> Self {
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { plan, held: watch::Sender::new(false), log: Mutex::default() });
        let accepting = tokio::spawn(server::accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Base URL for the providers `openai` and `anthropic`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Base URL for the provider `compatible`.
    pub(crate) fn compatible_url(&self) -> String {
        format!("{}/compatible/v1", self.url())
    }

    /// Keeps all answers back, or lets them go.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.log().seen.clone()
    }

    /// How many requests for `model` there were so far.
    pub(crate) fn number_for(&self, model: &str) -> usize {
        self.shared.log().seen.iter().filter(|seen| seen.model == model).count()
    }

    /// Most requests that waited for an answer at the same time so far.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.log().most_open
    }

    /// How many requests ended how.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for seen in self.seen() {
            *counts.entry(seen.what).or_default() += 1;
        }
        counts
    }

    /// What it counted altogether.
    pub(crate) fn totals(&self) -> Totals {
        let seen = self.seen();
        let billed = || seen.iter().filter(|seen| seen.billed);
        Totals {
            requests: seen.len() as u64,
            input_tokens: billed().map(|seen| seen.input_tokens).sum(),
            output_tokens: billed().map(|seen| seen.output_tokens).sum(),
        }
    }

    /// Most requests and most tokens that arrived within any `window`. Tokens are those sent and those answered.
    pub(crate) fn busiest(&self, window: Duration) -> (usize, u64) {
        let seen = self.seen();
        let mut most = (0, 0);
        for (index, first) in seen.iter().enumerate() {
            let within = || seen[index..].iter().take_while(|other| other.at - first.at < window);
            let tokens = within().map(|seen| seen.input_tokens + seen.output_tokens).sum();
            most = (most.0.max(within().count()), most.1.max(tokens));
        }
        most
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Log {
    /// A text that is expected to come again, kept once, and its tokens.
    fn known(&mut self, text: &str) -> (Arc<str>, u64) {
        if let Some((text, tokens)) = self.counted.get_key_value(text) {
            return (Arc::clone(text), *tokens);
        }
        let (text, tokens) = (Arc::from(text), tokens(text));
        self.counted.insert(Arc::clone(&text), tokens);
        (text, tokens)
    }
}

fn tokens(text: &str) -> u64 {
    tiktoken_rs::o200k_base_singleton().count_ordinary(text) as u64
}

impl Shared {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
