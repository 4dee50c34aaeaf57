//! Results and failures on disk. Owns formats, and the promise that what stood at a path before stays there until
//! the new file is complete and synced: rows land in `PATH.partial`, which takes the place of `PATH` at the end.

mod entries;
mod extent;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod order;
mod place;
mod row;
mod sink;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use entries::Entries;
pub use extent::{Extent, FileId};
pub use file::is_spoiled;
pub use place::{behind_links, partial_of, partial_path};
pub use row::Layout;
pub use sink::{FinishedFiles, Mark, SealedSink, Sink, settle};

use crate::text::paths::with_suffix;

/// Format of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    Jsonl,
    /// One header line, one column per field of the taxonomy.
    Csv,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            _ => Err(format!("unknown output format `{name}` (jsonl, csv)")),
        }
    }
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To stdout, as they land.
    Stdout,
    /// To a file.
    File(PathBuf),
}

/// Default place of the results for an input: next to it, `indicators.csv` → `indicators.classified.jsonl`.
/// Without an input file: in the working folder.
pub fn default_results(input: Option<&Path>) -> PathBuf {
    beside(input, "classified.jsonl")
}

/// Place of the failures for results at `results`: next to them, `x.classified.jsonl` → `x.failures.jsonl`.
pub fn default_failures(results: &Path) -> PathBuf {
    let stem = results.file_stem().unwrap_or_default();
    let bytes = stem.as_bytes();
    let stem = bytes.strip_suffix(b".classified").unwrap_or(bytes);
    results.with_file_name(with_suffix(OsStr::from_bytes(stem), "failures.jsonl"))
}

/// `NAME.suffix` next to `input`.
fn beside(input: Option<&Path>, suffix: &str) -> PathBuf {
    let Some(input) = input else { return PathBuf::from(format!("stdin.{suffix}")) };
    input.with_file_name(with_suffix(input.file_stem().unwrap_or_default(), suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_from_the_input() {
        assert_eq!(default_results(Some(Path::new("a/x.csv"))), Path::new("a/x.classified.jsonl"));
        assert_eq!(default_results(None), Path::new("stdin.classified.jsonl"));
        assert_eq!(default_failures(Path::new("a/x.classified.jsonl")), Path::new("a/x.failures.jsonl"));
        assert_eq!(default_failures(Path::new("out.csv")), Path::new("out.failures.jsonl"));
        let name = |bytes: &'static [u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let results = default_results(Some(&name(b"d\xe9/caf\xe9.csv")));
        assert_eq!(results, name(b"d\xe9/caf\xe9.classified.jsonl"));
        assert_eq!(default_failures(&results), name(b"d\xe9/caf\xe9.failures.jsonl"));
    }
}
