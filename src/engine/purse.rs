//! The money of a run: batches leave only while all that is under way can still be paid.
//!
//! Owns the account of one run with `--max-cost`. What is under way counts as its rows times what a row has cost so far, or is
//! expected to cost until some are paid for; rows that turn out to be known already are given back when their batch is done.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::brakes::Brakes;
use crate::domain::event::Recorded;
use crate::domain::stats::RunStats;
use crate::error::{ExitStatus, Failure};

/// The account.
#[derive(Debug)]
pub(super) struct Purse {
    most: Option<f64>,
    account: Mutex<Account>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Account {
    expected: f64,
    spent: f64,
    /// Rows that were paid for.
    paid: u64,
    /// Rows that are out.
    under_way: u64,
    refused: bool,
}

impl Account {
    /// What a row costs.
    fn each(&self) -> f64 {
        if self.paid > 0 && self.spent > 0.0 { self.spent / float(self.paid) } else { self.expected }
    }
}

impl Purse {
    /// `stats`: what earlier processes of the run have spent.
    pub(super) fn new(brakes: &Brakes, stats: &RunStats) -> Self {
        let expected = brakes.expected_cost_usd;
        let paid = stats.finished().saturating_sub(stats.carried + stats.reused + stats.spared);
        let spent = stats.usage.cost_usd.unwrap_or_else(|| expected * float(paid));
        let account = Account { expected, spent, paid, ..Account::default() };
        Self { most: brakes.max_cost_usd, account: Mutex::new(account), news: Notify::new() }
    }

    /// Waits until `rows` more can be paid; false where that will never be.
    pub(super) async fn take(&self, rows: u32) -> bool {
        loop {
            let changed = self.news.notified();
            {
                let mut account = self.account();
                let after = account.spent + account.each() * float(account.under_way + u64::from(rows));
                if self.most.is_none_or(|most| after <= most) {
                    account.under_way += u64::from(rows);
                    return true;
                }
                if account.under_way == 0 {
                    account.refused = true;
                    return false;
                }
            }
            changed.await;
        }
    }

    /// A batch is done.
    pub(super) fn recorded(&self, recorded: &Recorded) {
        let rows = recorded.succeeded + recorded.failed.values().sum::<u64>();
        let mut account = self.account();
        account.under_way = account.under_way.saturating_sub(rows);
        let paid = rows.saturating_sub(recorded.reused + recorded.spared);
        // A service that was not given the price does not tell the cost, and the money is gone all the same.
        let expected = account.expected * float(paid);
        account.spent += recorded.usage.cost_usd.unwrap_or(expected);
        account.paid += paid;
        drop(account);
        self.news.notify_waiters();
    }

    /// Why not all rows were submitted, if that was it.
    pub(super) fn failure(&self) -> Option<Failure> {
        let account = self.account();
        let most = self.most.filter(|_| account.refused)?;
        let message = format!(
            "stopped: {:.4} USD are spent, and the next batch would pass {most} (`--max-cost`)",
            account.spent
        );
        let hint = "`classify runs resume --max-cost USD` goes on with a higher one: what is classified is not paid for twice";
        Some(Failure::new(ExitStatus::SomeFailed, message).hint(hint))
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(rows: u64) -> f64 {
    rows as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::outcome::Usage;

    fn purse(most: f64) -> Purse {
        Purse::new(
            &Brakes { max_cost_usd: Some(most), expected_cost_usd: 0.01, ..Brakes::default() },
            &RunStats::new(0, Vec::new()),
        )
    }

    fn recorded(rows: u64, reused: u64, cost: f64) -> Recorded {
        Recorded {
            node: 0,
            succeeded: rows,
            reused,
            failed: BTreeMap::new(),
            usage: Usage { requests: rows - reused, cost_usd: Some(cost), ..Usage::default() },
            spared: 0,
            hopeless: None,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn money_under_way_counts_as_spent() {
        let purse = purse(1.0);
        assert_eq!(purse.take(60).now_or_never(), Some(true));
        assert_eq!(purse.take(40).now_or_never(), Some(true));
        assert_eq!(purse.take(1).now_or_never(), None, "it may turn out cheaper");
        // It does, by half, and then a third of the rest is dearer.
        purse.recorded(&recorded(100, 0, 0.5));
        assert_eq!(purse.take(100).now_or_never(), Some(true));
        purse.recorded(&recorded(50, 0, 0.4));
        assert!(purse.failure().is_none());
        assert_eq!(purse.take(1).now_or_never(), None);
        purse.recorded(&recorded(50, 50, 0.0));
        assert_eq!(purse.take(17).now_or_never(), Some(false), "0.9 is spent, and a row costs 0.006");
        assert!(purse.failure().unwrap().message().contains("0.9000 USD are spent"));
    }

    #[test]
    fn what_is_known_already_costs_nothing() {
        let purse = purse(1.0);
        for _ in 0..20 {
            assert_eq!(purse.take(100).now_or_never(), Some(true));
            purse.recorded(&recorded(100, 100, 0.0));
        }
    }

    #[test]
    fn a_service_that_does_not_know_the_price_is_no_reason_to_go_on() {
        let purse = purse(1.0);
        for _ in 0..2 {
            assert_eq!(purse.take(50).now_or_never(), Some(true));
            let untold =
                Recorded { usage: Usage { requests: 50, ..Usage::default() }, ..recorded(50, 0, 0.0) };
            purse.recorded(&untold);
        }
        assert_eq!(purse.take(1).now_or_never(), Some(false));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let purse = Purse::new(&Brakes::default(), &RunStats::new(0, Vec::new()));
        assert_eq!(purse.take(u32::MAX).now_or_never(), Some(true));
        assert!(purse.failure().is_none());
    }
}
