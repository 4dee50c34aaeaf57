//! Whether an answer's text answers the question. Trusts nothing: a schema was sent, and some servers ignore it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::strict;
use crate::taxonomy::{Answer, Field};
use crate::text::{printable, shorten};

/// Most bytes of an answer per indicator; a full one takes under 1,000.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Most characters of a label that may be any text.
const LONGEST_LABEL: usize = 200;
/// Characters of a reasoning that are kept; it was asked to be one sentence.
const LONGEST_REASONING: usize = 500;
/// Most characters of a complaint: it is sent back to the model, and shown.
const LONGEST_COMPLAINT: usize = 600;
/// Problems a complaint names.
const MOST_PROBLEMS: usize = 5;

/// What an answer says about one indicator.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// A valid answer.
    Valid(Answer),
    /// One that breaks the rules; the complaint says which, in words a model can act on.
    Invalid(String),
    /// Nothing.
    Missing,
}

/// Reads the answer to a request with `count` indicators, in their order. With `is_list`, each answer says by its
/// number whose it is; numbers nobody asked about are ignored.
pub(super) fn check(text: &str, fields: &[Field], is_list: bool, count: usize) -> Vec<Found> {
    let whole = |complaint: &str| vec![Found::Invalid(bounded(complaint)); count];
    if text.len() > LONGEST_ANSWER.saturating_mul(count) {
        return whole("the answer is far too long");
    }
    let value = match strict::parse(text.trim()) {
        Ok(value) => value,
        Err(error) => return whole(&format!("the answer is not JSON: {error}")),
    };
    let Value::Object(mut object) = value else { return whole("the answer is not a JSON object") };
    if !is_list {
        return vec![found(answer(object, fields))];
    }
    let Some(Value::Array(items)) = object.remove("items") else {
        return whole("`items` is not a list");
    };
    if let Some(extra) = object.keys().next() {
        return whole(&format!("`{}` was not asked for", shorten(extra, 60)));
    }
    list(items, fields, count)
}

fn list(items: Vec<Value>, fields: &[Field], count: usize) -> Vec<Found> {
    let mut answers = vec![Found::Missing; count];
    for item in items {
        let Value::Object(mut object) = item else { continue };
        let number = object.remove("item").as_ref().and_then(Value::as_u64);
        let place = number.and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        let Some(slot) = place.and_then(|place| answers.get_mut(place)) else { continue };
        *slot = match slot {
            Found::Missing => found(answer(object, fields)),
            _ => Found::Invalid("the item was answered twice".into()),
        };
    }
    answers
}

fn found(answer: Result<Answer, String>) -> Found {
    answer.map_or_else(Found::Invalid, Found::Valid)
}

fn answer(mut object: Map<String, Value>, fields: &[Field]) -> Result<Answer, String> {
    let mut problems = Problems::default();
    let labels = match object.remove("labels") {
        Some(Value::Object(labels)) => labels_of(labels, fields, &mut problems),
        Some(_) => problems.about("labels", "not an object"),
        None => problems.about("labels", "missing"),
    };
    let confidence = match object.remove("confidence") {
        Some(Value::Number(number)) => confidence(number.as_f64(), &mut problems),
        Some(_) => problems.about("confidence", "not a number"),
        None => problems.about("confidence", "missing"),
    };
    let reasoning: Option<String> = match object.remove("reasoning") {
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(shorten(text.trim(), LONGEST_REASONING)),
        Some(_) => problems.about("reasoning", "not a text"),
        None => problems.about("reasoning", "missing"),
    };
    for name in object.keys() {
        problems.add(name, "was not asked for");
    }
    problems.none_or(Answer { labels, confidence, reasoning })
}

fn labels_of(mut given: Map<String, Value>, fields: &[Field], problems: &mut Problems) -> Map<String, Value> {
    let mut labels = Map::new();
    for field in fields {
        let Some(value) = given.remove(&field.name) else {
            problems.add(&field.name, "missing");
            continue;
        };
        let length = value.as_str().map_or(0, |text| text.chars().take(LONGEST_LABEL + 1).count());
        if length > LONGEST_LABEL {
            problems.add(&field.name, "far too long");
        } else if let Err(why) = field.check(&value) {
            problems.add(&field.name, &why);
        } else {
            labels.insert(field.name.clone(), value);
        }
    }
    for name in given.keys() {
        problems.add(name, "was not asked for");
    }
    labels
}

fn confidence(number: Option<f64>, problems: &mut Problems) -> f64 {
    let number = number.unwrap_or(f64::NAN);
    if !(0.0..=1.0).contains(&number) {
        problems.add("confidence", &format!("{number} is not within 0 and 1"));
    }
    number
}

/// What is wrong with one answer.
#[derive(Default)]
struct Problems {
    text: String,
    count: usize,
}

impl Problems {
    fn add(&mut self, field: &str, problem: &str) {
        self.count += 1;
        if self.count <= MOST_PROBLEMS {
            let separator = if self.count == 1 { "" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{separator}`{}`: {problem}", shorten(field, 60));
        }
    }

    /// Notes a problem where no value can be had.
    fn about<T: Default>(&mut self, field: &str, problem: &str) -> T {
        self.add(field, problem);
        T::default()
    }

    fn none_or(mut self, answer: Answer) -> Result<Answer, String> {
        if self.count == 0 {
            return Ok(answer);
        }
        if self.count > MOST_PROBLEMS {
            let _ = write!(self.text, "; and {} more", self.count - MOST_PROBLEMS);
        }
        Err(bounded(&self.text))
    }
}

fn bounded(complaint: &str) -> String {
    shorten(&printable(complaint), LONGEST_COMPLAINT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::*;
    use crate::taxonomy::Taxonomy;

    fn small() -> Taxonomy {
        let text = "name = 'small'\nversion = 1\n
            [[fields]]\nname = 'size'\nkind = 'enum'\ndescription = 'How big.'\nfallback = { value = 'big', weight = 0 }
            values = [{ value = 'big', description = 'Big.' }, { value = 'tiny', description = 'Tiny.' }]
            [[fields]]\nname = 'legs'\nkind = 'number'\nmin = 0\ndescription = 'How many.'\nfallback = { value = 1, weight = 0 }
            [[fields]]\nname = 'note'\nkind = 'string'\ndescription = 'What else.'\nfallback = { value = '', weight = 0 }";
        Taxonomy::parse(text).unwrap()
    }

    fn good() -> Value {
        json!({ "labels": { "legs": 4, "size": "big", "note": "" }, "confidence": 0.87, "reasoning": " It is. " })
    }

    fn one(value: &Value) -> Found {
        check(&value.to_string(), small().fields(), false, 1).remove(0)
    }

    fn complaint(change: impl FnOnce(&mut Value)) -> String {
        let mut value = good();
        change(&mut value);
        match one(&value) {
            Found::Invalid(complaint) => complaint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_good_answer_comes_in_the_order_of_the_taxonomy() {
        let Found::Valid(answer) = one(&good()) else { panic!() };
        assert_eq!(Value::Object(answer.labels.clone()), json!({ "size": "big", "legs": 4, "note": "" }));
        assert_eq!(answer.labels.keys().collect::<Vec<_>>(), ["size", "legs", "note"]);
        assert_eq!((answer.confidence, answer.reasoning.as_deref()), (0.87, Some("It is.")));
    }

    #[test]
    fn every_rule_is_checked_and_named() {
        for (complaint, expected) in [
            (
                complaint(|v| v["confidence"] = json!(1e15)),
                "`confidence`: 1000000000000000 is not within 0 and 1",
            ),
            (complaint(|v| v["confidence"] = json!(87)), "`confidence`: 87 is not within 0 and 1"),
            (complaint(|v| v["confidence"] = json!("0.8")), "`confidence`: not a number"),
            (complaint(|v| v["labels"]["size"] = json!("huge")), "`size`: `huge` is none of big, tiny"),
            (complaint(|v| v["labels"]["legs"] = json!(-1)), "`legs`: -1 is below 0"),
            (complaint(|v| v["labels"]["colour"] = json!("red")), "`colour`: was not asked for"),
            (complaint(|v| v["size"] = json!("big")), "`size`: was not asked for"),
            (complaint(|v| v["labels"]["note"] = json!("x".repeat(201))), "`note`: far too long"),
            (complaint(|v| v["reasoning"] = Value::Null), "`reasoning`: not a text"),
            (complaint(|v| v["labels"] = json!([])), "`labels`: not an object"),
            (complaint(|v| *v = json!({})), "`labels`: missing; `confidence`: missing; `reasoning`: missing"),
        ] {
            assert_eq!(complaint, expected);
        }
    }

    #[test]
    fn what_is_no_answer_at_all_is_said_so() {
        let fields = small();
        for (text, expected) in [
            ("", "the answer is not JSON: EOF while parsing a value at line 1 column 0"),
            ("[]", "the answer is not a JSON object"),
            ("{\"labels\":{},\"labels\":{}}", "the answer is not JSON: `labels` stands there twice"),
            ("{\"confidence\":1e999}", "the answer is not JSON: number out of range"),
        ] {
            let found = check(text, fields.fields(), false, 1);
            let [Found::Invalid(complaint)] = found.as_slice() else { panic!("{found:?}") };
            assert!(complaint.starts_with(expected), "{complaint}");
        }
    }

    #[test]
    fn answers_of_a_list_find_their_items() {
        let answer = |item: u64, size: &str| {
            let mut value = good();
            value["item"] = json!(item);
            value["labels"]["size"] = json!(size);
            value
        };
        let items =
            [answer(3, "big"), answer(1, "tiny"), answer(2, "huge"), answer(9, "big"), answer(5, "big")];
        let mut items = items.to_vec();
        items.push(answer(5, "big"));
        let found = check(&json!({ "items": items }).to_string(), small().fields(), true, 5);
        assert!(matches!(&found[0], Found::Valid(answer) if answer.labels["size"] == "tiny"), "{found:?}");
        assert!(matches!(&found[1], Found::Invalid(why) if why.contains("huge")), "{found:?}");
        assert!(matches!(&found[2], Found::Valid(_)), "{found:?}");
        assert_eq!(found[3], Found::Missing);
        assert_eq!(found[4], Found::Invalid("the item was answered twice".into()));
        let bare = check(&good().to_string(), small().fields(), true, 2);
        assert_eq!(bare, vec![Found::Invalid("`items` is not a list".into()); 2]);
    }

    /// What a model may say to `count` questions: right, with something changed in it, or anything at all.
    fn reply(count: usize, list: bool) -> impl Strategy<Value = String> {
        let right = if list {
            let item = |number| {
                let mut item = good();
                item["item"] = json!(number);
                item
            };
            json!({ "items": (1..=count).map(item).collect::<Vec<_>>() }).to_string()
        } else {
            good().to_string()
        };
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            "[0-9]{1,3}",
            select(vec!["null", "\"", "{}", "[]", ",", "-"]).prop_map(String::from)
        ];
        let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, piece), 0..3);
        let changed = edits.prop_map(move |edits| {
            let mut letters: Vec<char> = right.chars().collect();
            for (at, removed, piece) in edits {
                let at = at.index(letters.len() + 1);
                letters.splice(at..letters.len().min(at + removed), piece.chars());
            }
            letters.into_iter().collect()
        });
        prop_oneof![9 => changed, 1 => any::<String>()]
    }

    fn prop_assert_kept(answer: &Answer) -> Result<(), TestCaseError> {
        prop_assert!((0.0..=1.0).contains(&answer.confidence), "{answer:?}");
        prop_assert!(["big", "tiny"].contains(&answer.labels["size"].as_str().unwrap()), "{answer:?}");
        prop_assert!(answer.labels["legs"].as_f64().unwrap() >= 0.0, "{answer:?}");
        prop_assert!(answer.labels["note"].is_string(), "{answer:?}");
        prop_assert_eq!(answer.labels.len(), 3);
        Ok(())
    }

    proptest! {
        #[test]
        fn whatever_a_model_says_is_an_answer_or_a_short_complaint(
            (count, list, text) in (1_usize..4, any::<bool>())
                .prop_map(|(count, list)| (if list { count } else { 1 }, list))
                .prop_flat_map(|(count, list)| (Just(count), Just(list), reply(count, list)))
        ) {
            let found = check(&text, small().fields(), list, count);
            prop_assert_eq!(found.len(), count);
            for one in found {
                match one {
                    Found::Valid(answer) => prop_assert_kept(&answer)?,
                    Found::Invalid(why) => prop_assert!(why.chars().count() <= LONGEST_COMPLAINT + 1, "{why}"),
                    Found::Missing => prop_assert!(list, "one answer to one question is there"),
                }
            }
        }

        #[test]
        fn whatever_passes_keeps_the_rules(
            size in prop_oneof!["big", "tiny", ".{0,80}"],
            legs in prop_oneof![any::<f64>(), 0.0..9.0],
            note in ".{0,300}",
            confidence in prop_oneof![any::<f64>(), 0.0..1.0],
            extra in proptest::option::of(".{1,90}"),
        ) {
            let mut value = good();
            value["labels"] = json!({ "size": size, "legs": legs, "note": note });
            value["confidence"] = json!(confidence);
            if let Some(extra) = &extra {
                value["labels"][extra] = json!(1);
            }
            match one(&value) {
                Found::Valid(answer) => prop_assert_kept(&answer)?,
                Found::Invalid(why) => prop_assert!(why.chars().count() <= LONGEST_COMPLAINT + 1),
                Found::Missing => prop_assert!(false, "one answer to one question is there"),
            }
        }
    }
}
