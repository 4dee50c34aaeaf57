//! What is said about rows that cannot be used: the first of them, where each stands, and how many there are.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::duplicates::Repeat;
use super::excerpt::excerpt;
use super::row::BadRow;
use super::walk::Walk;
use crate::domain::indicator::Indicator;
use crate::error::{Failure, Result};

/// How many bad rows one failure shows, so that nobody has to fix them one run at a time.
const SHOWN: usize = 5;

/// The bad rows worth showing, in input order, and how many there are.
#[derive(Debug, Default)]
pub(super) struct BadRows {
    pub(super) total: u64,
    shown: Vec<Shown>,
}

#[derive(Debug)]
struct Shown {
    ordinal: u64,
    line: u64,
    /// What follows the line's number.
    text: String,
}

impl BadRows {
    /// Counts a row, in any order.
    pub(super) fn add(&mut self, ordinal: u64, line: u64, row: &BadRow) {
        self.total += 1;
        self.show(ordinal, || {
            let column = row.column.map_or(String::new(), |column| format!("{column}:"));
            Shown { ordinal, line, text: format!("{column} {}", row.message) }
        });
    }

    /// Adds those that others have found.
    pub(super) fn merge(&mut self, other: Self) {
        self.total += other.total;
        for row in other.shown {
            self.show(row.ordinal, || row);
        }
    }

    /// Adds rows whose id an earlier one has.
    ///
    /// # Errors
    /// When the input cannot be read once more.
    pub(super) fn add_conflicts(&mut self, walk: &Walk, conflicts: &[Repeat]) -> Result<()> {
        self.total += conflicts.len() as u64;
        let worth_showing = &conflicts[..conflicts.len().min(SHOWN)];
        let rows = fetch(walk, worth_showing)?;
        for repeat in worth_showing {
            let (ordinal, first) = (u64::from(repeat.ordinal), u64::from(repeat.first_ordinal));
            let other = walk.place(first, u64::from(repeat.first_line), Some(ordinal));
            let pair = rows.get(&ordinal).zip(rows.get(&first));
            let id = pair.map_or(String::new(), |(row, _)| format!(" `{}`", excerpt(&row.id, 80)));
            let differing = pair.map_or(String::new(), |(row, first)| differing(row, first));
            let text = format!(" id{id} is already used on {other}, with other content{differing}");
            self.show(ordinal, || Shown { ordinal, line: u64::from(repeat.line), text });
        }
        Ok(())
    }

    /// The failure that refuses the input.
    pub(super) fn into_failure(self, walk: &Walk) -> Failure {
        let hint = "correct the input, or set such rows aside with `--skip-invalid`";
        let (more, total) = (self.total - self.shown.len() as u64, self.total);
        let mut lines =
            self.shown.iter().map(|row| walk.place(row.ordinal, row.line, None) + ":" + &row.text);
        if total == 1
            && let Some(line) = lines.next()
        {
            return Failure::usage(line).hint(hint);
        }
        let failure = Failure::usage(format!("{total} of {} rows cannot be used", walk.rows()));
        let mut failure = lines.fold(failure, Failure::detail);
        if more > 0 {
            failure = failure.detail(format!("and {more} more"));
        }
        failure.hint(hint)
    }

    fn show(&mut self, ordinal: u64, row: impl FnOnce() -> Shown) {
        let place = self.shown.partition_point(|shown| shown.ordinal < ordinal);
        if place < SHOWN {
            self.shown.truncate(SHOWN - 1);
            self.shown.insert(place, row());
        }
    }
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
    let fields = |row: &Indicator| {
        let mut columns: BTreeMap<String, Value> =
            serde_json::to_value(row).and_then(serde_json::from_value).unwrap_or_default();
        columns.remove("extra");
        // As they were written: two long numbers may be the same double.
        columns.extend(row.extra.iter().map(|(name, value)| (name.clone(), value.json().into())));
        columns
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
