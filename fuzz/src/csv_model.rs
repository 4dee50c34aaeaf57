//! CSV as the parser of the `csv` crate reads it in one piece, without chunks and limits.

use std::cell::RefCell;
use std::collections::HashSet;

use classify::error::Failure;
use classify::input::{MAX_CELL, Row};

use csv_core::{ReadRecordResult, Reader};

use crate::table::Table;

/// Most columns there may be in a target.
const MOST_COLUMNS: usize = 32;

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

/// Records that are not blank, read in one piece.
fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    thread_local!(static CORE: RefCell<Reader> = RefCell::new(Reader::new()));
    CORE.with_borrow_mut(|core| read(core, bytes))
}

fn read(core: &mut Reader, bytes: &[u8]) -> Vec<Vec<String>> {
    core.reset();
    let (mut rest, mut records) = (bytes, Vec::new());
    let (mut text, mut ends, mut used, mut count) =
        (vec![0; bytes.len() + 1], vec![0; bytes.len() + 1], 0, 0);
    loop {
        let (result, read, written, ended) = core.read_record(rest, &mut text[used..], &mut ends[count..]);
        (rest, used, count) = (&rest[read..], used + written, count + ended);
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::Record => {
                let starts = std::iter::once(0).chain(ends[..count].iter().copied());
                let cells = starts.zip(&ends[..count]).map(|(start, end)| &text[start..*end]);
                let cells =
                    cells.map(|cell| std::str::from_utf8(cell).expect("it is UTF-8").trim().to_owned());
                records.push(cells.collect::<Vec<_>>());
                (used, count) = (0, 0);
            }
            ReadRecordResult::End => break,
            full => panic!("{full:?}: there is room for all"),
        }
    }
    // A row that is too long is one, blank or not.
    records.retain(|cells| cells.len() > MOST_COLUMNS || cells.iter().any(|cell| !cell.is_empty()));
    records
}

/// Asserts that a table was read as in one piece.
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
            // Observations may be the same and look different.
            if once(13) == 0 {
                let different: HashSet<&Vec<String>> = rows.iter().collect();
                assert!(table.summary.duplicates <= (rows.len() - different.len()) as u64);
            }
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
