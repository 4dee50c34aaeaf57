//! The first pass: reads everything, keeps next to nothing, and answers for all of it or says what is wrong.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::Value;

use super::duplicates::{Keys, Repeat, Repeats, RowId, Seen};
use super::open::{Opened, open};
use super::row::excerpt;
use super::rows::Rows;
use super::walk::{Prefix, Walk};
use super::{Format, Options, Source, Summary};
use crate::domain::fingerprint::hex;
use crate::domain::indicator::Indicator;
use crate::error::{Failure, Result};

/// How many bad rows one failure shows, so that nobody has to fix them one run at a time.
const SHOWN: usize = 5;

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
    let mut walk = Walk::new(open(sources, options, stdin)?, None);
    let mut seen = Seen::new(keys);
    let mut bad = BadRows::default();
    while let Some((ordinal, parsed)) = walk.next()? {
        match parsed.row {
            Ok(indicator) if seen.add(&indicator, ordinal, parsed.line) => {}
            Ok(_) => return Err(Failure::usage(format!("the input has more than {} rows", u32::MAX))),
            Err(_) if options.skip_invalid => bad.count(),
            Err(row) => bad.add(ordinal, || {
                let column = row.column.map_or(String::new(), |column| format!("{column}:"));
                format!("{}{column} {}", with_colon(&walk, ordinal, parsed.line), row.message)
            }),
        }
    }
    let largest_row = seen.largest();
    let repeats = seen.repeats();
    if !options.skip_invalid && (bad.total > 0 || !repeats.different.is_empty()) {
        bad.add_conflicts(&walk, &repeats.different)?;
        return Err(bad.into_failure(&walk));
    }
    let summary = Summary {
        files: sources.len(),
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
        skip_invalid: options.skip_invalid,
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
            let mut copy = File::create(place(number, source.format))?;
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

/// The bad rows worth showing, in input order, and how many there are.
#[derive(Debug, Default)]
struct BadRows {
    total: u64,
    shown: Vec<(u64, String)>,
}

impl BadRows {
    fn count(&mut self) {
        self.total += 1;
    }

    fn add(&mut self, ordinal: u64, line: impl FnOnce() -> String) {
        self.count();
        if self.shown.len() < SHOWN {
            self.shown.push((ordinal, line()));
        }
    }

    fn add_conflicts(&mut self, walk: &Walk, conflicts: &[Repeat]) -> Result<()> {
        let shown = &conflicts[..conflicts.len().min(SHOWN)];
        let rows = fetch(walk, shown)?;
        for repeat in shown {
            let (ordinal, first) = (u64::from(repeat.ordinal), u64::from(repeat.first_ordinal));
            let mut line = with_colon(walk, ordinal, u64::from(repeat.line));
            let other = walk.place(first, u64::from(repeat.first_line), Some(ordinal));
            let pair = rows.get(&ordinal).zip(rows.get(&first));
            let id = pair.map_or(String::new(), |(row, _)| format!(" `{}`", excerpt(&row.id, 80)));
            let differing = pair.map_or(String::new(), |(row, first)| differing(row, first));
            let _ = write!(line, " id{id} is already used on {other}, with other content{differing}");
            self.shown.push((ordinal, line));
        }
        self.shown.sort_by_key(|(ordinal, _)| *ordinal);
        self.shown.truncate(SHOWN);
        self.total += conflicts.len() as u64;
        Ok(())
    }

    fn into_failure(mut self, walk: &Walk) -> Failure {
        let hint = "correct the input, or set such rows aside with `--skip-invalid`";
        if self.total == 1
            && let Some((_, line)) = self.shown.pop()
        {
            return Failure::usage(line).hint(hint);
        }
        let mut failure = Failure::usage(format!("{} of {} rows cannot be used", self.total, walk.rows()));
        let more = self.total - self.shown.len() as u64;
        for (_, line) in self.shown {
            failure = failure.detail(line);
        }
        if more > 0 {
            failure = failure.detail(format!("and {more} more"));
        }
        failure.hint(hint)
    }
}

fn with_colon(walk: &Walk, ordinal: u64, line: u64) -> String {
    walk.place(ordinal, line, None) + ":"
}

/// Reads once more up to the last row of these pairs: only hashes of them were kept.
fn fetch(walk: &Walk, pairs: &[Repeat]) -> Result<HashMap<u64, Indicator>> {
    let mut wanted: Vec<u64> =
        pairs.iter().flat_map(|pair| [pair.ordinal, pair.first_ordinal]).map(u64::from).collect();
    wanted.sort_unstable();
    let mut rows = HashMap::new();
    let mut again = Walk::new(walk.sources().to_vec(), None);
    while let Some(last) = wanted.last()
        && let Some((ordinal, parsed)) = again.next()?
    {
        if wanted.binary_search(&ordinal).is_ok()
            && let Ok(indicator) = parsed.row
        {
            rows.insert(ordinal, indicator);
        }
        if ordinal >= *last {
            break;
        }
    }
    Ok(rows)
}

/// Names the columns in which two rows differ.
fn differing(a: &Indicator, b: &Indicator) -> String {
    let fields = |row: &Indicator| match serde_json::to_value(row) {
        Ok(Value::Object(mut fields)) => {
            if let Some(Value::Object(extra)) = fields.remove("extra") {
                fields.extend(extra);
            }
            fields
        }
        _ => serde_json::Map::new(),
    };
    let (a, b) = (fields(a), fields(b));
    let mut names: Vec<&String> =
        a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).collect();
    names.sort_unstable();
    names.dedup();
    let shown: Vec<String> = names.iter().take(4).map(|name| format!("`{}`", excerpt(name, 40))).collect();
    match shown.as_slice() {
        [] => String::new(),
        [name] => format!(" ({name} differs)"),
        names => format!(" ({} differ)", names.join(", ")),
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
