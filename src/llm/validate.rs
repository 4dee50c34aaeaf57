//! Whether an answer's text answers the question. Trusts nothing: a schema was sent, and some servers ignore it.
//!
//! Strict about labels. What else is not as it was asked for costs no paid labels: it is noted.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::unwrap::{self, Unwrapped};
use crate::taxonomy::{Answer, Field};
use crate::text::{printable, shorten, without_controls};

/// Most bytes of an answer per indicator; a full one takes under 1,000.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Most characters of a label that may be any text.
pub(super) const LONGEST_LABEL: usize = 200;
/// Characters of a reasoning that are kept; it was asked to be one sentence.
const LONGEST_REASONING: usize = 500;
/// Most characters of a complaint: it is sent back to the model, and shown.
const LONGEST_COMPLAINT: usize = 600;
/// Problems a complaint names, and remarks a row gets.
const MOST_PROBLEMS: usize = 5;
/// Most characters of a name or value in a remark.
const QUOTED: usize = 60;

/// What an answer says about one indicator.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// A valid answer.
    Valid(Read),
    /// One that breaks the rules; the complaint says which, in words a model can act on.
    Invalid(String),
    /// One that the limit on output cut off, and not behind its labels.
    CutOff(String),
    /// Nothing.
    Missing,
}

/// A valid answer, and what was not as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    pub(super) answer: Answer,
    /// In words for a person; safe to show.
    pub(super) notes: Vec<String>,
}

/// Reads the answer to a request with `count` indicators, in their order. With `is_list`, each answer says by its
/// number whose it is; numbers nobody asked about are ignored.
pub(super) fn check(text: &str, fields: &[Field], is_list: bool, count: usize) -> Vec<Found> {
    let whole = |complaint: &str| vec![Found::Invalid(bounded(complaint)); count];
    if text.len() > LONGEST_ANSWER.saturating_mul(count) {
        return whole("the answer is far too long");
    }
    let Unwrapped { value, around } = match unwrap::object(text) {
        Ok(found) => found,
        Err(problem) => return whole(&problem),
    };
    let mut object = value;
    let around = around.then(|| "the answer had text around it, which was left out".to_owned());
    if !is_list {
        return vec![found(answer(object, fields, around))];
    }
    let Some(Value::Array(items)) = object.remove("items") else {
        return whole("`items` is not a list");
    };
    if let Some(extra) = object.keys().next() {
        return whole(&format!("`{}` was not asked for", shorten(extra, QUOTED)));
    }
    list(items, fields, count)
}

/// Reads an answer about one indicator that was cut off: labels and confidence count where they stand there in full and
/// the cut is in the reasoning behind them.
pub(super) fn cut_off(text: &str, fields: &[Field]) -> Option<Read> {
    let object = unwrap::cut_in_last_text(text).filter(|_| text.len() <= LONGEST_ANSWER)?;
    if object.keys().next_back()? != "reasoning" {
        return None;
    }
    let note = "the answer was cut off in its reasoning".to_owned();
    answer(object, fields, Some(note)).ok()
}

fn list(items: Vec<Value>, fields: &[Field], count: usize) -> Vec<Found> {
    let mut answers = vec![Found::Missing; count];
    for item in items {
        let Value::Object(mut object) = item else { continue };
        let number = object.remove("item").as_ref().and_then(Value::as_u64);
        let place = number.and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        let Some(slot) = place.and_then(|place| answers.get_mut(place)) else { continue };
        *slot = match slot {
            Found::Missing => found(answer(object, fields, None)),
            _ => Found::Invalid("the item was answered twice".into()),
        };
    }
    answers
}

fn found(answer: Result<Read, String>) -> Found {
    answer.map_or_else(Found::Invalid, Found::Valid)
}

fn answer(mut object: Map<String, Value>, fields: &[Field], note: Option<String>) -> Result<Read, String> {
    let mut problems = Problems::default();
    let mut notes: Vec<String> = note.into_iter().collect();
    let labels = match object.remove("labels") {
        Some(Value::Object(labels)) => labels_of(labels, fields, &mut problems, &mut notes),
        Some(_) => problems.about("labels", "not an object"),
        None => problems.about("labels", "missing"),
    };
    let confidence = confidence(object.remove("confidence").as_ref(), &mut notes);
    let reasoning = match object.remove("reasoning") {
        Some(Value::String(text)) => {
            let text = without_controls(&text);
            Some(text.trim()).filter(|text| !text.is_empty()).map(|text| shorten(text, LONGEST_REASONING))
        }
        Some(_) => noted(&mut notes, "`reasoning` was no text"),
        None => noted(&mut notes, "`reasoning` was missing"),
    };
    for name in object.keys() {
        notes.push(format!("`{}` was not asked for", shorten(name, QUOTED)));
    }
    let notes = notes.iter().take(MOST_PROBLEMS).map(|note| bounded(note)).collect();
    problems.none_or(Answer { labels, confidence, reasoning }).map(|answer| Read { answer, notes })
}

fn noted<T>(notes: &mut Vec<String>, note: &str) -> Option<T> {
    notes.push(note.to_owned());
    None
}

fn labels_of(
    mut given: Map<String, Value>,
    fields: &[Field],
    problems: &mut Problems,
    notes: &mut Vec<String>,
) -> Map<String, Value> {
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
            match field.respelled(&value) {
                Some(meant) => {
                    let given = shorten(value.as_str().unwrap_or_default(), QUOTED);
                    notes.push(format!("`{}` was given as `{given}`", field.name));
                    labels.insert(field.name.clone(), meant);
                }
                None => problems.add(&field.name, &why),
            }
        } else {
            labels.insert(field.name.clone(), value);
        }
    }
    for name in given.keys() {
        problems.add(name, "was not asked for");
    }
    labels
}

/// The confidence, from 0 to 1; none at all where the answer has none that can be read.
fn confidence(given: Option<&Value>, notes: &mut Vec<String>) -> f64 {
    let Some(given) = given else {
        notes.push("`confidence` was missing and counts as 0".to_owned());
        return 0.0;
    };
    let number = match given {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let shown = shorten(&given.to_string(), QUOTED);
    match number {
        Some(sure) if (0.0..=1.0).contains(&sure) => sure,
        // The sum of some shares, or rounding.
        Some(sure) if sure > 1.0 && sure <= 1.01 => {
            notes.push(format!("`confidence` was {shown} and counts as 1"));
            1.0
        }
        // 4.5 may be of 5 or of 100; from 10 on it is a percentage.
        Some(percent) if (10.0..=100.0).contains(&percent) => {
            notes.push(format!("`confidence` was {shown} and counts as {}", percent / 100.0));
            percent / 100.0
        }
        _ => {
            notes.push(format!("`confidence` was {shown} and counts as 0"));
            0.0
        }
    }
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
        let Found::Valid(Read { answer, notes }) = one(&good()) else { panic!() };
        assert_eq!(notes, [""; 0]);
        assert_eq!(Value::Object(answer.labels.clone()), json!({ "size": "big", "legs": 4, "note": "" }));
        assert_eq!(answer.labels.keys().collect::<Vec<_>>(), ["size", "legs", "note"]);
        assert_eq!((answer.confidence, answer.reasoning.as_deref()), (0.87, Some("It is.")));
    }

    #[test]
    fn every_rule_is_checked_and_named() {
        for (complaint, expected) in [
            (complaint(|v| v["labels"]["size"] = json!("huge")), "`size`: `huge` is none of big, tiny"),
            (complaint(|v| v["labels"]["legs"] = json!(-1)), "`legs`: -1 is below 0"),
            (complaint(|v| v["labels"]["colour"] = json!("red")), "`colour`: was not asked for"),
            (complaint(|v| v["labels"]["note"] = json!("x".repeat(201))), "`note`: far too long"),
            (complaint(|v| v["labels"] = json!([])), "`labels`: not an object"),
            (complaint(|v| *v = json!({})), "`labels`: missing"),
        ] {
            assert_eq!(complaint, expected);
        }
    }

    #[test]
    fn a_reasoning_has_no_power_over_a_terminal() {
        let mut value = good();
        value["reasoning"] = json!("It\u{1b}]0;PWN\u{7} is\r\n\tso\u{9b}2J\u{202e}.\u{0}");
        let (_, _, reasoning, notes) = read(&value.to_string());
        assert_eq!((reasoning.as_deref(), notes), (Some("It]0;PWN is   so2J."), vec![]));
        value["reasoning"] = json!("\u{1b}\u{7}\n");
        assert_eq!(read(&value.to_string()).2, None);
    }

    fn read(text: &str) -> (Value, f64, Option<String>, Vec<String>) {
        match check(text, small().fields(), false, 1).remove(0) {
            Found::Valid(Read { answer, notes }) => {
                (Value::Object(answer.labels), answer.confidence, answer.reasoning, notes)
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_answer_is_found_in_what_is_around_it() {
        let good = good().to_string();
        let noted = vec!["the answer had text around it, which was left out".to_owned()];
        for (text, notes) in [
            (format!("```json\n{good}\n```"), vec![]),
            (format!("\n```\n{good}\n```\n"), vec![]),
            (format!("<think>\nIt may be {{\"labels\":1}}.\n</think>\n\n{good}"), vec![]),
            (format!("No opening tag.</think>```json\n{good}\n```"), vec![]),
            (format!("Here is the JSON:\n\n```json\n{good}\n```"), noted.clone()),
            (format!("Here it is: {good}"), noted.clone()),
            (format!("{good}\n\nLet me know if you need more."), noted),
        ] {
            let (labels, confidence, _, said) = read(&text);
            assert_eq!((&labels["size"], confidence, said), (&json!("big"), 0.87, notes), "{text}");
        }
        for text in [
            "```json\n```".to_owned(),
            "<think>I never stop thinking".to_owned(),
            format!("{good}{good}"),
            format!("one: {good} two: {good}"),
            "Sure! {size: big}".to_owned(),
        ] {
            let found = check(&text, small().fields(), false, 1).remove(0);
            assert!(matches!(found, Found::Invalid(_)), "{text}: {found:?}");
        }
    }

    #[test]
    fn labels_that_differ_in_case_or_blanks_are_meant() {
        let text = |size: &str| {
            let mut value = good();
            value["labels"]["size"] = size.into();
            value.to_string()
        };
        for size in ["Big", " big ", "BIG\n"] {
            let (labels, _, _, notes) = read(&text(size));
            assert_eq!(labels["size"], "big", "{size:?}");
            assert_eq!(notes.len(), 1, "{notes:?}");
            assert!(notes[0].starts_with("`size` was given as `"), "{notes:?}");
        }
        for size in ["b ig", "bigger", "b\u{ed}g", ""] {
            let found = check(&text(size), small().fields(), false, 1).remove(0);
            assert!(matches!(found, Found::Invalid(_)), "{size}: {found:?}");
        }
    }

    #[test]
    fn what_is_no_label_costs_no_labels() {
        let with = |change: fn(&mut Value)| {
            let mut value = good();
            change(&mut value);
            read(&value.to_string())
        };
        for (changed, sure, note) in [
            (with(|v| v["confidence"] = json!(95)), 0.95, "`confidence` was 95 and counts as 0.95"),
            (
                with(|v| v["confidence"] = json!(1.000_000_1)),
                1.0,
                "`confidence` was 1.0000001 and counts as 1",
            ),
            (with(|v| v["confidence"] = json!(4.5)), 0.0, "`confidence` was 4.5 and counts as 0"),
            (with(|v| v["confidence"] = json!(-3)), 0.0, "`confidence` was -3 and counts as 0"),
            (with(|v| v["confidence"] = json!("high")), 0.0, "`confidence` was \"high\" and counts as 0"),
            (
                with(|v| drop(v.as_object_mut().unwrap().remove("confidence"))),
                0.0,
                "`confidence` was missing and counts as 0",
            ),
            (with(|v| drop(v.as_object_mut().unwrap().remove("reasoning"))), 0.87, "`reasoning` was missing"),
            (with(|v| v["reasoning"] = Value::Null), 0.87, "`reasoning` was no text"),
            (with(|v| v["size"] = json!("big")), 0.87, "`size` was not asked for"),
        ] {
            assert_eq!((changed.1, changed.3), (sure, vec![note.to_owned()]));
            assert_eq!(changed.0["size"], "big");
        }
        assert!((with(|v| v["confidence"] = json!(" 0.8 ")).1 - 0.8).abs() < 1e-9);
    }

    #[test]
    fn an_answer_that_ends_in_its_reasoning_keeps_its_labels() {
        let (fields, good) = (small(), good().to_string());
        let of = |text: &str| cut_off(text, fields.fields());
        let behind = good.find("It is").unwrap();
        for end in [behind, behind + 1, good.len() - 3] {
            let read = of(&good[..end]).unwrap();
            assert_eq!((read.answer.labels["size"].as_str(), read.answer.confidence), (Some("big"), 0.87));
            assert_eq!(read.notes, ["the answer was cut off in its reasoning"]);
        }
        assert!(of(&format!("{}\\", &good[..behind + 2])).is_some(), "in the middle of an escape");
        for end in 0..behind - 3 {
            assert_eq!(of(&good[..end]), None, "{}", &good[..end]);
        }
        assert_eq!(of(r#"{"reasoning":"because","labels":{"size":"big","legs":1,"note":"al"#), None);
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
        assert!(matches!(&found[0], Found::Valid(read) if read.answer.labels["size"] == "tiny"), "{found:?}");
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

    fn prop_assert_kept(read: &Read) -> Result<(), TestCaseError> {
        let Read { answer, notes } = read;
        prop_assert!(notes.len() <= MOST_PROBLEMS, "{notes:?}");
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
                    Found::Valid(read) => prop_assert_kept(&read)?,
                    Found::Invalid(why) => prop_assert!(why.chars().count() <= LONGEST_COMPLAINT + 1, "{why}"),
                    Found::Missing => prop_assert!(list, "one answer to one question is there"),
                    Found::CutOff(_) => prop_assert!(false, "nobody said so"),
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
                Found::Valid(read) => prop_assert_kept(&read)?,
                Found::Invalid(why) => prop_assert!(why.chars().count() <= LONGEST_COMPLAINT + 1),
                Found::Missing | Found::CutOff(_) => prop_assert!(false, "one answer to one question is there"),
            }
        }
    }
}
