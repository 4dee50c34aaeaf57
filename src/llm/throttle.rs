//! What a limiter has to offer: permission before every HTTP request, and an ear for how it went.

use std::future::Future;
use std::time::Duration;

use super::rates::RateHeaders;

/// A limit on requests and tokens of one model. Asked once per HTTP request, repeated ones included.
pub trait Throttle: Send + Sync {
    /// Permission for one request. Dropped unsettled, the request was abandoned: it may or may not have been sent,
    /// so it counts as sent, and it runs no longer.
    type Permit: Send;

    /// Resolves when a request that is reckoned to take `tokens` tokens, input and output, may leave.
    fn admit(&self, tokens: u64) -> impl Future<Output = Self::Permit> + Send;

    /// Tells how the request went that `permit` was for.
    fn settle(&self, permit: Self::Permit, feedback: Feedback);
}

/// How a request went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// Tokens the provider counted, input and output; `None` where it did not say.
    pub tokens: Option<u64>,
    /// What the answer means for the limit.
    pub verdict: Verdict,
    /// What the provider said about its own limits.
    pub rates: RateHeaders,
}

/// What an answer means for the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was served, whatever the answer was worth.
    Served,
    /// 429: too fast.
    RateLimited {
        /// How long the provider wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// 5xx (529 is Anthropic's word for it), a time-out or a broken connection: the provider is in trouble.
    Overloaded {
        /// How long the provider wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// The request itself was refused: says nothing about the limit.
    Rejected,
}
