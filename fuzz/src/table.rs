//! Reads a table in both ways there are and asserts what must hold of any.

use classify::domain::indicator::Indicator;
use classify::error::{ExitStatus, Failure};
use classify::fuzzing::input;
use classify::input::{Format, MAX_CELL, MAX_ID, MAX_NESTING, Row, Summary};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::memory;

/// A table that was read to its end.
#[derive(Debug, PartialEq)]
pub struct Table {
    pub summary: Summary,
    pub rows: Vec<Row>,
}

/// Reads `bytes` with bad rows set aside, and compares with what happens where they are refused.
pub fn read(format: Format, bytes: &[u8]) -> Result<Table, Failure> {
    // What a table takes follows from its limits, not from what it says of itself.
    memory::within(64 * 1024 + 1024 * bytes.len(), || {
        let (strict, skipping) = (read_once(format, bytes, false), read_once(format, bytes, true));
        match (&strict, &skipping) {
            (Ok(strict), Ok(skipping)) => assert_eq!(strict, skipping, "nothing was to be set aside"),
            (Err(strict), Ok(Table { summary, .. })) => {
                assert!(summary.invalid > 0, "{strict}");
                let total = format!("{} of {} rows cannot be used", summary.invalid, summary.rows);
                assert!(summary.invalid == 1 || strict.message() == total, "{strict}");
            }
            (Err(strict), Err(skipping)) => assert_eq!(strict.message(), skipping.message()),
            (Ok(_), Err(skipping)) => panic!("setting rows aside refuses more: {skipping}"),
        }
        skipping
    })
}

/// Lengths of lines, as `\n` ends them and as `\r` alone does: what ended the header decides.
struct Lines([Vec<u64>; 2]);

impl Lines {
    fn of(bytes: &[u8]) -> Self {
        let lengths = |end: u8| bytes.split(|byte| *byte == end).map(|line| line.len() as u64).collect();
        Self([lengths(b'\n'), lengths(b'\r')])
    }

    /// Behind the last byte, something may be missing.
    fn have(&self, line: u64, column: Option<u64>) -> bool {
        let index = line.checked_sub(1).and_then(|line| usize::try_from(line).ok());
        let has = |lengths: &Vec<u64>| {
            let length = index.and_then(|index| lengths.get(index));
            length.is_some_and(|length| column.is_none_or(|column| (1..=length + 1).contains(&column)))
        };
        self.0.iter().any(has)
    }
}

/// Reads `bytes`, with bad rows set aside or refused.
pub fn read_once(format: Format, bytes: &[u8], skip_invalid: bool) -> Result<Table, Failure> {
    let lines = Lines::of(bytes);
    let mut checked = match input::check(format, bytes, skip_invalid) {
        Ok(checked) => checked,
        Err(failure) => {
            assert_eq!(failure.status(), ExitStatus::Usage);
            places_exist(&failure, &lines);
            return Err(failure);
        }
    };
    let summary = checked.summary().clone();
    let hashes: Vec<u64> = checked.take_rows().map(|row| row.id).collect();
    let rows: Vec<Row> =
        checked.rows().map(|row| row.expect("the second pass reads what the first did")).collect();

    let (mut seen, mut invalid) = (Vec::new(), 0);
    for row in &rows {
        match row {
            Row::Valid(row) => {
                is_sound(row);
                seen.push(input::keys().id(&row.id));
            }
            Row::Invalid(row) => {
                invalid += 1;
                let line = row.origin.strip_prefix("table:").and_then(|line| line.parse().ok());
                assert!(line.is_some_and(|line| lines.have(line, None)), "{row:?}");
                assert!(!row.message.is_empty());
            }
        }
    }
    assert_eq!(seen, hashes, "both passes see the same rows");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), hashes.len(), "an id stands for two rows");
    assert_eq!((seen.len() as u64, invalid), (summary.indicators(), summary.invalid));
    assert_eq!(summary.distinct_rows(), rows.len() as u64);
    assert!(summary.rows > 0 && summary.rows <= bytes.len() as u64);
    assert_eq!(summary.digest, classify::domain::fingerprint::hex(&Sha256::digest(bytes)));
    assert!(skip_invalid || invalid == 0);
    Ok(Table { summary, rows })
}

/// Lines and columns that a failure names, where the name of the table stands in front.
fn places_exist(failure: &Failure, lines: &Lines) {
    for text in failure.details().iter().map(String::as_str).chain([failure.message()]) {
        let Some(rest) = text.strip_prefix("table:") else { continue };
        let mut numbers = rest.split(':').map_while(|part| part.parse::<u64>().ok());
        let (Some(line), column) = (numbers.next(), numbers.next()) else { continue };
        assert!(lines.have(line, column), "there is no such place: {text}");
    }
}

/// What everything behind the input relies on.
fn is_sound(row: &Indicator) {
    let Indicator { id, name, sample_values, extra, .. } = row;
    assert!(id.len() <= MAX_ID && !id.contains('\0') && !name.contains('\0'));
    let columns = [
        &row.units,
        &row.periodicity,
        &row.long_name,
        &row.source_name,
        &row.definition,
        &row.topic,
        &row.category_group,
        &row.dataset,
        &row.aggregation_method,
        &row.scale,
        &row.currency_code,
    ];
    for text in columns.into_iter().flatten().chain([id, name]) {
        assert!(!text.is_empty() && text.len() <= MAX_CELL && text.trim() == text, "{text:?}");
    }
    for sample in sample_values {
        assert!(!sample.date.is_empty() && sample.date.trim() == sample.date, "{sample:?}");
        assert!(sample.value.is_none_or(f64::is_finite), "{sample:?}");
    }
    for value in extra.values() {
        let json = value.json();
        assert!(value.text().len() <= MAX_CELL && !json.contains(['\n', '\r']), "{json}");
        assert!(classify::domain::cell::nesting(json) <= MAX_NESTING, "{json}");
        assert!(serde_json::from_str::<&RawValue>(json).is_ok(), "{json}");
    }
    let json = serde_json::to_string(row).expect("a row is JSON");
    assert_eq!(&serde_json::from_str::<Indicator>(&json).expect("it is read again"), row);
}
