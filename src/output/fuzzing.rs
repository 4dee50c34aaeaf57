//! Ways in for fuzz targets: what goes into the files of a run, and the order of results, in memory. Compiled under `cfg(fuzzing)` only.

use std::io::{self, Cursor};

use serde::Serialize;

use super::entries::Entries;
use super::row::Layout;
use super::{Format, order, row};
use crate::domain::outcome::Failed;

impl Entries {
    /// Lines of results and of failures, as they stand after [`Self::fill`].
    pub fn lines(&self) -> (&[u8], &[u8]) {
        (&self.results, &self.failures)
    }
}

/// What stands before the first result.
pub fn header(layout: &Layout) -> Vec<u8> {
    let mut header = Vec::new();
    if layout.format == Format::Csv {
        row::csv_header(&mut header, &layout.fields);
    }
    header
}

/// The text of a cell that may have been tamed.
pub fn untamed(cell: &str) -> &str {
    row::untamed(cell)
}

/// The line of a row that cannot be classified.
///
/// # Errors
/// When `input` is no JSON.
pub fn failure(input: &impl Serialize, failed: &Failed, origin: Option<&str>) -> serde_json::Result<Vec<u8>> {
    let mut line = Vec::new();
    row::failure(&mut line, input, failed, origin)?;
    Ok(line)
}

/// Where each row of `results` starts and how long it is, in the order of `ids`.
///
/// # Errors
/// When they are no results.
pub fn places(
    results: &[u8],
    format: Format,
    ids: impl Iterator<Item = u64>,
    hash: impl Fn(&str) -> u64,
) -> io::Result<Vec<(u64, u64)>> {
    let places = order::places(Cursor::new(results), format, ids.map(Ok), hash)?;
    Ok(places.into_iter().map(|place| (place.start, place.bytes)).collect())
}
