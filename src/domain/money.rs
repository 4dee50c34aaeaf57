//! The account of a run that may cost so much and no more. Pure arithmetic; who waits for it is the owner's business.
//!
//! What is under way counts as its rows times what a row has cost so far. Until enough are paid for to tell, it counts as the
//! most a row can cost. Rows that turn out to be known already are given back when their batch is done.

use serde::{Deserialize, Serialize};

use super::outcome::Usage;

/// Rows that have to be paid for before what they have cost is believed. One batch may have been of the cheap ones.
const ENOUGH: u64 = 20;

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
    /// An account that holds `most`, if there is a limit, for rows that cost at most `expected` each.
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
        let said = format!("{spent:.4} USD are spent, and the next batch would pass {most} (`--max-cost`)");
        if self.paid >= ENOUGH {
            return Some(said);
        }
        let each = self.each();
        Some(format!(
            "{said}: a row may cost up to {each:.4} USD until {ENOUGH} are paid for; a smaller `--batch-size` needs less"
        ))
    }

    /// What a row costs.
    fn each(&self) -> f64 {
        let so_far = self.spent / float(self.paid.max(1));
        if self.paid >= ENOUGH && self.spent > 0.0 { so_far } else { so_far.max(self.expected) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(rows: u64) -> f64 {
    rows as f64
}
