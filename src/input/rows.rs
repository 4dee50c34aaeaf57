//! The second pass: the rows that were checked, one at a time.

use serde_json::Value;

use super::duplicates::{Repeat, Repeats};
use super::excerpt::excerpt;
use super::row::raw_bounded;
use super::walk::Walk;
use crate::domain::indicator::Indicator;
use crate::error::Failure;

/// One row of the second pass.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every row is valid: a box would cost an allocation for each"
)]
pub enum Row {
    /// To be classified.
    Valid(Indicator),
    /// Set aside, only with [`super::Options::skip_invalid`].
    Invalid(InvalidRow),
}

/// A row that cannot be classified, with what could be read of it.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidRow {
    /// Where it stands, as `file:line`.
    pub origin: String,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// The row as far as it could be read, cut to some kilobytes: an object of its cells, or its text.
    pub raw: Value,
    /// What is wrong with it.
    pub message: String,
}

/// Iterator over the second pass. Ends after the first failure.
#[derive(Debug)]
pub struct Rows {
    walk: Walk,
    /// Both in input order, so that the heads are all there is to look at.
    merged: std::iter::Peekable<std::vec::IntoIter<Repeat>>,
    conflicts: std::iter::Peekable<std::vec::IntoIter<Repeat>>,
    skip_invalid: bool,
    failed: bool,
}

impl Rows {
    pub(super) fn new(walk: Walk, repeats: Repeats, skip_invalid: bool) -> Self {
        Self {
            walk,
            merged: repeats.same.into_iter().peekable(),
            conflicts: repeats.different.into_iter().peekable(),
            skip_invalid,
            failed: false,
        }
    }

    fn step(&mut self) -> Result<Option<Row>, Failure> {
        while let Some((ordinal, parsed)) = self.walk.next()? {
            let here = |repeat: &Repeat| u64::from(repeat.ordinal) == ordinal;
            if self.merged.next_if(here).is_some() {
                continue;
            }
            let conflict = self.conflicts.next_if(here);
            let origin = || self.walk.place(ordinal, parsed.line, None);
            return match (parsed.row, conflict) {
                (Ok(indicator), None) => Ok(Some(Row::Valid(indicator))),
                (Err(_), _) if !self.skip_invalid => Err(self.walk.changed()),
                (Err(bad), _) => Ok(Some(Row::Invalid(InvalidRow {
                    origin: origin(),
                    id: bad.id,
                    raw: bad.raw,
                    message: match bad.column {
                        None => bad.message,
                        Some(column) => format!("column {column}: {}", bad.message),
                    },
                }))),
                (Ok(indicator), Some(repeat)) => {
                    let first = u64::from(repeat.first_ordinal);
                    let other = self.walk.place(first, u64::from(repeat.first_line), Some(ordinal));
                    let id = excerpt(&indicator.id, 80);
                    Ok(Some(Row::Invalid(InvalidRow {
                        origin: origin(),
                        message: format!("id `{id}` is already used on {other}, with other content"),
                        raw: raw_bounded(serde_json::to_value(&indicator).unwrap_or_default()),
                        id: Some(indicator.id),
                    })))
                }
            };
        }
        Ok(None)
    }
}

impl Iterator for Rows {
    type Item = Result<Row, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
