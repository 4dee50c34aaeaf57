//! The money of a run: batches leave only while all that is under way can still be paid.
//!
//! Owns who waits for the account of one run with `--max-cost`; the arithmetic is `domain::money`'s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::brakes::Brakes;
use crate::domain::detached::Progress;
use crate::domain::event::Recorded;
use crate::domain::money::Account;
use crate::domain::outcome::{FailureClass, Usage};
use crate::domain::stats::RunStats;
use crate::error::{ExitStatus, Failure};

/// The account, and who waits for it.
#[derive(Debug)]
pub(super) struct Purse {
    account: Mutex<Account>,
    refused: AtomicBool,
    news: Notify,
    /// Of a run that only collects: what was paid for is settled already, and what is paid for again has a [`Charge`].
    collects: bool,
}

/// The run must stop before a batch is paid for.
#[derive(Debug)]
pub(super) struct NotPaid;

/// Rows that a run which collects pays for again.
#[derive(Debug)]
pub(super) struct Charge {
    purse: Arc<Purse>,
    rows: u32,
}

impl Charge {
    /// How many.
    pub(super) fn rows(&self) -> u64 {
        self.rows.into()
    }

    /// They are done.
    pub(super) fn settle(self, usage: &Usage) {
        self.purse.account().settle(self.rows.into(), 0, usage);
        self.purse.news.notify_waiters();
    }
}

impl Purse {
    /// `stats`: what earlier processes of the run have spent.
    pub(super) fn new(brakes: &Brakes, stats: &RunStats) -> Self {
        let mut account = Account::new(brakes.max_cost_usd, brakes.expected_cost_usd);
        // Nobody pays for rows that are no indicators.
        let rejected = stats.failed.get(&FailureClass::InvalidInput).copied().unwrap_or_default();
        let free = stats.carried + stats.reused + stats.spared + rejected;
        account.settle(stats.finished().saturating_sub(free), 0, &stats.usage);
        Self::with(account, false)
    }

    /// The money of a run that was handed over and has spent what `progress` says; `paid_again` of its rows were paid for twice since.
    pub(super) fn collecting(brakes: &Brakes, progress: &Progress, paid_again: u64) -> Self {
        let mut account = Account::new(brakes.max_cost_usd, brakes.expected_cost_usd);
        let tally = &progress.tally;
        account.settle(tally.rows(), tally.reused + tally.spared, &tally.usage);
        account.spend_again(paid_again);
        Self::with(account, true)
    }

    fn with(account: Account, collects: bool) -> Self {
        Self { account: Mutex::new(account), refused: AtomicBool::new(false), news: Notify::new(), collects }
    }

    /// As [`Self::take`], for rows that are paid for again.
    pub(super) async fn charge(self: &Arc<Self>, rows: u32) -> Option<Charge> {
        self.take(rows).await.then(|| Charge { purse: Arc::clone(self), rows })
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
        if self.collects {
            return;
        }
        let rows = recorded.succeeded + recorded.failed.values().sum::<u64>();
        self.account().settle(rows, recorded.reused + recorded.spared, &recorded.usage);
        self.news.notify_waiters();
    }

    /// Why not all rows were submitted, if that was it.
    pub(super) fn failure(&self) -> Option<Failure> {
        let said = self.account().excess().filter(|_| self.refused.load(Ordering::Relaxed))?;
        let hint = if self.collects {
            "the cluster has forgotten what is missing: `classify runs attach --max-cost USD` pays for it again, up to that"
        } else {
            "`classify runs resume --max-cost USD` goes on with a higher one: what is classified is not paid for twice"
        };
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
    use crate::domain::detached::{Phase, Plan};
    use crate::domain::tally::Tally;

    /// A run that was handed over and has had all its batches submitted.
    fn progress(indicators: u64) -> Progress {
        let one = std::num::NonZeroU32::MIN;
        Progress {
            plan: Plan {
                indicators,
                batch_size: one,
                per_minute: None,
                max_in_flight: one,
                largest_batch: 1_000,
                max_failures: None,
                max_cost_usd: None,
                expected_cost_usd: 0.0,
            },
            phase: Phase::Running,
            halted: None,
            released: indicators,
            under_way: std::collections::BTreeSet::new(),
            tally: Tally::default(),
            begun_at_ms: 0,
            ended_at_ms: None,
        }
    }

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
    fn rows_that_were_refused_did_not_cost_anything() {
        let mut stats = RunStats::new(20_000, Vec::new());
        stats.reject(9_000);
        stats.succeeded = 1_000;
        stats.usage = Usage { requests: 1_000, cost_usd: Some(10.0), ..Usage::default() };
        let brakes = Brakes { max_cost_usd: Some(11.0), expected_cost_usd: 0.01, ..Brakes::default() };
        let purse = Purse::new(&brakes, &stats);
        assert_eq!(purse.take(100).now_or_never(), Some(true));
        assert_eq!(purse.take(1).now_or_never(), None, "a row costs 0.01, not 0.001");
    }

    #[test]
    fn what_is_collected_is_paid_and_what_is_forgotten_is_paid_from_the_rest() {
        let brakes = Brakes { max_cost_usd: Some(1.5), expected_cost_usd: 0.01, ..Brakes::default() };
        let usage = Usage { requests: 30, cost_usd: Some(0.9), ..Usage::default() };
        let mut progress = progress(30);
        progress.tally = Tally { succeeded: 30, usage, ..Tally::default() };
        let purse = Arc::new(Purse::collecting(&brakes, &progress, 10));
        purse.recorded(&recorded(30, 0, 0.9));
        // 0.9 of the run and 0.3 since are spent, a row costs 0.03.
        let charge = purse.charge(9).now_or_never().unwrap().unwrap();
        assert!(purse.charge(5).now_or_never().is_none(), "it may turn out cheaper");
        charge.settle(&Usage { requests: 9, cost_usd: Some(0.2), ..Usage::default() });
        assert!(purse.charge(4).now_or_never().unwrap().is_none());
        assert!(purse.failure().unwrap().hints()[0].contains("runs attach --max-cost"));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let purse = Purse::new(&Brakes::default(), &RunStats::new(0, Vec::new()));
        assert_eq!(purse.take(u32::MAX).now_or_never(), Some(true));
        assert!(purse.failure().is_none());
    }
}
