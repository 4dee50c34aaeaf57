//! What both wire formats have in common: a question, and a reply that ended one way or another.

use serde_json::Value;

use super::form::Form;
use super::{Model, ModelOptions, Prompt};
pub(super) use crate::domain::money::Tokens;

/// One request, before it has a wire format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) model: &'a Model,
    pub(super) options: ModelOptions,
    pub(super) prompt: &'a Prompt,
    /// The user's message, of so many indicators.
    pub(super) user: &'a str,
    pub(super) items: usize,
    /// Most tokens the answer may take.
    pub(super) room: u64,
    /// What OpenAI shall look for the shared beginning under.
    pub(super) cache_key: &'a str,
    /// How the form of the answer is asked for.
    pub(super) form: Form,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The model had said what it had to say.
    Finished,
    /// The limit on output tokens cut it off.
    Truncated,
    /// The model's context window cut it off: more room for the answer is no help.
    Full,
    /// The model, or a filter in front of it, declined.
    Refused(String),
    /// It ended without a word.
    Empty,
}

/// A reply as either format gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// What the model said.
    pub(super) content: String,
    /// How it ended.
    pub(super) stop: Stop,
    /// Model that answered, as it calls itself.
    pub(super) model: Option<String>,
    /// Tokens the provider counted; `None` where it did not.
    pub(super) tokens: Option<Tokens>,
}

/// A text at `pointer`, where there is one.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// A count at `pointer`; none there counts as 0.
pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// A reply that is finished and says nothing is empty.
pub(super) fn ended(stop: Stop, content: &str) -> Stop {
    if stop == Stop::Finished && content.trim().is_empty() { Stop::Empty } else { stop }
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};
    use std::path::Path;

    use super::*;
    use crate::domain::indicator::{Indicator, Sample};
    use crate::llm::Provider;
    use crate::taxonomy::Taxonomy;

    /// A question about `items` indicators, with a temperature where there is more than one.
    pub(crate) fn question(provider: Provider, items: usize, then: impl FnOnce(&Question<'_>)) {
        question_for("some-model", provider, items, then);
    }

    /// The same, for a model.
    pub(crate) fn question_for(
        name: &str,
        provider: Provider,
        items: usize,
        then: impl FnOnce(&Question<'_>),
    ) {
        let options = ModelOptions {
            temperature: (items > 1).then_some(0.0),
            max_output_tokens: NonZeroU32::new(600).unwrap(),
            most_room: 64_000,
            items_per_call: NonZeroUsize::new(items).unwrap(),
            effort: None,
            form: None,
        };
        let indicator = |number: usize| Indicator {
            id: format!("row-{number}"),
            name: "Unemployment rate, \"harmonised\" <15-74>".into(),
            units: Some("%".into()),
            sample_values: vec![Sample { date: "2025-12".into(), value: Some(4.25) }],
            ..Indicator::default()
        };
        let prompt = Prompt::new(Taxonomy::economic(), options.items_per_call);
        let rows: Vec<_> = (1..=items).map(indicator).collect();
        let user = prompt.user(&rows, None);
        let model = Model { provider, name: name.into() };
        let (room, cache_key) = (options.room(items), "classify-0123456789abcdef-0");
        let form = Form::Strict;
        then(&Question {
            model: &model,
            options,
            prompt: &prompt,
            user: &user,
            items,
            room,
            cache_key,
            form,
        });
    }

    /// Compares a body with the one on record.
    pub(crate) fn snapshot(file: &str, body: &Value) {
        recorded(file, &format!("{body:#}\n"));
    }

    /// Compares `text` with what is on record under `tests/snapshots`. `SNAPSHOTS=write` records it anew.
    pub(crate) fn recorded(file: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(file);
        if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "write") {
            std::fs::write(&path, text).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(recorded == text, "{} is not what is sent now:\n{text}", path.display());
    }
}
