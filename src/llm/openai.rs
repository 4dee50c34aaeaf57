//! OpenAI's Chat Completions, also as spoken by compatible servers: request bodies and replies. Pure.
//!
//! <https://platform.openai.com/docs/api-reference/chat/create>. Chat Completions rather than Responses,
//! because it is what Ollama, LM Studio, vLLM, llama.cpp and gateways speak, and one format is enough. All of these
//! take `response_format` with a `json_schema`.

use serde_json::{Value, json};

use super::Provider;
use super::cache::matches_at_breakpoints;
use super::form::Form;
use super::wire::{Question, Reply, Stop, Tokens, ended, number, text};

/// Name of the schema, which the API asks for.
const SCHEMA: &str = "labels";

pub(super) fn body(question: &Question<'_>) -> Value {
    let is_openai = question.model.provider == Provider::OpenAi;
    let breakpoint = is_openai && matches_at_breakpoints(&question.model.name);
    let system = if question.form == Form::Json {
        question.prompt.system_with_schema().into()
    } else if breakpoint {
        json!([{ "type": "text", "text": question.prompt.system(), "prompt_cache_breakpoint": { "mode": "explicit" } }])
    } else {
        question.prompt.system().into()
    };
    let mut body = json!({
        "model": question.model.name,
        "messages": [
            { "role": "system", "content": system },
            { "role": "user", "content": question.user },
        ],
        "response_format": response_format(question),
    });
    // OpenAI's models that reason refuse the old name; several compatible servers do not know the new one.
    let limit = match question.model.provider {
        Provider::Compatible => "max_tokens",
        Provider::OpenAi | Provider::Anthropic => "max_completion_tokens",
    };
    body[limit] = question.room.into();
    // Other servers cache by themselves, and may refuse what they do not know.
    if is_openai {
        body["prompt_cache_key"] = question.cache_key.into();
    }
    if breakpoint {
        // Without another breakpoint behind the indicators: nobody would ever read what is written there.
        body["prompt_cache_options"] = json!({ "mode": "explicit" });
    }
    if let Some(effort) = question.options.effort {
        body["reasoning_effort"] = effort.name().into();
    }
    if let Some(temperature) = question.options.temperature {
        body["temperature"] = temperature.into();
    }
    body
}

fn response_format(question: &Question<'_>) -> Value {
    let schema = question.prompt.schema();
    let schema = match question.form {
        Form::Json => return json!({ "type": "json_object" }),
        Form::Strict => schema.value(),
        Form::Bounded => schema.bounded(),
    };
    json!({ "type": "json_schema", "json_schema": { "name": SCHEMA, "strict": true, "schema": schema } })
}

/// What a message says: a text, or a list of parts of which some are what the model thought.
fn said(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let is_text = |part: &&Value| matches!(text(part, "/type"), Some("text" | "output_text"));
            parts.iter().filter(is_text).filter_map(|part| text(part, "/text")).collect()
        }
        _ => String::new(),
    }
}

/// Reads a reply; `None` where it is none.
pub(super) fn reply(body: &Value) -> Option<Reply> {
    let choice = body.pointer("/choices/0")?;
    let message = choice.get("message")?.as_object()?;
    let content = said(message.get("content"));
    let refusal = message.get("refusal").and_then(Value::as_str).filter(|refusal| !refusal.is_empty());
    let stop = match (refusal, text(choice, "/finish_reason")) {
        (Some(refusal), _) => Stop::Refused(refusal.to_owned()),
        (None, Some("length")) => Stop::Truncated,
        (None, Some("content_filter")) => Stop::Refused("stopped by the provider's content filter".into()),
        // Servers have more words for the end; what the answer is worth is for `validate` to say.
        (None, _) => Stop::Finished,
    };
    let tokens = body.get("usage").filter(|usage| usage.is_object()).map(|usage| Tokens {
        input: number(usage, "/prompt_tokens"),
        cached: number(usage, "/prompt_tokens_details/cached_tokens"),
        // Only models since GPT-5.6 have it: they bill what they write.
        written: number(usage, "/prompt_tokens_details/cache_write_tokens"),
        output: number(usage, "/completion_tokens"),
    });
    Some(Reply {
        stop: ended(stop, &content),
        content,
        model: text(body, "/model").map(str::to_owned),
        tokens,
    })
}

/// The message of an error body: `{"error":{"message":…}}`, or `{"error":"…"}` as Ollama has it.
pub(super) fn error_message(body: &Value) -> Option<&str> {
    text(body, "/error/message").or_else(|| text(body, "/error")).or_else(|| text(body, "/message"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::wire::tests::{question, question_for, snapshot};

    #[test]
    fn bodies_are_the_recorded_ones() {
        for provider in [Provider::OpenAi, Provider::Compatible] {
            question(provider, 1, |question| snapshot(&format!("{provider}.json"), &body(question)));
        }
        question(Provider::OpenAi, 2, |question| snapshot("openai-list.json", &body(question)));
        question_for("gpt-6-luna", Provider::OpenAi, 1, |question| {
            snapshot("openai-breakpoint.json", &body(question));
        });
    }

    #[test]
    fn ends_are_told_apart() {
        let of = |choice: Value| {
            let usage = json!({
                "prompt_tokens": 1_700, "completion_tokens": 90, "total_tokens": 1_790,
                "prompt_tokens_details": { "cached_tokens": 1_408 },
            });
            reply(&json!({ "model": "gpt-x-2026", "choices": [choice], "usage": usage })).unwrap()
        };
        let finished =
            of(json!({ "message": { "content": "{}", "refusal": null }, "finish_reason": "stop" }));
        assert_eq!((finished.stop, finished.content.as_str()), (Stop::Finished, "{}"));
        assert_eq!(finished.tokens, Some(Tokens { input: 1_700, cached: 1_408, written: 0, output: 90 }));
        assert_eq!(finished.model.as_deref(), Some("gpt-x-2026"));
        let cut = of(json!({ "message": { "content": "{" }, "finish_reason": "length" }));
        assert_eq!(cut.stop, Stop::Truncated);
        let thought_too_long = of(json!({ "message": { "content": "" }, "finish_reason": "length" }));
        assert_eq!(thought_too_long.stop, Stop::Truncated, "the limit is the reason, not the silence");
        let refused =
            of(json!({ "message": { "content": null, "refusal": "No." }, "finish_reason": "stop" }));
        assert_eq!(refused.stop, Stop::Refused("No.".into()));
        let filtered = of(json!({ "message": { "content": "" }, "finish_reason": "content_filter" }));
        assert!(matches!(filtered.stop, Stop::Refused(_)));
        let parts = json!([
            { "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] },
            { "type": "text", "text": "{\"a\":" }, { "type": "text", "text": "1}" },
        ]);
        let parts = of(json!({ "message": { "content": parts }, "finish_reason": "stop" }));
        assert_eq!((parts.stop, parts.content.as_str()), (Stop::Finished, "{\"a\":1}"));
        let empty = of(json!({ "message": { "content": null }, "finish_reason": "stop" }));
        assert_eq!(empty.stop, Stop::Empty);
    }

    #[test]
    fn what_is_no_reply_is_none() {
        for body in
            [json!({}), json!({ "choices": [] }), json!({ "choices": [{ "message": "hi" }] }), json!([])]
        {
            assert_eq!(reply(&body), None, "{body}");
        }
    }
}
