//! The two wire formats from the provider's side: what is refused, and what answers look like.

use serde_json::{Value, json};

use super::KEY;
use super::cache::has_breakpoints;
use super::fault::{Fault, Takes};

/// Which API was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Compatible,
    Anthropic,
}

/// What matters of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) system: String,
    pub(super) user: String,
    pub(super) schema: Value,
    /// Most tokens of the answer.
    pub(super) room: u64,
    /// How its form was asked for.
    pub(super) form: &'static str,
    /// Whether there is a mark for the cache behind the system prompt.
    pub(super) breakpoint: bool,
    /// Whether nothing else may be written to the cache.
    pub(super) explicit: bool,
    /// What requests that belong together are found by.
    pub(super) cache_key: Option<String>,
}

/// Numbers of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) input: u64,
    /// Of these, from the cache.
    pub(super) cached: u64,
    /// Of these, into the cache.
    pub(super) written: u64,
    pub(super) output: u64,
}

/// Status and message of a refusal.
pub(super) type Refused = (u16, String);

impl Dialect {
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::OpenAi),
            "/compatible/v1/chat/completions" => Some(Self::Compatible),
            "/v1/messages" => Some(Self::Anthropic),
            _ => None,
        }
    }

    /// Checks headers, of which `header` gives one by name.
    pub(super) fn authorize<'a>(self, header: impl Fn(&str) -> Option<&'a str>) -> Result<(), Refused> {
        if header("content-type") != Some("application/json") {
            return Err((400, "content-type must be application/json".into()));
        }
        let bearer = format!("Bearer {KEY}");
        let said = |name| header(name).unwrap_or_default();
        match self {
            Self::OpenAi if header("authorization") == Some(bearer.as_str()) => Ok(()),
            Self::OpenAi => Err((401, format!("Incorrect API key provided: {}", said("authorization")))),
            Self::Anthropic if header("x-api-key") != Some(KEY) => {
                Err((401, format!("invalid x-api-key {}", said("x-api-key"))))
            }
            Self::Anthropic if header("anthropic-version") != Some("2023-06-01") => {
                Err((400, "anthropic-version: header is required".into()))
            }
            Self::Compatible | Self::Anthropic => Ok(()),
        }
    }

    /// Reads a request as strictly as the provider does.
    pub(super) fn read(self, body: &Value, takes: Takes) -> Result<Asked, Refused> {
        let asked = if self == Self::Anthropic { anthropic(body) } else { openai(body, self, takes) };
        let asked = asked.map_err(|problem| (400, problem))?;
        if asked.model.is_empty() || asked.system.is_empty() || asked.user.is_empty() {
            return Err((400, "model, system prompt and message must not be empty".into()));
        }
        if asked.form == "json" {
            return Ok(in_prompt(asked));
        }
        if asked.schema["type"] != "object" {
            return Err((400, "schema must be of type \"object\"".into()));
        }
        if takes != Takes::Bounded {
            strict(&asked.schema).map_err(|problem| (400, format!("Invalid schema: {problem}")))?;
        }
        Ok(asked)
    }

    pub(super) fn error(self, status: u16, message: &str) -> Value {
        let kind = match status {
            401 => "authentication_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        match self {
            Self::OpenAi | Self::Compatible => {
                json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
            }
            Self::Anthropic => json!({ "type": "error", "error": { "type": kind, "message": message } }),
        }
    }

    pub(super) fn reply(self, asked: &Asked, text: &str, count: Count, fault: Option<Fault>) -> Value {
        let Count { input, cached, written, output } = count;
        if self == Self::Anthropic {
            let stop = match fault {
                Some(Fault::Truncated | Fault::CutInReasoning) => "max_tokens",
                Some(Fault::Refusal) => "refusal",
                _ => "end_turn",
            };
            let content = if text.is_empty() { json!([]) } else { json!([{ "type": "text", "text": text }]) };
            return json!({
                "id": "msg_stub", "type": "message", "role": "assistant", "model": asked.model,
                "content": content, "stop_reason": stop, "stop_sequence": null,
                "usage": {
                    "input_tokens": input - cached - written, "cache_read_input_tokens": cached,
                    "cache_creation_input_tokens": written, "output_tokens": output,
                },
            });
        }
        let refused = fault == Some(Fault::Refusal);
        let content = match fault {
            Some(Fault::Parts) => json!([
                { "type": "thinking", "thinking": [{ "type": "text", "text": "Hm." }] },
                { "type": "text", "text": text },
            ]),
            _ if text.is_empty() => Value::Null,
            _ => text.into(),
        };
        let refusal = if refused { "I cannot help with that.".into() } else { Value::Null };
        let cut = matches!(fault, Some(Fault::Truncated | Fault::CutInReasoning));
        let reason = if cut { "length" } else { "stop" };
        let mut reply = json!({
            "id": "chatcmpl-stub", "object": "chat.completion", "created": 1_795_000_000, "model": asked.model,
            "choices": [{
                "index": 0, "finish_reason": reason, "logprobs": null,
                "message": { "role": "assistant", "content": content, "refusal": refusal },
            }],
            "usage": {
                "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
                "prompt_tokens_details": { "cached_tokens": cached },
            },
        });
        if self == Self::OpenAi && has_breakpoints(&asked.model) {
            reply["usage"]["prompt_tokens_details"]["cache_write_tokens"] = written.into();
        }
        reply
    }
}

fn openai(body: &Value, dialect: Dialect, takes: Takes) -> Result<Asked, String> {
    let is_openai = dialect == Dialect::OpenAi;
    let limit = if is_openai { "max_completion_tokens" } else { "max_tokens" };
    let mut optional = vec!["temperature", "reasoning_effort"];
    let model = string(body, "model")?;
    if is_openai {
        optional.push("prompt_cache_key");
        optional.extend(has_breakpoints(&model).then_some("prompt_cache_options"));
    }
    keys(body, &["model", "messages", "response_format", limit], &optional)?;
    positive(body, limit)?;
    effort(body, "reasoning_effort", &["none", "minimal", "low", "medium", "high", "xhigh"])?;
    let messages = body["messages"].as_array().ok_or("messages is not an array")?;
    for message in messages {
        keys(message, &["role", "content"], &[])?;
    }
    let [system, user] = messages.as_slice() else {
        return Err("expected a system and a user message".into());
    };
    if system["role"] != "system" || user["role"] != "user" {
        return Err("unexpected roles".into());
    }
    let (system, breakpoint) = marked(&system["content"], &model)?;
    let cache_key = body.get("prompt_cache_key").map(|_| string(body, "prompt_cache_key")).transpose()?;
    if cache_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 64) {
        return Err("prompt_cache_key: expected 1 to 64 characters".into());
    }
    let explicit = match body.get("prompt_cache_options") {
        None => false,
        Some(options) => {
            keys(options, &[], &["mode", "ttl"])?;
            options["mode"] == "explicit"
        }
    };
    let (schema, form) = form_of(&body["response_format"], takes)?;
    Ok(Asked {
        model,
        system,
        user: string(user, "content")?,
        schema,
        room: body[limit].as_u64().unwrap_or_default(),
        form,
        breakpoint,
        explicit,
        cache_key,
    })
}

/// The schema that stands in the prompt, as a model would read it.
fn in_prompt(asked: Asked) -> Asked {
    let schema = asked.system.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    Asked { schema: schema.unwrap_or_else(|| json!({ "type": "object" })), ..asked }
}

/// A message's text, and whether a breakpoint stands behind it.
fn marked(content: &Value, model: &str) -> Result<(String, bool), String> {
    let Some(parts) = content.as_array() else {
        return content.as_str().map(|text| (text.to_owned(), false)).ok_or_else(|| "no content".into());
    };
    let [part] = parts.as_slice() else { return Err("content: expected one part".into()) };
    keys(part, &["type", "text"], if has_breakpoints(model) { &["prompt_cache_breakpoint"] } else { &[] })?;
    let breakpoint = part.get("prompt_cache_breakpoint");
    if part["type"] != "text" || breakpoint.is_some_and(|mark| *mark != json!({ "mode": "explicit" })) {
        return Err("content: not a text, or not an explicit breakpoint".into());
    }
    Ok((string(part, "text")?, breakpoint.is_some()))
}

/// The schema, and how it was asked for.
fn form_of(format: &Value, takes: Takes) -> Result<(Value, &'static str), String> {
    if takes == Takes::Json {
        keys(format, &["type"], &[])
            .map_err(|_| "This response_format type is unavailable now".to_owned())?;
        return if format["type"] == "json_object" {
            Ok((json!({ "type": "object" }), "json"))
        } else {
            Err("This response_format type is unavailable now".into())
        };
    }
    keys(format, &["type", "json_schema"], &[])?;
    let schema = &format["json_schema"];
    keys(schema, &["name", "strict", "schema"], &[])?;
    let name = schema["name"].as_str().unwrap_or_default();
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if format["type"] != "json_schema"
        || schema["strict"] != true
        || name.is_empty()
        || !name.chars().all(named)
    {
        return Err("response_format is not a strict json_schema with a name".into());
    }
    let bounded = schema["schema"].to_string().contains("maxLength");
    Ok((schema["schema"].clone(), if bounded { "bounded" } else { "strict" }))
}

fn anthropic(body: &Value) -> Result<Asked, String> {
    keys(body, &["model", "max_tokens", "system", "messages", "output_config"], &["temperature"])?;
    positive(body, "max_tokens")?;
    let [system] = body["system"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return Err("system: expected one block".into());
    };
    keys(system, &["type", "text"], &["cache_control"])?;
    let cached = system.get("cache_control").is_none_or(|cache| *cache == json!({ "type": "ephemeral" }));
    let [user] = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return Err("messages: expected one".into());
    };
    keys(user, &["role", "content"], &[])?;
    let config = &body["output_config"];
    keys(config, &["format"], &["effort"])?;
    effort(config, "effort", &["low", "medium", "high", "xhigh", "max"])?;
    keys(&config["format"], &["type", "schema"], &[])?;
    if !cached
        || system["type"] != "text"
        || user["role"] != "user"
        || config["format"]["type"] != "json_schema"
    {
        return Err("a type or role is not what it should be".into());
    }
    Ok(Asked {
        model: string(body, "model")?,
        system: string(system, "text")?,
        user: string(user, "content")?,
        schema: config["format"]["schema"].clone(),
        room: body["max_tokens"].as_u64().unwrap_or_default(),
        form: "strict",
        breakpoint: system.get("cache_control").is_some(),
        ..Asked::default()
    })
}

/// All of `required`, maybe some of `optional`, and nothing else.
fn keys(value: &Value, required: &[&str], optional: &[&str]) -> Result<(), String> {
    let object = value.as_object().ok_or("expected an object")?;
    if let Some(missing) = required.iter().find(|name| !object.contains_key(**name)) {
        return Err(format!("Missing required parameter: '{missing}'."));
    }
    match object.keys().find(|name| !required.contains(&name.as_str()) && !optional.contains(&name.as_str()))
    {
        Some(extra) => Err(format!("Unknown parameter: '{extra}'.")),
        None => Ok(()),
    }
}

fn effort(body: &Value, name: &str, known: &[&str]) -> Result<(), String> {
    match body.get(name) {
        Some(effort) if !effort.as_str().is_some_and(|effort| known.contains(&effort)) => {
            Err(format!("Unsupported value: '{name}' does not support {effort}."))
        }
        _ => Ok(()),
    }
}

fn positive(body: &Value, name: &str) -> Result<(), String> {
    body[name]
        .as_u64()
        .filter(|number| *number > 0)
        .map(|_| ())
        .ok_or_else(|| format!("{name} is not positive"))
}

fn string(value: &Value, name: &str) -> Result<String, String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| format!("{name} is not a string"))
}

/// What both providers accept of JSON schema: every object closed and with everything required, no bounds, no patterns.
fn strict(schema: &Value) -> Result<(), String> {
    let kind = schema["type"].as_str().ok_or("a schema without a 'type'")?;
    match kind {
        "object" => {
            keys(schema, &["type", "properties", "required", "additionalProperties"], &["description"])?;
            if schema["additionalProperties"] != false {
                return Err("'additionalProperties' is required to be supplied and to be false".into());
            }
            let properties = schema["properties"].as_object().ok_or("'properties' is not an object")?;
            let names: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
            if schema["required"].as_array() != Some(&names) {
                return Err("'required' must be an array including every key in properties".into());
            }
            properties.values().try_for_each(strict)
        }
        "array" => {
            keys(schema, &["type", "items"], &["description"])?;
            strict(&schema["items"])
        }
        "string" => {
            keys(schema, &["type"], &["enum", "description"])?;
            let texts = |list: &Vec<Value>| !list.is_empty() && list.iter().all(Value::is_string);
            let allowed = schema.get("enum").is_none_or(|list| list.as_array().is_some_and(texts));
            if allowed { Ok(()) } else { Err("'enum' is not a list of strings".into()) }
        }
        "number" | "integer" | "boolean" => keys(schema, &["type"], &["description"]),
        other => Err(format!("type '{other}' is not supported")),
    }
}
