//! This process's part of a model's limits: requests wait here until a lease of the shared budget lets them go.
//!
//! Owns the one task that asks for leases, and who is woken when. What may leave is `state`'s to say, how much is granted is decided in
//! `ModelLimits`.

mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::call::Departure;
use crate::llm::{Feedback, Throttle, Verdict};
use crate::restate::Error;
use crate::restate::ingress::Ingress;
use crate::restate::names::LeaseRequest;
use crate::throttle::budget::{Ask, Lease, Limits};
use state::{State, Waiting};

/// How long what a lease grants is good for, from the moment it was asked for. Longer costs a share of the limit (see `budget`), shorter
/// wastes what a slow answer brought.
const TTL: Duration = Duration::from_millis(250);
/// Leases are asked for no more often: what waits meanwhile shares one, and each costs some ten kilobytes of the cluster's log.
const PAUSE: Duration = Duration::from_millis(100);
/// A process that has calls under way or places of its own says so this often, or they go to others; and one whose requests wait hears
/// this often of limits that a person has changed.
const HEARTBEAT: Duration = Duration::from_millis(750);
/// Longest pause after a question without an answer, in pauses: whoever waits shall go on soon after a quorum is back.
const LONGEST_PAUSE: u32 = 5;
/// Patience with a question. Longer after one that got no answer: a busy cluster must not be asked again and again in vain.
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// After this many failures in a row it is worth a warning: every five seconds where nobody is there, every 25 where nobody answers.
const WARN_EVERY: u32 = 10;

/// Holds the requests of this process to a model's limits.
#[derive(Debug, Clone)]
pub(super) struct Limiter {
    shared: Arc<Shared>,
}

/// Permission for one request.
#[derive(Debug)]
pub(super) struct Permit {
    lease: u64,
    tokens: u64,
    shared: Arc<Shared>,
    departure: Option<Arc<Departure>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
    /// The last word was said: nothing is held any more, and nothing will be asked for.
    gone: watch::Sender<bool>,
}

/// Who gives leases.
trait Lessor: Send + Sync + 'static {
    /// Answers a question about a model's limits.
    fn lease(
        &mut self,
        model: &str,
        request: &LeaseRequest,
        patience: Duration,
    ) -> impl Future<Output = Result<Lease, Error>> + Send;
}

/// The nodes of a cluster: never empty.
#[derive(Debug)]
struct Nodes {
    nodes: Vec<Ingress>,
    turn: usize,
}

impl Lessor for Nodes {
    async fn lease(
        &mut self,
        model: &str,
        request: &LeaseRequest,
        patience: Duration,
    ) -> Result<Lease, Error> {
        let answer = self.nodes[self.turn % self.nodes.len()].lease(model, request, patience).await;
        if answer.is_err() {
            self.turn += 1;
        }
        answer
    }
}

impl Limiter {
    /// A limiter for `model`, which asks the nodes at `nodes` (never empty) for leases as long as it lives. `limits` are those this process
    /// was started with; a person may have set others.
    pub(super) fn start(model: String, limits: Limits, nodes: Vec<Ingress>) -> Self {
        Self::with(model, limits, Nodes { nodes, turn: 0 })
    }

    fn with(model: String, limits: Limits, lessor: impl Lessor) -> Self {
        let shared = Arc::new(Shared::default());
        let lessee = Lessee { model, limits, lessor, process: ulid::Ulid::generate().to_string() };
        tokio::spawn(lessee.run(Arc::clone(&shared)));
        Self { shared }
    }
}

impl Limiter {
    /// Lets nothing more leave but what repeats a request that was served, and gives back what the process may have under way once
    /// nothing is. Resolves when that is told.
    pub(super) async fn close(&self) {
        self.shared.lock().close();
        self.shared.news.notify_one();
        let mut gone = self.shared.gone.subscribe();
        // The sender is ours: it cannot be gone.
        drop(gone.wait_for(|gone| *gone).await);
    }
}

impl Throttle for Limiter {
    type Permit = Permit;

    async fn admit(&self, tokens: u64) -> Permit {
        let departure = Departure::current();
        let again = departure.as_ref().is_some_and(|departure| departure.has_left());
        loop {
            let (permit, granted) = oneshot::channel();
            if !self.shared.lock().wait(Waiting { tokens, again, permit }) {
                // The process is about to end: the next one makes the call.
                return std::future::pending().await;
            }
            self.shared.let_go();
            if let Ok(mut permit) = granted.await {
                if let Some(departure) = &departure {
                    departure.leaves();
                }
                permit.departure = departure;
                return permit;
            }
        }
    }

    fn settle(&self, permit: Permit, feedback: Feedback) {
        if let Some(departure) = permit.departure.as_ref().filter(|_| feedback.verdict == Verdict::Served) {
            departure.is_served();
        }
        self.shared.lock().settle(permit.lease, permit.tokens, &feedback, Instant::now());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(departure) = &self.departure {
            departure.is_back();
        }
        self.shared.lock().ended();
        self.shared.let_go();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_if_gone(&self) {
        if self.lock().has_gone() {
            self.gone.send_replace(true);
        }
    }

    /// Lets go what may leave, and wakes who asks for more where something may not.
    fn let_go(self: &Arc<Self>) {
        let now = Instant::now();
        loop {
            let mut state = self.lock();
            let Some((Waiting { tokens, permit, .. }, lease)) = state.next(now) else {
                if state.is_hungry() || state.is_closed() {
                    self.news.notify_one();
                }
                return;
            };
            drop(state);
            // Whoever gave up just now drops the permit, which makes room for the next.
            let _gone = permit.send(Permit { lease, tokens, shared: Arc::clone(self), departure: None });
        }
    }
}

/// The task that asks for leases.
struct Lessee<L> {
    model: String,
    limits: Limits,
    lessor: L,
    process: String,
}

impl<L: Lessor> Lessee<L> {
    async fn run(mut self, shared: Arc<Shared>) {
        let mut failures = 0;
        loop {
            let asked = Instant::now();
            let question = shared.lock().question(&self.process, asked);
            let Some(ask) = question else {
                shared.tell_if_gone();
                if shared.lock().has_gone() {
                    return;
                }
                shared.news.notified().await;
                continue;
            };
            match self.lease(&ask, failures).await {
                Ok(lease) => {
                    failures = 0;
                    tracing::trace!(model = self.model, granted = lease.granted.requests, took = ?asked.elapsed(), "lease");
                    shared.lock().answered(&lease, asked, Instant::now());
                    shared.tell_if_gone();
                    shared.let_go();
                    self.wait(&shared, asked, &lease).await;
                }
                Err(error) => {
                    shared.lock().unheard(&ask, Instant::now());
                    failures += 1;
                    if failures % WARN_EVERY == 0 {
                        tracing::warn!(model = self.model, %error, "no lease of the model's limits: requests wait");
                    }
                    sleep_until(Instant::now() + PAUSE * failures.min(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    /// Waits until it makes sense to ask again: as long as the lease says where something waits, until something does otherwise, and
    /// never longer than until the next sign of life is due.
    async fn wait(&self, shared: &Arc<Shared>, asked: Instant, lease: &Lease) {
        let latest = asked + HEARTBEAT;
        sleep_until(asked + PAUSE).await;
        if shared.lock().is_hungry() {
            sleep_until(latest.min(asked + Duration::from_millis(lease.ask_again_ms))).await;
        } else {
            let _quiet = timeout_at(latest, shared.news.notified()).await;
        }
    }

    async fn lease(&mut self, ask: &Ask, failures: u32) -> Result<Lease, Error> {
        let request = LeaseRequest { limits: self.limits, ask: ask.clone() };
        let patience = PATIENCE[usize::from(failures > 0)];
        self.lessor.lease(&self.model, &request, patience).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
