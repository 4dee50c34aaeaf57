//! The time, in what Restate replays: read once and kept in the journal, so that a replay does the same.

use std::sync::LazyLock;
use std::time::Instant;

use restate_sdk::prelude::*;

use crate::throttle::shared_clock::{Reading, SharedClock};

/// State of an object: the clock that all processes share which keep it.
const CLOCK: &str = "clock";

/// This process, and when it began to read clocks.
static PROCESS: LazyLock<(String, Instant)> =
    LazyLock::new(|| (ulid::Ulid::generate().to_string(), Instant::now()));

/// What this process's clocks say.
pub(super) async fn read(ctx: &ObjectContext<'_>) -> Result<Reading, TerminalError> {
    let Json(reading) = ctx.run(|| async { Ok(Json(now())) }).name("clock").await?;
    Ok(reading)
}

/// What time it is by the object's own clock, in milliseconds.
pub(super) async fn shared(ctx: &ObjectContext<'_>) -> Result<u64, TerminalError> {
    let reading = read(ctx).await?;
    let mut clock = kept(ctx.get(CLOCK).await?);
    let now = clock.read(&reading);
    ctx.set(CLOCK, Json(clock));
    Ok(now)
}

/// The same for those who only look.
pub(super) async fn seen(ctx: &SharedObjectContext<'_>) -> Result<u64, TerminalError> {
    let Json(reading) = ctx.run(|| async { Ok(Json(now())) }).name("clock").await?;
    Ok(kept(ctx.get(CLOCK).await?).read(&reading))
}

/// A clock that cannot be read begins anew.
fn kept(stored: Option<Json<serde_json::Value>>) -> SharedClock {
    stored.and_then(|Json(stored)| serde_json::from_value(stored).ok()).unwrap_or_default()
}

fn now() -> Reading {
    let (process, began) = &*PROCESS;
    let date = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let running = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Reading { process: process.clone(), running, date }
}
