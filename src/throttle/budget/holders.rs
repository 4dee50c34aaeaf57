//! Calls at once: how many of them each process may have.
//!
//! What a process may have is its own until it says that it knows better: it begins calls by itself where others end, so nobody else
//! gets a place before it has told that it has less. One that is not heard of while others are is dead, and its calls ended with it.

use serde::{Deserialize, Serialize};

use super::share::fair_share;
use super::{ASK_AGAIN, Amount, Ask, Budget, Limits, millis, whole};

/// A process that has not asked while others did, for this long, is dead; in milliseconds. It says something at least every 750 ms,
/// one exchange that fails included every 2 s, and begins nothing 2 s after it was last answered.
pub(super) const HOLDER_LIFE: u64 = 2_500;
/// Of a silence of everybody this much counts, in milliseconds: the cluster may not have answered.
const ATTENTION: u64 = 1_000;
/// A process that has what it wants need not ask sooner than it would say that it lives, in milliseconds.
const CONTENT: u64 = 1_000;

/// What one process has of the calls at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    cap: u64,
    pub(super) in_flight: u64,
    /// What it was granted since, by a lease without a cap: calls under way that it has not told of.
    #[serde(default)]
    pub(super) granted: u64,
    /// What it was granted and has not sent: there are no places for it yet.
    #[serde(default)]
    pub(super) ahead: Amount,
    /// What it goes by until it hears of `cap`.
    #[serde(default)]
    held: u64,
    wants: u64,
    /// Of its last question.
    #[serde(default)]
    number: u64,
    /// When it asked last, in time attended.
    #[serde(default)]
    heard: u64,
}

impl Holder {
    /// Calls that it may have under way. Without a limit there is no cap, and there may be one soon.
    fn calls(&self) -> u64 {
        self.cap.max(self.held).max(self.in_flight.saturating_add(self.granted))
    }
}

impl Budget {
    /// Somebody asks.
    pub(super) fn attend(&mut self, now: u64) {
        self.attended = self.attended.saturating_add((now - self.last_ask).min(ATTENTION));
        let attended = self.attended;
        self.holders.retain(|_, holder| holder.heard.saturating_add(HOLDER_LIFE) > attended);
    }

    /// Whether the process is known to live after everybody was silent for so long.
    pub(super) fn is_alive(&self, holder: &Holder, silent: u64) -> bool {
        holder.heard.saturating_add(HOLDER_LIFE) > self.attended.saturating_add(silent)
    }

    /// Whether the process has asked again since it asked this.
    pub(super) fn is_overtaken(&self, ask: &Ask) -> bool {
        let last = self.holders.get(&ask.process).map_or(0, |holder| holder.number);
        ask.number > 0 && ask.number < last
    }

    /// The process's part of the calls at once: max-min fair, what nobody wants on top, and never more than the others leave.
    pub(super) fn share(&mut self, limits: &Limits, ask: &Ask) -> Option<u64> {
        let sizes = u64::try_from(ask.waiting.len()).unwrap_or(u64::MAX);
        let waiting = if ask.held.is_some() { ask.queued } else { sizes };
        let wants = ask.in_flight.saturating_add(waiting);
        let holder = Holder {
            in_flight: ask.in_flight,
            held: ask.held.unwrap_or_default(),
            ahead: ask.at_hand,
            wants,
            number: ask.number,
            heard: self.attended,
            ..Holder::default()
        };
        self.holders.insert(ask.process.clone(), holder);
        // Nothing wanted, nothing held: it says goodbye.
        if wants == 0 && ask.held == Some(0) {
            self.holders.remove(&ask.process);
            return limits.concurrency.map(|_| 0);
        }
        let Some(limit) = self.places(limits) else {
            if let Some(holder) = self.holders.get_mut(&ask.process).filter(|_| ask.held.is_some()) {
                holder.cap = u64::MAX;
            }
            return None;
        };
        let taken: u64 = self
            .holders
            .iter()
            .filter(|(process, _)| **process != ask.process)
            .fold(0, |sum, (_, other)| sum.saturating_add(other.calls()));
        let mut fair = fair_share(limit, wants, self.holders.values().map(|holder| holder.wants));
        if ask.held.is_some() {
            let wanted = self.holders.values().fold(0, |sum: u64, holder| sum.saturating_add(holder.wants));
            let processes = u64::try_from(self.holders.len()).unwrap_or(u64::MAX).max(1);
            fair = fair.saturating_add(limit.saturating_sub(wanted) / processes);
        }
        let cap = fair.min(limit.saturating_sub(taken));
        if let Some(holder) = self.holders.get_mut(&ask.process) {
            holder.cap = cap;
        }
        Some(cap)
    }

    /// Calls at once of all processes together, at the present pace.
    fn places(&self, limits: &Limits) -> Option<u64> {
        Some(whole(millis(limits.concurrency?) * self.pace).max(1))
    }

    /// When it makes sense to ask again for a process whose requests are not counted.
    pub(super) fn ask_again(&self, limits: &Limits, ask: &Ask, cap: Option<u64>) -> u64 {
        let wants = ask.in_flight.saturating_add(ask.queued);
        let all = self.places(limits).unwrap_or(u64::MAX);
        if cap.is_none_or(|cap| cap >= wants.min(all)) { CONTENT } else { ASK_AGAIN }
    }
}
