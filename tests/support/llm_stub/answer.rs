//! Answers: the first thing each part of a schema allows.

use serde_json::{Map, Value, json};

use super::fault::Fault;

/// The text of an answer to `schema` about `items`, which are the lines of the data; changed as `fault` says.
pub(super) fn text(schema: &Value, items: &[Value], fault: Option<Fault>) -> String {
    let mut answer = value(schema, items);
    match fault {
        Some(Fault::MalformedContent) => return "Sure! Here are your labels.".into(),
        Some(Fault::Empty | Fault::Refusal) => return String::new(),
        Some(Fault::Truncated) => {
            let whole = answer.to_string();
            return whole[..whole.len() / 2].to_owned();
        }
        Some(Fault::Missing) => {
            if let Some(Value::Array(list)) = answer.get_mut("items") {
                list.pop();
            }
        }
        Some(Fault::OutOfSchema) => each(&mut answer, |one| {
            if let Some((_, label)) =
                one["labels"].as_object_mut().and_then(|labels| labels.iter_mut().next())
            {
                *label = json!("no such value");
            }
        }),
        Some(Fault::Percent) => each(&mut answer, |one| one["confidence"] = json!(87)),
        Some(Fault::Fenced) => return format!("```json\n{answer:#}\n```"),
        Some(Fault::Thought) => return format!("<think>\nIs it {{\"labels\"?\n</think>\n\n{answer}"),
        Some(Fault::Shouted) => each(&mut answer, |one| {
            for (_, label) in one["labels"].as_object_mut().into_iter().flatten() {
                if let Some(text) = label.as_str() {
                    *label = format!(" {} ", text.to_uppercase()).into();
                }
            }
        }),
        Some(Fault::Bare) => each(&mut answer, |one| {
            one.as_object_mut().expect("an answer").retain(|name, _| name == "labels" || name == "item");
        }),
        Some(Fault::CutInReasoning) => {
            let whole = answer.to_string();
            return whole[..whole.len() - 4].to_owned();
        }
        _ => {}
    }
    answer.to_string()
}

/// Changes the answer, or every answer of a list.
fn each(answer: &mut Value, change: impl Fn(&mut Value)) {
    match answer.get_mut("items") {
        Some(Value::Array(list)) => list.iter_mut().for_each(change),
        _ => change(answer),
    }
}

fn value(schema: &Value, items: &[Value]) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let value = |(name, schema): (&String, &Value)| (name.clone(), value(schema, items));
            Value::Object(properties.map(value).collect::<Map<_, _>>())
        }
        Some("array") => items.iter().map(|item| numbered(&schema["items"], item)).collect(),
        Some("boolean") => false.into(),
        Some("number") => 0.5.into(),
        Some("integer") => 0.into(),
        _ if schema["enum"][0].is_number() => 0.5.into(),
        _ => schema["enum"].get(0).cloned().unwrap_or_else(|| "none".into()),
    }
}

/// An element about `item`: its whole numbers are the item's.
fn numbered(schema: &Value, item: &Value) -> Value {
    let mut element = value(schema, &[]);
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        if part["type"] == "integer" {
            element[name] = item["item"].clone();
        }
    }
    element
}

/// The lines between `<data>` and `</data>`, which must be there once each.
pub(super) fn items(user: &str) -> Result<Vec<Value>, String> {
    let block = |text: &str| Some(text.split_once("<data>\n")?.1.split_once("\n</data>")?.0.to_owned());
    if user.matches("<data>").count() != 1 || user.matches("</data>").count() != 1 {
        return Err("the data's delimiters do not stand there once".into());
    }
    let block = block(user).ok_or("no data")?;
    block.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
}
