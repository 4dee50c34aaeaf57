//! Ways in for fuzz targets: tables in memory, read on the thread of the caller. Compiled under `cfg(fuzzing)` only.
//!
//! Limits and buffers are small there, so that short inputs reach them: see [`super::MAX_CELL`] and [`super::MAX_ROW`].

mod reader;

use super::check::check_opened;
use super::open::Opened;
use super::{Checked, Format, Keys};
use crate::error::Result;

pub(super) use reader::Reader;

/// Keys of hashes that are the same in every run of a target: what it finds must be found again.
pub fn keys() -> Keys {
    Keys([1, 2, 3, 4])
}

/// As [`super::check()`], of one table called `table`.
///
/// # Errors
/// When the table is refused.
pub fn check(format: Format, table: &[u8], skip_invalid: bool) -> Result<Checked> {
    check_opened(vec![Opened::in_memory(format, table)], skip_invalid, keys())
}
