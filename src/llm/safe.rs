//! A provider's own words made safe to show, store and journal: bounded, printable, and without anything that looks
//! like a key.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::access::Secret;
use crate::text::{printable, shorten};

/// Characters of a message that are kept.
const LONGEST: usize = 300;
/// Characters of a message that are looked at. More than are kept, so that no key is cut in two by the bound.
const READ: usize = 4_000;
/// What is shown in place of a key.
const REDACTED: &str = "[redacted]";

/// Prefixes that providers give their keys, with what follows.
const PREFIXED: &str = r"(?i)\b(?:sk|pk|rk|gsk|xai|hf|ghp)[-_][\w*-]{4,}|\bAIza[\w-]{10,}";

/// What is a key by its beginning: a prefix providers use, or a bearer token.
static KEY: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"{PREFIXED}|(?i)\bbearer\s+[\w.*~+/=-]+")));

/// What may be a key by its length: a run of letters and digits without a hyphen (model names have hyphens). Some request ids go with them,
/// which costs less than one key that is shown. Looked for when there are no other keys any more: a path would take the beginning of one
/// for its end.
static RUN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[A-Za-z0-9_+/=*]{24,}"));

/// A setting that is a key: no path, URL or name of a model looks like this.
static KEY_ALONE: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^(?:{PREFIXED}|[A-Za-z0-9_]{{32,}})$")));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
}

/// Whether `text` is a key by its looks.
pub fn looks_like_key(text: &str) -> bool {
    KEY_ALONE.is_match(text.trim())
}

/// Whether anything in `text` looks like a key.
#[cfg(fuzzing)]
pub(super) fn has_key(text: &str) -> bool {
    KEY.is_match(text) || RUN.find_iter(text).any(|run| !is_word(run.as_str()))
}

/// `message` as it may be shown. `key` is the one in use, which goes whatever it looks like.
pub(super) fn message(message: &str, key: Option<&Secret>) -> String {
    let read: String = message.chars().take(READ).collect();
    let read = key.map_or_else(|| read.clone(), |key| key.removed_from(&read));
    shorten(printable(&redacted(read)).trim(), LONGEST)
}

/// `text` without its keys. Looks again after each change: what stood behind a key begins a word now, and may be one too.
fn redacted(mut text: String) -> String {
    loop {
        let without = KEY.replace_all(&text, REDACTED);
        let without = RUN.replace_all(&without, |found: &Captures<'_>| {
            let run = &found[0];
            if is_word(run) { run } else { REDACTED }.to_owned()
        });
        if without == text {
            return text;
        }
        text = without.into_owned();
    }
}

/// A long run without a digit is a name or a path: `invalid_request_error_of_some_kind`.
fn is_word(run: &str) -> bool {
    run.chars().all(|c| c.is_ascii_alphabetic() || c == '_' || c == '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_pass() {
        for (said, shown) in [
            ("Incorrect API key provided: sk-proj-abc.", "Incorrect API key provided: [redacted]."),
            (
                "Incorrect API key provided: sk-ab12***********9xYz. You",
                "Incorrect API key provided: [redacted]. You",
            ),
            ("got Bearer abc.DEF, no", "got [redacted], no"),
            ("x-api-key sk-ant-api03-AAAA_bb", "x-api-key [redacted]"),
            ("key sk_abcdefghijklmnopqrstuvwxyz", "key [redacted]"),
            ("token 0123456789abcdef0123456789abcdef", "token [redacted]"),
            ("token 0123456789abcdef01234567\u{17f}k_live", "token [redacted][redacted]"),
            ("no route /organizations/projects/sk-proj-abc", "no route /organizations/projects/[redacted]"),
        ] {
            assert_eq!(message(said, None), shown);
        }
    }

    #[test]
    fn words_and_models_pass() {
        let said =
            "invalid_request_error_of_some_kind: claude-haiku-4-5-20251001 has no `max_completion_tokens`";
        assert_eq!(message(said, None), said);
    }

    #[test]
    fn it_is_bounded_and_printable() {
        assert_eq!(message("\u{1b}[2Ja\nb\n", None), "\u{fffd}[2Ja\u{fffd}b\u{fffd}");
        assert_eq!(message(&"word ".repeat(100_000), None).chars().count(), LONGEST + 1);
    }
}
