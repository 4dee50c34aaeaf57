//! What a provider means with an error status: whether this row is at fault, the moment, or what every row will meet. Pure.
//!
//! Statuses and codes by the providers' own lists (<https://platform.openai.com/docs/guides/error-codes>,
//! <https://platform.claude.com/docs/en/api/errors>, <https://openrouter.ai/docs/api-reference/errors>); where a status
//! means several things, what the body says decides.

use serde_json::Value;

use crate::domain::outcome::Obstacle;

/// What an error status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same request may succeed later.
    Again,
    /// A filter in front of the model declined this row.
    Refused,
    /// Every other request will end so.
    Hopeless(Obstacle),
    /// The provider does not take an answer's form as it was asked for.
    Form,
    /// This request was refused. Others may not be.
    Rejected,
}

/// Codes of an account without money: 429 by status at OpenAI, and no wait helps.
const NO_MONEY: [&str; 5] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_balance",
];
/// Words of an account without money, or at the limit of what it may spend, where no code says so.
const NO_MONEY_SAID: [&str; 5] = [
    "credit balance is too low",
    "insufficient balance",
    "spend limit",
    "spending limit",
    "reached your specified api usage limits",
];
/// Words of a filter for contents.
const FILTERED: [&str; 5] =
    ["content_filter", "content management policy", "content policy", "moderation", "was flagged"];
/// What is asked for in the same way in every request.
const COMMON: [&str; 9] = [
    "reasoning_effort",
    "output_config",
    "effort",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "prompt_cache",
    "unsupported parameter",
    "unknown parameter",
];
/// Where the form of the answer is asked for.
const FORM: [&str; 6] =
    ["response_format", "json_schema", "json schema", "structured output", "invalid schema", "grammar"];

/// What `status` means with this body.
pub(super) fn meaning(status: u16, body: Option<&Value>, text: &str) -> Meaning {
    let codes = codes(body);
    let said = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let no_money = NO_MONEY.iter().any(|code| codes.contains(code));
    match status {
        429 if no_money => Meaning::Hopeless(Obstacle::Money),
        408 | 409 | 425 | 429 | 500.. => Meaning::Again,
        401 => Meaning::Hopeless(Obstacle::Key),
        402 => Meaning::Hopeless(Obstacle::Money),
        400 | 403 | 422 if flagged(body) || codes.contains(&"content_filter") || says(&FILTERED) => {
            Meaning::Refused
        }
        400 | 403 if no_money || says(&NO_MONEY_SAID) => Meaning::Hopeless(Obstacle::Money),
        // A page of something in front of the provider may be about the words of one row.
        403 if body.is_some() => Meaning::Hopeless(Obstacle::Key),
        404 | 405 => Meaning::Hopeless(Obstacle::Model),
        400 | 422 if codes.contains(&"model_not_found") => Meaning::Hopeless(Obstacle::Model),
        400 | 422 if says(&FORM) => Meaning::Form,
        400 | 422 if says(&COMMON) => Meaning::Hopeless(Obstacle::Request),
        _ => Meaning::Rejected,
    }
}

/// What stands where providers have their codes.
fn codes(body: Option<&Value>) -> Vec<&str> {
    const PLACES: [&str; 5] = ["/error/code", "/error/type", "/error/innererror/code", "/code", "/type"];
    PLACES.iter().filter_map(|place| body?.pointer(place)?.as_str()).collect()
}

/// `OpenRouter` says of a row that was moderated what was flagged in it.
fn flagged(body: Option<&Value>) -> bool {
    ["/error/metadata/flagged_input", "/error/metadata/reasons"]
        .iter()
        .any(|place| body.is_some_and(|body| body.pointer(place).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Meaning {
        meaning(status, serde_json::from_str(body).ok().as_ref(), body)
    }

    #[test]
    fn what_every_row_will_meet_is_known() {
        use Obstacle::{Key, Model, Money, Request};
        for (status, body, obstacle) in [
            (401, "", Key),
            (
                403,
                r#"{"error":{"type":"permission_error","message":"Your API key does not have permission"}}"#,
                Key,
            ),
            (402, r#"{"error":{"message":"Insufficient Balance","type":"unknown_error"}}"#, Money),
            (402, "", Money),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                Money,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
                Money,
            ),
            (
                400,
                r#"{"error":{"message":"You have reached your specified API usage limits. You will regain access on 2026-12-01"}}"#,
                Money,
            ),
            (404, r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#, Model),
            (404, "<html>404</html>", Model),
            (
                400,
                r#"{"error":{"message":"Unsupported value: 'reasoning_effort' does not support 'minimal' with this model.","param":"reasoning_effort","code":"unsupported_value"}}"#,
                Request,
            ),
            (
                400,
                r#"{"type":"error","error":{"message":"max_tokens: 128001 > 64000, which is the maximum allowed number of output tokens"}}"#,
                Request,
            ),
        ] {
            assert_eq!(of(status, body), Meaning::Hopeless(obstacle), "{status} {body}");
        }
    }

    #[test]
    fn what_one_row_meets_is_no_reason_to_stop() {
        for (status, body) in [
            (
                400,
                r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            ),
            (
                403,
                r#"{"error":{"code":403,"message":"Input was flagged","metadata":{"reasons":["x"],"flagged_input":"y"}}}"#,
            ),
            (
                403,
                r#"{"error":{"message":"openai/x requires moderation. Your input was flagged for \"violence\""}}"#,
            ),
        ] {
            assert_eq!(of(status, body), Meaning::Refused, "{status} {body}");
        }
        for (status, body) in [
            (400, "Scripted"),
            (413, ""),
            (422, r#"{"error":{"message":"too long"}}"#),
            (400, ""),
            (403, "<html>blocked"),
        ] {
            assert_eq!(of(status, body), Meaning::Rejected, "{status} {body}");
        }
    }

    #[test]
    fn what_passes_is_asked_again() {
        for (status, body) in [
            (429, r#"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#),
            (
                429,
                r#"[{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED"}}]"#,
            ),
            (500, "content_filter"),
            (529, ""),
            (408, ""),
        ] {
            assert_eq!(of(status, body), Meaning::Again, "{status} {body}");
        }
    }

    #[test]
    fn a_form_that_is_not_taken_is_told_apart() {
        for body in [
            r#"{"error":{"message":"This response_format type is unavailable now","type":"invalid_request_error"}}"#,
            r#"{"error":{"message":"failed to parse grammar"}}"#,
        ] {
            assert_eq!(of(400, body), Meaning::Form, "{body}");
        }
    }
}
