//! All rows of all sources in order, with the digest of the bytes they came from. Both passes walk; what they do
//! with a row is theirs.

use std::io;

use sha2::{Digest, Sha256};

use super::ahead::Ahead;
use super::array::Array;
use super::broken::Broken;
use super::csv::Csv;
use super::cut::Cut;
use super::lines::Lines;
use super::open::Opened;
use super::row::Parsed;
use super::text::Text;
use super::{Format, MAX_CELL};
use crate::error::{Failure, Result};

/// SHA-256 over the sources up to and including one of them.
pub(super) type Prefix = [u8; 32];

/// A place in the sources. Nobody walks on after a failure.
#[derive(Debug)]
pub(super) struct Walk {
    sources: Vec<Opened>,
    expected: Option<Vec<Prefix>>,
    current: usize,
    table: Option<Table>,
    hasher: Sha256,
    prefixes: Vec<Prefix>,
    /// Ordinal of the first row of each source begun.
    starts: Vec<u64>,
    rows: u64,
    /// The text of the row that is read.
    row: Vec<u8>,
}

#[derive(Debug)]
struct Table {
    text: Text<Ahead>,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Csv(Box<Csv>),
    Array(Array),
    Lines(Lines),
}

impl Walk {
    /// Starts at the first row. With `expected`, content that differs from an earlier walk is a failure.
    pub(super) fn new(sources: Vec<Opened>, expected: Option<Vec<Prefix>>) -> Self {
        Self {
            sources,
            expected,
            current: 0,
            table: None,
            hasher: Sha256::new(),
            prefixes: Vec::new(),
            starts: Vec::new(),
            rows: 0,
            row: Vec::new(),
        }
    }

    /// The next row with its ordinal, from 0.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Parsed)>> {
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        // A buffer that once held a giant must not keep its size for the rest of the run.
        row.shrink_to(MAX_CELL);
        let next = match self.cut(&mut row)? {
            Some((ordinal, cut)) => match cut.read(&row) {
                Ok(parsed) => Some((ordinal, parsed)),
                Err(broken) => return Err(self.failure(ordinal, broken)),
            },
            None => None,
        };
        self.row = row;
        Ok(next)
    }

    /// The next row with its ordinal, not read yet: its text, if it has any, is appended to `rows`.
    pub(super) fn cut(&mut self, rows: &mut Vec<u8>) -> Result<Option<(u64, Cut)>> {
        while let Some(source) = self.sources.get(self.current) {
            let table = match &mut self.table {
                Some(table) => table,
                none => {
                    self.starts.push(self.rows);
                    let table = Table::new(source, std::mem::take(&mut self.hasher));
                    none.insert(table.map_err(|error| Broken::from(error).into_failure(&source.label))?)
                }
            };
            match table.next(rows) {
                Ok(Some(cut)) => {
                    self.rows += 1;
                    return Ok(Some((self.rows - 1, cut)));
                }
                Ok(None) => self.end_source()?,
                Err(broken) => return Err(self.failure(self.rows, broken)),
            }
        }
        Ok(None)
    }

    /// The failure when a source breaks at a row.
    pub(super) fn failure(&self, ordinal: u64, broken: Broken) -> Failure {
        if self.expected.is_some() && broken.is_content() {
            return self.changed();
        }
        broken.into_failure(self.label(self.source_of(ordinal)))
    }

    fn end_source(&mut self) -> Result<()> {
        let Some(table) = self.table.take() else { return Ok(()) };
        let empty = self.starts.last() == Some(&self.rows);
        let reason = table.empty_reason();
        self.hasher = table.text.into_source().into_hasher();
        let prefix: Prefix = self.hasher.clone().finalize().into();
        if self.expected.as_ref().is_some_and(|expected| expected.get(self.current) != Some(&prefix)) {
            return Err(self.changed());
        }
        if empty {
            return Err(Failure::usage(format!("{}: no indicators: {reason}", self.label(self.current))));
        }
        self.prefixes.push(prefix);
        self.current += 1;
        Ok(())
    }

    /// The failure when the second pass does not find what the first one checked.
    pub(super) fn changed(&self) -> Failure {
        Failure::usage(format!("{} changed while it was being read", self.label(self.current)))
            .hint("run again when nothing writes to it; rows already classified are not paid for twice")
    }

    /// `file:line` of a row, or `line N` as seen from a row of the same source.
    pub(super) fn place(&self, ordinal: u64, line: u64, seen_from: Option<u64>) -> String {
        let source = self.source_of(ordinal);
        if seen_from.is_some_and(|other| self.source_of(other) == source) {
            return format!("line {line}");
        }
        format!("{}:{line}", self.label(source))
    }

    /// Digests at the end of each source.
    pub(super) fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The sources, to walk them again.
    pub(super) fn sources(&self) -> &[Opened] {
        &self.sources
    }

    fn source_of(&self, ordinal: u64) -> usize {
        self.starts.partition_point(|&start| start <= ordinal).saturating_sub(1)
    }

    fn label(&self, source: usize) -> &str {
        self.sources.get(source).map_or("input", |source| &source.label)
    }
}

impl Table {
    fn new(source: &Opened, hasher: Sha256) -> io::Result<Self> {
        let text = Text::new(Ahead::new(source.reader(), hasher)?);
        let reader = match source.format {
            Format::Csv => Reader::Csv(Box::new(Csv::new())),
            Format::Json => Reader::Array(Array::default()),
            Format::Jsonl => Reader::Lines(Lines::default()),
        };
        Ok(Self { text, reader })
    }

    fn next(&mut self, rows: &mut Vec<u8>) -> std::result::Result<Option<Cut>, Broken> {
        match &mut self.reader {
            Reader::Csv(csv) => Ok(csv.next(&mut self.text)?.map(Cut::Parsed)),
            Reader::Array(array) => array.next(&mut self.text, rows),
            Reader::Lines(lines) => lines.next(&mut self.text, rows),
        }
    }

    fn empty_reason(&self) -> &'static str {
        match &self.reader {
            Reader::Csv(csv) if csv.has_header() => "there is only a header",
            Reader::Array(array) if array.begun() => "the array is empty",
            _ => "it is empty",
        }
    }
}
