//! What must hold for any table, and for any bytes at all.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::indicator::Sample;

fn text() -> impl Strategy<Value = String> {
    let awkward = select(vec![
        ",", "\"", "\"\"", "\n", "\r\n", "\\", "é", "€", "😀", " ", "a", "Z9", "{", "[", "]}", "'", ";",
    ]);
    prop::collection::vec(awkward, 1..8).prop_map(|parts| format!("x{}y", parts.concat()))
}

/// Any number a double can hold.
fn finite() -> impl Strategy<Value = f64> {
    use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

/// A number as JSON has it: of any length, with any zeros at its end.
fn digits() -> impl Strategy<Value = String> {
    prop_oneof![
        finite().prop_map(|number| serde_json::to_string(&number).unwrap()),
        any::<i128>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
    ]
}

fn indicator() -> impl Strategy<Value = Indicator> {
    let maybe = || prop::option::of(text());
    let sample = (text(), prop::option::of(finite())).prop_map(|(date, value)| Sample { date, value });
    let columns = (maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    let samples = prop::collection::vec(sample, 0..3);
    (text(), columns, samples).prop_map(|(name, columns, sample_values)| {
        let (units, periodicity, source_name, definition, currency_code, note, other) = columns;
        let mut extra = indexmap::IndexMap::new();
        extra.extend(note.map(|note| ("note".to_owned(), note.as_str().into())));
        extra.extend(other.map(|other| ("Other, column".to_owned(), other.as_str().into())));
        Indicator {
            name,
            units,
            periodicity,
            source_name,
            definition,
            currency_code,
            sample_values,
            extra,
            ..Indicator::default()
        }
    })
}

/// Any table without duplicates.
fn table() -> impl Strategy<Value = Vec<Indicator>> {
    prop::collection::vec((text(), indicator()), 1..12).prop_map(|rows| {
        let number =
            |(i, (id, row)): (usize, (String, Indicator))| Indicator { id: format!("{i}{id}"), ..row };
        rows.into_iter().enumerate().map(number).collect()
    })
}

fn as_json(row: &Indicator) -> Value {
    let Value::Object(mut fields) = serde_json::to_value(row).unwrap() else { panic!("no object") };
    if let Some(Value::Object(extra)) = fields.remove("extra") {
        fields.extend(extra);
    }
    Value::Object(fields)
}

fn as_lines(table: &[Indicator]) -> String {
    table.iter().map(|row| as_json(row).to_string() + "\n").collect()
}

fn as_array(table: &[Indicator]) -> String {
    serde_json::to_string_pretty(&table.iter().map(as_json).collect::<Vec<_>>()).unwrap()
}

fn as_csv(table: &[Indicator]) -> String {
    let columns = [
        "note",
        "definition",
        "id",
        "currency",
        "units",
        "Other, column",
        "name",
        "source",
        "frequency",
        "sample_values",
    ];
    let fields = [
        "note",
        "definition",
        "id",
        "currency_code",
        "units",
        "Other, column",
        "name",
        "source_name",
        "periodicity",
        "sample_values",
    ];
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).unwrap();
    for row in table {
        let row = as_json(row);
        writer
            .write_record(fields.map(|field| match &row[field] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }))
            .unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// Any outcome will do, as long as it is one.
fn survive(bytes: &[u8]) -> Result<(), TestCaseError> {
    let folder = Folder::new();
    for name in ["a.csv", "a.json", "a.jsonl"] {
        let source = folder.write(name, bytes);
        for skip_invalid in [false, true] {
            match read_all(std::slice::from_ref(&source), &options(skip_invalid)) {
                Ok((summary, _)) => prop_assert!(summary.rows > 0),
                Err(failure) => prop_assert!(!folder.say(&failure).is_empty()),
            }
        }
    }
    Ok(())
}

/// Bytes that get past the first few characters of a format more often than noise does.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&[u8]> = vec![
        b"id,name\n",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b"\"",
        b"\"id\"",
        b"\"name\"",
        b"\"x\"",
        b"{\"id\":\"a\",\"name\":\"b\"}",
        b"\n",
        b"\r",
        b"\\",
        b"\0",
        b"1e9",
        b"null",
        b"a,b\n",
        b" ",
        b"\xef\xbb\xbf",
        b"\xc3",
        b"\xa9",
        b"\"sample_values\"",
    ];
    prop::collection::vec(select(parts), 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_table_reads_back_equal_from_all_formats(table in table()) {
        prop_assert_eq!(&good("a.csv", as_csv(&table)), &table);
        prop_assert_eq!(&good("a.json", as_array(&table)), &table);
        prop_assert_eq!(&good("a.jsonl", as_lines(&table)), &table);
    }

    #[test]
    fn numbers_without_a_name_keep_their_digits(numbers in prop::collection::vec(digits(), 1..9)) {
        let columns = |sep: &str| -> String {
            let column = |(index, number)| format!("{sep}\"column {index}\":{sep}{number}");
            numbers.iter().enumerate().map(column).collect::<Vec<_>>().join(",")
        };
        let line = format!("{{\"id\":\"a\",\"name\":\"n\",{}}}\n", columns(""));
        let array = format!("[{{\"id\":\"a\",\n\"name\":\"n\",{}}}]", columns("\n  "));
        for read in [good("a.jsonl", line), good("a.json", array)] {
            let kept: Vec<_> = read[0].extra.values().map(crate::domain::cell::CellValue::json).collect();
            prop_assert_eq!(&kept, &numbers);
        }
    }

    #[test]
    fn any_table_cut_anywhere_is_survived(table in table(), at in any::<prop::sample::Index>()) {
        for text in [as_csv(&table), as_array(&table), as_lines(&table)] {
            survive(&text.as_bytes()[..at.index(text.len() + 1)])?;
            survive(&text.as_bytes()[at.index(text.len() + 1)..])?;
        }
    }

    #[test]
    fn the_three_formats_agree_on_what_is_the_same_row(table in table()) {
        let folder = Folder::new();
        let sources = [
            folder.write("a.csv", as_csv(&table)),
            folder.write("a.json", as_array(&table)),
            folder.write("a.jsonl", as_lines(&table)),
        ];
        let (summary, _) = read_all(&sources, &options(false)).unwrap();
        prop_assert_eq!(summary.duplicates, 2 * table.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes)?;
    }

    #[test]
    fn likely_bytes_are_survived(bytes in likely_bytes()) {
        survive(&bytes)?;
    }
}
