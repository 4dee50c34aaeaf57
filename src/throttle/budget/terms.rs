//! What is asked of a budget, and what it answers.

use serde::{Deserialize, Serialize};

/// What a provider allows for one model; absent means unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Requests in any 60 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Tokens, sent and received, in any 60 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
}

/// Requests and tokens, together. Written as a pair: a budget holds hundreds of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Amount {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

impl From<(u64, u64)> for Amount {
    fn from((requests, tokens): (u64, u64)) -> Self {
        Self { requests, tokens }
    }
}

impl From<Amount> for (u64, u64) {
    fn from(amount: Amount) -> Self {
        (amount.requests, amount.tokens)
    }
}

/// What a process asks for and has learned since it last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Identity of the process.
    pub process: String,
    /// How long the lease shall be good for, in milliseconds from when the question was sent.
    pub ttl_ms: u64,
    /// Sizes in tokens of the requests that wait, first come first.
    pub waiting: Vec<u64>,
    /// Calls under way.
    pub in_flight: u64,
    /// Counts the questions of the process, from 1: one that was overtaken on its way is too late. 0: the process does not count.
    #[serde(default)]
    pub number: u64,
    /// Requests that really wait: `waiting` may leave some out, and have some that are expected.
    #[serde(default)]
    pub queued: u64,
    /// Calls that it may have under way by the lease it has, and begins by itself where others end; absent where it begins none that was
    /// not granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// What was granted and has neither left nor been returned: it waits for places to become free.
    #[serde(default)]
    pub at_hand: Amount,
    /// What left since the last question without having been granted, while nothing was counted.
    #[serde(default)]
    pub spent: Amount,
    /// What leases turned out not to need, by their [`Lease::id`]: requests that never left, tokens that were not used.
    #[serde(default)]
    pub returned: Vec<(u64, Amount)>,
    /// Tokens that were used beyond what was leased for them.
    #[serde(default)]
    pub overdrawn: u64,
    /// The provider said "too many requests".
    #[serde(default)]
    pub refused: bool,
    /// The provider wants to be left alone for so many milliseconds.
    #[serde(default)]
    pub pause_ms: u64,
    /// The provider said it is overloaded, or failed.
    #[serde(default)]
    pub overloaded: bool,
}

/// What a process may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Names the lease when something of it is returned.
    pub id: u64,
    /// So many of the waiting requests may leave, with so many tokens.
    pub granted: Amount,
    /// So many calls may be under way in this process; `None` without a limit.
    pub concurrency: Option<u64>,
    /// Requests and tokens are not counted at present: whatever has its place may leave.
    #[serde(default)]
    pub uncounted: bool,
    /// Asking again makes sense after so many milliseconds.
    pub ask_again_ms: u64,
}

/// What can be seen of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Granted in the window that ends now, but for what waits for a place.
    pub granted: Amount,
    /// Share of the limits at which grants are paced, 1 when the provider is content.
    pub pace: f64,
    /// Processes that use it.
    pub processes: u64,
    /// Calls under way, as last heard.
    pub in_flight: u64,
    /// Nothing is granted for so many milliseconds: the provider asked for a pause.
    pub shut_for_ms: u64,
}

/// The one without the other.
pub(super) fn minus(sum: Amount, amount: Amount) -> Amount {
    Amount {
        requests: sum.requests.saturating_sub(amount.requests),
        tokens: sum.tokens.saturating_sub(amount.tokens),
    }
}

/// Both together.
pub(super) fn plus(sum: Amount, amount: Amount) -> Amount {
    Amount {
        requests: sum.requests.saturating_add(amount.requests),
        tokens: sum.tokens.saturating_add(amount.tokens),
    }
}
