//! What a batch may have at most, wherever one is read. Its bytes say little of the memory it takes: a row is some 400 bytes, and can be
//! written in 20. So whoever reads one stops where it has too much, and not when all of it is there.
//!
//! The bounds are those of the command line and of the input. What they refuse was not sent by this program.

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::cell::CellValue;

/// Most rows of a batch. A workflow fans out to all of them and holds their answers at once; beyond this it only gets slower.
pub const LARGEST_BATCH: u32 = 1_000;
/// Longest text of a cell, in bytes.
pub const LONGEST_CELL: usize = 1 << 20;
/// Longest id of a row, in bytes.
pub const LONGEST_ID: usize = 512;
/// Most arrays and objects that lie in each other in a value.
pub const DEEPEST: usize = 64;
/// Most columns of a row that this product has no name for.
pub const MOST_COLUMNS: usize = 1 << 16;
/// Most observations and values of such columns in all rows of a batch. Each takes some 100 bytes, and can be written in seven.
pub const MOST_VALUES: usize = 1 << 20;
/// Longest JSON of a batch's options.
const LONGEST_OPTIONS: usize = 1 << 20;
/// Reads the columns of a row that this product has no name for.
///
/// # Errors
/// When they are too many.
pub fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IndexMap<String, CellValue>, D::Error> {
    struct Columns;

    impl<'de> Visitor<'de> for Columns {
        type Value = IndexMap<String, CellValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST_COLUMNS} columns")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut columns = IndexMap::new();
            while let Some((name, value)) = map.next_entry()? {
                if columns.len() >= MOST_COLUMNS {
                    return Err(A::Error::custom(format!("more than {MOST_COLUMNS} columns")));
                }
                columns.insert(name, value);
            }
            Ok(columns)
        }
    }

    deserializer.deserialize_map(Columns)
}

/// Reads what a batch says of itself besides its rows: serde keeps whatever stands there until it knows what it is.
///
/// # Errors
/// When it is longer than any such thing.
pub fn options<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    if raw.get().len() > LONGEST_OPTIONS {
        return Err(D::Error::custom(format!("options of more than {LONGEST_OPTIONS} bytes")));
    }
    serde_json::from_str(raw.get()).map_err(D::Error::custom)
}

/// Reads one thing for each row of a batch.
///
/// # Errors
/// When they are more.
pub fn one_each<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Each<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {LARGEST_BATCH} outcomes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = seq.next_element()? {
                if all.len() >= LARGEST_BATCH as usize {
                    return Err(A::Error::custom(format!("more than {LARGEST_BATCH} outcomes")));
                }
                all.push(one);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_seq(Each(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::{BatchRequest, BatchResponse};
    use crate::domain::payload::decode;

    fn read(rows: &str) -> Result<BatchRequest, String> {
        let text = format!(r#"{{"options":{{"provider":"rules","taxonomy":"d"}},"indicators":[{rows}]}}"#);
        decode(text.as_bytes()).map_err(|error| error.to_string())
    }

    fn refused(rows: &str, why: &str) {
        let error = read(rows).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    fn row(fields: &str) -> String {
        format!(r#"{{"id":"a","name":"b"{fields}}}"#)
    }

    #[test]
    fn what_the_command_line_can_send_is_read() {
        let rows = vec![row(""); LARGEST_BATCH as usize].join(",");
        assert_eq!(read(&rows).unwrap().indicators.len(), 1_000);
        let long = "x".repeat(LONGEST_CELL);
        let deep = format!("{}1{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        let escaped = r"\u0000".repeat(LONGEST_CELL);
        let row = row(&format!(r#","definition":"{long}","extra":{{"a":{deep},"b":"{escaped}"}}"#));
        assert_eq!(read(&row).unwrap().indicators[0].extra.len(), 2);
    }

    #[test]
    fn what_no_input_has_is_refused() {
        refused(&vec![row(""); LARGEST_BATCH as usize + 1].join(","), "more than 1000 rows");
        let long = "x".repeat(LONGEST_CELL + 1);
        for field in ["definition", "scale", "source_name"] {
            refused(&row(&format!(r#","{field}":"{long}""#)), "a cell of 1048577 bytes");
        }
        refused(&row(&format!(r#","sample_values":[{{"date":"{long}","value":1}}]"#)), "a cell of 1048577");
        refused(&row(&format!(r#","extra":{{"x":["{long}"]}}"#)), "a cell of 1048581 bytes");
        refused(&format!(r#"{{"id":"{}","name":"b"}}"#, "x".repeat(513)), "an id of 513 bytes");
        let deep = format!("{}1{}", "[".repeat(DEEPEST + 1), "]".repeat(DEEPEST + 1));
        refused(&row(&format!(r#","extra":{{"x":{deep}}}"#)), "in each other");
        let columns: Vec<String> = (0..=MOST_COLUMNS).map(|number| format!(r#""{number}":1"#)).collect();
        refused(&row(&format!(r#","extra":{{{}}}"#, columns.join(","))), "more than 65536 columns");
        let values = vec![r#"{"date":"","value":1}"#; MOST_VALUES / 10].join(",");
        let row = row(&format!(r#","sample_values":[{values}]"#));
        assert!(read(&[row.as_str(); 10].join(",")).is_ok());
        refused(&vec![row; 11].join(","), "more than 1048576 values");
    }

    /// What is read before it is known what it is must be short.
    #[test]
    fn options_are_short() {
        let junk = "0,".repeat(LONGEST_OPTIONS / 2);
        let text = format!(
            r#"{{"options":{{"provider":"rules","taxonomy":"d","junk":[{junk}0]}},"indicators":[]}}"#
        );
        let error = decode::<BatchRequest>(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("options of more than"), "{error}");
    }

    #[test]
    fn an_answer_has_an_outcome_for_each_row_at_most() {
        let one = r#"{"failed":{"class":"schema","message":"no","attempts":2,"origin":"R.0"}}"#;
        let answer = |number| format!(r#"{{"outcomes":[{}]}}"#, vec![one; number].join(","));
        assert!(decode::<BatchResponse>(answer(1_000).as_bytes()).is_ok());
        let error = decode::<BatchResponse>(answer(1_001).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("more than 1000 outcomes"), "{error}");
    }
}
