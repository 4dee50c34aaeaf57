//! Ways in for fuzz targets: a run's files in memory. Compiled under `cfg(fuzzing)` only.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::carried::{Failures, split};
use super::journal::{self, Line, Unreadable};
use super::past::Past;
use super::rows::{Changes, compare, read_from};
use super::spec::Spec;
use crate::domain::outcome::FailureClass;
use crate::domain::stats::RunStats;
use crate::error::Result;
use crate::input::RowId;

/// Reads a journal as whoever goes on with its run does: what was done, and how many bytes of the journal stay.
///
/// # Errors
/// When a line before the last is damaged, or one says what cannot be.
pub fn replay(journal: &[u8], stats: &mut RunStats) -> std::result::Result<(Past, u64), Unreadable> {
    let mut past = Past::default();
    let length = journal::read(journal, |line| past.learn(line, stats))?;
    let opened = Line::Opened { at: String::new(), pid: 0 };
    past.learn(opened, stats).map_err(|why| Unreadable::Line { number: 0, why })?;
    Ok((past, length))
}

/// Reads the content of a `run.json`.
///
/// # Errors
/// When it cannot be understood.
pub fn spec(text: &[u8]) -> Result<Spec> {
    super::folder::understand(text, Path::new("run.json")).map_err(|why| why.told(Path::new("run")))
}

/// Reads the content of a `rows.bin`.
///
/// # Errors
/// When it is damaged.
pub fn rows(bytes: &[u8]) -> io::Result<Vec<RowId>> {
    read_from(bytes).collect()
}

/// How one input differs from another.
pub fn changes(before: Vec<RowId>, now: Vec<RowId>) -> Changes {
    compare(before, now)
}

/// As [`super::split_failures`]: what was found, the rows to classify again, and the lines that stay.
///
/// # Errors
/// When a line is no failure.
pub fn split_failures(
    failures: &[u8],
    classes: &BTreeSet<FailureClass>,
) -> io::Result<(Failures, Vec<u8>, Vec<u8>)> {
    let (mut retry, mut kept) = (Vec::new(), Vec::new());
    let found = split(failures, classes, &mut retry, &mut kept)?;
    Ok((found, retry, kept))
}
