//! What a journal says: which batches are on disk, what they added to the counts, and how the run stands. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::journal::Line;
use crate::domain::event::{Reception, Recorded, RunEvent};
use crate::domain::outcome::FailureClass;
use crate::domain::stats::{NodeStats, RunStats};
use crate::output::{Extent, Mark};

/// How a run stands, as far as its journal can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// There is something left to do.
    #[default]
    Open,
    /// Everything is on disk, in files that may have their names or not.
    Sealed(Mark),
    /// Complete.
    Finished,
    /// Given up by its user.
    Cancelled {
        /// Nothing of it is to be collected any more.
        collected: bool,
    },
    /// Its files belong to another run now.
    Superseded(String),
}

/// Longest time of work that is believed, in seconds: a century. Whoever writes more is damaged.
const LONGEST: f64 = 100.0 * 366.0 * 24.0 * 3_600.0;
/// Batches that stand together in [`Numbers`].
const TOGETHER: u64 = u64::BITS as u64;

/// What earlier processes have done.
#[derive(Debug, Default)]
pub struct Past {
    /// How the run stands.
    pub standing: Standing,
    /// How much of the files counts.
    pub mark: Mark,
    /// Whether rows of an earlier run were taken over.
    pub carried: bool,
    /// Rows that are no indicators and are on disk: the first so many.
    pub rejected: u64,
    /// Rows that were paid for again, because the cluster had forgotten them.
    pub paid_again: u64,
    /// Time of work.
    pub elapsed: Duration,
    /// Processes that had it.
    pub sessions: u32,
    /// Whether the cluster has all of it, if it was to be handed over; nothing where an earlier version did that.
    pub handed_over: Option<bool>,
    /// Whether it was given up, however much of it is collected.
    pub cancelled: bool,
    done: Numbers,
    sent: Numbers,
    /// What stands in lines without a mark behind them.
    unmarked: Unmarked,
    under_way: HashMap<u64, (String, u64, Duration)>,
}

/// Rows of which no mark says yet that they are on disk. They count with the next one.
#[derive(Debug, Default)]
struct Unmarked {
    batches: Vec<(u64, String, Recorded)>,
    rejected: u64,
}

/// A set of numbers, most of which follow one another. Takes no more than a few bytes for each, however large it is.
#[derive(Debug, Default)]
struct Numbers(HashMap<u64, u64>);

impl Numbers {
    /// Whether it was not there.
    fn insert(&mut self, number: u64) -> bool {
        let (some, bit) = (self.0.entry(number / TOGETHER).or_default(), 1 << (number % TOGETHER));
        let is_new = *some & bit == 0;
        *some |= bit;
        is_new
    }

    fn contains(&self, number: u64) -> bool {
        let together = self.0.get(&(number / TOGETHER));
        together.is_some_and(|some| some & (1 << (number % TOGETHER)) != 0)
    }
}

impl Past {
    /// Whether this batch is on disk.
    pub fn is_done(&self, batch: u64) -> bool {
        self.done.contains(batch)
    }

    /// Whether this batch was sent.
    pub fn is_sent(&self, batch: u64) -> bool {
        self.sent.contains(batch)
    }

    /// The cluster was given the first `batches`, by whomever.
    pub fn were_sent(&mut self, batches: u64) {
        for batch in 0..batches {
            self.sent.insert(batch);
        }
    }

    /// Learns one line, and counts what it says.
    ///
    /// # Errors
    /// When it says what cannot be, of a run with so many indicators.
    pub fn learn(&mut self, line: Line<'_>, stats: &mut RunStats) -> Result<(), String> {
        match line {
            Line::Opened { .. } => {
                self.sessions = self.sessions.saturating_add(1);
                // What was under way then is sent again by whoever opened it, and counted then. Rows without a mark are cut off the files.
                self.under_way.clear();
                self.unmarked = Unmarked { rejected: self.rejected, ..Unmarked::default() };
            }
            // Said twice, it was done once.
            Line::Carried { .. } if self.carried => {}
            Line::Carried { succeeded, failed, mark } => {
                room_for(sum(succeeded, &failed), stats)?;
                (self.carried, self.mark) = (true, mark);
                stats.carry(succeeded, &failed);
            }
            Line::Sent { batch, node, indicators, t } => {
                is_batch(batch, indicators, stats)?;
                let at = self.time(t)?;
                self.sent.insert(batch);
                self.under_way.insert(batch, (node.into_owned(), indicators, at));
            }
            Line::PaidAgain { rows } => self.paid_again = self.paid_again.saturating_add(rows),
            Line::Done { batch, node, recorded, t } => {
                let rows = sum(recorded.succeeded, &recorded.failed);
                is_batch(batch, rows.unwrap_or(u64::MAX), stats)?;
                if recorded.reused.max(recorded.spared) > recorded.succeeded {
                    return Err(format!("more than the {} rows with labels", recorded.succeeded));
                }
                self.time(t)?;
                self.unmarked.batches.push((batch, node.into_owned(), recorded));
            }
            Line::Rejected { rows, t } => {
                if !(self.unmarked.rejected..=stats.indicators).contains(&rows) {
                    let before = self.unmarked.rejected;
                    return Err(format!(
                        "{rows} rows after {before} of {} are no indicators",
                        stats.indicators
                    ));
                }
                self.time(t)?;
                self.unmarked.rejected = rows;
            }
            Line::Mark(mark) => {
                self.goes_on(mark)?;
                self.count(stats)?;
                self.mark = mark;
            }
            Line::Restarted => {
                let sent = std::mem::take(&mut self.sent);
                let Self { paid_again, elapsed, sessions, handed_over, cancelled, .. } = *self;
                let kept = Self { paid_again, elapsed, sessions, handed_over, cancelled, ..Self::default() };
                let standing =
                    if cancelled { Standing::Cancelled { collected: false } } else { Standing::Open };
                *self = Self { standing, sent, ..kept };
                stats.forget();
            }
            Line::Sealed { mark } => {
                self.count(stats)?;
                (self.mark, self.standing) = (mark, Standing::Sealed(mark));
            }
            Line::Finished { .. } => self.standing = Standing::Finished,
            Line::HandingOver { .. } => self.handed_over = Some(false),
            Line::HandedOver { .. } => self.handed_over = Some(true),
            Line::Cancelled { collected, .. } => {
                (self.cancelled, self.standing) = (true, Standing::Cancelled { collected });
            }
            Line::Superseded { by } => self.standing = Standing::Superseded(by),
            Line::Unknown => {}
        }
        Ok(())
    }

    /// Whether `mark` may follow the last one: files grow, and only with rows.
    fn goes_on(&self, mark: Mark) -> Result<(), String> {
        let is_idle = self.unmarked.batches.is_empty() && self.unmarked.rejected == self.rejected;
        if is_idle && mark != self.mark {
            return Err("the files changed, and no rows were written".to_owned());
        }
        let grew = |before: Extent, now: Extent| {
            now.bytes >= before.bytes && (before.file.is_none() || before.file == now.file)
        };
        if grew(self.mark.results, mark.results) && grew(self.mark.failures, mark.failures) {
            return Ok(());
        }
        Err("the files are shorter than they were, or others".to_owned())
    }

    /// Counts the rows without a mark: one stands behind them now.
    fn count(&mut self, stats: &mut RunStats) -> Result<(), String> {
        for (batch, node, mut recorded) in std::mem::take(&mut self.unmarked.batches) {
            // A batch that stands there twice is on disk once.
            if !self.done.insert(batch) {
                continue;
            }
            room_for(sum(recorded.succeeded, &recorded.failed), stats)?;
            if let Some((node, indicators, at)) = self.under_way.remove(&batch) {
                let node = place(&node, stats);
                stats.apply(&RunEvent::Submitted { node, reception: Reception::New, indicators, at });
            }
            recorded.node = place(&node, stats);
            stats.apply(&RunEvent::Recorded(recorded));
        }
        let rejected = self.unmarked.rejected - self.rejected;
        room_for(Some(rejected), stats)?;
        stats.reject(rejected);
        self.rejected = self.unmarked.rejected;
        Ok(())
    }

    fn time(&mut self, t: f64) -> Result<Duration, String> {
        if !(0.0..=LONGEST).contains(&t) {
            return Err(format!("{t} s is no time of work"));
        }
        let at = Duration::from_secs_f64(t);
        self.elapsed = self.elapsed.max(at);
        Ok(at)
    }
}

/// Rows with and without labels; nothing where they are more than can be.
fn sum(succeeded: u64, failed: &BTreeMap<FailureClass, u64>) -> Option<u64> {
    failed.values().try_fold(succeeded, |sum, number| sum.checked_add(*number))
}

/// Every batch has a row of its own, and none has more than there are.
fn is_batch(batch: u64, rows: u64, stats: &RunStats) -> Result<(), String> {
    if batch < stats.indicators && rows <= stats.indicators {
        return Ok(());
    }
    Err(format!("batch {batch} of {rows} rows in a run with {} indicators", stats.indicators))
}

/// Whether so many rows may be on disk besides those that are.
fn room_for(rows: Option<u64>, stats: &RunStats) -> Result<(), String> {
    if rows.is_some_and(|rows| rows <= stats.pending()) {
        return Ok(());
    }
    Err(format!("more rows than the {} indicators of the run", stats.indicators))
}

/// The node's place; one that is no longer among those of the run gets a place of its own behind them.
fn place(name: &str, stats: &mut RunStats) -> usize {
    stats.nodes.iter().position(|node| node.name == name).unwrap_or_else(|| {
        let mut gone = NodeStats::new(name.to_owned(), String::new());
        gone.up = false;
        stats.nodes.push(gone);
        stats.nodes.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Usage;

    fn sent(batch: u64, t: f64) -> Line<'static> {
        Line::Sent { batch, node: "restate-1".into(), indicators: 5, t }
    }

    fn done(batch: u64, t: f64) -> Line<'static> {
        let recorded = Recorded {
            node: 0,
            succeeded: 4,
            reused: 0,
            failed: BTreeMap::from([(FailureClass::Schema, 1)]),
            usage: Usage::default(),
            spared: 0,
            hopeless: None,
            remarks: Box::default(),
            took: Duration::from_millis(10),
        };
        Line::Done { batch, node: "restate-1".into(), recorded, t }
    }

    fn opened() -> Line<'static> {
        Line::Opened { at: String::new(), pid: 1 }
    }

    fn mark(bytes: u64) -> Line<'static> {
        let extent = Extent { bytes, ..Extent::default() };
        Line::Mark(Mark { results: extent, failures: extent })
    }

    fn learn(lines: impl IntoIterator<Item = Line<'static>>) -> (Past, RunStats) {
        let mut stats = RunStats::new(20, vec![NodeStats::new("restate-1".into(), "http://a".into())]);
        let mut past = Past::default();
        lines.into_iter().for_each(|line| past.learn(line, &mut stats).unwrap());
        (past, stats)
    }

    #[test]
    fn what_is_on_disk_counts_once_and_what_was_under_way_not_at_all() {
        let first = [opened(), sent(0, 0.1), sent(1, 0.2), done(1, 1.5), mark(100)];
        let (past, stats) = learn(first.into_iter().chain([opened(), sent(0, 1.6), sent(2, 1.7)]));
        assert_eq!(
            (past.is_done(0), past.is_done(1), past.is_sent(2), past.is_sent(3)),
            (false, true, true, false)
        );
        assert_eq!((stats.succeeded, stats.failures(), stats.pending(), stats.submitted), (4, 1, 15, 5));
        assert_eq!((past.sessions, past.elapsed), (2, Duration::from_millis(1_700)));
    }

    #[test]
    fn a_restart_forgets_all_but_what_the_cluster_was_given() {
        let (past, stats) = learn([
            opened(),
            sent(0, 0.1),
            done(0, 0.2),
            Line::Rejected { rows: 2, t: 0.3 },
            mark(100),
            Line::Restarted,
        ]);
        assert_eq!((past.is_done(0), past.is_sent(0), past.rejected), (false, true, 0));
        assert_eq!((stats.finished(), stats.submitted, stats.nodes[0].batches), (0, 0, 0));
        assert_eq!(past.mark, Mark::default());
    }

    #[test]
    fn what_was_cancelled_stays_so_until_it_is_collected_and_after() {
        let cancelled = |collected| Line::Cancelled { at: String::new(), collected };
        let handed = [opened(), Line::HandingOver { at: String::new() }];
        let begun = handed.clone().into_iter().chain([Line::HandedOver { at: String::new() }]);
        assert_eq!(learn(handed).0.handed_over, Some(false));
        let given_up: Vec<_> = begun.chain([cancelled(false)]).collect();
        let (past, _) = learn(given_up.clone());
        assert_eq!((past.handed_over, past.standing), (Some(true), Standing::Cancelled { collected: false }));
        // Its rows are gone, and collected again.
        let again =
            given_up.into_iter().chain([opened(), sent(0, 0.1), done(0, 0.2), mark(10), Line::Restarted]);
        let (past, stats) = learn(again.clone());
        assert_eq!((past.handed_over, past.standing), (Some(true), Standing::Cancelled { collected: false }));
        assert_eq!(stats.finished(), 0);
        let sealed = again.chain([Line::Sealed { mark: Mark::default() }]);
        let (past, _) = learn(sealed.clone());
        assert!(past.cancelled && past.standing == Standing::Sealed(Mark::default()));
        let (past, _) = learn(sealed.chain([cancelled(true)]));
        assert_eq!(past.standing, Standing::Cancelled { collected: true });
    }

    #[test]
    fn a_node_that_is_gone_keeps_its_counts() {
        let elsewhere = Line::Sent { batch: 0, node: "restate-9".into(), indicators: 5, t: 0.1 };
        let (_, stats) = learn([opened(), elsewhere, done(0, 0.2), mark(100)]);
        assert_eq!((stats.nodes[1].name.as_str(), stats.nodes[1].indicators), ("restate-9", 5));
        assert!(!stats.nodes[1].up);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_and_take_no_memory() {
        let with = |change: &dyn Fn(&mut Recorded)| {
            let Line::Done { batch, node, mut recorded, t } = done(0, 0.1) else { panic!() };
            change(&mut recorded);
            Line::Done { batch, node, recorded, t }
        };
        let many = || BTreeMap::from([(FailureClass::Schema, u64::MAX)]);
        for line in [
            sent(9_000_000_000_000_000_000, 0.1),
            done(9_000_000_000_000_000_000, 0.1),
            done(20, 0.1),
            sent(0, -1.0),
            done(0, 1e300),
            Line::Sent { batch: 0, node: "restate-1".into(), indicators: 21, t: 0.1 },
            Line::Rejected { rows: u64::MAX, t: 0.1 },
            Line::Carried { succeeded: 1, failed: many(), mark: Mark::default() },
            with(&|recorded| recorded.succeeded = u64::MAX),
            with(&|recorded| recorded.failed = many()),
            with(&|recorded| recorded.reused = 5),
            with(&|recorded| recorded.spared = 5),
        ] {
            let mut stats = RunStats::new(20, Vec::new());
            let mut past = Past::default();
            assert!(past.learn(line.clone(), &mut stats).is_err(), "{line:?}");
            past.learn(mark(0), &mut stats).unwrap();
            assert_eq!((stats.finished(), past.rejected, past.is_done(0)), (0, 0, false), "{line:?}");
        }
    }

    #[test]
    fn rows_without_a_mark_behind_them_do_not_count() {
        let rejected = |rows| Line::Rejected { rows, t: 0.3 };
        let whole = [opened(), sent(0, 0.1), done(0, 0.2), mark(100)];
        let torn = [sent(1, 0.3), done(1, 0.4), rejected(1)];
        let (past, stats) = learn(whole.clone().into_iter().chain(torn.clone()));
        assert_eq!((past.is_done(0), past.is_done(1), past.rejected), (true, false, 0));
        assert_eq!((stats.finished(), stats.pending()), (5, 15));
        // The next process does them again: the mark behind those says nothing of these.
        let again = [opened(), sent(2, 0.5), done(2, 0.6), mark(200)];
        let (past, stats) = learn(whole.into_iter().chain(torn).chain(again));
        assert_eq!((past.is_done(1), past.is_done(2), past.rejected), (false, true, 0));
        assert_eq!((stats.finished(), past.mark.results.bytes), (10, 200));
    }

    #[test]
    fn what_stands_there_twice_counts_once() {
        let carried = || Line::Carried { succeeded: 3, failed: BTreeMap::new(), mark: Mark::default() };
        let rejected = || Line::Rejected { rows: 2, t: 0.1 };
        let twice = [
            opened(),
            carried(),
            carried(),
            done(0, 0.1),
            done(0, 0.1),
            rejected(),
            rejected(),
            mark(9),
            mark(9),
        ];
        let (_, stats) = learn(twice.into_iter().chain([done(0, 0.2), mark(9)]));
        assert_eq!((stats.carried, stats.finished(), stats.nodes[0].succeeded), (3, 10, 4));
    }

    #[test]
    fn rows_and_files_do_not_become_fewer() {
        let refused = |lines: &[Line<'static>]| {
            let (mut past, mut stats) =
                learn([opened(), done(0, 0.1), Line::Rejected { rows: 3, t: 0.1 }, mark(100)]);
            lines.iter().find_map(|line| past.learn(line.clone(), &mut stats).err())
        };
        let rejected = |rows| Line::Rejected { rows, t: 0.2 };
        assert!(refused(&[rejected(2)]).is_some());
        assert!(refused(&[done(1, 0.2), mark(99)]).is_some());
        assert!(refused(&[mark(101)]).is_some(), "bytes without rows");
        assert!(refused(&[done(1, 0.2), done(2, 0.3), done(3, 0.4), mark(200)]).is_some(), "23 of 20 rows");
        assert_eq!(refused(&[mark(100), rejected(3), done(1, 0.2), rejected(4), mark(101)]), None);
    }
}
