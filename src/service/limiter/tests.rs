//! Processes, calls and a budget on a clock of their own: how many calls are under way, and how many leave.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::llm::{RateHeaders, Verdict};
use crate::throttle::budget::Budget;

/// The budget, as `ModelLimits` keeps it: one question at a time, each some time on its way.
#[derive(Debug)]
struct Cluster {
    budget: Mutex<Budget>,
    limits: Mutex<Limits>,
    began: Instant,
    /// How long a question takes.
    takes: Duration,
    asked: AtomicU64,
}

impl Cluster {
    fn new(limits: Limits, takes: u64) -> Arc<Self> {
        let budget = Mutex::new(Budget::new(0));
        let (began, takes) = (Instant::now(), Duration::from_millis(takes));
        Arc::new(Self { budget, limits: Mutex::new(limits), began, takes, asked: AtomicU64::new(0) })
    }

    fn set(&self, limits: Limits) {
        *self.limits.lock().unwrap() = limits;
        self.budget.lock().unwrap().open();
    }
}

/// The way of one process to the cluster.
#[derive(Debug, Clone)]
struct Way {
    cluster: Arc<Cluster>,
    is_cut: Arc<AtomicBool>,
}

impl Lessor for Way {
    async fn lease(&mut self, _: &str, request: &LeaseRequest, patience: Duration) -> Result<Lease, Error> {
        if self.is_cut.load(Ordering::Relaxed) {
            sleep(patience).await;
            return Err(Error::Timeout { url: String::new(), after: patience });
        }
        let cluster = &self.cluster;
        sleep(cluster.takes / 2).await;
        cluster.asked.fetch_add(1, Ordering::Relaxed);
        let now = millis(cluster.began.elapsed());
        let limits = *cluster.limits.lock().unwrap();
        let lease = cluster.budget.lock().unwrap().lease(&limits, &request.ask, now);
        sleep(cluster.takes / 2).await;
        Ok(lease)
    }
}

/// What the provider sees.
#[derive(Debug, Default)]
struct Provider {
    open: AtomicU64,
    most: AtomicU64,
    served: AtomicU64,
}

impl Provider {
    async fn serve(&self, latency: Duration) {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        sleep(latency).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}

fn served() -> Feedback {
    Feedback { tokens: Some(100), verdict: Verdict::Served, rates: RateHeaders::default() }
}

/// A process with so many rows that it asks about one after the other, for ever.
struct Process {
    rows: Vec<JoinHandle<()>>,
    is_cut: Arc<AtomicBool>,
}

impl Process {
    fn start(cluster: &Arc<Cluster>, provider: &Arc<Provider>, rows: u64, latency: Duration) -> Self {
        let is_cut = Arc::new(AtomicBool::new(false));
        let way = Way { cluster: Arc::clone(cluster), is_cut: Arc::clone(&is_cut) };
        let limiter = Limiter::with("openai/m".into(), Limits::default(), way);
        let row = |_| {
            let (limiter, provider) = (limiter.clone(), Arc::clone(provider));
            tokio::spawn(async move {
                loop {
                    let permit = limiter.admit(100).await;
                    provider.serve(latency).await;
                    limiter.settle(permit, served());
                }
            })
        };
        Self { rows: (0..rows).map(row).collect(), is_cut }
    }

    /// Nothing of it is heard any more, and its calls end.
    fn kill(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.rows.iter().for_each(JoinHandle::abort);
    }
}

/// Which share of the calls at once is used, and how many questions a process asks a second.
async fn used(limits: Limits, processes: u64, latency: u64, takes: u64) -> (f64, f64) {
    let places = limits.concurrency.unwrap();
    let (cluster, provider) = (Cluster::new(limits, takes), Arc::new(Provider::default()));
    let latency = Duration::from_millis(latency);
    // Never many more than there are places for.
    let rows = places * 5 / 4;
    let processes: Vec<_> =
        (0..processes).map(|_| Process::start(&cluster, &provider, rows, latency)).collect();
    // Until the shares are settled, and calls end at any time.
    sleep(Duration::from_secs(2) + 2 * latency).await;
    let (before, asked) = (provider.served.load(Ordering::Relaxed), cluster.asked.load(Ordering::Relaxed));
    let time = (10 * latency).max(Duration::from_secs(10));
    sleep(time).await;
    let after = provider.served.load(Ordering::Relaxed) - before;
    let asked = cluster.asked.load(Ordering::Relaxed) - asked;
    let most = provider.most.load(Ordering::Relaxed);
    assert!(most <= places, "{most} calls at once of {places}");
    let count = processes.len();
    drop(processes);
    let number = |number: u64| f64::from(u32::try_from(number).unwrap());
    let possible = number(places) / latency.as_secs_f64() * time.as_secs_f64();
    (number(after) / possible, number(asked) / time.as_secs_f64() / number(count as u64))
}

fn at_once(places: u64) -> Limits {
    Limits { concurrency: Some(places), ..Limits::default() }
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_are_used_and_never_passed() {
    for (places, latency) in
        [(8, 50), (8, 5_000), (64, 200), (64, 5_000), (512, 50), (512, 5_000), (100, 1_000)]
    {
        for processes in [1, 2] {
            for takes in [10, 120] {
                let (share, asked) = used(at_once(places), processes, latency, takes).await;
                assert!(
                    share >= 0.97,
                    "{share} of {places} at {latency} ms, {processes} processes, {takes} ms a lease"
                );
                assert!(asked <= 10.0, "{asked} leases a second");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nor_are_they_where_requests_are_counted_too() {
    for (places, latency) in [(8, 50), (64, 200), (64, 50), (64, 5_000), (256, 1_000)] {
        for processes in [1, 2] {
            let limits = Limits { requests: Some(1_000_000), ..at_once(places) };
            let (share, _) = used(limits, processes, latency, 60).await;
            assert!(share >= 0.97, "{share} of {places} at {latency} ms, {processes} processes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_places_of_a_process_that_was_killed_come_back_in_three_seconds() {
    let (cluster, provider) = (Cluster::new(at_once(16), 40), Arc::new(Provider::default()));
    let latency = Duration::from_millis(300);
    let killed = Process::start(&cluster, &provider, 100, latency);
    sleep(Duration::from_secs(5)).await;
    killed.kill();
    let (died, other) = (Instant::now(), Arc::new(Provider::default()));
    let _heir = Process::start(&cluster, &other, 100, latency);
    while other.served.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(died.elapsed() <= Duration::from_secs(3), "{:?}", died.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_not_heard_for_a_while_begins_nothing_and_goes_on_after() {
    let (cluster, provider) = (Cluster::new(at_once(8), 40), Arc::new(Provider::default()));
    let process = Process::start(&cluster, &provider, 20, Duration::from_millis(100));
    sleep(Duration::from_secs(3)).await;
    process.is_cut.store(true, Ordering::Relaxed);
    sleep(Duration::from_millis(2_300)).await;
    let served = provider.served.load(Ordering::Relaxed);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(provider.served.load(Ordering::Relaxed), served, "nobody knows who has the places");
    process.is_cut.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(4)).await;
    assert!(provider.served.load(Ordering::Relaxed) > served + 80);
}

#[tokio::test(start_paused = true)]
async fn limits_that_a_person_sets_hold_within_a_second() {
    let minute = |requests| Limits { requests: Some(requests), ..Limits::default() };
    let (cluster, provider) = (Cluster::new(minute(60), 40), Arc::new(Provider::default()));
    let _process = Process::start(&cluster, &provider, 500, Duration::from_millis(10));
    // The minute is used up, and the next request leaves in half of one.
    sleep(Duration::from_secs(90)).await;
    let served = || provider.served.load(Ordering::Relaxed);
    let before = served();
    cluster.set(minute(60_000));
    sleep(Duration::from_secs(1)).await;
    assert!(served() > before + 100, "{} in a second", served() - before);

    // And calls at once, where nothing was counted.
    cluster.set(at_once(100));
    sleep(Duration::from_secs(2)).await;
    cluster.set(at_once(3));
    sleep(Duration::from_secs(1)).await;
    assert!(provider.open.load(Ordering::Relaxed) <= 3);
    cluster.set(minute(60));
    sleep(Duration::from_secs(1)).await;
    let before = served();
    sleep(Duration::from_secs(10)).await;
    assert!(served() <= before + 11, "{} in ten seconds", served() - before);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_a_person_ends_is_over_at_once() {
    let (cluster, provider) = (Cluster::new(at_once(4), 40), Arc::new(Provider::default()));
    let process = Process::start(&cluster, &provider, 10, Duration::from_millis(100));
    sleep(Duration::from_secs(2)).await;
    cluster.budget.lock().unwrap().lease(
        &at_once(4),
        &Ask { process: "other".into(), pause_ms: 3_600_000, ..Ask::default() },
        millis(cluster.began.elapsed()),
    );
    sleep(Duration::from_secs(2)).await;
    let served = || provider.served.load(Ordering::Relaxed);
    let (before, asked) = (served(), cluster.asked.load(Ordering::Relaxed));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(served(), before, "the provider asked for an hour");
    assert!(cluster.asked.load(Ordering::Relaxed) - asked <= 100, "it is asked now and then");
    cluster.set(at_once(4));
    sleep(Duration::from_secs(1)).await;
    assert!(served() > before);
    drop(process);
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_to_do_gives_its_places_away() {
    let (cluster, provider) = (Cluster::new(at_once(10), 40), Arc::new(Provider::default()));
    let idle = Process::start(&cluster, &provider, 10, Duration::from_millis(100));
    sleep(Duration::from_secs(2)).await;
    idle.rows.iter().for_each(JoinHandle::abort);
    sleep(Duration::from_secs(2)).await;
    let asked = cluster.asked.load(Ordering::Relaxed);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(cluster.asked.load(Ordering::Relaxed), asked, "nothing is asked for nothing");
    let other = Arc::new(Provider::default());
    let _busy = Process::start(&cluster, &other, 20, Duration::from_millis(100));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(other.most.load(Ordering::Relaxed), 10);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_lets_nothing_leave_and_gives_its_places_back() {
    let limits = Limits { concurrency: Some(2), ..Limits::default() };
    let cluster = Cluster::new(limits, 50);
    let way = || Way { cluster: Arc::clone(&cluster), is_cut: Arc::default() };
    let (ending, next) = (
        Limiter::with("openai/m".into(), Limits::default(), way()),
        Limiter::with("openai/m".into(), Limits::default(), way()),
    );
    let permits = [ending.admit(100).await, ending.admit(100).await];
    let waits = tokio::spawn({
        let ending = ending.clone();
        async move { ending.admit(100).await }
    });
    let closed = tokio::spawn({
        let ending = ending.clone();
        async move { ending.close().await }
    });
    sleep(Duration::from_secs(5)).await;
    assert!(!closed.is_finished(), "calls are under way");
    let ended = Instant::now();
    for permit in permits {
        ending.settle(permit, served());
    }
    closed.await.unwrap();
    assert!(ended.elapsed() < Duration::from_millis(500), "{:?}", ended.elapsed());
    let _place = next.admit(100).await;
    // Otherwise it would have been forgotten after 2.5 s only.
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    assert!(!waits.is_finished(), "what waited stays");
}
