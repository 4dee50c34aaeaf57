//! Reading tables of indicators: CSV, a JSON array, or JSON Lines, from files or standard input.
//!
//! Owns what counts as a usable row and every message about one that is not. The input is read twice and never
//! held: [`check()`] reads all of it and answers for it before anything is submitted, then [`Checked::rows`]
//! streams the same bytes again, duplicates left out. What is kept between the passes is 24 bytes a row while
//! duplicates are looked for, and a number for each duplicate after that.
//!
//! Does not know about batches, results or the failures file, prints nothing, and is synchronous: it belongs on a
//! blocking thread. It has threads of its own, to read ahead and for the rows of a long first pass.

#[cfg(not(fuzzing))]
mod ahead;
#[cfg(fuzzing)]
#[path = "fuzzing/ahead.rs"]
mod ahead;
mod array;
mod bad;
mod broken;
mod check;
mod column;
mod csv;
mod cut;
mod duplicates;
mod excerpt;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod lines;
mod object;
mod open;
mod row;
mod rows;
mod samples;
mod survey;
mod text;
mod walk;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::bounds;

pub use self::check::{Checked, check};
pub use self::duplicates::{Keys, RowId};
pub use self::format::Format;
pub use self::rows::{InvalidRow, Row, Rows};

/// Longest text a cell may hold: one mebibyte.
pub const MAX_CELL: usize = if cfg!(fuzzing) { 256 } else { bounds::LONGEST_CELL };
/// Longest row, in bytes: bounds the memory a hostile or broken file can claim.
pub const MAX_ROW: usize = if cfg!(fuzzing) { 1024 } else { 8 << 20 };
/// Longest id, in bytes. Ids travel in keys, logs and file names of the user's own tools.
pub const MAX_ID: usize = if cfg!(fuzzing) { 64 } else { bounds::LONGEST_ID };

/// Most arrays and objects that may lie in each other in a value of a column we have no name for. A row is part of larger JSON on its way,
/// and `serde_json` reads 127 levels.
pub const MAX_NESTING: usize = bounds::DEEPEST;

/// How to read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Format of every source; without it a file's extension decides, and the first byte of standard input.
    pub format: Option<Format>,
    /// Set bad rows aside as [`Row::Invalid`] instead of refusing the input. Bad files are refused all the same.
    pub skip_invalid: bool,
}

/// Where a table comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a named pipe.
    File(PathBuf),
    /// Standard input, `-` on the command line.
    Stdin,
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path) }
    }
}

/// What the first pass found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sources read.
    pub files: usize,
    /// Rows in them; `rows = indicators + invalid + duplicates`.
    pub rows: u64,
    /// Rows set aside, always 0 without [`Options::skip_invalid`].
    pub invalid: u64,
    /// Rows left out because an earlier one has the same id and the same content.
    pub duplicates: u64,
    /// Bytes of text in the largest row, names of columns not counted.
    pub largest_row: usize,
    /// What the user should know though nothing is wrong, one sentence each.
    pub warnings: Vec<String>,
    /// SHA-256 over the bytes of all sources in order, in hex: for one file what `sha256sum` prints.
    pub digest: String,
}

impl Summary {
    /// Every row but merged duplicates: what a run has to account for.
    pub fn distinct_rows(&self) -> u64 {
        self.rows - self.duplicates
    }

    /// How many [`Row::Valid`] the second pass yields. May be 0 where bad rows are set aside.
    pub fn indicators(&self) -> u64 {
        self.rows - self.invalid - self.duplicates
    }
}
