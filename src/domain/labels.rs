//! The labels of one indicator as the text they are. Between the service that writes them and the file they end in they are copied, and
//! looked into only where a column of its own is made of each.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::cell::{CellValue, nesting};

/// Most arrays and objects in each other that are taken apart. Labels of a taxonomy have none.
const MAX_NESTING: usize = 64;

/// A JSON object with one value per field of the taxonomy, in the taxonomy's order: as the service makes it.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Labels(Box<RawValue>);

impl Labels {
    /// The labels in `fields`.
    pub fn new(fields: &Map<String, Value>) -> Self {
        let text = to_raw_value(fields);
        Self(text.unwrap_or_else(|error| unreachable!("texts, numbers and maps of them are JSON: {error}")))
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match on_one_line(&raw)? {
            None => Ok(Self(raw)),
            Some(compact) => Ok(Self(compact)),
        }
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}

/// The same as the client reads it: an object for certain, and on one line.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct LabelsText<'a>(Cow<'a, RawValue>);

impl LabelsText<'_> {
    /// Each field with its label.
    ///
    /// # Errors
    /// When values lie in each other more deeply than can be read, which no label of a taxonomy does.
    pub fn fields(&self) -> serde_json::Result<Map<String, Value>> {
        serde_json::from_str(self.0.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for LabelsText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(on_one_line(raw)?.map_or(Cow::Borrowed(raw), Cow::Owned)))
    }
}

/// The same without line breaks, which JSON may have between its tokens and a line of results may not; nothing where there are none.
///
/// # Errors
/// When it is no object of labels.
fn on_one_line<E: Error>(raw: &RawValue) -> Result<Option<Box<RawValue>>, E> {
    let text = raw.get();
    if !text.starts_with('{') {
        return Err(E::invalid_type(Unexpected::Other("something else"), &"an object of labels"));
    }
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return Ok(None);
    }
    if nesting(text) > MAX_NESTING {
        return Err(E::custom("labels lie in each other"));
    }
    CellValue::of(raw).map(|value| Some(value.into_raw())).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_written_byte_by_byte() {
        let text = r#"{"scale":"units","cumulative":false,"note":"\n"}"#;
        let labels: LabelsText<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&labels).unwrap(), text);
        assert_eq!(labels.fields().unwrap()["cumulative"], Value::Bool(false));
        assert_eq!(serde_json::to_string(&Labels::new(&labels.fields().unwrap())).unwrap(), text);
    }

    #[test]
    fn line_breaks_between_tokens_do_not_survive() {
        let (text, line) = ("{\"a\" :\r\n 1.50,\n\"b\":1e999}", r#"{"a":1.50,"b":1e999}"#);
        let labels: LabelsText<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&labels).unwrap(), line);
        let labels: Labels = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&labels).unwrap(), line);
    }

    #[test]
    fn a_tower_of_values_is_an_error_where_it_is_looked_into() {
        let tower = format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        let labels: LabelsText<'_> = serde_json::from_str(&tower).unwrap();
        assert!(labels.fields().is_err());
    }

    #[test]
    fn only_an_object_has_labels() {
        let tower = format!("{{\n\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        for other in ["[]", "\"a\"", "null", "{", &tower] {
            assert!(serde_json::from_str::<LabelsText<'_>>(other).is_err(), "{other}");
            assert!(serde_json::from_str::<Labels>(other).is_err(), "{other}");
        }
    }
}
