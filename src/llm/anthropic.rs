//! Anthropic's Messages: request bodies and replies. Pure.
//!
//! <https://platform.claude.com/docs/en/api/messages>. The answer's form is asked for with `output_config.format`,
//! which is generally available without a beta header
//! (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>); forcing a tool is refused by models
//! that always think. The system prompt is marked for the cache, which takes hold from 512 to 4,096 tokens on,
//! depending on the model (<https://platform.claude.com/docs/en/build-with-claude/prompt-caching>).

use serde_json::{Value, json};

use super::wire::{Question, Reply, Stop, Tokens, ended, number, text};

/// Header and value every request carries.
pub(super) const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

pub(super) fn body(question: &Question<'_>) -> Value {
    let mut body = json!({
        "model": question.model.name,
        "max_tokens": question.room,
        "system": [
            { "type": "text", "text": question.prompt.system(), "cache_control": { "type": "ephemeral" } },
        ],
        "messages": [{ "role": "user", "content": question.user }],
        "output_config": {
            "format": { "type": "json_schema", "schema": question.prompt.schema().value() },
        },
    });
    // <https://platform.claude.com/docs/en/build-with-claude/effort>
    if let Some(effort) = question.options.effort {
        body["output_config"]["effort"] = effort.name().into();
    }
    if let Some(temperature) = question.options.temperature {
        body["temperature"] = temperature.into();
    }
    body
}

/// Reads a reply; `None` where it is none.
pub(super) fn reply(body: &Value) -> Option<Reply> {
    // Models that think say so in blocks of their own, which are not part of the answer.
    let blocks = body.get("content")?.as_array()?;
    let texts = blocks.iter().filter(|block| text(block, "/type") == Some("text"));
    let content: String = texts.filter_map(|block| text(block, "/text")).collect();
    let stop = match text(body, "/stop_reason") {
        Some("max_tokens") => Stop::Truncated,
        Some("model_context_window_exceeded") => Stop::Full,
        Some("refusal") => Stop::Refused("the model declined to answer".into()),
        _ => Stop::Finished,
    };
    let tokens = body.get("usage").filter(|usage| usage.is_object()).map(|usage| {
        // Here `input_tokens` are only those that neither came from the cache nor went into it.
        let (cached, written) =
            (number(usage, "/cache_read_input_tokens"), number(usage, "/cache_creation_input_tokens"));
        let input = number(usage, "/input_tokens").saturating_add(cached).saturating_add(written);
        Tokens { input, cached, written, output: number(usage, "/output_tokens") }
    });
    Some(Reply {
        stop: ended(stop, &content),
        content,
        model: text(body, "/model").map(str::to_owned),
        tokens,
    })
}

/// The message of an error body: `{"type":"error","error":{"type":…,"message":…}}`.
pub(super) fn error_message(body: &Value) -> Option<&str> {
    text(body, "/error/message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Provider;
    use crate::llm::wire::tests::{question, snapshot};

    #[test]
    fn the_body_is_the_recorded_one() {
        question(Provider::Anthropic, 1, |question| snapshot("anthropic.json", &body(question)));
        question(Provider::Anthropic, 2, |question| snapshot("anthropic-list.json", &body(question)));
    }

    #[test]
    fn ends_are_told_apart() {
        let of = |content: Value, stop_reason: &str| {
            let usage = json!({
                "input_tokens": 200, "cache_read_input_tokens": 1_500, "cache_creation_input_tokens": 7,
                "output_tokens": 90,
            });
            let body = json!({ "model": "claude-x", "content": content, "stop_reason": stop_reason, "usage": usage });
            reply(&body).unwrap()
        };
        let thinking = json!([{ "type": "thinking", "thinking": "hm" }, { "type": "text", "text": "{}" }]);
        let finished = of(thinking, "end_turn");
        assert_eq!((finished.stop, finished.content.as_str()), (Stop::Finished, "{}"));
        assert_eq!(finished.tokens, Some(Tokens { input: 1_707, cached: 1_500, written: 7, output: 90 }));
        assert_eq!(of(json!([{ "type": "text", "text": "{" }]), "max_tokens").stop, Stop::Truncated);
        let full = of(json!([{ "type": "text", "text": "{" }]), "model_context_window_exceeded");
        assert_eq!(full.stop, Stop::Full, "more room would be no help");
        assert!(matches!(of(json!([]), "refusal").stop, Stop::Refused(_)));
        assert_eq!(of(json!([]), "end_turn").stop, Stop::Empty);
    }

    #[test]
    fn what_is_no_reply_is_none() {
        for body in [json!({}), json!({ "content": "hi" }), json!("hi")] {
            assert_eq!(reply(&body), None, "{body}");
        }
    }
}
