//! What a request took, and what the requests for an indicator may cost together in a run with `--max-cost`.

use super::client::Exchange;
use super::usage::{Unsettled, Usage};
use crate::domain::money::{Allowance, Tokens};

/// What the indicators of a request may cost, where the run has a limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit<'a> {
    pub(super) allowance: &'a Allowance,
    /// Indicators that share it.
    pub(super) items: usize,
    /// What they took before.
    pub(super) before: Usage,
}

impl Limit<'_> {
    /// Whether one more request may leave that takes `next` at most, after those of `usage`.
    pub(super) fn holds(&self, usage: Usage, next: Unsettled) -> bool {
        let price = &self.allowance.price;
        let spent = self.before.most(price) + usage.most(price);
        self.allowance.holds(spent + next.most(price), self.items)
    }

    /// Why one more does not leave.
    pub(super) fn words(&self) -> String {
        format!(
            "not asked again: that could cost more than the {:.4} USD that `--max-cost` holds for a row",
            self.allowance.usd
        )
    }
}

/// What an exchange took, of which no more than `most` is possible.
pub(super) fn consumed(exchange: &Exchange, most: Unsettled) -> Usage {
    let told = match &exchange.result {
        Ok(reply) => reply.tokens,
        Err(error) if error.unsettled => None,
        // Nobody charges for a request that was refused.
        Err(_) => Some(Tokens::default()),
    };
    let tokens = told.unwrap_or_default();
    Usage {
        requests: 1,
        unsettled: if told.is_some() { Unsettled::default() } else { most },
        input_tokens: tokens.input,
        cached_tokens: tokens.cached,
        written_tokens: tokens.written,
        output_tokens: tokens.output,
        ..Usage::default()
    }
}
