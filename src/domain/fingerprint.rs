//! The identity of an answer: same fingerprint, same answer, no second call.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::batch::RunOptions;
use super::indicator::Indicator;

/// Raised when the prompt or the built-in classifier changes so that old answers must not be reused.
pub const PROMPT_VERSION: u32 = 1;

/// Failures of earlier runs that are passed over in search of an answer. A batch that meets more of them asks under a key of its
/// own: what was asked so often is no longer looked up.
pub const GENERATIONS: u32 = 64;

/// Key of the call that is made when the calls of all earlier generations have failed. Restate remembers a failure as long as an
/// answer; as every run looks for the next generation at the same key, they find the answer that one of them got.
pub fn generation(fingerprint: &str, number: u32) -> String {
    if number == 0 { fingerprint.to_owned() } else { format!("{fingerprint}.{number}") }
}

/// Fingerprint of an indicator under these settings: everything that could change the answer is in it. Used as
/// Restate's idempotency key of the call that asks a model about the indicator.
pub fn fingerprint(indicator: &Indicator, options: &RunOptions) -> String {
    fingerprint_by(PROMPT_VERSION, indicator, options)
}

/// As [`fingerprint`], by the version that a batch began with: a later one that goes on with it must ask under the same keys.
pub fn fingerprint_by(version: u32, indicator: &Indicator, options: &RunOptions) -> String {
    identity(version, indicator, options)
}

/// Fingerprint of several indicators in this order: Restate's idempotency key of the call that lets the rules answer for all of
/// them.
pub fn joint_fingerprint(indicators: &[Indicator], options: &RunOptions) -> String {
    joint_fingerprint_by(PROMPT_VERSION, indicators, options)
}

/// As [`joint_fingerprint`], by the version that a batch began with.
pub fn joint_fingerprint_by(version: u32, indicators: &[Indicator], options: &RunOptions) -> String {
    identity(version, indicators, options)
}

fn identity(version: u32, what: &(impl Serialize + ?Sized), options: &RunOptions) -> String {
    let method = &options.method;
    let settings = (
        version,
        &options.taxonomy,
        &method.provider,
        &method.model,
        method.threshold,
        method.effort,
        &options.nonce,
    );
    // JSON quotes and escapes, so no two different (settings, indicators) pairs have the same text.
    let json = serde_json::to_vec(&(settings, what));
    let mut hash = Sha256::new();
    hash.update(
        json.unwrap_or_else(|error| unreachable!("texts, numbers and maps of them are JSON: {error}")),
    );
    hex(&hash.finalize()[..16])
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::method::Method;

    fn options(nonce: Option<&str>) -> RunOptions {
        let nonce = nonce.map(Into::into);
        RunOptions { method: Method::rules(), taxonomy: "abc".into(), nonce, detached: false }
    }

    fn indicator(name: &str, units: Option<&str>) -> Indicator {
        Indicator { id: "A".into(), name: name.into(), units: units.map(Into::into), ..Indicator::default() }
    }

    #[test]
    fn every_byte_is_two_digits() {
        assert_eq!(hex(&[0x00, 0x0a, 0x9f, 0xff]), "000a9fff");
    }

    #[test]
    fn each_generation_has_a_key_and_the_first_is_the_fingerprint() {
        assert_eq!([0, 1, 12].map(|number| generation("ab", number)), ["ab", "ab.1", "ab.12"]);
    }

    #[test]
    fn several_have_an_identity_of_their_own() {
        let rows = ["GDP", "CPI"].map(|name| indicator(name, None));
        let of = |rows: &[Indicator]| joint_fingerprint(rows, &options(None));
        let swapped = [rows[1].clone(), rows[0].clone()];
        let all = [of(&rows), of(&swapped), of(&rows[..1]), fingerprint(&rows[0], &options(None))];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
    }

    #[test]
    fn content_and_settings_decide() {
        let base = fingerprint(&indicator("GDP", None), &options(None));
        assert_eq!(base.len(), 32);
        assert_eq!(base, fingerprint(&indicator("GDP", None), &options(None)));
        assert_ne!(base, fingerprint(&indicator("GDP", Some("USD")), &options(None)));
        assert_ne!(base, fingerprint(&indicator("GDP", None), &options(Some("again"))));
        let other = RunOptions { taxonomy: "abd".into(), ..options(None) };
        assert_ne!(base, fingerprint(&indicator("GDP", None), &other));
        let method = Method { model: Some("openai/a".into()), ..Method::rules() };
        let other = RunOptions { method, ..options(None) };
        assert_ne!(base, fingerprint(&indicator("GDP", None), &other));
        let batched = Method { items_per_call: std::num::NonZeroUsize::new(8), ..Method::rules() };
        let other = RunOptions { method: batched, ..options(None) };
        assert_eq!(
            base,
            fingerprint(&indicator("GDP", None), &other),
            "how it is asked is no part of the question"
        );
    }
}
