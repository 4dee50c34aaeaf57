//! CSV as the `csv` crate reads it, which knows nothing of chunks and limits.

use classify::error::Failure;
use classify::input::{MAX_CELL, Row};

use crate::table::Table;

/// Names of known columns, by column.
const KNOWN: [&[&str]; 14] = [
    &["id"],
    &["name"],
    &["units", "unit"],
    &["periodicity", "frequency"],
    &["long_name"],
    &["source_name", "source"],
    &["definition", "description"],
    &["topic"],
    &["category_group"],
    &["dataset"],
    &["aggregation_method"],
    &["scale"],
    &["currency_code", "currency"],
    &["sample_values"],
];

fn known(name: &str) -> Option<usize> {
    let name = name.trim().to_ascii_lowercase();
    KNOWN.iter().position(|names| names.contains(&name.as_str()))
}

/// Records that are not blank.
fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(bytes);
    let records = reader.records().map(|record| record.expect("it is UTF-8"));
    let cells = records.map(|record| record.iter().map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.filter(|cells| cells.iter().any(|cell| !cell.is_empty())).collect()
}

/// Asserts that a table was read as the `csv` crate reads it.
pub fn agrees(bytes: &[u8], read: &Result<Table, Failure>) {
    if std::str::from_utf8(bytes).is_err() {
        assert!(read.is_err(), "bytes that are no text were accepted");
        return;
    }
    // In an open quote the last line is part of a cell.
    let behind = records(&[bytes, b"\n\nbehind,it"].concat());
    let is_closed = behind.last().is_some_and(|last| last == &["behind", "it"]);
    let rows = records(bytes);
    let Some((header, rows)) = rows.split_first() else {
        assert!(read.is_err(), "an empty table was accepted");
        return;
    };
    let columns: Vec<Option<usize>> = header.iter().map(|name| known(name)).collect();
    let once = |column| columns.iter().filter(|found| **found == Some(column)).count();
    let is_usable = once(0) == 1 && once(1) == 1 && (2..KNOWN.len()).all(|column| once(column) <= 1);
    match read {
        Err(failure) => {
            let fits = bytes.len() <= MAX_CELL && header.len() <= 8;
            let is_good = is_closed && is_usable && !rows.is_empty() && fits;
            assert!(!is_good, "a good table was refused: {failure}");
        }
        Ok(table) => {
            assert!(is_closed && is_usable);
            assert_eq!(table.summary.rows, rows.len() as u64);
            if table.summary.duplicates > 0 {
                return;
            }
            for (row, cells) in table.rows.iter().zip(rows) {
                let Row::Valid(row) = row else { continue };
                let cell = |column| {
                    columns.iter().position(|found| *found == Some(column)).map(|at| cells[at].as_str())
                };
                assert_eq!((Some(row.id.as_str()), Some(row.name.as_str())), (cell(0), cell(1)));
                assert_eq!(row.units.as_deref().unwrap_or_default(), cell(2).unwrap_or_default());
                assert_eq!(cells.len(), header.len());
                let strangers =
                    columns.iter().zip(cells).filter(|(column, cell)| column.is_none() && !cell.is_empty());
                assert_eq!(row.extra.len(), strangers.count());
            }
        }
    }
}
