//! What an answer looks like, as the JSON schema that providers enforce.
//!
//! Made of `type`, `properties`, `required`, `additionalProperties`, `items` and `enum` only, everything required and
//! nothing else allowed: the part that OpenAI's strict mode
//! (<https://developers.openai.com/api/docs/guides/structured-outputs>) and Anthropic's structured outputs
//! (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>) both accept. Anthropic refuses
//! `minimum`, `maximum` and `pattern` with 400, so bounds and forms stand in the prompt and are checked in `validate`.
//!
//! A server that decodes under any schema (llama.cpp, vLLM, Ollama) gets one with all of them: a small model that may
//! say anything does. `reasoning` stands last and is bounded, so that it cannot take the room of the labels.

use std::num::NonZeroUsize;

use serde_json::{Value, json};

use super::validate::LONGEST_LABEL;
use crate::taxonomy::{Field, Kind, Taxonomy};

/// Most characters of a reasoning where they can be bounded: twenty words.
const LONGEST_REASONING: usize = 160;
/// Degrees of confidence where they can be counted out. Servers do not keep to bounds of numbers that are not whole.
const DEGREES: u32 = 20;

/// The schema of an answer about one indicator, or of a list of such answers.
#[derive(Debug, Clone)]
pub struct Schema {
    value: Value,
    bounded: Value,
    text: String,
    is_list: bool,
}

impl Schema {
    pub(super) fn new(taxonomy: &Taxonomy, items_per_call: NonZeroUsize) -> Self {
        let is_list = items_per_call > NonZeroUsize::MIN;
        let labels = |value: fn(&Field) -> Value| {
            object(taxonomy.fields().iter().map(|field| (field.name.as_str(), value(field))))
        };
        let plain = [
            ("labels", labels(value)),
            ("confidence", json!({ "type": "number" })),
            ("reasoning", json!({ "type": "string" })),
        ];
        let degrees: Vec<f64> = (0..=DEGREES).map(|degree| f64::from(degree) / f64::from(DEGREES)).collect();
        let bounded = [
            ("labels", labels(bounded)),
            ("confidence", json!({ "enum": degrees })),
            ("reasoning", json!({ "type": "string", "maxLength": LONGEST_REASONING })),
        ];
        let value = whole(is_list.then(|| json!({ "type": "integer" })), plain);
        let most = items_per_call.get();
        let bounded =
            whole(is_list.then(|| json!({ "type": "integer", "minimum": 1, "maximum": most })), bounded);
        let text = value.to_string();
        Self { value, bounded, text, is_list }
    }

    /// The same with bounds, forms and lengths.
    pub fn bounded(&self) -> &Value {
        &self.bounded
    }

    /// As JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// As it is sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it asks for a list of answers.
    pub fn is_list(&self) -> bool {
        self.is_list
    }
}

/// An answer, or with the number of an item a list of them.
fn whole(item: Option<Value>, answer: [(&str, Value); 3]) -> Value {
    match item {
        None => object(answer),
        Some(item) => {
            let answer = object([("item", item)].into_iter().chain(answer));
            object([("items", json!({ "type": "array", "items": answer }))])
        }
    }
}

fn bounded(field: &Field) -> Value {
    let mut schema = value(field);
    match &field.kind {
        Kind::Enum(_) | Kind::Boolean => {}
        Kind::Number { min, max } => {
            for (name, bound) in [("minimum", min), ("maximum", max)] {
                if let Some(bound) = bound {
                    schema[name] = (*bound).into();
                }
            }
        }
        // Grammars know groups, but not that a group does not capture.
        Kind::String { pattern: Some(pattern) } => {
            schema["pattern"] = format!("^({})$", pattern.as_str().replace("(?:", "(")).into();
        }
        Kind::String { pattern: None } => schema["maxLength"] = LONGEST_LABEL.into(),
    }
    schema
}

fn object<'a>(properties: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let properties: serde_json::Map<String, Value> =
        properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let names: Vec<String> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

fn value(field: &Field) -> Value {
    match &field.kind {
        Kind::Enum(choices) => {
            let values: Vec<&str> = choices.iter().map(|choice| choice.value.as_str()).collect();
            json!({ "type": "string", "enum": values })
        }
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Number { .. } => json!({ "type": "number" }),
        Kind::String { .. } => json!({ "type": "string" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_the_same_answer_with_a_number() {
        let one = Schema::new(Taxonomy::economic(), NonZeroUsize::MIN);
        let many = Schema::new(Taxonomy::economic(), NonZeroUsize::new(2).unwrap());
        assert!(many.is_list() && !one.is_list());
        let element = &many.value()["properties"]["items"]["items"];
        assert_eq!(element["properties"]["labels"], one.value()["properties"]["labels"]);
        assert_eq!(element["required"], json!(["item", "labels", "confidence", "reasoning"]));
        assert_eq!(many.value()["required"], json!(["items"]), "strict mode wants an object at the root");
    }

    #[test]
    fn bounds_are_in_the_schema_of_a_server_that_keeps_to_them() {
        let text = "name = 'small'\nversion = 1\n
            [[fields]]\nname = 'legs'\nkind = 'number'\nmin = 0\nmax = 8\ndescription = 'How many.'\nfallback = { value = 1, weight = 0 }
            [[fields]]\nname = 'code'\nkind = 'string'\npattern = '(?:a|b){2}'\ndescription = 'It.'\nfallback = { value = 'ab', weight = 0 }
            [[fields]]\nname = 'note'\nkind = 'string'\ndescription = 'What else.'\nfallback = { value = '', weight = 0 }";
        let taxonomy = Taxonomy::parse(text).unwrap();
        let schema = Schema::new(&taxonomy, NonZeroUsize::MIN);
        let labels = &schema.bounded()["properties"]["labels"]["properties"];
        assert_eq!(labels["legs"], json!({ "type": "number", "minimum": 0.0, "maximum": 8.0 }));
        assert_eq!(labels["code"]["pattern"], "^((a|b){2})$");
        assert_eq!(labels["note"]["maxLength"], 200);
        let properties = &schema.bounded()["properties"];
        assert_eq!(properties.as_object().unwrap().keys().next_back().unwrap(), "reasoning");
        assert_eq!(properties["reasoning"]["maxLength"], 160);
        assert_eq!(properties["confidence"]["enum"][19], 0.95);
        let problems = |labels: Value, confidence: f64| {
            let answer = json!({ "labels": labels, "confidence": confidence, "reasoning": "why" });
            crate::json_schema::problems(schema.bounded(), &answer).len()
        };
        assert_eq!(problems(json!({ "legs": 4, "code": "ba", "note": "" }), 0.5), 0);
        assert_eq!(problems(json!({ "legs": 9, "code": "abc", "note": "x".repeat(201) }), 4.5), 4);
        assert!(!schema.text().contains("maxLength"), "others refuse it");
        let many = Schema::new(&taxonomy, NonZeroUsize::new(3).unwrap());
        assert_eq!(many.bounded()["properties"]["items"]["items"]["properties"]["item"]["maximum"], 3);
    }

    #[test]
    fn an_answer_of_the_rules_fits() {
        use crate::domain::indicator::Indicator;
        use crate::json_schema::problems;
        use crate::taxonomy::Rules;
        let rules = Rules::compile(Taxonomy::economic()).unwrap();
        let answer = rules.classify(&Indicator { name: "GDP growth, %".into(), ..Indicator::default() });
        let instance =
            json!({ "labels": answer.labels, "confidence": answer.confidence, "reasoning": "why" });
        let schema = Schema::new(Taxonomy::economic(), NonZeroUsize::MIN);
        assert_eq!(problems(schema.value(), &instance), [""; 0]);
        let no_reason = json!({ "labels": answer.labels, "confidence": 1 });
        assert_eq!(problems(schema.value(), &no_reason).len(), 1);
    }
}
