//! A table written in three formats is the same table, and what is written of its rows is read again as it was.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::{Result, Unstructured};
use classify::domain::answer::Answers;
use classify::domain::batch::{BatchKey, BatchRequest, RunOptions};
use classify::domain::fingerprint::fingerprint;
use classify::domain::heading::Headings;
use classify::domain::indicator::Indicator;
use classify::domain::method::Method;
use classify::domain::outcome::{Failed, FailureClass};
use classify::domain::payload;
use classify::fuzzing::{input, ledger, output};
use classify::input::{Format, MAX_CELL, MAX_ROW, Row};
use classify::output::{Entries, Layout};
use classify_fuzz::{draw, table};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Columns that are written, besides `id` and `name`.
const TEXTS: [&str; 11] = [
    "units",
    "frequency",
    "long_name",
    "source",
    "description",
    "topic",
    "category_group",
    "dataset",
    "aggregation_method",
    "scale",
    "currency",
];
/// Columns without a meaning. No two are the same, however they are trimmed.
const EXTRAS: [&str; 6] = ["note", "Other, column", "\"quoted\"", "line\nbreak", "=1+1", " wide\u{a0}"];

/// One cell: the text of a column, or JSON.
type Cell = (&'static str, String);

#[derive(Debug)]
struct Drawn {
    cells: Vec<Cell>,
    /// Columns that hold any JSON, which a CSV cannot.
    values: Vec<(&'static str, String)>,
}

fn row(u: &mut Unstructured<'_>, number: usize) -> Result<Drawn> {
    // The same id twice is the same row twice, or an error.
    let number = if u.ratio(1, 8)? { 0 } else { number };
    let front = *u.choose(&["", "", "=", "'=", "+", "'"])?;
    let mut cells =
        vec![("id", format!("{front}{number}{}", draw::text(u)?.trim())), ("name", draw::text(u)?)];
    for column in TEXTS.into_iter().chain(EXTRAS) {
        if u.ratio(1, 5)? {
            cells.push((column, draw::text(u)?));
        }
    }
    let mut values = Vec::new();
    for column in EXTRAS {
        if u.ratio(1, 5)? {
            values.push((column, draw::json(u, 3)?));
        }
    }
    if u.arbitrary()? {
        // At the limit, a cell counts as it is written, and a value as it is.
        let samples = samples(u)?;
        cells.extend((samples.len() <= MAX_CELL).then_some(("sample_values", samples)));
    }
    Ok(Drawn { cells, values })
}

/// Observations, as JSON.
fn samples(u: &mut Unstructured<'_>) -> Result<String> {
    let one = |u: &mut Unstructured<'_>| {
        let value = match u.int_in_range(0..=4)? {
            0 => "null".to_owned(),
            1 => draw::number(u)?,
            2 => draw::quoted(u)?,
            _ => serde_json::to_string(&draw::finite(u)?).unwrap_or_default(),
        };
        Ok(format!("{{\"date\":{},\"value\":{value}}}", draw::quoted(u)?))
    };
    let all = (0..u.int_in_range(0..=2)?).map(|_| one(u)).collect::<Result<Vec<_>>>()?;
    Ok(format!("[{}]", all.join(",")))
}

/// Cells as one object on one line.
fn object(cells: &[Cell], values: &[Cell]) -> String {
    let text = |name: &str, cell: &str| {
        let cell = if name == "sample_values" { cell.to_owned() } else { Value::from(cell).to_string() };
        format!("{}:{cell}", Value::from(name))
    };
    let value = |name: &str, json: &str| format!("{}:{}", Value::from(name), json.replace(['\n', '\r'], " "));
    let fields = cells.iter().map(|(name, cell)| text(name, cell));
    let fields: Vec<String> = fields.chain(values.iter().map(|(name, json)| value(name, json))).collect();
    format!("{{{}}}", fields.join(","))
}

fn comma_separated(rows: &[Drawn]) -> Vec<u8> {
    let columns: Vec<&str> =
        ["id", "name"].into_iter().chain(TEXTS).chain(EXTRAS).chain(["sample_values"]).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns).expect("memory");
    for Drawn { cells, .. } in rows {
        let cell =
            |column| cells.iter().find(|(name, _)| name == column).map_or("", |(_, cell)| cell.as_str());
        writer.write_record(columns.iter().map(cell)).expect("memory");
    }
    writer.into_inner().expect("memory")
}

/// The rows of a table, as far as formats agree on them: of bad ones their text looks different.
fn rows(
    format: Format,
    bytes: &[u8],
) -> Option<Vec<std::result::Result<Indicator, (Option<String>, String)>>> {
    let table = table::read_once(format, bytes, true).ok()?;
    let row = |row| match row {
        Row::Valid(row) => Ok(row),
        // Lines differ.
        Row::Invalid(row) => {
            Err((row.id, row.message.split(" is already used").next().unwrap_or_default().to_owned()))
        }
    };
    Some(table.rows.into_iter().map(row).collect())
}

fuzz_target!(|bytes: &[u8]| {
    let _used_up = check(&mut Unstructured::new(bytes));
});

fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let drawn = (0..u.int_in_range(1..=2)?).map(|number| row(u, number)).collect::<Result<Vec<_>>>()?;
    let plain: Vec<String> = drawn.iter().map(|row| object(&row.cells, &[])).collect();
    let full: Vec<String> = drawn.iter().map(|row| object(&row.cells, &row.values)).collect();
    if full.iter().any(|row| row.len() >= MAX_ROW / 2) {
        return Ok(());
    }
    let array = |rows: &[String]| format!("[{}]", rows.join(" ,\n")).into_bytes();
    let lines = |rows: &[String]| rows.join("\n").into_bytes();
    // Two of three at a time: the third agrees with one of them another time.
    let (one, other) = match u.int_in_range(0..=2)? {
        0 => (rows(Format::Csv, &comma_separated(&drawn)), rows(Format::Jsonl, &lines(&plain))),
        1 => (rows(Format::Csv, &comma_separated(&drawn)), rows(Format::Json, &array(&plain))),
        _ => (rows(Format::Jsonl, &lines(&full)), rows(Format::Json, &array(&full))),
    };
    assert_eq!(one, other);
    let read = other.expect("each element is JSON");
    let good: Vec<Indicator> = read.into_iter().filter_map(std::result::Result::ok).collect();
    // Each of these takes as long as all before.
    match u.int_in_range(0..=3)? {
        _ if good.is_empty() => {}
        0 => travels(&good),
        1 => fails(&good),
        2 => is_classified(&good, classify::output::Format::Jsonl),
        _ => is_classified(&good, classify::output::Format::Csv),
    }
    Ok(())
}

fn options() -> RunOptions {
    RunOptions { method: Method::rules(), taxonomy: "d".into(), reads: None, nonce: None, detached: false }
}

/// A batch reaches the service as it was.
fn travels(rows: &[Indicator]) {
    let request = BatchRequest { options: options(), indicators: rows.to_vec() };
    let body = payload::encode(&request).expect("rows are JSON");
    assert_eq!(payload::decode::<BatchRequest>(&body).expect("what was written is read"), request);
}

/// A row that failed is retried as the same row.
fn fails(rows: &[Indicator]) {
    let failed = Failed::new(FailureClass::Schema, "no", 3, "R.1");
    let lines = rows.iter().map(|row| output::failure(row, &failed, None).expect("a row is JSON"));
    let classes = BTreeSet::from([FailureClass::Schema]);
    let (found, retry, kept) =
        ledger::split_failures(&lines.collect::<Vec<_>>().concat(), &classes).expect("failures are read");
    assert_eq!((found.retried, kept.len()), (rows.len() as u64, 0));
    let again = std::str::from_utf8(&retry).expect("it is text").lines();
    let again: Vec<Indicator> =
        again.map(|line| serde_json::from_str(line).expect("a row is read")).collect();
    assert_eq!(again, rows);
    for (again, row) in again.iter().zip(rows) {
        assert_eq!(fingerprint(again, &options()), fingerprint(row, &options()));
    }
}

/// Results hold the rows' own columns, and are put into the order of the rows.
fn is_classified(rows: &[Indicator], format: classify::output::Format) {
    const ANSWER: &str = r#"{"classified":{"labels":{"family":"=x"},"confidence":0.5,"provider":"rules","taxonomy":"t@1","classified_at":"","origin":"R.0"}}"#;
    let text = format!("{{\"outcomes\":[{}]}}", vec![ANSWER; rows.len()].join(","));
    let Answers { outcomes } = serde_json::from_str(&text).expect("answers");
    let headings: Headings = rows.iter().collect();
    let key = BatchKey { run_id: "R".into(), index: 0 };
    let layout = Layout { format, fields: vec!["family".into()] };
    let mut results = output::header(&layout);
    let start = results.len();
    let mut entries = Entries::new(layout);
    let tally = entries.fill(&key, "restate-1", &headings, &outcomes, b"").expect("labels are JSON");
    assert_eq!((tally.succeeded, tally.reused), (rows.len() as u64, 0));
    results.extend_from_slice(entries.lines().0);
    match format {
        classify::output::Format::Jsonl => lines_hold(&results, rows),
        classify::output::Format::Csv => cells_hold(&results, rows),
    }
    // In the opposite order they end where they began.
    let hash = |id: &str| input::keys().id(id);
    let ids = rows.iter().rev().map(|row| hash(&row.id));
    let places = output::places(&results, format, ids, hash).expect("results are read");
    let mut end = start as u64;
    for (start, bytes) in places.into_iter().rev() {
        assert_eq!(start, end);
        end += bytes;
    }
    assert_eq!(end, results.len() as u64);
}

fn lines_hold(results: &[u8], rows: &[Indicator]) {
    let text = std::str::from_utf8(results).expect("it is text");
    assert_eq!(text.lines().count(), rows.len());
    for (line, row) in text.lines().zip(rows) {
        let read: Indicator = serde_json::from_str(line).expect("a result begins like a row");
        assert_eq!((&read.id, &read.name, &read.extra), (&row.id, &row.name, &row.extra));
    }
}

fn cells_hold(results: &[u8], rows: &[Indicator]) {
    let mut reader = csv::Reader::from_reader(results);
    let extra = reader.headers().expect("it is CSV").iter().position(|name| name == "extra");
    let records: Vec<csv::StringRecord> =
        reader.records().collect::<std::result::Result<_, _>>().expect("it is CSV");
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(rows) {
        let cell = |at: usize| output::untamed(&record[at]);
        assert_eq!((&record[0], cell(1), cell(2)), (row.id.as_str(), row.name.as_str(), "=x"));
        // A spreadsheet runs what begins like this. Ids stay as they are all the same: other tables are joined by them.
        assert!(
            record.iter().take(5).skip(1).all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])),
            "{record:?}"
        );
        let extra = &record[extra.expect("the columns of the table itself")];
        let kept: Indicator = serde_json::from_str(&format!(
            "{{\"id\":\"\",\"name\":\"\",\"extra\":{}}}",
            if extra.is_empty() { "{}" } else { extra }
        ))
        .expect("it is JSON");
        assert_eq!(row.extra, kept.extra);
    }
}
