//! What an answer looks like, as the JSON schema that providers enforce.
//!
//! Made of `type`, `properties`, `required`, `additionalProperties`, `items` and `enum` only, everything required and
//! nothing else allowed: the part that OpenAI's strict mode
//! (<https://developers.openai.com/api/docs/guides/structured-outputs>) and Anthropic's structured outputs
//! (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>) both accept. Anthropic refuses
//! `minimum`, `maximum` and `pattern` with 400, so bounds and forms stand in the prompt and are checked in `validate`.

use std::num::NonZeroUsize;

use serde_json::{Value, json};

use crate::taxonomy::{Field, Kind, Taxonomy};

/// The schema of an answer about one indicator, or of a list of such answers.
#[derive(Debug, Clone)]
pub struct Schema {
    value: Value,
    text: String,
    is_list: bool,
}

impl Schema {
    pub(super) fn new(taxonomy: &Taxonomy, items_per_call: NonZeroUsize) -> Self {
        let labels = object(taxonomy.fields().iter().map(|field| (field.name.as_str(), value(field))));
        let answer = [
            ("labels", labels),
            ("confidence", json!({ "type": "number" })),
            ("reasoning", json!({ "type": "string" })),
        ];
        let is_list = items_per_call > NonZeroUsize::MIN;
        let value = if is_list {
            let item = ("item", json!({ "type": "integer" }));
            let answer = object([item].into_iter().chain(answer));
            object([("items", json!({ "type": "array", "items": answer }))])
        } else {
            object(answer)
        };
        let text = value.to_string();
        Self { value, text, is_list }
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
