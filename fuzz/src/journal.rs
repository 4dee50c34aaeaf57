//! Journals as the recorder writes them, and what they say.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use classify::domain::event::Recorded;
use classify::domain::outcome::{FailureClass, Usage};
use classify::domain::stats::{NodeStats, RunStats};
use classify::fuzzing::ledger;
use classify::ledger::{Line, Past};
use classify::output::Mark;

use crate::memory;

/// Rows of every run here.
pub const INDICATORS: u64 = 300;
/// Batches that are sent.
const BATCHES: u64 = 31;

/// Counts before anything is counted.
pub fn counts() -> RunStats {
    RunStats::new(INDICATORS, vec![NodeStats::new("restate-1".into(), String::new())])
}

/// What is known after some lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub succeeded: u64,
    pub failed: u64,
    pub rejected: u64,
    pub done: BTreeSet<u64>,
    pub bytes: u64,
}

impl Known {
    /// What a reader of the journal found.
    pub fn of(past: &Past, stats: &RunStats) -> Self {
        Self {
            succeeded: stats.succeeded,
            failed: stats.failures() - past.rejected,
            rejected: past.rejected,
            done: (0..BATCHES).filter(|batch| past.is_done(*batch)).collect(),
            bytes: past.mark.results.bytes + past.mark.failures.bytes,
        }
    }

    /// What follows from the lines themselves: rows count with the mark behind them.
    pub fn after(lines: &[Line<'_>]) -> Self {
        let (mut known, mut waiting) = (Self::default(), Self::default());
        for line in lines {
            match line {
                Line::Opened { .. } => waiting = known.clone(),
                Line::Done { batch, recorded, .. } if waiting.done.insert(*batch) => {
                    waiting.succeeded += recorded.succeeded;
                    waiting.failed += recorded.failed.values().sum::<u64>();
                }
                Line::Rejected { rows, .. } => waiting.rejected = *rows,
                Line::Mark(mark) | Line::Sealed { mark } => {
                    waiting.bytes = mark.results.bytes + mark.failures.bytes;
                    known = waiting.clone();
                }
                Line::Restarted => (known, waiting) = Default::default(),
                _ => {}
            }
        }
        known
    }
}

/// Reads a journal, and asserts what holds of any.
pub fn read(text: &[u8]) -> std::result::Result<(Past, RunStats), String> {
    let most = 256 * 1024 + 512 * text.len();
    memory::within(most, || {
        let mut stats = counts();
        let (past, length) = ledger::replay(text, &mut stats).map_err(|error| error.to_string())?;
        assert_eq!(stats.finished() + stats.pending(), INDICATORS);
        assert!(past.rejected <= stats.failures());
        let on_nodes: u64 = stats.nodes.iter().map(|node| node.succeeded + node.failed).sum();
        assert_eq!(on_nodes + past.rejected + stats.carried, stats.finished());
        // Nothing is cut off but a last line.
        let (kept, cut) = text.split_at(usize::try_from(length).expect("it is not longer"));
        assert!(kept.is_empty() || kept.ends_with(b"\n"));
        assert!(!cut.strip_suffix(b"\n").unwrap_or(cut).contains(&b'\n'), "more than a line is cut off");
        let mut again = counts();
        let (_, same) = ledger::replay(kept, &mut again).expect("what was kept is read");
        assert_eq!((same, again.finished(), again.usage), (length, stats.finished(), stats.usage));
        Ok((past, stats))
    })
}

/// The line that an error names.
pub fn line_of(error: &str) -> Option<u64> {
    error.strip_prefix("line ")?.split(':').next()?.parse().ok()
}

/// A journal as some processes have written it one after the other, dying at any time.
pub fn written(u: &mut Unstructured<'_>) -> Result<Vec<Line<'static>>> {
    let mut writer = Writer::default();
    for _ in 0..u.int_in_range(1..=3)? {
        writer.open();
        for _ in 0..u.int_in_range(0..=4)? {
            writer.group(u)?;
        }
        if u.ratio(1, 6)? {
            // It died while it wrote.
            writer.lines.truncate(writer.lines.len() - u.int_in_range(0..=1)?);
        }
    }
    Ok(writer.lines)
}

#[derive(Default)]
struct Writer {
    lines: Vec<Line<'static>>,
    time: f64,
}

impl Writer {
    fn open(&mut self) {
        let known = Known::after(&self.lines);
        self.lines.push(Line::Opened { at: "2026-11-27T10:00:00.000Z".into(), pid: 4711 });
        if known.bytes > 0 && known.bytes.is_multiple_of(7) {
            self.lines.push(Line::Restarted);
        }
    }

    /// What is put on disk together.
    fn group(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let mut known = Known::after(&self.lines);
        let before = known.clone();
        for _ in 0..u.int_in_range(1..=4)? {
            self.time += 0.125;
            let (batch, t) = (u.int_in_range(0..=BATCHES - 1)?, self.time);
            match u.int_in_range(0..=4)? {
                0 | 1 => self.lines.push(Line::Sent { batch, node: node(u)?.into(), indicators: 5, t }),
                2 | 3 if known.done.insert(batch) => {
                    self.lines.push(Line::Done { batch, node: node(u)?.into(), recorded: recorded(u)?, t });
                    known.bytes += 1 + u.int_in_range(0..=900)?;
                }
                _ => {
                    known.rejected += 1;
                    self.lines.push(Line::Rejected { rows: known.rejected, t });
                    known.bytes += 50;
                }
            }
        }
        if known != before {
            self.lines.push(Line::Mark(mark(known.bytes)));
        }
        Ok(())
    }
}

fn node(u: &mut Unstructured<'_>) -> Result<&'static str> {
    Ok(*u.choose(&["restate-1", "restate-2", "gone \"é\""])?)
}

fn recorded(u: &mut Unstructured<'_>) -> Result<Recorded> {
    let failed = u.int_in_range(0..=5)?;
    Ok(Recorded {
        node: 0,
        succeeded: 5 - failed,
        reused: u.int_in_range(0..=5 - failed)?,
        failed: if failed == 0 { BTreeMap::new() } else { BTreeMap::from([(FailureClass::Timeout, failed)]) },
        usage: Usage {
            requests: u.arbitrary::<u8>()?.into(),
            input_tokens: u.arbitrary()?,
            ..Usage::default()
        },
        spared: 0,
        hopeless: None,
        remarks: Box::default(),
        took: std::time::Duration::from_millis(u.arbitrary::<u16>()?.into()),
    })
}

fn mark(bytes: u64) -> Mark {
    let text = format!(
        r#"{{"results":{{"file":{{"device":1,"inode":2,"created_ns":3}},"bytes":{bytes}}},"failures":{{"bytes":0}}}}"#
    );
    serde_json::from_str(&text).expect("it is a mark")
}
