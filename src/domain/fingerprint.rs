//! The identity of an answer: same fingerprint, same answer, no second call.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::batch::RunOptions;
use super::indicator::Indicator;

/// Raised when the prompt or the built-in classifier changes so that old answers must not be reused. What a run was told
/// in `reads` counts: a label set whose prompt is the same as before keeps its version, and its answers.
pub const PROMPT_VERSION: u32 = 2;
/// The version of runs that do not tell it.
const FIRST_PROMPT: u32 = 1;

/// Failures of earlier runs that are passed over in search of an answer. A batch that meets more of them asks under a key of its
/// own: what was asked so often is no longer looked up.
pub const GENERATIONS: u32 = 64;

/// Key of the call that is made when the calls of all earlier generations have failed. Restate remembers a failure as long as an
/// answer; as every run looks for the next generation at the same key, they find the answer that one of them got.
pub fn generation(fingerprint: &str, number: u32) -> String {
    if number == 0 { fingerprint.to_owned() } else { format!("{fingerprint}.{number}") }
}

/// Fingerprint of an indicator under these settings: everything that could change a model's answer is in it, and nothing else. Whether
/// the model was asked at once or because the rules were not sure (`hybrid`) changes nothing. Used as Restate's idempotency key of the
/// call that asks a model about the indicator.
pub fn fingerprint(indicator: &Indicator, options: &RunOptions) -> String {
    let method = &options.method;
    let provider =
        method.model.as_deref().and_then(|model| model.split_once('/')).map(|(provider, _)| provider);
    identity(&options.of(indicator), options, (provider.unwrap_or(&method.provider), None))
}

/// Fingerprint of several indicators in this order: Restate's idempotency key of the call that lets the rules answer for all of
/// them.
pub fn joint_fingerprint(indicators: &[Indicator], options: &RunOptions) -> String {
    let read: Vec<_> = indicators.iter().map(|indicator| options.of(indicator)).collect();
    let method = &options.method;
    identity(&read, options, (&method.provider, method.threshold))
}

fn identity(
    what: &(impl Serialize + ?Sized),
    options: &RunOptions,
    (provider, threshold): (&str, Option<f64>),
) -> String {
    let method = &options.method;
    let settings = (
        options.reads.as_ref().map_or(FIRST_PROMPT, |reads| reads.prompt),
        &options.taxonomy,
        provider,
        &method.model,
        threshold,
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
    use crate::domain::batch::Reads;
    use crate::domain::method::Method;

    fn options(nonce: Option<&str>) -> RunOptions {
        let nonce = nonce.map(Into::into);
        RunOptions { method: Method::rules(), taxonomy: "abc".into(), reads: None, nonce, detached: false }
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
    fn what_is_not_read_does_not_matter() {
        let reads = |prompt, columns: &[&str]| {
            let columns = columns.iter().map(|name| (*name).to_owned()).collect();
            RunOptions { reads: Some(Reads { prompt, columns }), ..options(None) }
        };
        let with = |extra: &[&str]| {
            let extra = extra.iter().map(|name| ((*name).to_owned(), "x".into())).collect();
            Indicator { extra, ..indicator("GDP", None) }
        };
        let of = |extra: &[&str], options: &RunOptions| {
            let row = with(extra);
            (fingerprint(&row, options), joint_fingerprint(&[row.clone(), row], options))
        };
        // As earlier versions computed it.
        let before = of(&[], &options(None));
        assert_eq!(before.0, "e3e47e0d5056ef166519e4311a3d7375");
        assert_eq!(of(&[], &reads(1, &["body"])), before, "nothing has changed");
        assert_eq!(of(&["email", "note"], &reads(1, &["body"])), before, "neither is read");
        assert_ne!(of(&["email"], &options(None)), before, "an earlier version read it");
        let named = of(&["body"], &reads(1, &["body"]));
        assert_eq!(named, of(&["body"], &options(None)), "it was read, and is");
        assert_eq!(named, of(&["body", "email"], &reads(1, &["body"])));
        assert_ne!(of(&[], &reads(2, &[])), before, "another prompt");
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

    #[test]
    fn the_way_to_a_question_is_no_part_of_it() {
        let asked = |provider: &str, threshold: Option<f64>| {
            let model = Some("openai/m".to_owned());
            let method = Method { provider: provider.into(), model, threshold, ..Method::rules() };
            let options = RunOptions { method, ..options(None) };
            let row = indicator("GDP", None);
            (fingerprint(&row, &options), joint_fingerprint(&[row], &options))
        };
        let (plain, (low, rules_low), (high, rules_high)) =
            (asked("openai", None).0, asked("hybrid", Some(0.7)), asked("hybrid", Some(0.8)));
        assert_eq!([&low, &high], [&plain, &plain]);
        assert_ne!(rules_low, rules_high, "the rules are asked whether they are sure enough");
    }
}
