//! How many tokens a text is: OpenAI's `o200k_base`, which is exact for its models up to GPT-5 and an estimate for
//! everybody else's.
//!
//! Other providers do not publish the tokenizer they bill by. What a request really took is in the usage of its answer.

/// Tokens around each message of a chat, by OpenAI's account
/// (<https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>).
const PER_MESSAGE: u64 = 3;
/// Tokens that prime the answer, by the same account.
const PER_ANSWER: u64 = 3;
/// Messages of a request: the system's and the user's.
const MESSAGES: u64 = 2;
/// Characters looked at per token allowed. Few tokens are longer, and a megabyte in one cell must not be counted to
/// the end just to be cut.
const CHARS_PER_TOKEN: usize = 12;

/// Tokens of `text`. What looks like a control token of the model is counted as plain text.
pub fn count(text: &str) -> u64 {
    tiktoken_rs::o200k_base_singleton().count_ordinary(text) as u64
}

/// Input tokens of a request with these texts, `schema` being the answer's schema as sent.
pub fn of_request(system: &str, schema: &str, user: &str) -> u64 {
    count(system) + count(schema) + count(user) + MESSAGES * PER_MESSAGE + PER_ANSWER
}

/// The longest beginning of `text` that takes at most `max` tokens with the ellipsis that stands for the rest; the
/// whole text where it fits. Cuts between characters. Empty where not even the ellipsis fits.
pub(super) fn shorten(text: &str, max: u64) -> String {
    let longest = usize::try_from(max).unwrap_or(usize::MAX).saturating_mul(CHARS_PER_TOKEN);
    let mut ends: Vec<usize> = text.char_indices().map(|(start, _)| start).take(longest + 1).collect();
    let is_short = ends.len() <= longest;
    if is_short && count(text) <= max {
        return text.to_owned();
    }
    if is_short {
        ends.push(text.len());
    }
    let cut = |end: usize| format!("{}…", &text[..end]);
    // A longer beginning takes more tokens, with rare exceptions of one: the search may miss the longest by a
    // character, never the limit.
    let fitting = ends.partition_point(|end| count(&cut(*end)) <= max);
    fitting.checked_sub(1).map_or_else(String::new, |last| cut(ends[last]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_texts_and_what_is_between_them() {
        assert_eq!(count("Unemployment rate"), 3);
        assert_eq!(of_request("Unemployment rate", "", "Unemployment rate"), 3 + 3 + 9);
        assert!(count("<|endoftext|>") > 1, "control tokens in data are plain text");
    }

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(shorten("Unemployment rate", 3), "Unemployment rate");
        assert_eq!(shorten("", 0), "");
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        let long = "gross domestic product ".repeat(5_000);
        let short = shorten(&long, 10);
        assert!(count(&short) <= 10 && short.ends_with('…') && long.starts_with(short.trim_end_matches('…')));
        assert!(count(&short) >= 9, "{short}");
        assert_eq!(shorten(&long, 0), "");
        for hostile in
            ["𒐫".repeat(900), "é\u{301}\u{327}".repeat(900), " ".repeat(90_000), "日本".repeat(400)]
        {
            let short = shorten(&hostile, 20);
            assert!(count(&short) <= 20 && short.ends_with('…'), "{short}");
        }
    }
}
