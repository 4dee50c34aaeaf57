//! JSON as `serde_json` reads it, the whole text at once.

use classify::error::Failure;
use classify::input::{MAX_ROW, Row};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::table::Table;

const BOM: &[u8] = b"\xef\xbb\xbf";

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BOM).unwrap_or(bytes)
}

/// Asserts that an array was read as `serde_json` reads it.
pub fn array_agrees(bytes: &[u8], read: &Result<Table, Failure>) {
    if bytes.len() > MAX_ROW {
        // Of an element that is too long nothing but its brackets is read.
        return;
    }
    let whole = without_mark(bytes);
    match read {
        Ok(table) => {
            let elements: Vec<&RawValue> = serde_json::from_slice(whole).expect("what was accepted is JSON");
            assert_eq!(elements.len() as u64, table.summary.rows);
            if table.summary.duplicates == 0 {
                for (row, element) in table.rows.iter().zip(elements) {
                    row_agrees(row, element.get());
                }
            }
        }
        Err(failure) => {
            let elements = serde_json::from_slice::<Vec<Value>>(whole);
            assert!(elements.is_err() || elements.is_ok_and(|all| all.is_empty()), "refused: {failure}");
        }
    }
}

/// Asserts that lines were read as `serde_json` reads each of them.
pub fn lines_agree(bytes: &[u8], read: &Result<Table, Failure>) {
    let Ok(text) = std::str::from_utf8(without_mark(bytes)) else {
        assert!(read.is_err(), "bytes that are no text were accepted");
        return;
    };
    let mut lines = text
        .split('\n')
        .map(|line| line.trim_matches([' ', '\t', '\r', '\x0c']))
        .filter(|line| !line.is_empty());
    match read {
        Err(failure) => {
            let first = lines.next();
            let is_array = first.is_some_and(|line| line.starts_with('['));
            assert!(is_array || first.is_none(), "lines were refused: {failure}");
        }
        Ok(table) => {
            let lines: Vec<&str> = lines.collect();
            assert_eq!(lines.len() as u64, table.summary.rows);
            if table.summary.duplicates == 0 {
                for (row, line) in table.rows.iter().zip(lines) {
                    if line.len() < MAX_ROW {
                        row_agrees(row, line);
                    }
                }
            }
        }
    }
}

fn row_agrees(row: &Row, json: &str) {
    match row {
        Row::Valid(row) => {
            let object: Result<indexmap::IndexMap<String, &RawValue>, _> = serde_json::from_str(json);
            let object = object.expect("a row that is used is an object");
            let of = |wanted: &str| {
                let named = |name: &String| name.trim().eq_ignore_ascii_case(wanted);
                let (_, value) = object.iter().find(|(name, _)| named(name)).expect("it is there");
                serde_json::from_str::<String>(value.get()).expect("it is a text")
            };
            assert_eq!((row.id.as_str(), row.name.as_str()), (of("id").trim(), of("name").trim()));
        }
        Row::Invalid(row)
            if row.message.contains("not valid JSON:") && !row.message.contains("`sample_values`") =>
        {
            assert!(serde_json::from_str::<Value>(json).is_err(), "{}: {json}", row.message);
        }
        Row::Invalid(_) => {}
    }
}
