//! Finding rows with the same id, in 24 bytes a row.
//!
//! Kept of a row are two 64-bit `SipHash` values under random keys, one of the id and one of the whole content (id
//! included), and where it stands. Two ids whose hashes collide have different content, so they look like one id
//! with two contents: a false *error*, with a chance of about n²/2⁶⁵ (1 in 37 million for a million rows), gone when
//! the command is run again with other keys. To be merged, and so lost, two different rows would have to collide in
//! both hashes at once: n²/2¹²⁹, and with keys nobody knows no input can be made for it.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem;

use serde::{Deserialize, Serialize};

use siphasher::sip::SipHasher13;

use crate::domain::cell::Shape;
use crate::domain::indicator::Indicator;

/// Keys of the hashes of one input's rows: two of ids, two of contents. Whoever has them can compare rows without having them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys(pub(super) [u64; 4]);

impl Keys {
    /// Keys that nobody can guess.
    pub fn random() -> Self {
        // Every `RandomState` has other keys, from the operating system's randomness.
        Self([0, 1, 2, 3].map(|number| RandomState::new().hash_one(number)))
    }

    /// Hash of an id.
    pub fn id(&self, id: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        id.hash(&mut hasher);
        hasher.finish()
    }

    fn contents(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[2], self.0[3])
    }
}

/// A row, as its hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowId {
    /// Of its id.
    pub id: u64,
    /// Of its whole content.
    pub content: u64,
}

/// What is remembered of the rows seen.
#[derive(Debug)]
pub(super) struct Seen {
    keys: Keys,
    rows: Vec<Record>,
    largest: usize,
}

#[derive(Debug)]
struct Record {
    id: u64,
    content: u64,
    ordinal: u32,
    line: u32,
}

/// A row whose id an earlier row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeat {
    pub(super) ordinal: u32,
    pub(super) line: u32,
    pub(super) first_ordinal: u32,
    pub(super) first_line: u32,
}

/// All repeats, each list in input order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Repeats {
    /// Same content: harmless.
    pub(super) same: Vec<Repeat>,
    /// Other content: one of the two is wrong, and we cannot know which.
    pub(super) different: Vec<Repeat>,
}

impl Seen {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, rows: Vec::new(), largest: 0 }
    }

    /// Remembers a row; false when there are more rows than can be numbered.
    pub(super) fn add(&mut self, indicator: &Indicator, ordinal: u64, line: u64) -> bool {
        let Ok(ordinal) = u32::try_from(ordinal) else { return false };
        let mut hasher = Measuring { inner: self.keys.contents(), bytes: 0 };
        hash_indicator(indicator, &mut hasher);
        self.largest = self.largest.max(hasher.bytes);
        self.rows.push(Record {
            id: self.keys.id(&indicator.id),
            content: hasher.finish(),
            ordinal,
            line: u32::try_from(line).unwrap_or(u32::MAX),
        });
        true
    }

    /// Adds rows that were seen elsewhere, under the same keys.
    pub(super) fn merge(&mut self, mut other: Self) {
        // The order is restored when they are looked at: what is moved is the shorter of the two.
        if self.rows.len() < other.rows.len() {
            mem::swap(&mut self.rows, &mut other.rows);
        }
        self.rows.append(&mut other.rows);
        self.largest = self.largest.max(other.largest);
    }

    /// Bytes of content in the largest row.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// Finds the repeats: the first row of an id stands, later ones are compared with it.
    pub(super) fn repeats(&mut self) -> Repeats {
        self.rows.sort_unstable_by_key(|row| (row.id, row.ordinal));
        let mut repeats = Repeats::default();
        for group in self.rows.chunk_by(|a, b| a.id == b.id) {
            let [first, others @ ..] = group else { continue };
            for other in others {
                let repeat = Repeat {
                    ordinal: other.ordinal,
                    line: other.line,
                    first_ordinal: first.ordinal,
                    first_line: first.line,
                };
                let same = other.content == first.content;
                if same { repeats.same.push(repeat) } else { repeats.different.push(repeat) }
            }
        }
        repeats.same.sort_unstable_by_key(|repeat| repeat.ordinal);
        repeats.different.sort_unstable_by_key(|repeat| repeat.ordinal);
        repeats
    }

    /// The rows in input order, those left out that are among `repeats`.
    pub(super) fn into_rows(mut self, repeats: &Repeats) -> impl Iterator<Item = RowId> + use<> {
        let mut left_out: Vec<u32> =
            repeats.same.iter().chain(&repeats.different).map(|repeat| repeat.ordinal).collect();
        left_out.sort_unstable();
        self.rows.sort_unstable_by_key(|row| row.ordinal);
        let rows = self.rows.into_iter().filter(move |row| left_out.binary_search(&row.ordinal).is_err());
        rows.map(|row| RowId { id: row.id, content: row.content })
    }
}

/// Counts what it hashes: the size of a row for free.
struct Measuring<H> {
    inner: H,
    bytes: usize,
}

impl<H: Hasher> Hasher for Measuring<H> {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.inner.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.inner.finish()
    }
}

/// Every field by name: one that is added to [`Indicator`] must not be forgotten here.
fn hash_indicator(indicator: &Indicator, hasher: &mut impl Hasher) {
    let Indicator {
        id,
        name,
        units,
        periodicity,
        long_name,
        source_name,
        definition,
        topic,
        category_group,
        dataset,
        aggregation_method,
        scale,
        currency_code,
        sample_values,
        extra,
    } = indicator;
    (id, name, units, periodicity, long_name, source_name, definition).hash(hasher);
    (topic, category_group, dataset, aggregation_method, scale, currency_code).hash(hasher);
    sample_values.len().hash(hasher);
    for sample in sample_values {
        (&sample.date, sample.value.map(f64::to_bits)).hash(hasher);
    }
    hash_fields(extra.iter().map(|(name, value)| (name, value.shape())), hasher);
}

/// The order of columns is no content.
fn hash_fields<'a, H: Hasher>(fields: impl Iterator<Item = (&'a String, Read<'a>)>, hasher: &mut H) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields.len().hash(hasher);
    for (name, value) in fields {
        name.hash(hasher);
        hash_value(value, hasher);
    }
}

type Read<'a> = serde_json::Result<Shape<'a>>;

fn hash_value<H: Hasher>(value: Read<'_>, hasher: &mut H) {
    // What was read from the input can be read again.
    let Ok(value) = value else { return };
    std::mem::discriminant(&value).hash(hasher);
    match value {
        Shape::Null => {}
        Shape::Bool(flag) => flag.hash(hasher),
        Shape::Number(digits) => digits.hash(hasher),
        Shape::Text(text) => text.hash(hasher),
        Shape::Array(items) => {
            items.len().hash(hasher);
            for item in items {
                hash_value(Shape::of(item), hasher);
            }
        }
        Shape::Object(fields) => {
            hash_fields(fields.iter().map(|(name, value)| (name, Shape::of(value))), hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn indicator(id: &str, extra: Value) -> Indicator {
        let extra = serde_json::from_value(extra).unwrap();
        Indicator { id: id.to_owned(), name: "n".to_owned(), extra, ..Indicator::default() }
    }

    #[test]
    fn a_record_is_24_bytes() {
        assert_eq!(size_of::<Record>(), 24);
    }

    #[test]
    fn the_first_row_of_an_id_stands() {
        let mut seen = Seen::new(Keys::random());
        for (ordinal, (id, note)) in
            [("a", 1), ("b", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 2)].iter().enumerate()
        {
            assert!(seen.add(&indicator(id, json!({ "note": note })), ordinal as u64, ordinal as u64 + 2));
        }
        let repeat = |ordinal, first_ordinal| Repeat {
            ordinal,
            line: ordinal + 2,
            first_ordinal,
            first_line: first_ordinal + 2,
        };
        let expected =
            Repeats { same: vec![repeat(3, 1), repeat(4, 0)], different: vec![repeat(2, 0), repeat(5, 0)] };
        assert_eq!(seen.repeats(), expected);
    }

    #[test]
    fn content_is_compared_without_the_order_of_columns() {
        let same = |a: Value, b: Value| {
            let mut seen = Seen::new(Keys::random());
            seen.add(&indicator("a", a), 0, 1);
            seen.add(&indicator("a", b), 1, 2);
            seen.repeats().different.is_empty()
        };
        assert!(same(json!({"x": 1, "y": {"p": [1], "q": 2}}), json!({"y": {"q": 2, "p": [1]}, "x": 1})));
        assert!(!same(json!({"x": 1}), json!({"x": "1"})));
        assert!(!same(json!({"x": [1, [2]]}), json!({"x": [[1], 2]})));
        assert!(!same(json!({"x": [[], 1]}), json!({"x": [1, []]})));
        assert!(!same(json!({}), json!({"x": false})));
    }

    #[test]
    fn rows_beyond_what_can_be_numbered_are_refused() {
        assert!(!Seen::new(Keys::random()).add(&indicator("a", json!({})), 1 << 32, 1));
    }
}
