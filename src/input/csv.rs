//! CSV with a header row. Splits records with `csv-core`, the parser of the `csv` crate: that crate itself reads a
//! record of any size into memory and takes a quote that is never closed for the end of the file.

use std::collections::HashSet;
use std::io::{BufRead, Read};

use csv_core::ReadRecordResult;
#[cfg(not(fuzzing))]
use csv_core::Reader;
use serde_json::Value;

use super::broken::Broken;
use super::column::{Column, nearest};
use super::excerpt::excerpt;
#[cfg(fuzzing)]
use super::fuzzing::Reader;
use super::row::{BadRow, Parsed, RowBuilder, raw_cells, row_too_long, too_long};
use super::text::Text;
use super::{MAX_CELL, MAX_ID, MAX_ROW};
use crate::domain::indicator::Indicator;

/// Most columns a table may have; bounds the memory a line of commas can claim.
const MAX_COLUMNS: usize = if cfg!(fuzzing) { 32 } else { 4096 };
/// Bytes and fields of a record for which there is room at first.
const FIRST_ROOM: (usize, usize) = if cfg!(fuzzing) { (64, 8) } else { (4096, 64) };

/// Reader of CSV.
#[derive(Debug)]
pub(super) struct Csv {
    records: Records,
    header: Vec<Heading>,
}

#[derive(Debug)]
enum Heading {
    /// With the name it has in the table.
    Known(Column, &'static str),
    Extra(String),
}

impl Heading {
    fn name(&self) -> &str {
        match self {
            Self::Known(_, name) => name,
            Self::Extra(name) => name,
        }
    }
}

impl Csv {
    /// A reader that has not seen its header yet.
    pub(super) fn new() -> Self {
        Self { records: Records::new(), header: Vec::new() }
    }

    /// The next row; `None` at the end.
    pub(super) fn next<R: Read>(&mut self, text: &mut Text<R>) -> Result<Option<Parsed>, Broken> {
        if self.header.is_empty() {
            let Some((line, oversize)) = self.records.next(text)? else {
                return Ok(None);
            };
            if oversize.is_some() {
                return Err(Broken::line(line, "the header is too long: this does not look like CSV"));
            }
            self.header = header(line, &self.records.fields().map(str::trim).collect::<Vec<_>>())?;
            text.settle_line_end()?;
        }
        let Some((line, oversize)) = self.records.next(text)? else {
            return Ok(None);
        };
        let row = match oversize {
            Some(oversize) => Err(Box::new(self.oversized(oversize))),
            None => self.row(),
        };
        Ok(Some(Parsed { line, row }))
    }

    /// Whether the header has been read.
    pub(super) fn has_header(&self) -> bool {
        !self.header.is_empty()
    }

    fn row(&self) -> Result<Indicator, Box<BadRow>> {
        let mut builder = RowBuilder::default();
        let (expected, found) = (self.header.len(), self.records.len());
        if expected != found {
            builder.problem(|| {
                let s = if expected == 1 { "" } else { "s" };
                format!("expected {expected} field{s}, found {found}")
            });
        }
        for (heading, field) in self.header.iter().zip(self.records.fields()) {
            match heading {
                Heading::Known(column, name) => {
                    builder.begin(*column, name);
                    builder.text(*column, field);
                }
                Heading::Extra(_) if field.trim().is_empty() => {}
                Heading::Extra(name) => builder.extra_text(name.clone(), field),
            }
        }
        builder.finish(|| self.raw())
    }

    fn raw(&self) -> Value {
        let name =
            |i: usize| self.header.get(i).map_or_else(|| format!("field {}", i + 1), |h| h.name().to_owned());
        raw_cells(self.records.fields().enumerate().map(|(i, field)| (name(i), field)))
    }

    fn oversized(&self, oversize: Oversize) -> BadRow {
        let message = match (oversize, self.header.get(self.records.len())) {
            (Oversize::Columns, _) => {
                format!("expected {} fields, found more than {MAX_COLUMNS}", self.header.len())
            }
            (Oversize::Bytes, Some(heading)) if self.records.unfinished() > MAX_CELL => {
                format!("column `{}` holds more than {} MiB", excerpt(heading.name(), 60), MAX_CELL >> 20)
            }
            (Oversize::Bytes, _) => row_too_long(),
        };
        let id = self.header.iter().position(|heading| matches!(heading, Heading::Known(Column::Id, _)));
        let id = id.and_then(|i| self.records.fields().nth(i)).map(str::trim);
        let id = id.filter(|id| !id.is_empty() && id.len() <= MAX_ID).map(str::to_owned);
        BadRow { message, column: None, id, raw: self.raw() }
    }
}

/// Makes sense of the header, or says what is wrong with it.
fn header(line: u64, names: &[&str]) -> Result<Vec<Heading>, Broken> {
    let mut header: Vec<Heading> = Vec::with_capacity(names.len());
    let mut known: Vec<(Column, &str)> = Vec::new();
    let mut taken = HashSet::new();
    for (i, &name) in names.iter().enumerate() {
        if name.len() > MAX_CELL {
            return Err(Broken::line(line, too_long(name, name.len())));
        }
        if let Some((column, spelled)) = Column::named(name) {
            if let Some((_, other)) = known.iter().find(|(seen, _)| *seen == column) {
                let both = format!("columns `{other}` and `{name}` both mean {}", column.name());
                return Err(Broken::line(line, both).hint("rename or remove one of them"));
            }
            known.push((column, name));
            header.push(Heading::Known(column, spelled));
            continue;
        }
        // Spreadsheets leave headings empty and repeat them: a number keeps such columns apart.
        let plain = if name.is_empty() { format!("column {}", i + 1) } else { name.to_owned() };
        let (mut unique, mut number) = (plain.clone(), i + 1);
        while !taken.insert(unique.clone()) {
            unique = format!("{plain} ({number})");
            number += 1;
        }
        header.push(Heading::Extra(unique));
    }
    let missing: Vec<&str> = [Column::Id, Column::Name]
        .into_iter()
        .filter(|column| !known.iter().any(|(seen, _)| seen == column))
        .map(Column::name)
        .collect();
    if missing.is_empty() { Ok(header) } else { Err(missing_columns(line, names, &missing)) }
}

fn missing_columns(line: u64, names: &[&str], missing: &[&str]) -> Broken {
    let found: Vec<String> = names.iter().take(20).map(|name| excerpt(name, 40)).collect();
    let more = if names.len() > found.len() { ", …" } else { "" };
    let s = if missing.len() == 1 { "" } else { "s" };
    let mut broken = Broken::line(line, format!("no column{s} `{}`", missing.join("` and `")))
        .detail(format!("columns found: {}{more}", found.join(", ")));
    let first = names.first().copied().unwrap_or_default();
    if first.starts_with(['{', '[']) {
        return broken.hint("this looks like JSON: `--input-format json|jsonl`");
    }
    if first.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sep=")) {
        let first = excerpt(first, 10);
        return broken.hint(format!("the line `{first}` is meant for a spreadsheet: remove it"));
    }
    if names.len() == 1 && first.contains([';', '\t']) {
        return broken.hint("columns must be separated by commas");
    }
    for wanted in missing {
        if let Some(near) = nearest(wanted, names) {
            broken = broken.hint(format!("rename column `{}` to `{wanted}`", excerpt(near, 60)));
        }
    }
    broken.hint("the first row must name the columns; `id` and `name` are required")
}

/// Splits text into records of bounded size. Holds one.
#[derive(Debug)]
struct Records {
    core: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// How much of `fields` and `ends` the current record fills.
    used: usize,
    count: usize,
}

/// Which bound a record exceeds. What was read up to there is kept.
#[derive(Debug, Clone, Copy)]
enum Oversize {
    Bytes,
    Columns,
}

impl Records {
    fn new() -> Self {
        let mut core = Reader::new();
        // `Text` has dropped the byte order mark. The parser would drop another one, unless it is past the start.
        core.read_record(b"\n", &mut [0], &mut [0]);
        Self { core, fields: vec![0; FIRST_ROOM.0], ends: vec![0; FIRST_ROOM.1], used: 0, count: 0 }
    }

    /// Number of complete fields.
    fn len(&self) -> usize {
        self.count
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let fields = starts.zip(&self.ends[..self.count]).map(|(start, &end)| &self.fields[start..end]);
        // Never an error: the text is UTF-8 and was cut at ASCII characters only.
        fields.map(|field| std::str::from_utf8(field).unwrap_or_default())
    }

    /// Bytes of the field that was being read when a bound was exceeded.
    fn unfinished(&self) -> usize {
        self.used - self.count.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// Reads the next record that is not blank and returns the line it starts on. Rows of empty cells are blank
    /// too: spreadsheets write them for lines that were cleared.
    fn next<R: Read>(&mut self, text: &mut Text<R>) -> Result<Option<(u64, Option<Oversize>)>, Broken> {
        loop {
            let Some(start) = Self::skip_line_ends(text)? else {
                return Ok(None);
            };
            let oversize = self.read(text, start)?;
            if oversize.is_some() || self.fields().any(|field| !field.trim().is_empty()) {
                return Ok(Some((start, oversize)));
            }
        }
    }

    /// The line the next record starts on. The parser would skip blank lines as well, but count them to the record.
    fn skip_line_ends<R: Read>(text: &mut Text<R>) -> Result<Option<u64>, Broken> {
        loop {
            let chunk = text.fill_buf()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let blank = chunk.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if blank == 0 {
                return Ok(Some(text.line()));
            }
            text.consume(blank);
        }
    }

    fn read<R: Read>(&mut self, text: &mut Text<R>, start: u64) -> Result<Option<Oversize>, Broken> {
        (self.used, self.count) = (0, 0);
        if self.fields.len() > MAX_CELL {
            // A buffer that once held a giant must not keep its size for the rest of the run.
            self.fields = vec![0; FIRST_ROOM.0];
        }
        let mut oversize = None;
        loop {
            let chunk = text.fill_buf()?;
            // At the end of the file a line end is added: inside quotes it does not end the record, and so tells
            // a finished last line from a quote that is never closed.
            let ended = chunk.is_empty();
            let input = if ended { b"\n" } else { chunk };
            let (mut spill, mut spill_ends) = ([0; 1024], [0; 64]);
            let (result, read, written, ends) = match oversize {
                None => {
                    self.core.read_record(input, &mut self.fields[self.used..], &mut self.ends[self.count..])
                }
                Some(_) => self.core.read_record(input, &mut spill, &mut spill_ends),
            };
            if !ended {
                text.consume(read);
            }
            if oversize.is_none() {
                self.used += written;
                self.count += ends;
            }
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => return Ok(oversize),
                ReadRecordResult::InputEmpty if ended => {
                    return Err(Broken::line(start, "a quote that opens in this row is never closed")
                        .hint("a quote inside a quoted cell is written twice: `\"\"`"));
                }
                ReadRecordResult::InputEmpty => {}
                _ if oversize.is_some() => {}
                ReadRecordResult::OutputFull if self.fields.len() >= MAX_ROW => {
                    oversize = Some(Oversize::Bytes);
                }
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() >= MAX_COLUMNS => {
                    oversize = Some(Oversize::Columns);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
    }
}
