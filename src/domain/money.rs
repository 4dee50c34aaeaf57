//! The money of a run: what tokens cost, what one indicator may cost, and the account of a run with `--max-cost`.
//!
//! Pure arithmetic, in US dollars. The account never goes beyond its limit: what is under way counts as the most it can
//! cost ([`Allowance`], which the service keeps to) until it is known what it did cost.

use serde::{Deserialize, Serialize};

use super::outcome::Usage;

/// Prices are told per so many tokens.
const MILLION: f64 = 1e6;
/// What sums of prices may differ by because they were added in another order: no price is a billionth of a dollar.
const ROUNDING: f64 = 1e-9;

/// What tokens cost, in US dollars per million.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PerMillion {
    /// Sent.
    pub input: f64,
    /// Read from the provider's cache.
    pub cached: f64,
    /// Written to its cache; like any token sent where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<f64>,
    /// Received.
    pub output: f64,
}

/// Tokens by price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Sent, cached and written ones included.
    pub input: u64,
    /// Of these, read from the provider's cache.
    pub cached: u64,
    /// Of these, written to its cache.
    pub written: u64,
    /// Received.
    pub output: u64,
}

impl From<&Self> for PerMillion {
    fn from(price: &Self) -> Self {
        *price
    }
}

impl PerMillion {
    /// What `tokens` cost.
    pub fn cost(&self, tokens: Tokens) -> f64 {
        let special = tokens.cached.saturating_add(tokens.written);
        let plain = tokens.input.saturating_sub(special);
        let written = self.written.unwrap_or(self.input);
        let sum = float(plain) * self.input
            + float(tokens.cached) * self.cached
            + float(tokens.written) * written
            + float(tokens.output) * self.output;
        sum / MILLION
    }

    /// The most that so many tokens cost, whatever the provider's cache has.
    pub fn most(&self, input: u64, output: u64) -> f64 {
        let dearest = self.input.max(self.cached).max(self.written.unwrap_or_default());
        (float(input) * dearest + float(output) * self.output) / MILLION
    }
}

/// What one indicator of a run with `--max-cost` may cost, all its requests together, and by which prices. Travels with
/// the batch, so that the service counts as the run's account does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    /// US dollars.
    pub usd: f64,
    /// What tokens cost.
    pub price: PerMillion,
}

impl Allowance {
    /// Whether `items` indicators may cost `usd` together.
    pub fn holds(&self, usd: f64, items: usize) -> bool {
        usd <= self.usd * float(items as u64) + ROUNDING
    }
}

/// Indicators that are done, and what they took.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// All of them.
    pub rows: u64,
    /// Of these, answered before, or by the rules.
    pub free: u64,
    /// Of these, cancelled before there was an answer.
    pub cancelled: u64,
    /// What was bought.
    pub usage: &'a Usage,
}

/// What was spent, and what is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    most: Option<f64>,
    /// The most that an indicator can cost.
    #[serde(rename = "expected")]
    each: f64,
    spent: f64,
    /// Indicators that are out.
    under_way: u64,
}

impl Account {
    /// An account that holds `most`, if there is a limit, for indicators that cost at most `each`.
    pub fn new(most: Option<f64>, each: f64) -> Self {
        Self { most, each, ..Self::default() }
    }

    /// Reserves what `rows` more can cost; false where that would be too much.
    pub fn take(&mut self, rows: u64) -> bool {
        let fits = self.most.is_none_or(|most| self.reserved(rows) <= most + ROUNDING);
        if fits {
            self.under_way += rows;
        }
        fits
    }

    /// Reserves what `rows` can cost that left before: they are paid for, whether that fits or not.
    pub fn count_in(&mut self, rows: u64) {
        self.under_way += rows;
    }

    /// Of what is out, `reserved` indicators are done, among others that were not reserved for.
    pub fn settle(&mut self, reserved: u64, done: &Done<'_>) {
        self.under_way = self.under_way.saturating_sub(reserved);
        let paid = done.rows.saturating_sub(done.free).saturating_sub(done.cancelled);
        // A service that was not given the price does not tell the cost, and the money is gone all the same.
        let untold = if done.usage.requests == 0 { 0.0 } else { self.each * float(paid) };
        self.spent += done.usage.cost_usd.unwrap_or(untold) + done.usage.unsettled_usd.unwrap_or_default();
        // Nobody knows how far the provider was with them.
        self.spend_most(done.cancelled);
    }

    /// Nobody knows what `rows` more have cost: as much as they can.
    pub fn spend_most(&mut self, rows: u64) {
        self.spent += self.each * float(rows);
    }

    /// From now on it holds so much.
    pub fn allow(&mut self, most: f64) {
        self.most = Some(most);
    }

    /// Nothing is out: what does not fit now never will.
    pub fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// What is spent, and what is out and `rows` more can cost.
    pub fn reserved(&self, rows: u64) -> f64 {
        self.spent + self.each * float(self.under_way.saturating_add(rows))
    }

    /// Why a batch of `rows` does not fit.
    pub fn excess(&self, rows: u64) -> Option<String> {
        let Self { most, spent, each, .. } = *self;
        let (most, next) = (most?, each * float(rows));
        Some(format!(
            "{spent:.4} USD are spent, and the next {} can cost {next:.4} USD, which could pass {most} USD (`--max-cost`)",
            if rows == 1 { "row".to_owned() } else { format!("{rows} rows") }
        ))
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
