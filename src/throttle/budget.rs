//! One model's limits, shared by every process that calls it: requests and tokens in any 60 s, and calls at once.
//!
//! Owns the arithmetic and nothing else: it is told what time it is and who asks, and answers with a [`Lease`]. Whoever keeps
//! a [`Budget`] must let one caller in at a time; `service` keeps it in a Restate virtual object.
//!
//! A lease is a number of requests that may leave within its time to live. A request that arrives within some window of
//! 60 s was leased at most `ttl + SPREAD` before that window began; so a grant counts until 60 s + `ttl` + `SPREAD` after it
//! was made, and no window of 60 s of arrivals holds more than the limit. The price is `(ttl + SPREAD) / 60 s` of the
//! limit: under 1 % for the times to live in use.
//!
//! Within the minute, grants are paced by a token bucket (GCRA) a second deep. When the provider says "too many",
//! the pace falls by a factor and grows back by a fixed amount per second (additive increase, multiplicative decrease: Chiu and Jain,
//! "Analysis of the increase and decrease algorithms for congestion avoidance in computer networks", 1989).

mod compact;
mod holders;
mod share;
mod terms;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use holders::Holder;
pub use terms::{Amount, Ask, Lease, Limits, Usage};
use terms::{minus, plus};

/// What "per minute" means, in milliseconds.
const WINDOW: u64 = 60_000;
/// How differently two requests may travel to the provider, in milliseconds.
const SPREAD: u64 = 150;
/// Grants are remembered to this many milliseconds, always as later than they were.
const GRAIN: u64 = 100;
/// How much of a pause can be caught up, in milliseconds: a busy machine's hiccups must not cost a share of the limit.
const DEPTH: u64 = 1_000;
/// What is left of the pace after "too many requests".
const DECREASE: f64 = 0.7;
/// What the pace gains per second, as a share of the limit.
const INCREASE: f64 = 0.05;
/// The pace never falls below this share of the limit: somebody must find out when the provider is well again.
const FLOOR: f64 = 0.1;
/// Refusals within this time of a cut are answers to requests that left before it, in milliseconds.
const CUT_ONCE_IN: u64 = 1_000;
/// How long the pace does not grow after the provider said it is overloaded, in milliseconds.
const GROWTH_PAUSE: u64 = 5_000;
/// Nobody needs to ask again sooner than this, in milliseconds.
const ASK_AGAIN: u64 = 20;

/// The state of one model's limits. All times are milliseconds of one clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Grants by the time at which they stop to count.
    #[serde(with = "compact")]
    grants: BTreeMap<u64, Amount>,
    /// When the bucket of requests would be full of nothing: GCRA's theoretical arrival time.
    requests_due: f64,
    /// The same for tokens.
    tokens_due: f64,
    /// Share of the limit at which grants are paced.
    pace: f64,
    last_ask: u64,
    last_cut: u64,
    grow_after: u64,
    shut_until: u64,
    holders: BTreeMap<String, Holder>,
    /// Time in which processes were heard: of a silence of all of them only the beginning.
    #[serde(default)]
    attended: u64,
}

impl Budget {
    /// A budget of which nothing is used. The first request need not wait.
    pub fn new(now: u64) -> Self {
        Self {
            grants: BTreeMap::new(),
            requests_due: 0.0,
            tokens_due: 0.0,
            pace: 1.0,
            last_ask: now,
            last_cut: 0,
            grow_after: 0,
            shut_until: 0,
            holders: BTreeMap::new(),
            attended: 0,
        }
    }

    /// Grants what can be granted of what is asked.
    pub fn lease(&mut self, limits: &Limits, ask: &Ask, now: u64) -> Lease {
        // A clock that was set back would lift the limits for as long.
        let now = now.max(self.last_ask);
        self.attend(now);
        self.settle(limits, ask);
        self.adapt(ask, now);
        self.last_ask = now;
        self.grants = self.grants.split_off(&now.saturating_add(1));
        let id = grain_after(now.saturating_add(ask.ttl_ms).saturating_add(WINDOW + SPREAD));
        self.note(limits, ask.spent, id, now);
        if self.is_overtaken(ask) {
            // What it says of its calls is not so any more.
            return Lease { id, concurrency: limits.concurrency.map(|_| 0), ..Lease::default() };
        }
        let concurrency = self.share(limits, ask);
        if self.shut_until > now {
            let ask_again_ms = self.shut_until - now;
            return Lease { id, concurrency, ask_again_ms: ask_again_ms.max(ASK_AGAIN), ..Lease::default() };
        }
        let uncounted = ask.held.is_some() && limits.requests.or(limits.tokens).is_none();
        if uncounted {
            let ask_again_ms = self.ask_again(limits, ask, concurrency);
            return Lease { id, granted: Amount::default(), concurrency, uncounted, ask_again_ms };
        }
        // Who begins calls by itself has grants at hand for when others end.
        let room = match ask.held {
            Some(_) => u64::MAX,
            None => concurrency.map_or(u64::MAX, |cap| cap.saturating_sub(ask.in_flight)),
        };
        let mut lease = Lease { id, concurrency, ask_again_ms: ASK_AGAIN, ..Lease::default() };
        let mut used = self.used();
        for &tokens in &ask.waiting {
            if lease.granted.requests >= room {
                break;
            }
            if let Some(wait) = self.wait(limits, used, tokens, now) {
                lease.ask_again_ms = wait.max(ASK_AGAIN);
                break;
            }
            self.pay(limits, tokens, now);
            let one = Amount { requests: 1, tokens };
            (lease.granted, used) = (plus(lease.granted, one), plus(used, one));
        }
        if lease.granted != Amount::default() {
            let entry = self.grants.entry(id).or_default();
            *entry = plus(*entry, lease.granted);
            let places = concurrency.map_or(u64::MAX, |cap| cap.saturating_sub(ask.in_flight));
            let (requests, tokens) = lease.granted.into();
            if let Some(holder) = self.holders.get_mut(&ask.process) {
                if ask.held.is_none() {
                    holder.granted = requests;
                } else if let Some(each) = tokens.checked_div(requests) {
                    let ahead = requests.saturating_sub(places);
                    let more = Amount { requests: ahead, tokens: ahead.saturating_mul(each) };
                    holder.ahead = plus(holder.ahead, more);
                }
            }
        }
        lease
    }

    /// Ends a pause that the provider asked for.
    pub fn open(&mut self) {
        self.shut_until = 0;
    }

    /// What left without a grant counts from now on.
    fn note(&mut self, limits: &Limits, spent: Amount, id: u64, now: u64) {
        if spent == Amount::default() {
            return;
        }
        let entry = self.grants.entry(id).or_default();
        *entry = plus(*entry, spent);
        let oldest = millis(now.saturating_sub(DEPTH));
        if let Some(limit) = limits.requests {
            self.requests_due = self.requests_due.max(oldest) + self.cost(limit, spent.requests.min(limit));
        }
        if let Some(limit) = limits.tokens {
            self.tokens_due = self.tokens_due.max(oldest) + self.cost(limit, spent.tokens.min(limit));
        }
    }

    /// How much of it is used.
    pub fn usage(&self, now: u64) -> Usage {
        let granted = self
            .grants
            .range(now.saturating_add(1)..)
            .map(|(_, amount)| *amount)
            .fold(Amount::default(), plus);
        // Where nobody asks nobody is heard, and nobody is known to be gone.
        let silent = now.saturating_sub(self.last_ask);
        let alive = || self.holders.values().filter(|holder| self.is_alive(holder, silent));
        let ahead = alive().map(|holder| holder.ahead).fold(Amount::default(), plus);
        Usage {
            granted: minus(granted, ahead),
            pace: self.pace,
            processes: u64::try_from(alive().count()).unwrap_or(u64::MAX),
            in_flight: alive().fold(0, |sum, holder| sum.saturating_add(holder.in_flight)),
            shut_for_ms: self.shut_until.saturating_sub(now),
        }
    }

    fn used(&self) -> Amount {
        self.grants.values().copied().fold(Amount::default(), plus)
    }

    /// Takes back what was not needed and adds what was used beyond; both also change when the next may leave. A model rarely says as
    /// much as it may, so without that half of a limit on tokens would never be used.
    fn settle(&mut self, limits: &Limits, ask: &Ask) {
        for (id, amount) in &ask.returned {
            if let Some(grant) = self.grants.get_mut(id) {
                grant.requests = grant.requests.saturating_sub(amount.requests);
                grant.tokens = grant.tokens.saturating_sub(amount.tokens);
            }
            if let Some(limit) = limits.requests {
                self.requests_due -= self.cost(limit, amount.requests);
            }
            if let Some(limit) = limits.tokens {
                self.tokens_due -= self.cost(limit, amount.tokens);
            }
        }
        if ask.overdrawn > 0 {
            if let Some(mut latest) = self.grants.last_entry() {
                let tokens = &mut latest.get_mut().tokens;
                *tokens = tokens.saturating_add(ask.overdrawn);
            }
            if let Some(limit) = limits.tokens {
                // Nobody counts longer than a minute: a provider's nonsense must not shut a model for years.
                self.tokens_due += self.cost(limit, ask.overdrawn.min(limit));
            }
        }
    }

    /// Additive increase, multiplicative decrease.
    fn adapt(&mut self, ask: &Ask, now: u64) {
        self.shut_until = self.shut_until.max(now.saturating_add(ask.pause_ms));
        if ask.refused && now >= self.last_cut.saturating_add(CUT_ONCE_IN) {
            self.pace = (self.pace * DECREASE).max(FLOOR);
            self.last_cut = now;
        }
        if ask.overloaded {
            self.grow_after = now.saturating_add(GROWTH_PAUSE);
        }
        if !ask.refused && now >= self.grow_after {
            // Time in which nobody asked proves nothing.
            let elapsed = (now - self.last_ask).min(1_000);
            self.pace = (self.pace + INCREASE * seconds(elapsed)).min(1.0);
        }
    }

    /// How long until a request of this size may be granted; `None` when it may be now.
    fn wait(&self, limits: &Limits, used: Amount, tokens: u64, now: u64) -> Option<u64> {
        let requests =
            self.wait_for(limits.requests, self.requests_due, used.requests, 1, now, |a| a.requests);
        let tokens = self.wait_for(limits.tokens, self.tokens_due, used.tokens, tokens, now, |a| a.tokens);
        Some(requests.max(tokens)).filter(|wait| *wait > 0)
    }

    fn wait_for(
        &self,
        limit: Option<u64>,
        due: f64,
        used: u64,
        wanted: u64,
        now: u64,
        of: impl Fn(&Amount) -> u64,
    ) -> u64 {
        let Some(limit) = limit else { return 0 };
        // What is larger than the whole limit passes alone; refusing it for ever would help nobody.
        let wanted = wanted.min(limit);
        let mut over = used.saturating_add(wanted).saturating_sub(limit);
        let mut window = 0;
        for (until, amount) in &self.grants {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(of(amount));
            // Before now where the time itself is nonsense.
            window = until.saturating_sub(now);
        }
        // What this very lease has granted is not among the grants yet.
        if over > 0 {
            window = WINDOW;
        }
        // A full bucket lets anything through, and owes the rest: else what is larger than the bucket never passed.
        let paced =
            due.max(millis(now.saturating_sub(DEPTH))) + self.cost(limit, 1).min(millis(DEPTH)) - millis(now);
        window.max(whole(paced))
    }

    fn pay(&mut self, limits: &Limits, tokens: u64, now: u64) {
        let oldest = millis(now.saturating_sub(DEPTH));
        if let Some(limit) = limits.requests {
            self.requests_due = self.requests_due.max(oldest) + self.cost(limit, 1);
        }
        if let Some(limit) = limits.tokens {
            self.tokens_due = self.tokens_due.max(oldest) + self.cost(limit, tokens);
        }
    }

    /// Milliseconds it takes to earn `amount` at the present pace.
    fn cost(&self, limit: u64, amount: u64) -> f64 {
        millis(amount) * millis(WINDOW) / (millis(limit.max(1)) * self.pace)
    }
}

/// The end of the grain that holds `time`.
fn grain_after(time: u64) -> u64 {
    time.min(u64::MAX - GRAIN).next_multiple_of(GRAIN)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds and tokens are far below 2^53")]
fn millis(number: u64) -> f64 {
    number as f64
}

fn seconds(milliseconds: u64) -> f64 {
    millis(milliseconds) / 1_000.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn whole(milliseconds: f64) -> u64 {
    milliseconds.ceil().clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests;
