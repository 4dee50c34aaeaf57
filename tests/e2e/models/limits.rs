//! Limits, retries and crashes, by the provider's own record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Provider, ids, with_model};
use crate::balance::{balance, free_port};
use crate::llm_stub::{Fault, Plan, RetryAfter, Seen};
use crate::note;
use crate::world::{Guarded, World, wait_for};

const MINUTE: Duration = Duration::from_mins(1);

/// Most requests within any minute.
fn fullest_minute(seen: &[Seen]) -> usize {
    let (mut first, mut most) = (0, 0);
    for (index, last) in seen.iter().enumerate() {
        while last.at - seen[first].at >= MINUTE {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    most
}

fn between(seen: &[Seen], from: Instant, length: Duration) -> usize {
    seen.iter().filter(|seen| seen.at >= from && seen.at < from + length).count()
}

pub(crate) fn faults_end_in_labels_or_a_class(world: &mut World) {
    let shares = [
        (Fault::RateLimited(RetryAfter::Silent), 0.16),
        (Fault::RateLimited(RetryAfter::Seconds(0.05)), 0.04),
        (Fault::Status(500), 0.05),
        (Fault::MalformedJson, 0.01),
        (Fault::MalformedContent, 0.01),
        (Fault::Hang, 0.01),
        (Fault::Disconnect, 0.01),
        (Fault::Refusal, 0.005),
    ];
    let provider = Provider::start(Plan::shares(11, shares).slowed(Duration::from_millis(50)));
    // So many that refusals alone hold the pace.
    provider.serve(world, &["--llm-rpm", "120000", "--llm-concurrency", "1000", "--llm-timeout", "2"]);
    let table = world.table(2_000);
    let options = ["-o", "faulty.jsonl", "--failures", "faulty.failed.jsonl", &table];
    let begun = Instant::now();
    let ran = world.classify(&with_model("stub-faulty", &options)).expect_code(3);
    note(&format!("faults: {:?} in {:.1} s", provider.stub.counts(), begun.elapsed().as_secs_f64()));

    let (good, bad) = (world.rows("faulty.jsonl"), world.rows("faulty.failed.jsonl"));
    let mut all: Vec<String> = good
        .iter()
        .map(|row| row["id"].as_str())
        .chain(bad.iter().map(|row| row["input"]["id"].as_str()))
        .map(|id| id.expect("an id").to_owned())
        .collect();
    all.sort_unstable();
    assert_eq!(all, ids(world, &table), "every row has labels or a failure");
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &bad {
        let class = row["class"].as_str().expect("a class");
        *classes.entry(class).or_default() += 1;
        assert!(row["message"].as_str().is_some_and(|message| message.starts_with("openai: ")), "{row}");
        assert!(row["attempts"].as_u64() > Some(0), "{row}");
    }
    assert!(classes.contains_key("refused"), "{classes:?}");

    let report = ran.json();
    let told: BTreeMap<&str, u64> = report["failed_by_class"]
        .as_object()
        .expect("classes")
        .iter()
        .map(|(class, number)| (class.as_str(), number.as_u64().expect("a number")))
        .collect();
    assert_eq!(told, classes);
    assert_eq!(report["totals"]["succeeded"], good.len());
    assert_eq!(report["totals"]["pending"], 0);
    provider.expect_same_counts("stub-faulty", &report);
    let retries = &report["llm"]["retries_by_class"];
    for class in ["rate_limited", "timeout", "provider", "schema"] {
        assert!(retries[class].as_u64() > Some(0), "{retries}");
    }
    let seen = provider.seen("stub-faulty");
    assert_eq!(report["llm"]["retries"], seen.len() - 2_000, "all but the first request of each row");
}

pub(crate) fn two_services_share_one_limit(world: &mut World) {
    const LIMIT: usize = 1_200;
    // What each of them sends is told apart by where it sends it.
    let providers = [(); 2].map(|()| Provider::start(Plan::healthy().slowed(Duration::from_millis(200))));
    world.end_service(Signal::SIGKILL);
    let ports = [(); 2].map(|()| free_port());
    let services: Vec<Guarded> = (0..2)
        .map(|index| {
            let name = format!("pair-{index}");
            Guarded(world.spawn_service(
                ports[index],
                &format!("{name}.log"),
                &format!("{name}.jsonl"),
                |service| {
                    providers[index].is_known_to(service);
                    service.args(["--llm-rpm", &LIMIT.to_string()]);
                },
            ))
        })
        .collect();
    let balancer = providers[0].runtime.block_on(balance(world.service_port(), ports));
    world.register();

    let table = world.table(1_900);
    let run = world.begin(&with_model("stub-pair", &["-o", "pair.jsonl", &table]));
    let seen = || {
        let mut seen: Vec<Seen> = providers.iter().flat_map(|provider| provider.seen("stub-pair")).collect();
        seen.sort_by_key(|seen| seen.at);
        seen
    };
    wait_for("the first call", MINUTE, || !seen().is_empty());
    let first = seen()[0].at;
    wait_for("a minute to pass", 2 * MINUTE, || first.elapsed() > MINUTE + Duration::from_secs(6));
    let (full, shares) = (seen(), providers.each_ref().map(|provider| provider.seen("stub-pair").len()));
    let used = between(&full, first, MINUTE);
    let most = fullest_minute(&full);
    note(&format!("pair: {most} in the fullest minute, {used} in the first, {shares:?} by process"));
    assert!(most <= LIMIT, "{most} requests in a minute");
    assert!(used * 100 >= LIMIT * 99, "only {used} requests in a saturated minute");
    assert!(shares.iter().all(|share| share * 5 > full.len()), "{shares:?}: one of them got next to nothing");

    // A person doubles the limit, and it holds at once.
    let span = Duration::from_secs(8);
    world.classify(&["limits", "set", "openai/stub-pair", "--rpm", "2400"]).expect_code(0);
    let changed = Instant::now();
    wait_for("some more calls", MINUTE, || changed.elapsed() > span + Duration::from_secs(1));
    let speeds = providers.each_ref().map(|provider| {
        let seen = provider.seen("stub-pair");
        let before = between(&seen, first + Duration::from_secs(20), span);
        (before, between(&seen, changed + Duration::from_secs(1), span))
    });
    note(&format!("pair: calls in {span:?} before and after by process: {speeds:?}"));
    // Together twice as fast. Calls stay with the process they were sent to, and near the end one may have none left.
    let [before, after]: [usize; 2] =
        [speeds.iter().map(|speed| speed.0).sum(), speeds.iter().map(|speed| speed.1).sum()];
    assert!(after * 10 >= before * 18, "{speeds:?}");
    // And no faster than that: 320 in these seconds.
    assert!(after <= 340, "{speeds:?}");
    run.finish().expect_code(0);
    world.expect_each_once(&table, "pair.jsonl");
    balancer.abort();
    drop(services);
}

pub(crate) fn a_killed_service_repeats_only_calls_in_flight(world: &mut World) {
    const AT_ONCE: usize = 16;
    const LATENCY: Duration = Duration::from_millis(300);
    // From an answer's arrival until it is in the journal.
    const STORED: Duration = Duration::from_millis(300);
    let provider = Provider::start(Plan::healthy().slowed(LATENCY));
    let at_once = AT_ONCE.to_string();
    provider.serve(world, &["--llm-concurrency", &at_once]);
    let table = world.table(300);
    let run = world.begin(&with_model("stub-killed", &["-o", "killed.jsonl", &table]));
    wait_for("100 calls", MINUTE, || provider.seen("stub-killed").len() >= 100);
    world.end_service(Signal::SIGKILL);
    let killed = Instant::now();
    let asked = provider.seen("stub-killed").len();
    provider.serve(world, &["--llm-concurrency", &at_once]);
    let back = Instant::now();
    wait_for("the next call", MINUTE, || provider.seen("stub-killed").len() > asked);
    let waited = back.elapsed().as_secs_f64();
    note(&format!("killed: the next call {waited:.1} s after the service was back"));
    assert!(waited <= 3.0, "{waited} s: whose calls at once they were is known by then");
    run.finish().expect_code(0);
    world.expect_each_once(&table, "killed.jsonl");

    let (mut once, mut in_flight, mut repeated) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for seen in provider.seen("stub-killed") {
        let id = seen.ids[0].clone();
        if seen.at < killed && killed - seen.at <= LATENCY + STORED {
            in_flight.insert(id.clone());
        }
        if !once.insert(id.clone()) {
            repeated.push(id);
        }
    }
    note(&format!("killed: {} in flight, {} repeated", in_flight.len(), repeated.len()));
    assert!(in_flight.len() <= 3 * AT_ONCE, "{}: the limit on calls at once was not kept", in_flight.len());
    for id in repeated {
        assert!(in_flight.remove(&id), "{id} was repeated, and was not in flight or more than once");
    }
}

pub(crate) fn calls_at_once_are_used_in_full(world: &mut World) {
    const AT_ONCE: usize = 16;
    let latency = Duration::from_secs(1);
    let provider = Provider::start(Plan::healthy().slowed(latency));
    provider.serve(world, &["--llm-concurrency", &AT_ONCE.to_string()]);
    let table = world.table(12 * AT_ONCE);
    world.classify(&with_model("stub-full", &["-o", "full.jsonl", &table])).expect_code(0);
    let seen = provider.seen("stub-full");
    assert_eq!((seen.len(), provider.stub.most_open()), (12 * AT_ONCE, AT_ONCE));
    // Ten times all of them, one after the other.
    let took = seen[11 * AT_ONCE].at - seen[AT_ONCE].at;
    let used = 10.0 * latency.as_secs_f64() / took.as_secs_f64();
    note(&format!("at once: {used:.3} of {AT_ONCE} used"));
    assert!(used >= 0.97, "{used} of {AT_ONCE} calls at once");
}
