//! Rows as they are cut out of a table. Cutting has to follow the text from its beginning; what was cut can be read anywhere, and in any
//! order.

use std::ops::Range;

use super::broken::Broken;
use super::object;
use super::row::{BadRow, Parsed};

/// A row that was found.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "every row of a CSV is read on the way: a box would cost an allocation for each"
)]
pub(super) enum Cut {
    /// JSON, to be read.
    Piece(Piece),
    /// A row that was read on the way: one of a CSV, or one that is too long.
    Parsed(Parsed),
}

/// Where the JSON of one row stands.
#[derive(Debug)]
pub(super) struct Piece {
    /// Line and column (in bytes) in the file, from 1.
    pub(super) position: (u64, u64),
    /// In the text it was put into.
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
}

/// What a row is a piece of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A line: broken JSON is one bad row, the next line begins afresh.
    Line,
    /// An array: behind broken JSON no row can be trusted.
    Element,
}

impl Cut {
    /// Reads the row; `text` is what it was put into.
    pub(super) fn read(self, text: &[u8]) -> Result<Parsed, Broken> {
        match self {
            Self::Piece(piece) => piece.read(text),
            Self::Parsed(parsed) => Ok(parsed),
        }
    }
}

impl Piece {
    /// Reads the row; `text` is what it was put into.
    pub(super) fn read(&self, text: &[u8]) -> Result<Parsed, Broken> {
        let json = &text[self.range.clone()];
        let row = match object::parse(json) {
            Ok(row) => row,
            Err(error) if self.kind == Kind::Line => Err(Box::new(self.bad_line(json, &error))),
            Err(error) => return Err(Broken::at(self.place(&error), object::reason(&error))),
        };
        Ok(Parsed { line: self.position.0, row })
    }

    fn bad_line(&self, json: &[u8], error: &serde_json::Error) -> BadRow {
        let mut message = object::reason(error);
        if error.is_eof() && matches!(json, b"{" | b"[") {
            message.push_str(" (an object must stand on one line)");
        }
        BadRow { message, column: Some(self.place(error).1), id: None, raw: object::raw(json) }
    }

    /// Line and column in the file of an error within the row.
    fn place(&self, error: &serde_json::Error) -> (u64, u64) {
        let (line, column) = self.position;
        let below = (error.line() as u64).saturating_sub(1);
        let indent = if below == 0 { column - 1 } else { 0 };
        // Of a line break in a text `serde_json` says that it stands in column 0 of the next line.
        (line + below, indent + (error.column() as u64).max(1))
    }
}
