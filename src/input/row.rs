//! One row on its way from cells to an [`Indicator`]: what each column may hold, and the message when it does not.
//! Knows no format; the three readers feed it.

use indexmap::map::Entry;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::column::{Column, trimmed};
use super::excerpt::excerpt;
use super::{MAX_CELL, MAX_ID, MAX_NESTING, MAX_ROW, samples};
use crate::domain::bounds::MOST_COLUMNS;
use crate::domain::cell::{CellValue, Shape, nesting};
use crate::domain::indicator::Indicator;

/// How much of a bad row is shown: enough to find it, not enough to fill the failures file.
pub(super) const MAX_RAW: usize = if cfg!(fuzzing) { 128 } else { 16 * 1024 };

/// A row and the line it starts on.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) line: u64,
    pub(super) row: Result<Indicator, Box<BadRow>>,
}

/// A row that cannot be used, though the rows after it can.
#[derive(Debug)]
pub(super) struct BadRow {
    pub(super) message: String,
    /// In bytes, from 1; where the text itself is broken.
    pub(super) column: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) raw: Value,
}

/// Collects the cells of one row. The first problem is kept, the rest of the row is still read.
#[derive(Debug, Default)]
pub(super) struct RowBuilder {
    indicator: Indicator,
    seen: u32,
    /// What the table calls the column that was begun last.
    name: &'static str,
    /// Whether a column stands there twice.
    twice: bool,
    problem: Option<String>,
}

impl RowBuilder {
    /// A cell of this column follows, which the table calls `name`.
    pub(super) fn begin(&mut self, column: Column, name: &'static str) {
        let bit = 1 << column as u32;
        self.name = name;
        if self.seen & bit != 0 {
            self.twice(name);
        }
        self.seen |= bit;
    }

    fn twice(&mut self, name: &str) {
        self.twice = true;
        self.problem(|| format!("column `{}` is given twice", excerpt(name, 60)));
    }

    /// Whether a column stands there twice: what was read has one of its cells only.
    pub(super) fn lost_cells(&self) -> bool {
        self.twice
    }

    /// Keeps the cell of a column we have no name for.
    fn keep(&mut self, name: String, value: CellValue) {
        if self.indicator.extra.len() >= MOST_COLUMNS && !self.indicator.extra.contains_key(&name) {
            return self.problem(|| format!("more than {MOST_COLUMNS} columns"));
        }
        match self.indicator.extra.entry(name) {
            Entry::Vacant(free) => drop(free.insert(value)),
            Entry::Occupied(taken) => {
                let name = taken.key().clone();
                self.twice(&name);
            }
        }
    }

    /// The column holds text.
    pub(super) fn text(&mut self, column: Column, text: &str) {
        if text.len() > MAX_CELL {
            let name = self.name;
            return self.problem(|| too_long(name, text.len()));
        }
        let text = trimmed(text);
        if text.is_empty() {
            return;
        }
        if matches!(column, Column::Id | Column::Name) && text.contains('\0') {
            self.problem(|| format!("`{}` contains a NUL character", column.name()));
        }
        if column == Column::Id && text.len() > MAX_ID {
            return self.problem(|| format!("`id` is {} bytes long, the limit is {MAX_ID}", text.len()));
        }
        let row = &mut self.indicator;
        let slot = match column {
            Column::Id => return text.clone_into(&mut row.id),
            Column::Name => return text.clone_into(&mut row.name),
            Column::SampleValues => match samples::from_text(text) {
                Ok(values) => {
                    row.sample_values = values;
                    return;
                }
                Err(message) => return self.problem(|| message),
            },
            Column::Units => &mut row.units,
            Column::Periodicity => &mut row.periodicity,
            Column::LongName => &mut row.long_name,
            Column::SourceName => &mut row.source_name,
            Column::Definition => &mut row.definition,
            Column::Topic => &mut row.topic,
            Column::CategoryGroup => &mut row.category_group,
            Column::Dataset => &mut row.dataset,
            Column::AggregationMethod => &mut row.aggregation_method,
            Column::Scale => &mut row.scale,
            Column::CurrencyCode => &mut row.currency_code,
        };
        *slot = Some(text.to_owned());
    }

    /// The column holds something else than text.
    pub(super) fn wrong(&mut self, found: &str) {
        let name = self.name;
        self.problem(|| format!("column `{name}` must be text, found {found}"));
    }

    /// The observations, as JSON.
    pub(super) fn samples(&mut self, value: &RawValue) {
        let json = value.get();
        // What cannot be read is not too long but wrong.
        if json.len() > MAX_CELL
            && nesting(json) <= MAX_NESTING
            && let Ok(cell) = CellValue::of(value)
        {
            let length = cell.text().len();
            if length > MAX_CELL {
                return self.problem(|| too_long(Column::SampleValues.name(), length));
            }
        }
        match samples::from_raw(value) {
            Ok(values) => self.indicator.sample_values = values,
            Err(message) => self.problem(|| message),
        }
    }

    /// Text of a column we have no name for. Blank text is the same as absent, in every format.
    pub(super) fn extra_text(&mut self, name: String, text: &str) {
        if text.len() > MAX_CELL {
            return self.problem(|| too_long(&name, text.len()));
        }
        let text = trimmed(text);
        if !text.is_empty() {
            self.keep(name, text.into());
        }
    }

    /// JSON of a column we have no name for. Null is the same as absent.
    ///
    /// # Errors
    /// When a text in it cannot be decoded.
    pub(super) fn extra(&mut self, name: String, value: &RawValue) -> serde_json::Result<()> {
        let json = value.get();
        if json == "null" {
            return Ok(());
        }
        // Before anything goes down level by level.
        if nesting(json) > MAX_NESTING {
            self.problem(|| {
                let column = excerpt(&name, 60);
                format!("column `{column}` holds more than {MAX_NESTING} arrays or objects in each other")
            });
            return Ok(());
        }
        if let Shape::Text(text) = Shape::of(value)? {
            self.extra_text(name, &text);
            return Ok(());
        }
        let value = CellValue::of(value)?;
        match value.json().len() {
            0..=MAX_CELL => self.keep(name, value),
            length => self.problem(|| too_long(&name, length)),
        }
        Ok(())
    }

    /// Something is wrong with the row; the first such thing is what the user hears about.
    pub(super) fn problem(&mut self, message: impl FnOnce() -> String) {
        self.problem.get_or_insert_with(message);
    }

    /// The indicator, or why it is none. `raw` is asked only in the second case.
    pub(super) fn finish(mut self, raw: impl FnOnce() -> Value) -> Result<Indicator, Box<BadRow>> {
        for (column, text) in [(Column::Id, &self.indicator.id), (Column::Name, &self.indicator.name)] {
            if text.is_empty() {
                let given = self.seen & (1 << column as u32) != 0;
                let what = if given { "empty" } else { "missing" };
                self.problem.get_or_insert_with(|| format!("`{}` is {what}", column.name()));
            }
        }
        match self.problem {
            None => Ok(self.indicator),
            Some(message) => {
                let id = Some(self.indicator.id).filter(|id| !id.is_empty());
                Err(Box::new(BadRow { message, column: None, id, raw: raw() }))
            }
        }
    }
}

/// The message about a cell above the limit.
pub(super) fn too_long(column: &str, bytes: usize) -> String {
    format!("column `{}` holds {bytes} bytes, the limit is {} MiB", excerpt(column, 60), MAX_CELL >> 20)
}

/// The message about a row above the limit.
pub(super) fn row_too_long() -> String {
    format!("the row is longer than {} MiB", MAX_ROW >> 20)
}

/// Text of a bad row, bounded.
pub(super) fn raw_text(bytes: &[u8]) -> Value {
    let shown = &bytes[..bytes.len().min(MAX_RAW)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < bytes.len() {
        // The cut may have gone through a character.
        text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        text.push('…');
    }
    Value::String(text)
}

/// A bad row that could be read in full, as text if it is long.
pub(super) fn raw_bounded(value: Value) -> Value {
    let text = value.to_string();
    if text.len() > MAX_RAW { raw_text(text.as_bytes()) } else { value }
}

/// Cells of a bad row, bounded.
pub(super) fn raw_cells<'a>(cells: impl Iterator<Item = (String, &'a str)>) -> Value {
    let mut left = MAX_RAW;
    let mut map = Map::new();
    for (mut name, cell) in cells {
        // A cell without a heading may be called as another heading is.
        while map.contains_key(&name) {
            name = format!("{name} ({})", map.len() + 1);
        }
        let shown = excerpt(cell, left.min(1024));
        left = left.saturating_sub(name.len() + shown.len());
        map.insert(name, Value::String(shown));
        if left == 0 {
            break;
        }
    }
    Value::Object(map)
}
