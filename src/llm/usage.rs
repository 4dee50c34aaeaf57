//! What a classification consumed, as the provider counted it.

use std::ops::AddAssign;

use crate::domain::money::{PerMillion, Tokens};
use crate::domain::outcome;

/// Requests and tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// HTTP requests sent, repeated ones included.
    pub requests: u64,
    /// Tokens sent, cached and written ones included.
    pub input_tokens: u64,
    /// Of these, tokens the provider read from its cache.
    pub cached_tokens: u64,
    /// Of these, tokens the provider says it wrote to its cache.
    pub written_tokens: u64,
    /// Tokens received, those a model thought with included.
    pub output_tokens: u64,
    /// Of the requests, those that repeated another.
    pub retries: outcome::Retries,
    /// Of the requests, what those may have taken of which no answer came, or none that says.
    pub unsettled: Unsettled,
}

/// The most tokens that requests can have taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Sent.
    pub input: u64,
    /// Received.
    pub output: u64,
}

impl Unsettled {
    /// The most that they cost.
    pub(super) fn most(&self, price: &PerMillion) -> f64 {
        price.most(self.input, self.output)
    }
}

impl Usage {
    /// Tokens by price.
    pub fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input_tokens,
            cached: self.cached_tokens,
            written: self.written_tokens,
            output: self.output_tokens,
        }
    }

    /// The most that all of it has cost.
    pub(super) fn most(&self, price: &PerMillion) -> f64 {
        price.cost(self.tokens()) + self.unsettled.most(price)
    }

    /// As it stands in an outcome, with what it cost where the price is known.
    pub fn priced<P>(&self, price: Option<&P>) -> outcome::Usage
    where
        for<'p> PerMillion: From<&'p P>,
    {
        let price = price.map(PerMillion::from);
        outcome::Usage {
            requests: self.requests,
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            output_tokens: self.output_tokens,
            retries: self.retries,
            cost_usd: price.map(|price| price.cost(self.tokens())),
            unsettled_usd: price.map(|price| self.unsettled.most(&price)).filter(|most| *most > 0.0),
        }
    }

    /// Shares of `parts` indicators that were asked about together. They add up to the whole: the first ones bear the
    /// remainders.
    pub(super) fn shared(&self, parts: usize) -> Vec<Self> {
        let parts = parts.max(1) as u64;
        let share = |whole: u64, index: u64| whole / parts + u64::from(index < whole % parts);
        let of = |index| Self {
            requests: share(self.requests, index),
            input_tokens: share(self.input_tokens, index),
            cached_tokens: share(self.cached_tokens, index),
            written_tokens: share(self.written_tokens, index),
            output_tokens: share(self.output_tokens, index),
            retries: self.retries.zip(self.retries, |whole, _| share(whole, index)),
            unsettled: Unsettled {
                input: share(self.unsettled.input, index),
                output: share(self.unsettled.output, index),
            },
        };
        (0..parts).map(of).collect()
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        // Numbers from outside: a provider that counts nonsense must not stop a run.
        self.requests = self.requests.saturating_add(other.requests);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.written_tokens = self.written_tokens.saturating_add(other.written_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.retries = self.retries.zip(other.retries, u64::saturating_add);
        self.unsettled.input = self.unsettled.input.saturating_add(other.unsettled.input);
        self.unsettled.output = self.unsettled.output.saturating_add(other.unsettled.output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_whole() {
        let whole = Usage {
            requests: 1,
            input_tokens: 1_700,
            cached_tokens: 11,
            written_tokens: 0,
            output_tokens: 5,
            retries: outcome::Retries { timeout: 4, ..outcome::Retries::default() },
            unsettled: Unsettled { input: 1_700, output: 2_048 },
        };
        let shares = whole.shared(3);
        assert_eq!(shares.iter().map(|share| share.input_tokens).collect::<Vec<_>>(), [567, 567, 566]);
        assert_eq!(shares.iter().map(|share| share.requests).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(shares.iter().map(|share| share.retries.timeout).collect::<Vec<_>>(), [2, 1, 1]);
        let mut sum = Usage::default();
        for share in shares {
            sum += share;
        }
        assert_eq!(sum, whole);
    }
}
