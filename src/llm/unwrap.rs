//! The JSON object in what a model said: some put it into a code fence, behind what they thought, or between two
//! sentences. Strict about the object itself, and about there being one.

use serde_json::{Map, Value};

use super::strict;

/// Ends of what a model thinks aloud where its server does not take that out. The beginning may stand in the prompt.
const THOUGHT: &str = "</think>";
const FENCE: &str = "```";

/// The object an answer consists of.
#[derive(Debug, PartialEq)]
pub(super) struct Unwrapped {
    pub(super) value: Map<String, Value>,
    /// Whether there was text around it.
    pub(super) around: bool,
}

/// The object in `text`; the error says what is there instead, in words for the model.
pub(super) fn object(text: &str) -> Result<Unwrapped, String> {
    let text = text.trim();
    let error = match parse(text) {
        Ok(value) => return Ok(Unwrapped { value, around: false }),
        Err(error) => error,
    };
    let said = thoughts_left_out(text);
    let fenced = fenced(said);
    for (candidate, around) in [
        (Some(said), false),
        (fenced.map(|(inside, _)| inside), fenced.is_some_and(|(_, around)| around)),
        (between_braces(said), true),
    ] {
        if let Some(Ok(value)) = candidate.map(parse) {
            return Ok(Unwrapped { value, around });
        }
    }
    Err(error)
}

fn parse(text: &str) -> Result<Map<String, Value>, String> {
    match strict::parse(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the answer is not a JSON object".into()),
        Err(error) => Err(format!("the answer is not JSON: {error}")),
    }
}

fn thoughts_left_out(text: &str) -> &str {
    text.rsplit_once(THOUGHT).map_or(text, |(_, said)| said).trim()
}

/// What stands in the only code fence, and whether anything stands around that.
fn fenced(text: &str) -> Option<(&str, bool)> {
    let (before, rest) = text.split_once(FENCE)?;
    let (inside, after) = rest.split_once(FENCE)?;
    if after.contains(FENCE) {
        return None;
    }
    // The first line may name the language.
    let inside = inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    Some((inside.trim(), !before.trim().is_empty() || !after.trim().is_empty()))
}

fn between_braces(text: &str) -> Option<&str> {
    text.get(text.find('{')?..=text.rfind('}')?)
}

/// The object in a text that ends within a text value of its outermost level, as if that value ended there.
pub(super) fn cut_in_last_text(text: &str) -> Option<Map<String, Value>> {
    let said = thoughts_left_out(text);
    let said = said.get(said.find('{')?..)?;
    let (mut depth, mut in_text, mut escape) = (0_usize, false, None);
    for (at, byte) in said.bytes().enumerate() {
        match (in_text, byte) {
            (true, b'\\') if escape != Some(at) => escape = Some(at + 1),
            (true, b'"') if escape != Some(at) => in_text = false,
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    if !in_text || depth != 1 {
        return None;
    }
    // An escape of which only a part is there: `\`, `\u12`.
    let whole = escape.map_or(said, |at| {
        let begun = &said[at - 1..];
        let complete = begun.len() >= if begun.starts_with("\\u") { 6 } else { 2 };
        if complete { said } else { &said[..at - 1] }
    });
    parse(&format!("{whole}\"}}")).ok()
}
