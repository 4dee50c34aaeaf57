//! What one process knows of a model's limits: who waits, what is under way, and what the lease it has allows.
//!
//! Knows no task and no cluster: it is told the time and what came of a question. What has its place and its grant leaves; where a call
//! ends, the next one begins at once. A lease that was not renewed for 2 s allows nothing more, so a limit holds when the cluster does not.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{HEARTBEAT, Permit, TTL, millis};
use crate::llm::{Feedback, RateHeaders, Verdict};
use crate::throttle::budget::{Amount, Ask, Lease};

/// How long a lease allows calls to begin, from when it was asked for. Its process counts as dead a while later (see `throttle::budget`).
const GOOD_FOR: Duration = Duration::from_secs(2);
/// Waiting requests of which the sizes are sent along: as many as leave between two leases at 120,000 a minute.
const SIZES_SENT: u64 = 200;

/// Who waits, and what may leave.
#[derive(Debug, Default)]
pub(super) struct State {
    waiting: VecDeque<Waiting>,
    in_flight: u64,
    /// Calls that ended since the last question.
    ended: u64,
    held: Held,
    /// Requests that may leave, in the order in which they were granted.
    grants: VecDeque<Grant>,
    /// Counts the questions.
    number: u64,
    /// Since when nothing was waiting or under way.
    idle: Option<Instant>,
    /// The provider wants to be left alone, and no lease has been given since that was told.
    silenced: bool,
    /// The process is about to end.
    closed: bool,
    news: News,
}

/// What the next question says besides who waits.
#[derive(Debug, Default, PartialEq)]
struct News {
    spent: Amount,
    returned: Vec<(u64, Amount)>,
    overdrawn: u64,
    refused: bool,
    overloaded: bool,
    shut_until: Option<Instant>,
}

/// What the last lease allows.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// Calls at once.
    places: u64,
    /// Whatever has its place may leave.
    uncounted: bool,
    lease: u64,
    until: Option<Instant>,
}

#[derive(Debug)]
struct Grant {
    lease: u64,
    left: Amount,
    until: Instant,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) tokens: u64,
    /// It repeats one that was served.
    pub(super) again: bool,
    pub(super) permit: oneshot::Sender<Permit>,
}

impl State {
    /// Another request waits; false where it never may leave.
    pub(super) fn wait(&mut self, waiting: Waiting) -> bool {
        let may_leave = waiting.again || !self.closed;
        if may_leave {
            self.waiting.push_back(waiting);
        }
        may_leave
    }

    /// From now on nothing leaves but what repeats a request that was served.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.retain(|waiting| waiting.again);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether all is told, and nothing will be asked for any more.
    pub(super) fn has_gone(&self) -> bool {
        let is_idle = self.waiting.is_empty() && self.in_flight == 0;
        self.closed && is_idle && self.held.places == 0 && self.news == News::default()
    }

    /// Whether anything waits.
    pub(super) fn is_hungry(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.held.until.is_none_or(|until| until <= now)
    }

    /// The next request that leaves, and by which lease. Who does not wait any more is passed over.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Waiting, u64)> {
        while self.waiting.front().is_some_and(|first| first.permit.is_closed()) {
            self.waiting.pop_front();
        }
        if self.silenced || self.is_stale(now) || self.in_flight >= self.held.places {
            return None;
        }
        let one = Amount { requests: 1, tokens: self.waiting.front()?.tokens };
        let lease = self.grant_of(one, now)?;
        self.in_flight += 1;
        Some((self.waiting.pop_front()?, lease))
    }

    /// The lease that grants `one` request.
    fn grant_of(&mut self, one: Amount, now: Instant) -> Option<u64> {
        if self.held.uncounted {
            self.news.spent.requests += 1;
            self.news.spent.tokens = self.news.spent.tokens.saturating_add(one.tokens);
            return Some(self.held.lease);
        }
        loop {
            let first = self.grants.front_mut()?;
            if first.until > now && first.left.requests > 0 && first.left.tokens >= one.tokens {
                first.left.requests -= 1;
                first.left.tokens -= one.tokens;
                return Some(first.lease);
            }
            let Grant { lease, left, .. } = self.grants.pop_front()?;
            if left != Amount::default() {
                self.news.returned.push((lease, left));
            }
        }
    }

    /// A call ended.
    pub(super) fn ended(&mut self) {
        self.in_flight -= 1;
        self.ended += 1;
    }

    /// What the provider said at the end of a call that was granted `tokens` by `lease`.
    pub(super) fn settle(&mut self, lease: u64, tokens: u64, feedback: &Feedback, now: Instant) {
        if let Some(used) = feedback.tokens {
            match tokens.checked_sub(used) {
                Some(0) => {}
                Some(unused) => self.news.returned.push((lease, Amount { requests: 0, tokens: unused })),
                None => self.news.overdrawn = self.news.overdrawn.saturating_add(used - tokens),
            }
        }
        let pause = match feedback.verdict {
            Verdict::RateLimited { retry_after } => {
                self.news.refused = true;
                retry_after
            }
            Verdict::Overloaded { retry_after } => {
                self.news.overloaded = true;
                retry_after
            }
            Verdict::Served | Verdict::Rejected => spent(&feedback.rates),
        };
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            self.shut(now + pause);
        }
    }

    fn shut(&mut self, until: Instant) {
        self.silenced = true;
        self.news.returned.extend(self.grants.drain(..).map(|grant| (grant.lease, grant.left)));
        self.news.shut_until = Some(self.news.shut_until.map_or(until, |other| other.max(until)));
    }

    /// The next question, if there is anything to ask or to tell.
    pub(super) fn question(&mut self, process: &str, now: Instant) -> Option<Ask> {
        self.waiting.retain(|waiting| !waiting.permit.is_closed());
        let is_idle = self.waiting.is_empty() && self.in_flight == 0;
        self.idle = is_idle.then(|| self.idle.unwrap_or(now));
        if is_idle && self.held.places == 0 && self.news == News::default() {
            return None;
        }
        // Before it is said that nothing is held, nothing may begin any more.
        if self.idle.is_some_and(|since| self.closed || now - since >= HEARTBEAT) {
            self.held = Held::default();
        }
        self.take_back(now);
        self.number += 1;
        let sizes = self.sizes();
        let News { spent, returned, overdrawn, refused, overloaded, shut_until } = mem::take(&mut self.news);
        Some(Ask {
            process: process.to_owned(),
            ttl_ms: millis(TTL),
            waiting: sizes,
            in_flight: self.in_flight,
            number: self.number,
            queued: u64::try_from(self.waiting.len()).unwrap_or(u64::MAX),
            held: Some(self.held.places),
            at_hand: self.at_hand(),
            spent,
            returned,
            overdrawn,
            refused,
            pause_ms: shut_until.map_or(0, |until| millis(until.saturating_duration_since(now))),
            overloaded,
        })
    }

    /// Sizes of the requests that shall be granted. Every place may become free before the next lease comes, where calls are quick several
    /// times; and for each call that ends, another that does not wait yet may come.
    fn sizes(&mut self) -> Vec<u64> {
        let ended = 2 * mem::take(&mut self.ended);
        let Held { places, uncounted, until, .. } = self.held;
        if uncounted || self.waiting.is_empty() {
            return Vec::new();
        }
        let most = if until.is_none() { SIZES_SENT } else { places.min(SIZES_SENT).saturating_add(ended) };
        let most = usize::try_from(most.min(5 * SIZES_SENT)).unwrap_or(usize::MAX);
        let mut sizes: Vec<u64> = self.waiting.iter().take(most).map(|waiting| waiting.tokens).collect();
        if places < u64::MAX {
            let coming = usize::try_from(ended).unwrap_or(usize::MAX).min(most - sizes.len());
            let like_others = sizes.iter().copied().max().unwrap_or_default();
            sizes.extend(std::iter::repeat_n(like_others, coming));
        }
        sizes
    }

    fn at_hand(&self) -> Amount {
        self.grants.iter().fold(Amount::default(), |sum, grant| Amount {
            requests: sum.requests.saturating_add(grant.left.requests),
            tokens: sum.tokens.saturating_add(grant.left.tokens),
        })
    }

    /// What was granted and will not be used any more is told: others may have it.
    fn take_back(&mut self, now: Instant) {
        let (nobody, returned) = (self.waiting.is_empty(), &mut self.news.returned);
        self.grants.retain(|grant| {
            let is_over = nobody || grant.until <= now;
            if is_over && grant.left != Amount::default() {
                returned.push((grant.lease, grant.left));
            }
            !is_over
        });
    }

    /// A question was answered that was asked at `asked`.
    pub(super) fn answered(&mut self, lease: &Lease, asked: Instant, now: Instant) {
        let places = lease.concurrency.unwrap_or(u64::MAX);
        // Nothing is held by who has said goodbye.
        let places = if self.idle.is_some() && self.held.places == 0 { 0 } else { places };
        let until = Some(asked + GOOD_FOR);
        self.held = Held { places, uncounted: lease.uncounted, lease: lease.id, until };
        self.silenced = self.news.shut_until.is_some();
        if lease.granted != Amount::default() {
            let until = asked + TTL;
            if until > now {
                self.grants.push_back(Grant { lease: lease.id, left: lease.granted, until });
            } else {
                self.news.returned.push((lease.id, lease.granted));
            }
        }
    }

    /// A question that may not have been heard: what it told is told again. Told twice, it errs on the side of less.
    pub(super) fn unheard(&mut self, ask: &Ask, now: Instant) {
        self.news.overdrawn = self.news.overdrawn.saturating_add(ask.overdrawn);
        self.news.refused |= ask.refused;
        self.news.overloaded |= ask.overloaded;
        self.news.spent.requests += ask.spent.requests;
        self.news.spent.tokens = self.news.spent.tokens.saturating_add(ask.spent.tokens);
        if ask.pause_ms > 0 {
            self.shut(now + Duration::from_millis(ask.pause_ms));
        }
    }
}

/// How long the provider itself says that nothing is left.
fn spent(rates: &RateHeaders) -> Option<Duration> {
    let requests = rates.reset_requests.filter(|_| rates.remaining_requests == Some(0));
    let tokens = rates.reset_tokens.filter(|_| rates.remaining_tokens == Some(0));
    requests.max(tokens)
}
