//! The labels of one indicator as the text they are. Between the service that writes them and the file they end in they are copied, and
//! looked into only where a column of its own is made of each.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// A JSON object with one value per field of the taxonomy, in the taxonomy's order: as the service makes it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(Box<RawValue>);

impl Labels {
    /// The labels in `fields`.
    pub fn new(fields: &Map<String, Value>) -> Self {
        Self(compact(fields))
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
        let text = raw.get();
        if !text.starts_with('{') {
            return Err(D::Error::invalid_type(Unexpected::Other("something else"), &"an object of labels"));
        }
        // Between its tokens JSON may have line breaks; a line of results may not.
        if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
            let fields: Map<String, Value> = serde_json::from_str(text).map_err(D::Error::custom)?;
            return Ok(Self(Cow::Owned(compact(&fields))));
        }
        Ok(Self(Cow::Borrowed(raw)))
    }
}

fn compact(fields: &Map<String, Value>) -> Box<RawValue> {
    to_raw_value(fields)
        .unwrap_or_else(|error| unreachable!("texts, numbers and maps of them are JSON: {error}"))
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
        let labels: LabelsText<'_> = serde_json::from_str("{\"a\" :\r\n 1}").unwrap();
        assert_eq!(serde_json::to_string(&labels).unwrap(), r#"{"a":1}"#);
    }

    #[test]
    fn a_tower_of_values_is_an_error_where_it_is_looked_into() {
        let tower = format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        let labels: LabelsText<'_> = serde_json::from_str(&tower).unwrap();
        assert!(labels.fields().is_err());
    }

    #[test]
    fn only_an_object_has_labels() {
        for other in ["[]", "\"a\"", "null", "{"] {
            assert!(serde_json::from_str::<LabelsText<'_>>(other).is_err(), "{other}");
        }
    }
}
