//! The rules of reading, each through the public way in.

mod duplicates;
mod files;
mod properties;
mod rows;
mod threads;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::check::check_with;
use super::{Checked, Format, InvalidRow, Keys, Options, Row, Source, Summary};
use crate::domain::indicator::Indicator;
use crate::error::{ExitStatus, Failure};

/// A folder whose name does not show in messages.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Source {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        Source::File(path)
    }

    /// All text of a failure, folder names removed.
    fn say(&self, failure: &Failure) -> String {
        assert_eq!(failure.status(), ExitStatus::Usage, "{failure}");
        let mut all = vec![failure.message().to_owned()];
        all.extend(failure.details().iter().cloned());
        all.extend(failure.hints().iter().map(|hint| format!("hint: {hint}")));
        all.join("\n").replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn options(skip_invalid: bool) -> Options {
    Options { format: None, skip_invalid }
}

/// Checks and reads again.
fn read_all(sources: &[Source], options: &Options) -> Result<(Summary, Vec<Row>), Failure> {
    let checked = check_with(sources, options, Keys::random(), &mut std::io::empty())?;
    let summary = checked.summary().clone();
    let rows: Vec<Row> = checked.rows().collect::<Result<_, _>>()?;
    let valid = rows.iter().filter(|row| matches!(row, Row::Valid(_))).count() as u64;
    assert_eq!(valid, summary.indicators());
    assert_eq!(rows.len() as u64, summary.indicators() + summary.invalid);
    Ok((summary, rows))
}

/// Reads one file that is fine.
fn good(name: &str, content: impl AsRef<[u8]>) -> Vec<Indicator> {
    let folder = Folder::new();
    let read = read_all(&[folder.write(name, content)], &options(false));
    let (_, rows) = read.unwrap_or_else(|failure| panic!("{}", folder.say(&failure)));
    rows.into_iter()
        .map(|row| match row {
            Row::Valid(indicator) => indicator,
            Row::Invalid(row) => panic!("{row:?}"),
        })
        .collect()
}

/// What the user is told about one file that is not.
fn bad(name: &str, content: impl AsRef<[u8]>) -> String {
    let folder = Folder::new();
    let source = folder.write(name, content);
    folder.say(&read_all(&[source], &options(false)).unwrap_err())
}

/// Valid ids and invalid rows of one file with bad rows.
fn skipping(name: &str, content: impl AsRef<[u8]>) -> (Vec<String>, Vec<InvalidRow>) {
    let folder = Folder::new();
    let read = read_all(&[folder.write(name, content)], &options(true));
    let (_, rows) = read.unwrap_or_else(|failure| panic!("{}", folder.say(&failure)));
    let (mut ids, mut invalid) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            Row::Valid(indicator) => ids.push(indicator.id),
            Row::Invalid(mut row) => {
                let name = Path::new(&row.origin).file_name().unwrap().to_str().unwrap().to_owned();
                row.origin = name;
                invalid.push(row);
            }
        }
    }
    (ids, invalid)
}
