//! The money of a run: batches leave only while all that is under way can still be paid.
//!
//! Owns who waits for the account of one run with `--max-cost`; the arithmetic is `domain::money`'s.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::brakes::Brakes;
use crate::domain::detached::Progress;
use crate::domain::money::Account;
use crate::domain::stats::RunStats;
use crate::domain::tally::Tally;
use crate::error::{ExitStatus, Failure};

/// The account, and who waits for it.
#[derive(Debug)]
pub(super) struct Purse {
    account: Mutex<Account>,
    /// Rows of the batch that was not sent, for want of money.
    refused: AtomicU32,
    news: Notify,
    /// Of a run that only collects: what it has paid for is settled already.
    collects: bool,
}

/// The run must stop before a batch is paid for.
#[derive(Debug)]
pub(super) struct NotPaid;

/// What a batch under way may cost: reserved until it is done. Lost with its courier, it stays reserved.
#[derive(Debug)]
pub(super) struct Charge {
    purse: Arc<Purse>,
    rows: u32,
}

impl Charge {
    /// Rows for which it is reserved.
    pub(super) fn rows(&self) -> u64 {
        self.rows.into()
    }

    /// The batch is done.
    pub(super) fn settle(self, tally: &Tally) {
        self.purse.account().settle(self.rows.into(), &tally.done());
        self.purse.news.notify_waiters();
    }
}

impl Purse {
    /// `stats`: what earlier processes of the run have spent.
    pub(super) fn new(brakes: &Brakes, stats: &RunStats) -> Self {
        let mut account = Account::new(brakes.max_cost_usd, brakes.expected_cost_usd);
        account.settle(0, &stats.done());
        Self::with(account, false)
    }

    /// The money of a run that was handed over and has spent what `progress` says; `paid_again` of its rows were paid for twice since.
    pub(super) fn collecting(brakes: &Brakes, progress: &Progress, paid_again: u64) -> Self {
        let mut account = Account::new(brakes.max_cost_usd, brakes.expected_cost_usd);
        account.settle(0, &progress.tally.done());
        account.spend_most(paid_again);
        Self::with(account, true)
    }

    fn with(account: Account, collects: bool) -> Self {
        Self { account: Mutex::new(account), refused: AtomicU32::new(0), news: Notify::new(), collects }
    }

    /// Reserves what `rows` more can cost, if that fits now.
    pub(super) fn try_take(self: &Arc<Self>, rows: u32) -> Option<Charge> {
        self.account().take(rows.into()).then(|| self.charge(rows))
    }

    /// Waits until `rows` more can be paid for; `None` where that will never be.
    pub(super) async fn take(self: &Arc<Self>, rows: u32) -> Option<Charge> {
        loop {
            let changed = self.news.notified();
            {
                let mut account = self.account();
                if account.take(rows.into()) {
                    return Some(self.charge(rows));
                }
                if account.is_idle() {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Reserves what `rows` can cost that an earlier process has sent, whether it fits or not.
    pub(super) fn count_in(self: &Arc<Self>, rows: u32) -> Charge {
        self.account().count_in(rows.into());
        self.charge(rows)
    }

    /// A batch of which `rows` would have to be paid for was not sent, for want of money.
    pub(super) fn refuse(&self, rows: u32) -> NotPaid {
        self.refused.store(rows, Ordering::Relaxed);
        NotPaid
    }

    /// What is spent, and what is under way can cost; in US dollars.
    pub(super) fn reserved(&self) -> f64 {
        self.account().reserved(0)
    }

    fn charge(self: &Arc<Self>, rows: u32) -> Charge {
        Charge { purse: Arc::clone(self), rows }
    }

    /// Why not all rows were submitted, if that was it.
    pub(super) fn failure(&self) -> Option<Failure> {
        let rows = self.refused.load(Ordering::Relaxed);
        let said = self.account().excess(rows.into()).filter(|_| rows > 0)?;
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

    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::detached::{Phase, Plan};
    use crate::domain::outcome::{FailureClass, Usage};
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

    fn purse(most: f64) -> Arc<Purse> {
        let brakes = Brakes { max_cost_usd: Some(most), expected_cost_usd: 0.01, ..Brakes::default() };
        Arc::new(Purse::new(&brakes, &RunStats::new(0, Vec::new())))
    }

    fn done(succeeded: u64, reused: u64, cost: f64) -> Tally {
        let requests = succeeded - reused;
        let usage = Usage { requests, cost_usd: Some(cost), ..Usage::default() };
        Tally { succeeded, reused, usage, ..Tally::default() }
    }

    #[test]
    fn who_waits_goes_on_when_it_is_known_what_was_spent() {
        let purse = purse(1.0);
        let charge = purse.try_take(100).unwrap();
        assert!(purse.try_take(1).is_none());
        let mut waits = std::pin::pin!(purse.take(50));
        assert!(waits.as_mut().now_or_never().is_none(), "it may turn out cheaper");
        charge.settle(&done(100, 0, 0.5));
        let charge = waits.now_or_never().unwrap().unwrap();
        charge.settle(&done(50, 50, 0.0));
        assert!(
            purse.take(51).now_or_never().unwrap().is_none(),
            "nothing is out that could turn out cheaper"
        );
        assert!(purse.failure().is_none(), "nobody was refused");
        purse.refuse(51);
        assert!(purse.failure().unwrap().message().contains("0.5000 USD are spent"));
    }

    #[test]
    fn what_was_sent_before_is_counted_in_whether_it_fits_or_not() {
        let purse = purse(0.1);
        let charge = purse.count_in(20);
        assert!(purse.try_take(1).is_none());
        charge.settle(&done(20, 0, 0.04));
        assert!(purse.try_take(6).is_some());
    }

    #[test]
    fn rows_that_were_refused_or_done_before_did_not_cost_anything() {
        let mut stats = RunStats::new(20_000, Vec::new());
        stats.reject(9_000);
        stats.carry(10, &BTreeMap::from([(FailureClass::Cancelled, 500)]));
        stats.succeeded += 1_000;
        stats.usage = Usage { requests: 1_000, cost_usd: Some(10.0), ..Usage::default() };
        let brakes = Brakes { max_cost_usd: Some(11.0), expected_cost_usd: 0.01, ..Brakes::default() };
        let purse = Arc::new(Purse::new(&brakes, &stats));
        assert!(purse.try_take(100).is_some());
        assert!(purse.try_take(1).is_none());
    }

    #[test]
    fn what_is_collected_is_paid_and_what_is_forgotten_is_paid_from_the_rest() {
        let brakes = Brakes { max_cost_usd: Some(1.5), expected_cost_usd: 0.01, ..Brakes::default() };
        let usage = Usage { requests: 30, cost_usd: Some(0.9), ..Usage::default() };
        let mut progress = progress(30);
        progress.tally = Tally { succeeded: 30, usage, ..Tally::default() };
        let purse = Arc::new(Purse::collecting(&brakes, &progress, 10));
        // 0.9 of the run and 0.1 since are spent.
        let charge = purse.try_take(50).unwrap();
        assert!(purse.try_take(1).is_none());
        charge.settle(&done(50, 0, 0.49));
        assert!(purse.take(2).now_or_never().unwrap().is_none());
        purse.refuse(51);
        assert!(purse.failure().unwrap().hints()[0].contains("runs attach --max-cost"));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let purse = Arc::new(Purse::new(&Brakes::default(), &RunStats::new(0, Vec::new())));
        assert!(purse.try_take(u32::MAX).is_some());
        assert!(purse.failure().is_none());
    }
}
