//! The account of a run that may cost so much and no more. Pure arithmetic; who waits for it is the owner's business.
//!
//! What is under way counts as its rows times what a row has cost so far, or is expected to cost until some are paid
//! for; rows that turn out to be known already are given back when their batch is done.

use serde::{Deserialize, Serialize};

use super::outcome::Usage;

/// What was spent, and what is under way. In US dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    most: Option<f64>,
    expected: f64,
    spent: f64,
    /// Rows that were paid for.
    paid: u64,
    /// Rows that are out.
    under_way: u64,
}

impl Account {
    /// An account that holds `most`, if there is a limit, for rows that are `expected` to cost so much each.
    pub fn new(most: Option<f64>, expected: f64) -> Self {
        Self { most, expected, ..Self::default() }
    }

    /// Takes out what `rows` more may cost; false where that would be too much.
    pub fn take(&mut self, rows: u64) -> bool {
        let after = self.spent + self.each() * float(self.under_way + rows);
        let fits = self.most.is_none_or(|most| after <= most);
        if fits {
            self.under_way += rows;
        }
        fits
    }

    /// `rows` of those that were out are done; `free` of them had not to be paid for.
    pub fn settle(&mut self, rows: u64, free: u64, usage: &Usage) {
        self.under_way = self.under_way.saturating_sub(rows);
        let paid = rows.saturating_sub(free);
        // A service that was not given the price does not tell the cost, and the money is gone all the same.
        self.spent += usage.cost_usd.unwrap_or_else(|| self.expected * float(paid));
        self.paid += paid;
    }

    /// `rows` more were paid for, and what they cost is not known: as much as the others.
    pub fn spend_again(&mut self, rows: u64) {
        self.spent += self.each() * float(rows);
        self.paid += rows;
    }

    /// From now on it holds so much.
    pub fn allow(&mut self, most: f64) {
        self.most = Some(most);
    }

    /// Nothing is out: what does not fit now never will.
    pub fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// Why a batch does not fit.
    pub fn excess(&self) -> Option<String> {
        let (most, spent) = (self.most?, self.spent);
        Some(format!("{spent:.4} USD are spent, and the next batch would pass {most} (`--max-cost`)"))
    }

    /// What a row costs.
    fn each(&self) -> f64 {
        if self.paid > 0 && self.spent > 0.0 { self.spent / float(self.paid) } else { self.expected }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(rows: u64) -> f64 {
    rows as f64
}
