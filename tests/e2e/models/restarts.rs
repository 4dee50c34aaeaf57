//! A service that is asked to end, by the provider's own record.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Provider, with_model};
use crate::llm_stub::Plan;
use crate::note;
use crate::world::{World, send, wait_for};

const MINUTE: Duration = Duration::from_mins(1);
const AT_ONCE: usize = 16;
const LATENCY: Duration = Duration::from_millis(1_200);
/// From the end of a call until its answer is in the journal and the process gone, the last word to the cluster included.
const ENDS: Duration = Duration::from_millis(2_500);

/// Whether this process, and so what it starts, ignores SIGHUP.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("what is ignored");
    u64::from_str_radix(mask.trim(), 16).expect("a mask") & 1 == 1
}

/// `CLASSIFY_TEST_RESTARTS=50` does that many.
pub(crate) fn a_planned_restart_repeats_no_call(world: &mut World) {
    const MODEL: &str = "stub-restarted";
    let wanted = std::env::var_os("CLASSIFY_TEST_RESTARTS");
    let restarts = wanted.map_or(3, |number| number.to_str().and_then(|number| number.parse().ok()).unwrap());
    let provider = Provider::start(Plan::healthy().slowed(LATENCY));
    let at_once = AT_ONCE.to_string();
    provider.serve(world, &["--llm-concurrency", &at_once]);
    let rows = AT_ONCE * (restarts + 1);
    let table = world.table(rows);
    let run = world.begin(&with_model(MODEL, &["-o", "restarted.jsonl", "--batch-size", "5", &table]));
    let mut seen = 0;
    // Under `nohup` the service ignores the end of a terminal, as it was told to.
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter();
    let signals = signals.filter(|signal| *signal != Signal::SIGHUP || !is_hangup_ignored());
    for signal in signals.cycle().take(restarts) {
        wait_for("calls under way", MINUTE, || provider.seen(MODEL).len() > seen + AT_ONCE / 4);
        let (asked, pid) = (Instant::now(), world.service_pid().unwrap());
        send(pid, signal);
        assert_eq!(world.wait_for_service(), Some(0), "{signal}");
        let took = asked.elapsed();
        let all = provider.seen(MODEL);
        seen = all.len();
        let late = all.iter().filter(|seen| seen.at > asked + Duration::from_millis(50)).count();
        note(&format!("{signal}: {seen} calls so far, gone after {:.1} s", took.as_secs_f64()));
        assert_eq!(late, 0, "{signal}: calls that began after it");
        assert!(took < LATENCY + ENDS, "{signal}: gone after {took:?}");
        if seen < rows {
            provider.serve(world, &["--llm-concurrency", &at_once]);
        }
    }
    if world.service_pid().is_none() {
        provider.serve(world, &["--llm-concurrency", &at_once]);
    }
    run.finish().expect_code(0);
    world.expect_each_once(&table, "restarted.jsonl");
    let all: Vec<String> = provider.seen(MODEL).into_iter().flat_map(|seen| seen.ids).collect();
    let once: BTreeSet<&String> = all.iter().collect();
    assert_eq!((all.len(), once.len()), (rows, rows), "calls, and rows they were about");
}
