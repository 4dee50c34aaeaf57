//! Failures of a run, split into those that are classified again and those that stay; and the former as rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::disk::private;
use crate::domain::indicator::Indicator;
use crate::domain::outcome::FailureClass;
use crate::error::{Failure, Result};
use crate::input::Row;

/// What is in a failures file, and what is to become of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    /// To classify again.
    pub retried: u64,
    /// To stay, by class.
    pub kept: BTreeMap<FailureClass, u64>,
}

/// Splits the failures at `from`: rows of the `classes` go to `retry`, one indicator a line, other lines to `kept`, unchanged.
///
/// # Errors
/// When a file cannot be read or written, or a line is no failure.
pub fn split_failures(
    from: &Path,
    classes: &BTreeSet<FailureClass>,
    retry: &Path,
    kept: &Path,
) -> io::Result<Failures> {
    let (mut retry, mut keep) =
        (BufWriter::new(private::create(retry)?), BufWriter::new(private::create(kept)?));
    let failures = split(BufReader::new(File::open(from)?), classes, &mut retry, &mut keep)?;
    for mut file in [retry, keep] {
        file.flush()?;
    }
    Ok(failures)
}

/// As [`split_failures`], from and to wherever they are.
pub(super) fn split(
    from: impl BufRead,
    classes: &BTreeSet<FailureClass>,
    retry: &mut impl Write,
    keep: &mut impl Write,
) -> io::Result<Failures> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        input: &'a RawValue,
        class: FailureClass,
    }
    let mut failures = Failures::default();
    for text in from.lines() {
        let text = text?;
        let line: Line<'_> = serde_json::from_str(&text)?;
        if classes.contains(&line.class) {
            // What is not an indicator would not become one by being asked again.
            serde_json::from_str::<Indicator>(line.input.get())?;
            writeln!(retry, "{}", line.input.get())?;
            failures.retried += 1;
        } else {
            writeln!(keep, "{text}")?;
            *failures.kept.entry(line.class).or_default() += 1;
        }
    }
    Ok(failures)
}

/// The rows to classify again.
///
/// # Errors
/// When the file cannot be opened.
pub fn rows(path: &Path) -> Result<impl Iterator<Item = Result<Row>> + Send + 'static> {
    let name = path.display().to_string();
    let cannot =
        move |error: &dyn std::fmt::Display| Failure::unexpected(format!("cannot read {name}: {error}"));
    let file = File::open(path).map_err(|error| cannot(&error))?;
    Ok(BufReader::new(file).lines().map(move |line| {
        let line = line.map_err(|error| cannot(&error))?;
        serde_json::from_str(&line).map(Row::Valid).map_err(|error| cannot(&error))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_split_by_class_and_rows_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let lines = [
            r#"{"input":{"id":"a","name":"One","extra":{"x":1.50}},"class":"schema","message":"m","attempts":2}"#,
            r#"{"input":"torn row","class":"invalid_input","message":"m","attempts":0,"origin":"a.csv:3"}"#,
            r#"{"input":{"id":"b","name":"Two"},"class":"timeout","message":"m","attempts":2}"#,
        ];
        std::fs::write(path("failures"), lines.join("\n") + "\n").unwrap();
        let classes = BTreeSet::from([FailureClass::Schema, FailureClass::RateLimited]);
        let split = split_failures(&path("failures"), &classes, &path("retry"), &path("kept")).unwrap();
        let kept = BTreeMap::from([(FailureClass::InvalidInput, 1), (FailureClass::Timeout, 1)]);
        assert_eq!(split, Failures { retried: 1, kept });
        assert_eq!(std::fs::read_to_string(path("kept")).unwrap(), lines[1..].join("\n") + "\n");
        let rows: Vec<Row> = rows(&path("retry")).unwrap().collect::<Result<_>>().unwrap();
        let [Row::Valid(row)] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.id.as_str(), row.extra["x"].json()), ("a", "1.50"));
    }
}
