//! What the requests for an indicator may cost together, in a run with `--max-cost`.

use super::usage::{Unsettled, Usage};
use crate::domain::money::Allowance;

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
