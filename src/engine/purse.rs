//! The money of a run: batches leave only while all that is under way can still be paid.
//!
//! Owns who waits for the account of one run with `--max-cost`; the arithmetic is `domain::money`'s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::brakes::Brakes;
use crate::domain::event::Recorded;
use crate::domain::money::Account;
use crate::domain::stats::RunStats;
use crate::error::{ExitStatus, Failure};

/// The account, and who waits for it.
#[derive(Debug)]
pub(super) struct Purse {
    account: Mutex<Account>,
    refused: AtomicBool,
    news: Notify,
}

impl Purse {
    /// `stats`: what earlier processes of the run have spent.
    pub(super) fn new(brakes: &Brakes, stats: &RunStats) -> Self {
        let mut account = Account::new(brakes.max_cost_usd, brakes.expected_cost_usd);
        let paid = stats.finished().saturating_sub(stats.carried + stats.reused + stats.spared);
        account.settle(paid, 0, &stats.usage);
        Self { account: Mutex::new(account), refused: AtomicBool::new(false), news: Notify::new() }
    }

    /// Waits until `rows` more can be paid; false where that will never be.
    pub(super) async fn take(&self, rows: u32) -> bool {
        loop {
            let changed = self.news.notified();
            {
                let mut account = self.account();
                if account.take(rows.into()) {
                    return true;
                }
                if account.is_idle() {
                    self.refused.store(true, Ordering::Relaxed);
                    return false;
                }
            }
            changed.await;
        }
    }

    /// A batch is done.
    pub(super) fn recorded(&self, recorded: &Recorded) {
        let rows = recorded.succeeded + recorded.failed.values().sum::<u64>();
        self.account().settle(rows, recorded.reused + recorded.spared, &recorded.usage);
        self.news.notify_waiters();
    }

    /// Why not all rows were submitted, if that was it.
    pub(super) fn failure(&self) -> Option<Failure> {
        let said = self.account().excess().filter(|_| self.refused.load(Ordering::Relaxed))?;
        let hint = "`classify runs resume --max-cost USD` goes on with a higher one: what is classified is not paid for twice";
        Some(Failure::new(ExitStatus::SomeFailed, format!("stopped: {said}")).hint(hint))
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            remarks: Box::default(),
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
