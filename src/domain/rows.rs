//! Rows that come from elsewhere, read within the bounds of `bounds`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::bounds::{DEEPEST, LARGEST_BATCH, LONGEST_CELL, LONGEST_ID, MOST_VALUES};
use super::cell::nesting;
use super::indicator::Indicator;

/// Bytes that a byte of text takes in JSON at most: `\u0000`.
const ESCAPED: usize = 6;

/// Reads the rows of a batch.
///
/// # Errors
/// When it has too many of them, or one that no input has.
pub fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Indicator>, D::Error> {
    struct Rows;

    impl<'de> Visitor<'de> for Rows {
        type Value = Vec<Indicator>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {LARGEST_BATCH} rows")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let (mut rows, mut all) = (Vec::new(), 0);
            while let Some(row) = seq.next_element::<Indicator>()? {
                if rows.len() >= LARGEST_BATCH as usize {
                    return Err(A::Error::custom(format!("more than {LARGEST_BATCH} rows")));
                }
                check(&row).map_err(A::Error::custom)?;
                all += values(&row);
                if all > MOST_VALUES {
                    return Err(A::Error::custom(format!("more than {MOST_VALUES} values")));
                }
                rows.push(row);
            }
            Ok(rows)
        }
    }

    deserializer.deserialize_seq(Rows)
}

/// Reads one row.
///
/// # Errors
/// When no input has such a row.
pub fn row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Indicator, D::Error> {
    let row = Indicator::deserialize(deserializer)?;
    check(&row).map_err(D::Error::custom)?;
    Ok(row)
}

/// Observations and values of other columns.
pub fn values(row: &Indicator) -> usize {
    row.sample_values.len() + row.extra.len()
}

/// What of a row no input has.
fn check(row: &Indicator) -> Result<(), String> {
    if row.id.len() > LONGEST_ID {
        return Err(format!("an id of {} bytes, the limit is {LONGEST_ID}", row.id.len()));
    }
    let texts = [
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
    let texts =
        texts.into_iter().flatten().chain([&row.name]).chain(row.sample_values.iter().map(|v| &v.date));
    if let Some(long) = texts.into_iter().find(|text| text.len() > LONGEST_CELL) {
        return Err(format!("a cell of {} bytes, the limit is {LONGEST_CELL}", long.len()));
    }
    for value in row.extra.values() {
        let json = value.json();
        let longest = if json.starts_with('"') { ESCAPED * LONGEST_CELL + 2 } else { LONGEST_CELL };
        if json.len() > longest {
            return Err(format!("a cell of {} bytes, the limit is {LONGEST_CELL}", json.len()));
        }
        if json.starts_with(['[', '{']) && nesting(json) > DEEPEST {
            return Err(format!("more than {DEEPEST} arrays or objects in each other"));
        }
    }
    Ok(())
}
