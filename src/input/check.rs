//! The first pass: reads everything, keeps next to nothing, and answers for all of it or says what is wrong.

use std::io::{self, Read};
use std::path::PathBuf;

use super::duplicates::{Keys, Repeat, Repeats, RowId, Seen};
use super::open::{Opened, open};
use super::rows::Rows;
use super::survey::{Findings, survey};
use super::walk::{Prefix, Walk};
use super::{Format, Options, Source, Summary};
use crate::disk::private;
use crate::domain::fingerprint::hex;
use crate::error::Result;

/// Input that has been read once and found usable.
#[derive(Debug)]
pub struct Checked {
    summary: Summary,
    sources: Vec<Opened>,
    prefixes: Vec<Prefix>,
    repeats: Repeats,
    skip_invalid: bool,
    seen: Option<Seen>,
}

/// Reads all sources once and checks every row, duplicates included. Nothing may be submitted before this succeeds.
/// `keys` are those of the hashes that [`Checked::take_rows`] gives.
pub fn check(sources: &[Source], options: &Options, keys: Keys) -> Result<Checked> {
    check_with(sources, options, keys, &mut io::stdin())
}

/// As [`check()`], with another standard input.
pub(super) fn check_with(
    sources: &[Source],
    options: &Options,
    keys: Keys,
    stdin: &mut dyn Read,
) -> Result<Checked> {
    check_opened(open(sources, options, stdin)?, options.skip_invalid, keys)
}

/// As [`check()`], of sources that are open.
pub(super) fn check_opened(sources: Vec<Opened>, skip_invalid: bool, keys: Keys) -> Result<Checked> {
    let mut walk = Walk::new(sources, None);
    let Findings { mut seen, mut bad, .. } = survey(&mut walk, keys)?;
    let largest_row = seen.largest();
    let repeats = seen.repeats();
    if !skip_invalid && (bad.total > 0 || !repeats.different.is_empty()) {
        bad.add_conflicts(&walk, &repeats.different)?;
        return Err(bad.into_failure(&walk));
    }
    let summary = Summary {
        files: walk.sources().len(),
        rows: walk.rows(),
        invalid: bad.total + repeats.different.len() as u64,
        duplicates: repeats.same.len() as u64,
        largest_row,
        warnings: merged(&walk, &repeats.same).into_iter().collect(),
        digest: walk.prefixes().last().map(|digest| hex(digest)).unwrap_or_default(),
    };
    Ok(Checked {
        summary,
        prefixes: walk.prefixes().to_vec(),
        sources: walk.sources().to_vec(),
        repeats,
        skip_invalid,
        seen: Some(seen),
    })
}

impl Checked {
    /// What was found.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The hashes of all valid rows in input order, duplicates left out; and the memory they take. None a second time.
    pub fn take_rows(&mut self) -> impl Iterator<Item = RowId> + use<> {
        let seen = self.seen.take();
        let rows = seen.map(|seen| seen.into_rows(&self.repeats));
        rows.into_iter().flatten()
    }

    /// Copies each source that has no path of its own (standard input, a pipe) to where `place` says, given its place
    /// among the sources and its format. Syncing the copies is the caller's.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep_copies(&self, place: impl Fn(usize, Format) -> PathBuf) -> io::Result<()> {
        for (number, source) in self.sources.iter().enumerate().filter(|(_, source)| source.spooled) {
            let mut copy = private::create(&place(number, source.format))?;
            io::copy(&mut source.reader(), &mut copy)?;
        }
        Ok(())
    }

    /// For each source: its format, where it has no path of its own.
    pub fn spooled(&self) -> impl Iterator<Item = Option<Format>> {
        self.sources.iter().map(|source| source.spooled.then_some(source.format))
    }

    /// The second pass: the same rows again, duplicates left out, bad ones as [`super::Row::Invalid`]. Holds one
    /// row at a time. Its last item is a failure if the content is not what was checked.
    pub fn rows(&self) -> Rows {
        let walk = Walk::new(self.sources.clone(), Some(self.prefixes.clone()));
        Rows::new(walk, self.repeats.clone(), self.skip_invalid)
    }
}

fn merged(walk: &Walk, repeats: &[Repeat]) -> Option<String> {
    let example = |repeat: &Repeat| {
        let (ordinal, first) = (u64::from(repeat.ordinal), u64::from(repeat.first_ordinal));
        let here = walk.place(ordinal, u64::from(repeat.line), None);
        format!("{here} repeats {}", walk.place(first, u64::from(repeat.first_line), Some(ordinal)))
    };
    let examples: Vec<String> = repeats.iter().take(3).map(example).collect();
    let s = if repeats.len() == 1 { "" } else { "s" };
    let more = match repeats.len() - examples.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!repeats.is_empty())
        .then(|| format!("{} duplicate row{s} merged: {}{more}", repeats.len(), examples.join(", ")))
}
