//! The value of a column this product has no name for: JSON on one line, with numbers as they were written.
//!
//! `serde_json::Value` would read `12345678901234567890123` as a double and print `1.2345678901234568e22`.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Error, Value};

/// A JSON value without white space between its parts. Texts and keys have one spelling, numbers keep theirs, and of
/// a key that stands twice in an object the last value counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellValue(Box<RawValue>);

/// A value looked at one level deep.
#[derive(Debug)]
pub enum Shape<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in the digits it was written with.
    Number(&'a str),
    /// A text, unescaped.
    Text(Cow<'a, str>),
    /// The items of an array.
    Array(Vec<&'a RawValue>),
    /// The fields of an object, each once.
    Object(IndexMap<String, &'a RawValue>),
}

impl CellValue {
    /// The value that stands in `raw`.
    ///
    /// # Errors
    /// When a text in it cannot be decoded, for instance half a surrogate pair.
    pub fn of(raw: &RawValue) -> Result<Self, Error> {
        match Shape::of(raw)? {
            Shape::Null | Shape::Bool(_) | Shape::Number(_) => Ok(Self(raw.to_owned())),
            Shape::Text(text) => Ok(Self::from(&*text)),
            Shape::Array(_) | Shape::Object(_) => {
                let mut text = String::with_capacity(raw.get().len());
                compact(raw, &mut text)?;
                RawValue::from_string(text).map(Self)
            }
        }
    }

    pub(super) fn into_raw(self) -> Box<RawValue> {
        self.0
    }

    /// The JSON text.
    pub fn json(&self) -> &str {
        self.0.get()
    }

    /// What stands in it: a text without its quotes, everything else as JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match self.shape() {
            Ok(Shape::Text(text)) => text,
            _ => Cow::Borrowed(self.json()),
        }
    }

    /// The value, one level deep.
    ///
    /// # Errors
    /// None for a value made by [`Self::of`]; a value that was deserialized may hold a text that cannot be decoded.
    pub fn shape(&self) -> Result<Shape<'_>, Error> {
        Shape::of(&self.0)
    }
}

impl PartialEq for CellValue {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Eq for CellValue {}

impl From<&str> for CellValue {
    fn from(text: &str) -> Self {
        Self(to_raw_value(text).unwrap_or_default())
    }
}

impl From<Value> for CellValue {
    fn from(value: Value) -> Self {
        // A tree of values is always JSON.
        Self(to_raw_value(&value).unwrap_or_default())
    }
}

impl<'a> Shape<'a> {
    /// The shape of `raw`.
    ///
    /// # Errors
    /// When a text in it cannot be decoded.
    pub fn of(raw: &'a RawValue) -> Result<Self, Error> {
        let json = raw.get();
        Ok(match json.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Self::Text(text(json)?),
            Some(b'[') => Self::Array(serde_json::from_str(json)?),
            Some(b'{') => Self::Object(serde_json::from_str::<Fields<'a>>(json)?.0),
            _ => Self::Number(json),
        })
    }
}

fn text(json: &str) -> Result<Cow<'_, str>, Error> {
    // Without escapes the text stands between the quotes.
    if json.contains('\\') {
        serde_json::from_str(json).map(Cow::Owned)
    } else {
        serde_json::from_str(json).map(Cow::Borrowed)
    }
}

fn compact(raw: &RawValue, out: &mut String) -> Result<(), Error> {
    match Shape::of(raw)? {
        Shape::Null | Shape::Bool(_) | Shape::Number(_) => out.push_str(raw.get()),
        Shape::Text(text) => out.push_str(&serde_json::to_string(&text)?),
        Shape::Array(items) => {
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                compact(item, out)?;
            }
            out.push(']');
        }
        Shape::Object(fields) => {
            out.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(&name)?);
                out.push(':');
                compact(value, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Arrays and objects in each other, counted without reading values: safe for any depth.
pub fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(inner) = bytes.next() {
                    match inner {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// Fields of an object whose values are not read.
struct Fields<'a>(IndexMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = IndexMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(json: &str) -> CellValue {
        CellValue::of(serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn all_but_numbers_has_one_spelling() {
        for (written, kept) in [
            ("1.50", "1.50"),
            ("-0", "-0"),
            ("1E400", "1E400"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            (r#""\u00e9\/\n""#, r#""é/\n""#),
            ("[ 1 , [ ] ,{\n} ]", "[1,[],{}]"),
            (r#"{ "a" : 1.0, "b": null, "\u0061": [2.50] }"#, r#"{"a":[2.50],"b":null}"#),
        ] {
            assert_eq!(of(written).json(), kept);
        }
        assert!(CellValue::of(serde_json::from_str(r#"["\ud800"]"#).unwrap()).is_err());
    }

    #[test]
    fn a_text_is_shown_without_its_quotes() {
        assert_eq!([of("7.50").text(), of(r#""a\"b""#).text(), of("[1]").text()], ["7.50", "a\"b", "[1]"]);
        assert_eq!(CellValue::from("a\nb").json(), r#""a\nb""#);
    }

    #[test]
    fn depth_is_counted_outside_texts() {
        for (json, depth) in [("1", 0), ("[]", 1), (r#"{"a":[{}]}"#, 3), (r#"["[[\"[", {}]"#, 2)] {
            assert_eq!(nesting(json), depth, "{json}");
        }
        assert_eq!(nesting(&"[".repeat(1_000_000)), 1_000_000);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let fields = prop::collection::vec((any::<String>(), inner.clone()), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Value::from),
                fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_spread_over_lines_is_the_same_value(value in json()) {
            let spread = serde_json::to_string_pretty(&value).unwrap();
            let read = of(&spread);
            prop_assert_eq!(read.json(), value.to_string());
            prop_assert_eq!(read, CellValue::from(value));
        }
    }
}
