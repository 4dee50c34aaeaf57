//! This process's part of a model's limits: requests wait here until a lease of the shared budget lets them go.
//!
//! Owns the queue of waiting requests and the one task that asks for leases. How much is granted is decided in
//! `ModelLimits`; without an answer from it nothing leaves, so a limit holds when the cluster does not.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::llm::{Feedback, RateHeaders, Throttle, Verdict};
use crate::restate::Error;
use crate::restate::ingress::Ingress;
use crate::restate::names::LeaseRequest;
use crate::throttle::budget::{Amount, Ask, Lease, Limits};

/// How long a lease is good for, from the moment it was asked for. Longer costs a share of the limit (see `budget`), shorter
/// wastes what a slow answer brought.
const TTL: Duration = Duration::from_millis(250);
/// Leases are asked for no more often: what waits meanwhile shares one, and each costs some ten kilobytes of the cluster's log.
const PAUSE: Duration = Duration::from_millis(100);
/// A process with calls under way says so this often, or its share of the calls at once goes to others.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Longest pause after a question without an answer, in pauses: whoever waits shall go on soon after a quorum is back.
const LONGEST_PAUSE: u32 = 5;
/// An answer later than this is of no use.
const PATIENCE: Duration = Duration::from_secs(2);
/// After this many failures in a row it is worth a warning: every five seconds where nobody is there, every 25 where nobody answers.
const WARN_EVERY: u32 = 10;
/// Waiting requests of which the sizes are sent along: as many as leave between two leases at 120,000 a minute.
const SIZES_SENT: usize = 200;

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
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    in_flight: u64,
    /// What the next question says besides who waits.
    returned: Vec<(u64, Amount)>,
    overdrawn: u64,
    refused: bool,
    overloaded: bool,
    shut_until: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    tokens: u64,
    permit: oneshot::Sender<Permit>,
}

impl Limiter {
    /// A limiter for `model`, which asks the nodes at `nodes` (never empty) for leases as long as it lives. `limits` are those this process
    /// was started with; a person may have set others.
    pub(super) fn start(model: String, limits: Limits, nodes: Vec<Ingress>) -> Self {
        let shared = Arc::new(Shared::default());
        let lessee = Lessee { model, limits, nodes, turn: 0, process: ulid::Ulid::generate().to_string() };
        tokio::spawn(lessee.run(Arc::clone(&shared)));
        Self { shared }
    }
}

impl Throttle for Limiter {
    type Permit = Permit;

    async fn admit(&self, tokens: u64) -> Permit {
        loop {
            let (permit, granted) = oneshot::channel();
            self.shared.lock().waiting.push_back(Waiting { tokens, permit });
            self.shared.news.notify_one();
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    fn settle(&self, permit: Permit, feedback: Feedback) {
        let mut state = self.shared.lock();
        if let Some(used) = feedback.tokens {
            match permit.tokens.checked_sub(used) {
                Some(0) => {}
                Some(unused) => {
                    state.returned.push((permit.lease, Amount { requests: 0, tokens: unused }));
                }
                None => state.overdrawn = state.overdrawn.saturating_add(used - permit.tokens),
            }
        }
        let pause = match feedback.verdict {
            Verdict::RateLimited { retry_after } => {
                state.refused = true;
                retry_after
            }
            Verdict::Overloaded { retry_after } => {
                state.overloaded = true;
                retry_after
            }
            Verdict::Served | Verdict::Rejected => spent(&feedback.rates),
        };
        if let Some(pause) = pause {
            let until = Instant::now() + pause;
            state.shut_until = Some(state.shut_until.map_or(until, |other| other.max(until)));
        }
    }
}

/// How long the provider itself says that nothing is left.
fn spent(rates: &RateHeaders) -> Option<Duration> {
    let requests = rates.reset_requests.filter(|_| rates.remaining_requests == Some(0));
    let tokens = rates.reset_tokens.filter(|_| rates.remaining_tokens == Some(0));
    requests.max(tokens)
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.lock().in_flight -= 1;
        self.shared.news.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next question, if there is anything to ask or to tell.
    fn question(&self, process: &str) -> Option<Ask> {
        let mut state = self.lock();
        state.waiting.retain(|waiting| !waiting.permit.is_closed());
        let silent = state.waiting.is_empty() && state.in_flight == 0 && state.returned.is_empty();
        if silent && !state.refused && !state.overloaded && state.overdrawn == 0 {
            return None;
        }
        let pause = state.shut_until.take().map(|until| until.saturating_duration_since(Instant::now()));
        Some(Ask {
            process: process.to_owned(),
            ttl_ms: millis(TTL),
            waiting: state.waiting.iter().take(SIZES_SENT).map(|waiting| waiting.tokens).collect(),
            in_flight: state.in_flight,
            returned: mem::take(&mut state.returned),
            overdrawn: mem::take(&mut state.overdrawn),
            refused: mem::take(&mut state.refused),
            pause_ms: pause.map_or(0, millis),
            overloaded: mem::take(&mut state.overloaded),
        })
    }

    /// Lets go what a lease allows; what nobody takes goes back with the next question.
    fn grant(self: &Arc<Self>, lease: &Lease, usable: bool) {
        // Dropping a permit takes the lock.
        let mut abandoned = Vec::new();
        let mut state = self.lock();
        let mut unused = lease.granted;
        while usable && unused.requests > 0 {
            let Some(Waiting { tokens, permit }) = state.waiting.pop_front() else { break };
            let granted = Permit { lease: lease.id, tokens, shared: Arc::clone(self) };
            state.in_flight += 1;
            if let Err(permit) = permit.send(granted) {
                abandoned.push(permit);
                continue;
            }
            unused.requests -= 1;
            unused.tokens = unused.tokens.saturating_sub(tokens);
        }
        if unused != Amount::default() {
            state.returned.push((lease.id, unused));
        }
        drop(state);
        drop(abandoned);
    }

    /// A question that may not have been heard: what it told is told again. Told twice, it errs on the side of less.
    fn unheard(&self, ask: &Ask) {
        let mut state = self.lock();
        state.overdrawn = state.overdrawn.saturating_add(ask.overdrawn);
        state.refused |= ask.refused;
        state.overloaded |= ask.overloaded;
        if ask.pause_ms > 0 {
            let until = Instant::now() + Duration::from_millis(ask.pause_ms);
            state.shut_until = Some(state.shut_until.map_or(until, |other| other.max(until)));
        }
    }
}

/// The task that asks for leases.
struct Lessee {
    model: String,
    limits: Limits,
    nodes: Vec<Ingress>,
    turn: usize,
    process: String,
}

impl Lessee {
    async fn run(mut self, shared: Arc<Shared>) {
        let mut failures = 0;
        loop {
            let Some(ask) = shared.question(&self.process) else {
                shared.news.notified().await;
                continue;
            };
            let asked = Instant::now();
            let hungry = !ask.waiting.is_empty();
            match self.lease(&ask).await {
                Ok(lease) => {
                    failures = 0;
                    tracing::trace!(model = self.model, granted = lease.granted.requests, took = ?asked.elapsed(), "lease");
                    shared.grant(&lease, asked.elapsed() < TTL);
                    let wait =
                        if hungry { Duration::from_millis(lease.ask_again_ms) } else { Duration::ZERO };
                    sleep_until(asked + wait.max(PAUSE)).await;
                }
                Err(error) => {
                    shared.unheard(&ask);
                    self.turn += 1;
                    failures += 1;
                    if failures % WARN_EVERY == 0 {
                        tracing::warn!(model = self.model, %error, "no lease of the model's limits: requests wait");
                    }
                    sleep(PAUSE * failures.min(LONGEST_PAUSE)).await;
                }
            }
            if shared.lock().waiting.is_empty() {
                // Calls that end make room for nobody here; others wait for it, and hear of it soon enough.
                let _quiet = timeout(HEARTBEAT, shared.news.notified()).await;
            }
        }
    }

    async fn lease(&self, ask: &Ask) -> Result<Lease, Error> {
        let node = &self.nodes[self.turn % self.nodes.len()];
        let request = LeaseRequest { limits: self.limits, ask: ask.clone() };
        node.lease(&self.model, &request, PATIENCE).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
