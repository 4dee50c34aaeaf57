//! The three input formats: their names, and how one is recognised. Does not read anything itself.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// How a table is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header row (RFC 4180).
    Csv,
    /// One JSON array of objects.
    Json,
    /// JSON Lines: one object a line.
    Jsonl,
}

impl Format {
    /// What the extension says, if it is one of ours.
    pub fn from_path(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.parse().ok()
    }

    /// What the beginning of some text says. CSV has no mark of its own, so it is never guessed.
    pub(super) fn sniff(beginning: &[u8]) -> Option<Self> {
        let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
        match beginning.trim_ascii_start().first()? {
            b'[' => Some(Self::Json),
            b'{' => Some(Self::Jsonl),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        match name.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            _ => Err(Failure::usage(format!("unknown input format `{name}`")).hint("use csv, json or jsonl")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_whatever_its_case() {
        let of = |path: &str| Format::from_path(Path::new(path));
        assert_eq!(of("a/b.csv"), Some(Format::Csv));
        assert_eq!(of("B.CSV"), Some(Format::Csv));
        assert_eq!(of("b.json"), Some(Format::Json));
        assert_eq!(of("b.jsonl"), Some(Format::Jsonl));
        assert_eq!(of("b.ndjson"), Some(Format::Jsonl));
        assert_eq!(of("b.csv.gz"), None);
        assert_eq!(of("csv"), None);
    }

    #[test]
    fn names_read_back() {
        for format in [Format::Csv, Format::Json, Format::Jsonl] {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        assert_eq!("tsv".parse::<Format>().unwrap_err().message(), "unknown input format `tsv`");
    }

    #[test]
    fn json_is_sniffed_and_csv_is_not() {
        assert_eq!(Format::sniff(b"\xef\xbb\xbf\r\n [ {"), Some(Format::Json));
        assert_eq!(Format::sniff(b"{\"id\""), Some(Format::Jsonl));
        assert_eq!(Format::sniff(b"id,name"), None);
        assert_eq!(Format::sniff(b" \n"), None);
    }
}
