//! One JSON object to one row, without building a tree for the columns we know. Does not find where objects begin
//! and end (see `array`, `lines`).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::column::{Column, trimmed};
use super::row::{BadRow, MAX_RAW, RowBuilder, raw_text, row_too_long};
use super::samples;
use crate::domain::indicator::Indicator;

/// Reads one row. The outer error is broken JSON, with line and column counted from the start of `json`.
pub(super) fn parse(json: &[u8]) -> Result<Result<Indicator, Box<BadRow>>, serde_json::Error> {
    let mut builder = RowBuilder::default();
    // Checked as a whole, not text by text. Never an error: what rows are cut from is UTF-8.
    let text = std::str::from_utf8(json).map_err(Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    if json.first() == Some(&b'{') {
        Object { builder: &mut builder }.deserialize(&mut deserializer)?;
        deserializer.end()?;
    } else {
        let value: Value = serde_json::from_str(text)?;
        builder.problem(|| format!("expected an object, found {}", samples::describe(&value)));
    }
    // Read value by value, one of two cells would be gone here, too.
    let as_text = builder.lost_cells();
    Ok(builder.finish(|| if as_text { raw_text(json) } else { raw(json) }))
}

/// A row above [`super::MAX_ROW`]; `json` is the beginning of it.
pub(super) fn oversized(json: &[u8]) -> Box<BadRow> {
    Box::new(BadRow { message: row_too_long(), column: None, id: None, raw: raw_text(json) })
}

/// What can be shown of a bad row.
pub(super) fn raw(json: &[u8]) -> Value {
    // Parsing a long row once more would only serve to cut it down again.
    if json.len() > MAX_RAW {
        return raw_text(json);
    }
    serde_json::from_slice(json).unwrap_or_else(|_| raw_text(json))
}

/// What `serde_json` says, without the position: we give our own, in the file.
pub(super) fn reason(error: &serde_json::Error) -> String {
    format!("not valid JSON: {}", bare(error))
}

fn bare(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.rfind(" at line ").unwrap_or(text.len()));
    text
}

struct Object<'a> {
    builder: &'a mut RowBuilder,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed)? {
            match key {
                Key::Known(column, name) => {
                    self.builder.begin(column, name);
                    if column == Column::SampleValues {
                        self.builder.samples(map.next_value()?);
                    } else {
                        map.next_value_seed(Cell { builder: &mut *self.builder, column })?;
                    }
                }
                // Its place in the value is none in the row: the parser's own is right behind the value.
                Key::Extra(name) => {
                    let read = self.builder.extra(name, map.next_value()?);
                    read.map_err(|error| A::Error::custom(bare(&error)))?;
                }
            }
        }
        Ok(())
    }
}

enum Key {
    Known(Column, &'static str),
    Extra(String),
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        Ok(match Column::named(name) {
            Some((column, name)) => Key::Known(column, name),
            None => Key::Extra(trimmed(name).to_owned()),
        })
    }
}

/// A text column. Wrong types are noted in the builder, so that the rest of the row is still read.
struct Cell<'a> {
    builder: &'a mut RowBuilder,
    column: Column,
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.builder.text(self.column, text);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.builder.wrong(&format!("the boolean {value}"));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.builder.wrong(&format!("the number {value}"));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.builder.wrong(&format!("the number {value}"));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.builder.wrong(&format!("the number {value}"));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.builder.wrong("an array");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.builder.wrong("an object");
        Ok(())
    }
}
