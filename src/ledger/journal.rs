//! The growing part of a run's folder: one line of JSON for each thing that must survive the process.
//!
//! Lines are appended after what they speak of is durable elsewhere, so none of them has to be synced: a line that a loss
//! of power takes away makes the run fetch a batch again, and no more. A torn last line is cut off when the journal is opened. Any other
//! line that is not understood is an error: behind it stands what was paid for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::disk::private;
use crate::domain::event::Recorded;
use crate::domain::outcome::FailureClass;
use crate::output::Mark;

/// One line. `t` is in seconds of work since the run began, time in which no process had it not counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line<'a> {
    /// A process took the run up.
    Opened {
        /// When, RFC 3339.
        at: String,
        /// The process.
        pid: u32,
    },
    /// Rows were taken over from the run whose failures this one retries.
    Carried {
        /// With labels.
        succeeded: u64,
        /// Without, by class.
        failed: BTreeMap<FailureClass, u64>,
        /// The files after it.
        mark: Mark,
    },
    /// A node accepted a batch.
    Sent {
        /// The batch's place in the run.
        batch: u64,
        /// Name of the node.
        node: Cow<'a, str>,
        /// Rows in it.
        indicators: u64,
        /// When.
        t: f64,
    },
    /// The cluster had forgotten rows of a run that was handed over, and they are paid for again.
    PaidAgain {
        /// How many.
        rows: u64,
    },
    /// A batch is on disk.
    Done {
        /// The batch's place in the run.
        batch: u64,
        /// Name of the node that delivered it.
        node: Cow<'a, str>,
        /// What it added to the counts.
        #[serde(flatten)]
        recorded: Recorded,
        /// When.
        t: f64,
    },
    /// Rows that are no indicators are on disk.
    Rejected {
        /// How many so far.
        rows: u64,
        /// When.
        t: f64,
    },
    /// How much of the files counts, after the lines before.
    Mark(Mark),
    /// The files of an earlier process are gone: nothing it did counts.
    Restarted,
    /// Everything is on disk; the files get their names.
    Sealed {
        /// The files, whole.
        mark: Mark,
    },
    /// The files have their names.
    Finished {
        /// When, RFC 3339.
        at: String,
    },
    /// It is being handed over to the cluster, which has not all of it yet.
    HandingOver {
        /// When, RFC 3339.
        at: String,
    },
    /// The cluster has all of it, and goes on with it by itself.
    HandedOver {
        /// When, RFC 3339.
        at: String,
    },
    /// Nobody shall go on with it.
    Cancelled {
        /// When, RFC 3339.
        at: String,
        /// Nothing of it is to be collected any more: what was classified is in its place.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        collected: bool,
    },
    /// Another run has classified its failures again, and written its files anew.
    Superseded {
        /// That run.
        by: String,
    },
    /// Of a newer version; says nothing to this one.
    #[serde(other)]
    Unknown,
}

/// Why a journal cannot be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// A line is damaged, or says what cannot be.
    #[error("line {number}: {why}")]
    Line {
        /// Which, from 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    length: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the journal at `path`, hands each line to `each`, and cuts off what is torn.
    ///
    /// # Errors
    /// When the file cannot be read or written, a line before the last is damaged, or `each` refuses one.
    pub fn open(path: &Path, each: impl FnMut(Line<'_>) -> Result<(), String>) -> Result<Self, Unreadable> {
        let mut file =
            private::open(path, OpenOptions::new().create(true).read(true).write(true).truncate(false))?;
        let length = read(&file, each)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, length, buffer: Vec::new() })
    }

    /// Appends lines, all or none of them.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn append<'a>(&mut self, lines: impl IntoIterator<Item = Line<'a>>) -> io::Result<()> {
        self.buffer.clear();
        for line in lines {
            serde_json::to_writer(&mut self.buffer, &line)?;
            self.buffer.push(b'\n');
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            // What got through is torn, and would be cut off later anyway.
            let _failed_again = self.file.set_len(self.length);
            let _failed_again = self.file.seek(SeekFrom::Start(self.length));
            return Err(error);
        }
        self.length += self.buffer.len() as u64;
        Ok(())
    }

    /// Makes what was appended survive a loss of power.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Hands each line of a journal to `each`; returns how long they are together. A last line that is torn is left out.
///
/// # Errors
/// When the file cannot be read, a line before the last is damaged, or `each` refuses one.
pub(super) fn read(
    file: impl Read,
    mut each: impl FnMut(Line<'_>) -> Result<(), String>,
) -> Result<u64, Unreadable> {
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let (mut length, mut text) = (0, Vec::new());
    for number in 1.. {
        text.clear();
        let bytes = reader.read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            break;
        }
        match serde_json::from_slice(&text) {
            Ok(line) => each(line).map_err(|why| Unreadable::Line { number, why })?,
            Err(_) if reader.fill_buf()?.is_empty() => break,
            Err(error) => return Err(Unreadable::Line { number, why: error.to_string() }),
        }
        length += bytes as u64;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        let own = |line: Line<'_>| serde_json::from_value(serde_json::to_value(line).unwrap()).unwrap();
        let mut keep = |line: Line<'_>| {
            lines.push(own(line));
            Ok(())
        };
        read(&File::open(path).unwrap(), &mut keep).unwrap();
        lines
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_next_one_follows_the_whole_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let rejected = |rows| Line::Rejected { rows, t: 0.5 };
        let mut journal = Journal::open(&path, |_| panic!("it is new")).unwrap();
        journal.append([rejected(1), rejected(2)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for torn in ["{\"event\":\"rej", "{\"event\":\"rejected\",\"rows\":3,\"t\":1}", "\0\0\0\0\n"] {
            std::fs::write(&path, [&whole, torn.as_bytes()].concat()).unwrap();
            let mut journal = Journal::open(&path, |_| Ok(())).unwrap();
            journal.append([Line::Restarted]).unwrap();
            assert_eq!(lines(&path), [rejected(1), rejected(2), Line::Restarted], "{torn}");
        }
    }

    #[test]
    fn a_damaged_line_before_the_last_is_told_and_nothing_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let line = "{\"event\":\"restarted\"}\n";
        for damage in [
            "{\"event\":\"rest\0rted\"}\n",
            "\0\0\0\0\n",
            "\n",
            "{\"event\":\"rejected\",\"rows\":-1,\"t\":0}\n",
        ] {
            let text = [line, damage, line].concat();
            std::fs::write(&path, &text).unwrap();
            let error = Journal::open(&path, |_| Ok(())).unwrap_err();
            assert!(matches!(error, Unreadable::Line { number: 2, .. }), "{damage}: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it is as it was");
        }
    }

    #[test]
    fn a_batch_is_written_and_read_as_it_was() {
        let recorded = Recorded {
            node: 0,
            succeeded: 4,
            reused: 1,
            failed: BTreeMap::from([(FailureClass::Schema, 1)]),
            usage: crate::domain::outcome::Usage { requests: 6, ..Default::default() },
            spared: 0,
            hopeless: None,
            remarks: Box::default(),
            took: std::time::Duration::from_millis(210),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let line = Line::Done { batch: 17, node: "restate-1".into(), recorded, t: 1.25 };
        Journal::open(&path, |_| Ok(())).unwrap().append([line.clone()]).unwrap();
        assert_eq!(lines(&path), [line]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(r#"{"event":"done","batch":17,"node":"restate-1","succeeded":4"#), "{text}");
    }

    #[test]
    fn what_a_newer_version_wrote_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, "{\"event\":\"blessed\",\"by\":[1]}\n").unwrap();
        assert_eq!(lines(&path), [Line::Unknown]);
    }
}
