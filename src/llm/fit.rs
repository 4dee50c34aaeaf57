//! What of an indicator a model gets to read: its columns in the order of what they say about the labels, each cut to
//! its share, until the budget is spent. Pure; the same row gives the same text.

use serde_json::{Map, Value};

use super::escape::escaped;
use super::tokens;
use crate::domain::indicator::{Indicator, Sample};

/// Most tokens of a name.
const NAME: u64 = 60;
/// Most tokens of a short column.
const SHORT: u64 = 24;
/// Most tokens of the definition.
const DEFINITION: u64 = 110;
/// Observations that are shown: enough to see how often and how large.
const SAMPLES: usize = 4;
/// Tokens of the braces and of what may go differently where two texts meet.
const SLACK: u64 = 8;

/// What of an indicator a model gets to read.
#[derive(Debug)]
pub(super) struct Fit {
    /// The columns, in the order in which they are read.
    pub(super) columns: Map<String, Value>,
    /// Those of which a part is missing, or all.
    pub(super) cut: Vec<String>,
}

/// The columns of `indicator` that the label set names, which are the known ones and `extra`, as far as they fit into
/// `budget` tokens. A text that was cut ends in an ellipsis.
pub(super) fn columns(indicator: &Indicator, extra: &[String], budget: u64) -> Fit {
    let mut fitted =
        Fitted { fit: Fit { columns: Map::new(), cut: Vec::new() }, left: budget.saturating_sub(SLACK) };
    fitted.text("id", Some(&indicator.id), SHORT);
    fitted.text("name", Some(&indicator.name), NAME);
    fitted.text("long_name", indicator.long_name.as_deref(), NAME);
    for (name, column) in [
        ("units", &indicator.units),
        ("scale", &indicator.scale),
        ("currency_code", &indicator.currency_code),
        ("periodicity", &indicator.periodicity),
        ("aggregation_method", &indicator.aggregation_method),
        ("category_group", &indicator.category_group),
        ("topic", &indicator.topic),
        ("dataset", &indicator.dataset),
        ("source_name", &indicator.source_name),
    ] {
        fitted.text(name, column.as_deref(), SHORT);
    }
    fitted.samples(&indicator.sample_values);
    fitted.text("definition", indicator.definition.as_deref(), DEFINITION);
    for (name, value) in indicator.extra.iter().filter(|(name, _)| extra.contains(name)) {
        fitted.text(&tokens::shorten(name, SHORT), Some(&value.text()), SHORT);
    }
    fitted.fit
}

struct Fitted {
    fit: Fit,
    left: u64,
}

impl Fitted {
    /// Adds a text cut to `share` tokens, or to what is left; leaves it out where not even a word fits.
    fn text(&mut self, name: &str, text: Option<&str>, share: u64) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        // A user's own column may be called like one of ours, which then stands.
        if self.fit.columns.contains_key(name) || name == "item" {
            return;
        }
        let most = share.saturating_add(cost(name, &Value::String(String::new()))).min(self.left);
        let mut allowed = share.min(self.left);
        while allowed > 1 {
            let short = tokens::shorten(text, allowed);
            let whole = short.len() == text.len();
            let value = Value::String(short);
            let cost = cost(name, &value);
            if cost <= most {
                if !whole {
                    self.fit.cut.push(name.to_owned());
                }
                self.insert(name, value, cost);
                return;
            }
            // What JSON makes of a text may take more tokens than the text: quotes, line breaks, escapes.
            allowed = allowed * 7 / 8;
        }
        self.fit.cut.push(name.to_owned());
    }

    /// Some of the observations are enough to see how often and how large: fewer are no loss.
    fn samples(&mut self, samples: &[Sample]) {
        let mut shown: Vec<Value> = samples.iter().take(SAMPLES).map(sample).collect();
        if samples.len() > SAMPLES {
            shown.push("…".into());
        }
        let value = Value::Array(shown);
        let cost = cost("sample_values", &value);
        if samples.is_empty() {
            return;
        }
        if cost <= self.left {
            self.insert("sample_values", value, cost);
        } else {
            self.fit.cut.push("sample_values".to_owned());
        }
    }

    fn insert(&mut self, name: &str, value: Value, cost: u64) {
        self.fit.columns.insert(name.to_owned(), value);
        self.left -= cost;
    }
}

/// `2024-12-31: -2.1`.
fn sample(sample: &Sample) -> Value {
    let date = tokens::shorten(&sample.date, SHORT / 2);
    match sample.value {
        Some(value) => format!("{date}: {value}").into(),
        None => format!("{date}: none").into(),
    }
}

/// Tokens of a column within an object.
fn cost(name: &str, value: &Value) -> u64 {
    tokens::count(&format!(",{}:{}", escaped(&name.into()), escaped(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 230;

    fn size(columns: Map<String, Value>) -> u64 {
        tokens::count(&escaped(&Value::Object(columns)))
    }

    fn everywhere(text: &str) -> Indicator {
        let text = || Some(text.to_owned());
        Indicator {
            id: text().unwrap(),
            name: text().unwrap(),
            units: text(),
            periodicity: text(),
            long_name: text(),
            source_name: text(),
            definition: text(),
            topic: text(),
            category_group: text(),
            dataset: text(),
            aggregation_method: text(),
            scale: text(),
            currency_code: text(),
            sample_values: vec![Sample { date: text().unwrap(), value: Some(-1.0 / 3e-200) }; 40],
            extra: [(text().unwrap(), text().unwrap().as_str().into())].into_iter().collect(),
        }
    }

    #[test]
    fn an_ordinary_row_is_whole() {
        let row = Indicator {
            id: "A".into(),
            name: "Unemployment rate".into(),
            units: Some("%".into()),
            sample_values: vec![
                Sample { date: "2024".into(), value: Some(6.25) },
                Sample { date: "2025".into(), value: None },
            ],
            extra: [("country".to_owned(), "AT".into())].into_iter().collect(),
            ..Indicator::default()
        };
        let fit = columns(&row, &["country".to_owned()], BUDGET);
        assert_eq!(fit.cut, [""; 0]);
        let json = escaped(&Value::Object(fit.columns));
        assert_eq!(
            json,
            r#"{"id":"A","name":"Unemployment rate","units":"%","sample_values":["2024: 6.25","2025: none"],"country":"AT"}"#
        );
    }

    #[test]
    fn no_row_exceeds_its_budget() {
        for text in
            ["word ", "\"\\\n", "<", "日本銀行", "𒐫", "a\u{301}\u{327}", "<|endoftext|>", "\u{202e}", "7"]
        {
            for times in [1, 9, 60, 20_000] {
                let row = everywhere(&text.repeat(times));
                let size = size(columns(&row, &[text.repeat(times)], BUDGET).columns);
                assert!(size <= BUDGET, "{size} tokens for {times} times {text}");
            }
        }
    }

    #[test]
    fn what_was_cut_says_so() {
        let row = Indicator {
            name: "N".into(),
            definition: Some("the value of goods and services ".repeat(90)),
            sample_values: vec![Sample { date: "2024".into(), value: Some(1.0) }; 9],
            ..Indicator::default()
        };
        let Fit { columns, cut } = columns(&row, &[], BUDGET);
        assert_eq!(cut, ["definition"]);
        let definition = columns["definition"].as_str().unwrap();
        assert!(definition.starts_with("the value of goods") && definition.ends_with('…'));
        assert!(tokens::count(definition) > DEFINITION * 3 / 4, "the share is used");
        assert_eq!(columns["sample_values"][SAMPLES], "…");
    }

    #[test]
    fn only_columns_that_the_label_set_names_are_read() {
        let extra = ["email", "body", "price"].map(|name| (name.to_owned(), "secret".into()));
        let row = Indicator { name: "N".into(), extra: extra.into_iter().collect(), ..Indicator::default() };
        let columns = columns(&row, &["body".to_owned(), "absent".to_owned()], BUDGET).columns;
        assert_eq!(columns.keys().collect::<Vec<_>>(), ["name", "body"]);
    }

    #[test]
    fn what_has_no_room_at_all_is_named() {
        let row = everywhere(&"word ".repeat(600));
        let cut = columns(&row, &["word ".repeat(600)], BUDGET).cut;
        assert!(
            cut.iter().any(|name| name == "name") && cut.iter().any(|name| name == "definition"),
            "{cut:?}"
        );
    }

    #[test]
    fn a_column_of_the_user_does_not_pass_for_ours() {
        let row = Indicator {
            name: "N".into(),
            extra: [("name".to_owned(), "X".into()), ("item".to_owned(), Value::from(7).into())]
                .into_iter()
                .collect(),
            ..Indicator::default()
        };
        let fit = columns(&row, &["name".to_owned(), "item".to_owned()], BUDGET);
        assert_eq!(Value::Object(fit.columns), serde_json::json!({ "name": "N" }));
    }
}
