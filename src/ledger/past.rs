//! What a journal says: which batches are on disk, what they added to the counts, and how the run stands. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::journal::Line;
use crate::domain::event::{Reception, RunEvent};
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

/// A set of small numbers.
#[derive(Debug, Default)]
struct Numbers(Vec<bool>);

impl Numbers {
    fn insert(&mut self, number: u64) {
        let Ok(place) = usize::try_from(number) else { return };
        if self.0.len() <= place {
            self.0.resize(place + 1, false);
        }
        self.0[place] = true;
    }

    fn contains(&self, number: u64) -> bool {
        usize::try_from(number).ok().and_then(|place| self.0.get(place).copied()).unwrap_or(false)
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
    pub fn learn(&mut self, line: Line<'_>, stats: &mut RunStats) {
        match line {
            Line::Opened { .. } => {
                self.sessions += 1;
                // What was under way then is sent again by whoever opened it, and counted then.
                self.under_way.clear();
            }
            Line::Carried { succeeded, failed, mark } => {
                (self.carried, self.mark) = (true, mark);
                stats.carry(succeeded, &failed);
            }
            Line::Sent { batch, node, indicators, t } => {
                self.sent.insert(batch);
                let at = self.time(t);
                self.under_way.insert(batch, (node.into_owned(), indicators, at));
            }
            Line::Done { batch, node, mut recorded, t } => {
                self.done.insert(batch);
                self.time(t);
                if let Some((node, indicators, at)) = self.under_way.remove(&batch) {
                    let node = place(&node, stats);
                    stats.apply(&RunEvent::Submitted { node, reception: Reception::New, indicators, at });
                }
                recorded.node = place(&node, stats);
                stats.apply(&RunEvent::Recorded(recorded));
            }
            Line::Rejected { rows, t } => {
                self.time(t);
                for _ in self.rejected..rows {
                    stats.apply(&RunEvent::Rejected);
                }
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
    }

    fn time(&mut self, t: f64) -> Duration {
        let at = Duration::try_from_secs_f64(t).unwrap_or_default();
        self.elapsed = self.elapsed.max(at);
        at
    }
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::event::Recorded;
    use crate::domain::outcome::{FailureClass, Usage};

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
        lines.into_iter().for_each(|line| past.learn(line, &mut stats));
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
}
