//! Reads `sample_values`: a JSON array of `{date, value}`, tolerant of the ways tables spell numbers and dates.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::column::trimmed;
use super::excerpt::excerpt;
use crate::domain::indicator::Sample;

/// From a value within a row of JSON.
pub(super) fn from_raw(raw: &RawValue) -> Result<Vec<Sample>, String> {
    plain(raw.get()).map_or_else(|| parsed(raw.get()).and_then(from_value), Ok)
}

/// From a cell that holds JSON text.
pub(super) fn from_text(text: &str) -> Result<Vec<Sample>, String> {
    plain(text).map_or_else(|| tolerantly(text), Ok)
}

/// Observations that need no tolerance, as nearly all: without a tree of values in between. `None` says nothing of what is wrong, or whether
/// anything is.
fn plain(text: &str) -> Option<Vec<Sample>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plain {
        date: String,
        value: Option<f64>,
    }
    // serde would take an array for an object, value by value.
    if text.trim_start().rfind('[') != Some(0) {
        return None;
    }
    let samples: Vec<Plain> = serde_json::from_str(text).ok()?;
    let is_plain =
        |sample: &Plain| !sample.date.is_empty() && trimmed(&sample.date).len() == sample.date.len();
    let sample = |Plain { date, value }| Sample { date, value };
    samples.iter().all(is_plain).then(|| samples.into_iter().map(sample).collect())
}

fn tolerantly(text: &str) -> Result<Vec<Sample>, String> {
    match parsed(text)? {
        Value::String(_) => Err("column `sample_values` must be an array, found text".to_owned()),
        value => from_value(value),
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("column `sample_values` holds no valid JSON: {error}"))
}

/// From a JSON value; text is taken for JSON text, as tables converted from CSV have it.
pub(super) fn from_value(value: Value) -> Result<Vec<Sample>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.into_iter().enumerate().map(|(i, item)| sample(i + 1, item)).collect(),
        Value::String(text) if text.trim().is_empty() => Ok(Vec::new()),
        Value::String(text) => from_text(&text),
        other => Err(format!("column `sample_values` must be an array, found {}", describe(&other))),
    }
}

fn sample(number: usize, item: Value) -> Result<Sample, String> {
    let place = |what: String| format!("column `sample_values`, item {number}: {what}");
    let Value::Object(fields) = item else {
        return Err(place(format!("must be an object with `date` and `value`, found {}", describe(&item))));
    };
    let mut date = Value::Null;
    let mut value = Value::Null;
    for (name, field) in fields {
        match name.trim() {
            name if name.eq_ignore_ascii_case("date") => date = field,
            name if name.eq_ignore_ascii_case("value") => value = field,
            _ => {}
        }
    }
    let date = match date {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null => String::new(),
        other => return Err(place(format!("`date` must be text, found {}", describe(&other)))),
    };
    if date.is_empty() {
        return Err(place("`date` is missing".to_owned()));
    }
    let number = match value {
        Value::Null => None,
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(
            text.trim()
                .parse()
                .map_err(|_| place(format!("`value` must be a number, found `{}`", excerpt(&text, 40))))?,
        ),
        other => return Err(place(format!("`value` must be a number, found {}", describe(&other)))),
    };
    if number.is_some_and(|number| !number.is_finite()) {
        return Err(place("`value` must be finite; use null for a gap".to_owned()));
    }
    Ok(Sample { date, value: number })
}

/// A value in a message: its kind, and what it is when that is short.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => format!("the boolean {value}"),
        Value::Number(_) => format!("the number {value}"),
        Value::String(text) => format!("the text `{}`", excerpt(text, 40)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, Option<f64>) {
        let sample = from_text(text).unwrap().remove(0);
        (sample.date, sample.value)
    }

    #[test]
    fn numbers_and_dates_are_read_however_they_are_spelled() {
        assert_eq!(one(r#"[{"date":"2024","value":1.5}]"#), ("2024".to_owned(), Some(1.5)));
        assert_eq!(one(r#"[{"date":2024,"value":" 1e3 "}]"#), ("2024".to_owned(), Some(1000.0)));
        assert_eq!(one(r#"[{"Date":" last10YearsAvg ","Value":null}]"#), ("last10YearsAvg".to_owned(), None));
        assert_eq!(one(r#"[{"date":"Q1","value":""}]"#), ("Q1".to_owned(), None));
        assert_eq!(one(r#"[{"date":"Q1","note":7}]"#), ("Q1".to_owned(), None));
        assert_eq!(from_text("[]").unwrap(), []);
        assert_eq!(from_text("null").unwrap(), []);
    }

    #[test]
    fn what_needs_no_tolerance_means_the_same_with_it() {
        for text in [
            "[]",
            r#" [ {"date":"2024","value":1.5} , {"value":null,"date":"Q1"}, {"date":"Q2"} ]"#,
            r#"[{"date":"a","value":-0.0},{"date":"a[1]","value":1e308}]"#,
            r#"[{"date":"a","value":123456789012345678901234567890}]"#,
        ] {
            assert_eq!(from_text(text), tolerantly(text), "{text}");
        }
        for text in [r#"[["a",1]]"#, r#"[{"date":"a","Date":"b"}]"#, r#"[{"date":" a"}]"#, r#""[]""#, "null"]
        {
            assert_eq!(plain(text), None, "{text}");
        }
        assert_eq!(one(r#"[{"date":"a","Date":"b"}]"#), ("b".to_owned(), None));
    }

    #[test]
    fn what_is_no_observation_is_refused_with_its_place() {
        for (text, message) in [
            (r#"[["a",7]]"#, "item 1: must be an object with `date` and `value`, found an array"),
            (r#"[{"date":"a"},7]"#, "item 2: must be an object with `date` and `value`, found the number 7"),
            (r#"[{"value":7}]"#, "item 1: `date` is missing"),
            (r#"[{"date":" ","value":7}]"#, "item 1: `date` is missing"),
            (r#"[{"date":true,"value":7}]"#, "item 1: `date` must be text, found the boolean true"),
            (r#"[{"date":"a","value":"x"}]"#, "item 1: `value` must be a number, found `x`"),
            (r#"[{"date":"a","value":[1]}]"#, "item 1: `value` must be a number, found an array"),
            (r#"[{"date":"a","value":"NaN"}]"#, "item 1: `value` must be finite"),
            (r#"[{"date":"a","value":"1e999"}]"#, "item 1: `value` must be finite"),
            ("{}", "must be an array, found an object"),
            ("2024", "must be an array, found the number 2024"),
            (r#""[]""#, "must be an array, found text"),
            ("[{", "holds no valid JSON"),
        ] {
            let error = from_text(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
