//! Budgets on a clock of the tests' own: processes that ask, send some time later, and a provider that counts arrivals.

use proptest::prelude::*;

use super::share::fair_share;
use super::*;

const TTL: u64 = 250;

fn limits(requests: u64, tokens: u64, concurrency: u64) -> Limits {
    let some = |limit| (limit > 0).then_some(limit);
    Limits { requests: some(requests), tokens: some(tokens), concurrency: some(concurrency) }
}

fn ask(process: &str, waiting: usize) -> Ask {
    Ask { process: process.into(), ttl_ms: TTL, waiting: vec![100; waiting], ..Ask::default() }
}

/// Arrival times at the provider, in order, and what the fullest window of 60 s held.
fn fullest_window(arrivals: &mut [(u64, u64)]) -> (u64, u64) {
    arrivals.sort_unstable();
    let (mut first, mut tokens, mut most, mut most_tokens) = (0, 0, 0, 0);
    for (index, (at, size)) in arrivals.iter().enumerate() {
        tokens += size;
        while at - arrivals[first].0 >= WINDOW {
            tokens -= arrivals[first].1;
            first += 1;
        }
        most = most.max(index + 1 - first);
        most_tokens = most_tokens.max(tokens);
    }
    (u64::try_from(most).unwrap(), most_tokens)
}

/// `processes` with more work than the limit allows, for `length` milliseconds. `delay` tells how long a granted request
/// takes to reach the provider.
fn saturate(limits: &Limits, processes: u64, length: u64, mut delay: impl FnMut() -> u64) -> Vec<(u64, u64)> {
    let mut budget = Budget::new(0);
    let mut next: Vec<u64> = (0..processes).map(|process| process * 37).collect();
    let mut arrivals = Vec::new();
    while let Some(now) = next.iter().copied().min().filter(|now| *now < length) {
        let process = next.iter().position(|at| *at == now).unwrap();
        let lease = budget.lease(limits, &ask(&process.to_string(), 500), now);
        for _ in 0..lease.granted.requests {
            arrivals.push((now + delay(), 100));
        }
        next[process] = now + lease.ask_again_ms.max(100);
    }
    arrivals
}

#[test]
fn a_saturated_limit_is_used_to_99_percent_and_never_exceeded() {
    for rpm in [450, 900, 5_000, 20_000] {
        for processes in [1, 2, 5] {
            let mut turn = 0;
            let mut arrivals = saturate(&limits(rpm, 0, 0), processes, 300_000, || {
                turn += 61;
                turn % (TTL + SPREAD)
            });
            let total = u64::try_from(arrivals.len()).unwrap();
            let (most, _) = fullest_window(&mut arrivals);
            assert!(most <= rpm, "{most} in a minute of {rpm}, {processes} processes");
            assert!(total * 100 >= rpm * 5 * 99, "{total} in 5 minutes of {rpm}, {processes} processes");
        }
    }
}

#[test]
fn tokens_are_a_limit_of_their_own() {
    let mut arrivals = saturate(&limits(0, 90_000, 0), 2, 300_000, || 0);
    let total = u64::try_from(arrivals.len()).unwrap();
    let (_, most) = fullest_window(&mut arrivals);
    assert!(most <= 90_000, "{most} tokens in a minute");
    assert!(total >= 900 * 5 * 99 / 100, "{total} requests of 100 tokens");
}

#[test]
fn the_first_request_waits_for_nothing_and_no_minute_leaves_at_once() {
    let mut budget = Budget::new(1_000_000);
    let lease = budget.lease(&limits(600, 0, 0), &ask("a", 100), 1_000_000);
    assert_eq!(lease.granted.requests, 10, "a second's worth");
    assert_eq!(lease.ask_again_ms, 100, "the eleventh is due a tenth of a second later");
}

#[test]
fn a_rate_below_one_in_half_a_second_is_kept() {
    let mut arrivals = saturate(&limits(30, 0, 0), 1, 600_000, || 0);
    assert!((297..=300).contains(&arrivals.len()), "{}", arrivals.len());
    assert!(fullest_window(&mut arrivals).0 <= 30);
}

#[test]
fn what_never_left_can_leave_later() {
    let mut budget = Budget::new(0);
    let limits = limits(60, 0, 0);
    let leases: Vec<_> = (1..=60).map(|second| budget.lease(&limits, &ask("a", 1), second * 1_000)).collect();
    assert!(leases.iter().all(|lease| lease.granted.requests == 1));
    let full = budget.lease(&limits, &ask("a", 1), 61_000);
    assert_eq!(full.granted.requests, 0, "the minute is used up");
    let returned = vec![(leases[30].id, leases[30].granted)];
    let again = Ask { returned, ..ask("a", 1) };
    assert_eq!(budget.lease(&limits, &again, 61_000).granted.requests, 1);
}

#[test]
fn tokens_used_beyond_the_estimate_are_missed_later() {
    let mut budget = Budget::new(0);
    let limits = limits(0, 1_000, 0);
    assert_eq!(budget.lease(&limits, &ask("a", 1), 1_000).granted.tokens, 100);
    let overdrawn = Ask { overdrawn: 850, ..ask("a", 1) };
    let lease = budget.lease(&limits, &overdrawn, 31_000);
    assert_eq!(lease.granted.requests, 0, "950 of 1,000 are used, and 100 are wanted");
    assert!(lease.ask_again_ms > 29_000, "{}", lease.ask_again_ms);
}

#[test]
fn nonsense_neither_lifts_a_limit_nor_shuts_it_for_good() {
    let limits = limits(60, 1_000, 5);
    for vast in [u64::MAX, u64::MAX - 1, u64::MAX / 2] {
        let mut budget = Budget::new(0);
        budget.lease(&limits, &ask("a", 1), 1_000);
        let nonsense = Ask {
            ttl_ms: vast,
            waiting: vec![vast; 3],
            in_flight: vast,
            returned: vec![(vast, Amount { requests: vast, tokens: vast })],
            pause_ms: vast,
            ..ask("b", 0)
        };
        let mut copy = budget.clone();
        copy.lease(&limits, &nonsense, 2_000);
        assert_eq!(copy.lease(&limits, &ask("a", 1), 200_000).granted.requests, 0, "shut");
        copy.lease(&limits, &nonsense, vast);
        // A provider that counts nonsense is believed for a minute.
        budget.lease(&limits, &Ask { overdrawn: vast, ..ask("a", 1) }, 3_000);
        assert_eq!(budget.lease(&limits, &ask("a", 1), 30_000).granted.requests, 0);
        assert_eq!(budget.lease(&limits, &ask("a", 1), 130_000).granted.requests, 1);
    }
}

#[test]
fn a_request_larger_than_the_limit_passes_alone() {
    let mut budget = Budget::new(0);
    let large = Ask { waiting: vec![5_000, 10], ..ask("a", 0) };
    let lease = budget.lease(&limits(0, 1_000, 0), &large, 1_000);
    assert_eq!(lease.granted, Amount { requests: 1, tokens: 5_000 });
}

#[test]
fn refusals_slow_down_at_once_and_recovery_is_slow() {
    let mut budget = Budget::new(0);
    let limits = limits(6_000, 0, 0);
    let _lease = budget.lease(&limits, &ask("a", 500), 2_000);
    let refused = Ask { refused: true, pause_ms: 3_000, ..ask("a", 500) };
    let lease = budget.lease(&limits, &refused, 4_000);
    assert_eq!((lease.granted.requests, lease.ask_again_ms), (0, 3_000), "Retry-After is kept to");
    assert!((budget.usage(4_000).pace - DECREASE).abs() < 1e-9);
    // Others that left before the cut are refused, too: that is one event.
    let _lease = budget.lease(&limits, &refused, 4_500);
    assert!((budget.usage(4_500).pace - DECREASE).abs() < 1e-9);
    for second in 8..14 {
        let _lease = budget.lease(&limits, &ask("a", 500), second * 1_000);
    }
    assert!((budget.usage(14_000).pace - 1.0).abs() < 1e-9, "{:?}", budget.usage(14_000));
}

#[test]
fn an_overloaded_provider_stops_the_growth() {
    let mut budget = Budget::new(0);
    let limits = limits(6_000, 0, 0);
    let _lease = budget.lease(&limits, &Ask { refused: true, ..ask("a", 1) }, 2_000);
    let _lease = budget.lease(&limits, &Ask { overloaded: true, ..ask("a", 1) }, 3_000);
    let before = budget.usage(3_000).pace;
    let _lease = budget.lease(&limits, &ask("a", 1), 4_000);
    assert!((budget.usage(4_000).pace - before).abs() < 1e-9);
    let _lease = budget.lease(&limits, &ask("a", 1), 8_000);
    assert!(budget.usage(8_000).pace > before);
}

#[test]
fn calls_at_once_are_shared_and_the_dead_leave_theirs() {
    let mut budget = Budget::new(0);
    let limits = limits(0, 0, 10);
    assert_eq!(budget.lease(&limits, &ask("a", 50), 0).granted.requests, 10);
    let none = budget.lease(&limits, &ask("b", 50), 10);
    assert_eq!((none.granted.requests, none.concurrency), (0, Some(0)), "all are taken");
    // `a` learns that it must share, lets calls end, and only then `b` gets them.
    let busy = Ask { in_flight: 10, ..ask("a", 40) };
    assert_eq!(budget.lease(&limits, &busy, 20).concurrency, Some(5));
    assert_eq!(budget.lease(&limits, &ask("b", 50), 30).granted.requests, 0);
    let fewer = Ask { in_flight: 7, ..ask("a", 40) };
    assert_eq!(budget.lease(&limits, &fewer, 40).granted.requests, 0);
    assert_eq!(budget.lease(&limits, &ask("b", 50), 50).granted.requests, 3);
    // `a` is killed. That nobody was heard for an hour says nothing of it, that only `b` is does.
    let alone = Ask { in_flight: 3, ..ask("b", 50) };
    assert_eq!(budget.lease(&limits, &alone, 3_600_000).granted.requests, 0);
    assert_eq!(budget.lease(&limits, &alone, 3_601_000).granted.requests, 0);
    assert_eq!(budget.lease(&limits, &alone, 3_602_000).granted.requests, 7);
}

#[test]
fn calls_from_before_there_was_a_limit_count() {
    let mut budget = Budget::new(0);
    assert_eq!(budget.lease(&limits(0, 0, 0), &ask("a", 12), 0).granted.requests, 12);
    assert_eq!(budget.lease(&limits(0, 0, 10), &ask("b", 5), 10).granted.requests, 0, "12 are under way");
    let fewer = Ask { in_flight: 8, ..ask("a", 0) };
    budget.lease(&limits(0, 0, 10), &fewer, 20);
    assert_eq!(budget.lease(&limits(0, 0, 10), &ask("b", 5), 30).granted.requests, 2);
}

#[test]
fn shares_are_fair() {
    assert_eq!(fair_share(10, 50, [50, 50].into_iter()), 5);
    assert_eq!(fair_share(10, 50, [50, 2].into_iter()), 8);
    assert_eq!(fair_share(10, 2, [50, 2].into_iter()), 2);
    assert_eq!(fair_share(10, 3, [3].into_iter()), 3);
    assert_eq!(fair_share(1, 5, [5, 5, 5].into_iter()), 1);
}

#[test]
fn it_survives_being_written_down() {
    let mut budget = Budget::new(7);
    let _lease = budget.lease(&limits(600, 90_000, 5), &ask("a", 3), 1_000);
    let text = serde_json::to_string(&budget).unwrap();
    assert_eq!(serde_json::from_str::<Budget>(&text).unwrap(), budget);
}

#[test]
fn a_busy_budget_stays_small() {
    let mut budget = Budget::new(0);
    for step in 0..2_000 {
        let _lease = budget.lease(&limits(20_000, 0, 0), &ask("a", 500), step * 100);
    }
    let size = serde_json::to_vec(&budget).unwrap().len();
    assert!(size < 20_000, "{size} bytes");
}

proptest! {
    /// Whatever the limits, the processes, the delays and the pauses: no window of arrivals is over a limit.
    #[test]
    fn no_window_is_ever_over_the_limit(
        rpm in 1_u64..3_000,
        tpm in 1_000_u64..200_000,
        processes in 1_usize..4,
        steps in prop::collection::vec((0_usize..4, 0_u64..900, 0_usize..80, 0_u64..=TTL + SPREAD, any::<bool>()), 50..400),
    ) {
        let limits = limits(rpm, tpm, 0);
        let mut budget = Budget::new(0);
        let mut now = 0;
        let mut arrivals = Vec::new();
        let mut unused = vec![Vec::new(); processes];
        for (process, pause, waiting, delay, leaves) in steps {
            let process = process % processes;
            now += pause;
            let asked = Ask { returned: std::mem::take(&mut unused[process]), ..ask(&process.to_string(), waiting) };
            let lease = budget.lease(&limits, &asked, now);
            if leaves {
                arrivals.extend((0..lease.granted.requests).map(|_| (now + delay, 100)));
            } else {
                unused[process].push((lease.id, lease.granted));
            }
        }
        let (most, most_tokens) = fullest_window(&mut arrivals);
        prop_assert!(most <= rpm, "{} of {}", most, rpm);
        prop_assert!(most_tokens <= tpm, "{} of {}", most_tokens, tpm);
    }
}

#[test]
fn a_minute_of_grants_is_small_and_comes_back_as_it_was() {
    let limits = limits(5_000, 0, 0);
    let mut budget = Budget::new(1_795_000_000_000);
    for step in 0..700 {
        budget.lease(&limits, &ask("a", 500), 1_795_000_000_000 + step * 100);
    }
    let text = serde_json::to_string(&budget).unwrap();
    assert!(budget.grants.len() > 500 && text.len() < 8_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Budget>(&text).unwrap(), budget);
}

/// A request reserves what it may take and takes half of it, which is known a second later.
#[test]
fn tokens_that_were_not_used_are_used_by_others() {
    let limits = limits(0, 90_000, 0);
    let mut budget = Budget::new(0);
    let (mut used, mut under_way) = (Vec::new(), Vec::<(u64, Lease)>::new());
    for now in (1_000..301_000).step_by(100) {
        let done = under_way.iter().take_while(|(at, _)| at + 1_000 <= now).count();
        let half = |lease: Lease| (lease.id, Amount { requests: 0, tokens: lease.granted.tokens / 2 });
        let returned = under_way.drain(..done).map(|(_, lease)| half(lease)).collect();
        let lease = budget.lease(&limits, &Ask { returned, ..ask("a", 500) }, now);
        used.push((now, lease.granted.tokens / 2));
        under_way.push((now, lease));
    }
    let total: u64 = used.iter().map(|(_, tokens)| tokens).sum();
    assert!(fullest_window(&mut used).1 <= 90_000);
    assert!(total * 100 >= 90_000 * 5 * 96, "{total} tokens in 5 minutes");
}
