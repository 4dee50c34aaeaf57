//! What a journal says: which batches are on disk, what they added to the counts, and how the run stands. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::journal::Line;
use crate::domain::event::{Reception, RunEvent};
use crate::domain::outcome::FailureClass;
use crate::domain::stats::{NodeStats, RunStats};
use crate::output::Mark;

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
    Cancelled,
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
    /// Time of work.
    pub elapsed: Duration,
    /// Processes that had it.
    pub sessions: u32,
    done: Numbers,
    sent: Numbers,
    under_way: HashMap<u64, (String, u64, Duration)>,
}

/// A set of numbers, most of which follow one another. Takes no more than a few bytes for each, however large it is.
#[derive(Debug, Default)]
struct Numbers(HashMap<u64, u64>);

impl Numbers {
    fn insert(&mut self, number: u64) {
        *self.0.entry(number / TOGETHER).or_default() |= 1 << (number % TOGETHER);
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

    /// Learns one line, and counts what it says.
    ///
    /// # Errors
    /// When it says what cannot be, of a run with so many indicators. Nothing of it is counted then.
    pub fn learn(&mut self, line: Line<'_>, stats: &mut RunStats) -> Result<(), String> {
        match line {
            Line::Opened { .. } => {
                self.sessions = self.sessions.saturating_add(1);
                // What was under way then is sent again by whoever opened it, and counted then.
                self.under_way.clear();
            }
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
            Line::Done { batch, node, mut recorded, t } => {
                let rows = sum(recorded.succeeded, &recorded.failed);
                is_batch(batch, rows.unwrap_or(u64::MAX), stats)?;
                room_for(rows, stats)?;
                if recorded.reused.max(recorded.spared) > recorded.succeeded {
                    return Err(format!("more than the {} rows with labels", recorded.succeeded));
                }
                self.time(t)?;
                self.done.insert(batch);
                if let Some((node, indicators, at)) = self.under_way.remove(&batch) {
                    let node = place(&node, stats);
                    stats.apply(&RunEvent::Submitted { node, reception: Reception::New, indicators, at });
                }
                recorded.node = place(&node, stats);
                stats.apply(&RunEvent::Recorded(recorded));
            }
            Line::Rejected { rows, t } => {
                let more = rows.saturating_sub(self.rejected);
                room_for(Some(more), stats)?;
                self.time(t)?;
                stats.reject(more);
                self.rejected = rows;
            }
            Line::Mark(mark) => self.mark = mark,
            Line::Restarted => {
                let sent = std::mem::take(&mut self.sent);
                *self = Self { sessions: self.sessions, elapsed: self.elapsed, sent, ..Self::default() };
                stats.forget();
            }
            Line::Sealed { mark } => (self.mark, self.standing) = (mark, Standing::Sealed(mark)),
            Line::Finished { .. } => self.standing = Standing::Finished,
            Line::Cancelled { .. } => self.standing = Standing::Cancelled,
            Line::Superseded { by } => self.standing = Standing::Superseded(by),
            Line::Unknown => {}
        }
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
    use crate::domain::event::Recorded;
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
            took: Duration::from_millis(10),
        };
        Line::Done { batch, node: "restate-1".into(), recorded, t }
    }

    fn opened() -> Line<'static> {
        Line::Opened { at: String::new(), pid: 1 }
    }

    fn learn(lines: impl IntoIterator<Item = Line<'static>>) -> (Past, RunStats) {
        let mut stats = RunStats::new(20, vec![NodeStats::new("restate-1".into(), "http://a".into())]);
        let mut past = Past::default();
        lines.into_iter().for_each(|line| past.learn(line, &mut stats).unwrap());
        (past, stats)
    }

    #[test]
    fn what_is_on_disk_counts_once_and_what_was_under_way_not_at_all() {
        let lines =
            [opened(), sent(0, 0.1), sent(1, 0.2), done(1, 1.5), opened(), sent(0, 1.6), sent(2, 1.7)];
        let (past, stats) = learn(lines);
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
            Line::Restarted,
        ]);
        assert_eq!((past.is_done(0), past.is_sent(0), past.rejected), (false, true, 0));
        assert_eq!((stats.finished(), stats.submitted, stats.nodes[0].batches), (0, 0, 0));
        assert_eq!(past.mark, Mark::default());
    }

    #[test]
    fn a_node_that_is_gone_keeps_its_counts() {
        let elsewhere = Line::Sent { batch: 0, node: "restate-9".into(), indicators: 5, t: 0.1 };
        let (_, stats) = learn([opened(), elsewhere, done(0, 0.2)]);
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
            with(&|recorded| recorded.succeeded = 20),
            with(&|recorded| recorded.reused = 5),
            with(&|recorded| recorded.spared = 5),
        ] {
            let mut stats = RunStats::new(20, Vec::new());
            let mut past = Past::default();
            assert!(past.learn(line.clone(), &mut stats).is_err(), "{line:?}");
            assert_eq!((stats.finished(), past.rejected, past.is_done(0)), (0, 0, false), "{line:?}");
        }
    }
}
