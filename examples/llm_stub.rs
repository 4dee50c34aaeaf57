//! A stand-in for a provider of language models, to try `classify` out without a key and without paying:
//!
//! ```text
//! cargo run --example llm_stub            # on a free port; give another as argument
//! ```
//!
//! It answers every field with the first value allowed. The share of requests that fail with 429 can be given as second
//! argument, from 0 to 1.

use std::io::{self, Write as _};

#[path = "../tests/support/llm_stub/mod.rs"]
mod llm_stub;

use llm_stub::{Fault, KEY, Plan, RetryAfter, Stub};

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().map_or(Ok(0), |port| port.parse()).map_err(io::Error::other)?;
    let share: f64 = args.next().map_or(Ok(0.0), |share| share.parse()).map_err(io::Error::other)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let plan = Plan::shares(1, [(Fault::RateLimited(RetryAfter::Seconds(1.0)), share)]);
    let stub = Stub::listen(listener, plan);
    let mut out = io::stdout();
    writeln!(out, "export CLASSIFY_OPENAI_URL={} OPENAI_API_KEY={KEY}", stub.url())?;
    writeln!(out, "export CLASSIFY_ANTHROPIC_URL={} ANTHROPIC_API_KEY={KEY}", stub.url())?;
    writeln!(out, "export CLASSIFY_COMPATIBLE_URL={}", stub.compatible_url())?;
    writeln!(out, "Ctrl-C ends it and says what it counted.")?;
    tokio::signal::ctrl_c().await?;
    writeln!(out, "\n{:?}\n{:?}", stub.totals(), stub.counts())
}
