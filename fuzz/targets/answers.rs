//! The text of a model's answer: as many judgements as indicators, and none that breaks a rule of the taxonomy.

#![no_main]

use std::sync::LazyLock;

use classify::fuzzing::llm;
use classify::taxonomy::Taxonomy;
use classify_fuzz::memory;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Characters of a complaint and of a reasoning, with the ellipsis.
const COMPLAINT: usize = 601;
const REASONING: usize = 501;

static SMALL: LazyLock<Taxonomy> = LazyLock::new(|| {
    let text = r"
        name = 'small'
        version = 1
        [[fields]]
        name = 'size'
        kind = 'enum'
        description = 'How big.'
        fallback = { value = 'big', weight = 0 }
        values = [{ value = 'big', description = 'Big.' }, { value = 'tiny', description = 'Tiny.' }]
        [[fields]]
        name = 'legs'
        kind = 'number'
        min = 0
        max = 8
        description = 'How many.'
        fallback = { value = 1, weight = 0 }
        [[fields]]
        name = 'wild'
        kind = 'boolean'
        description = 'Whether it is.'
        fallback = { value = true, weight = 0 }
        [[fields]]
        name = 'code'
        kind = 'string'
        pattern = '[a-z]{2}|x'
        description = 'Two letters.'
        fallback = { value = 'x', weight = 0 }
        [[fields]]
        name = 'note'
        kind = 'string'
        description = 'What else.'
        fallback = { value = '', weight = 0 }";
    Taxonomy::parse(text).expect("it is a taxonomy")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let (is_list, count) = (first & 1 == 1, usize::from(first >> 1) % 4);
    let count = if is_list { count } else { 1 };
    let fields = SMALL.fields();
    let judged = memory::within(64 * 1024 + 256 * bytes.len() * (1 + count), || {
        llm::answers(&text, fields, is_list, count)
    });
    assert_eq!(judged.len(), count);
    for judged in judged {
        match judged {
            Ok(Some(answer)) => {
                let names: Vec<&str> = answer.labels.keys().map(String::as_str).collect();
                assert_eq!(names, fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>());
                for field in fields {
                    assert_eq!(field.check(&answer.labels[&field.name]), Ok(()));
                }
                assert!((0.0..=1.0).contains(&answer.confidence));
                let reasoning = answer.reasoning.as_deref();
                assert!(
                    reasoning.is_none_or(|text| !text.trim().is_empty() && text.chars().count() <= REASONING)
                );
                // What was valid is valid when it is said again.
                let again = json!({
                    "labels": Value::Object(answer.labels.clone()),
                    "confidence": answer.confidence,
                    "reasoning": reasoning.unwrap_or_default(),
                });
                let again = llm::answers(&again.to_string(), fields, false, 1);
                let [Ok(Some(again))] = again.as_slice() else { panic!("{again:?}") };
                assert_eq!(
                    (&again.labels, again.confidence.to_bits()),
                    (&answer.labels, answer.confidence.to_bits())
                );
            }
            Ok(None) => assert!(is_list, "one answer to one question is there"),
            Err(complaint) => {
                assert!(!complaint.is_empty() && complaint.chars().count() <= COMPLAINT, "{complaint}");
                assert!(
                    !complaint.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c))
                );
                let shown = llm::shown(&complaint);
                assert!(!llm::has_key(&shown), "{shown}");
            }
        }
    }
});
