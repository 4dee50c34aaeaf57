//! Text from outside made safe to show: indicator names, model answers, server messages.
//!
//! Owns escaping for terminals, paths as people type them, and small number formats. CSV and JSON escape for themselves.

pub mod paths;

use std::path::{Path, PathBuf};

/// A path as a person in this folder would type it.
pub fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).to_owned()
}

/// Replaces control characters (terminal escapes, line breaks, bidirectional overrides) so that hostile text can
/// neither move the cursor, fake a second line nor reorder what is shown.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_power(c) { '\u{fffd}' } else { c }).collect()
}

/// As [`printable`], of several lines: their ends and tabs stay.
pub fn printable_lines(text: &str) -> String {
    text.chars().map(|c| if !matches!(c, '\n' | '\t') && is_power(c) { '\u{fffd}' } else { c }).collect()
}

/// Text without control characters. Those that stand for white space become a blank.
pub fn without_controls(text: &str) -> String {
    let blanks = text.chars().map(|c| if c.is_control() && c.is_whitespace() { ' ' } else { c });
    blanks.filter(|c| !is_power(*c)).collect()
}

/// Whether a terminal may do something else with a character than show it.
fn is_power(c: char) -> bool {
    c.is_control() || is_bidi_control(c)
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first `max` characters of `text`, with an ellipsis where something was left out.
pub fn shorten(text: &str, max: usize) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() { head + "…" } else { head }
}

/// `10903` as `10,903`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `2 rows`; the number is grouped.
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A length of time as a person would say it: `820 ms`, `8.4 s`, `12 min 8 s`, `2 h 5 min`.
pub fn duration(length: std::time::Duration) -> String {
    let seconds = length.as_secs_f64();
    if seconds < 1.0 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = length.as_secs_f64().round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, and never negative"
    )]
    let whole = whole as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The line of `text`, from 1, in which the byte at `offset` stands.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn terminal_escapes_and_line_breaks_lose_their_power() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(printable("Índice 日本"), "Índice 日本");
        assert_eq!(printable_lines("a\tb\r\n\u{9b}c\u{202e}\n"), "a\tb\u{fffd}\n\u{fffd}c\u{fffd}\n");
        assert_eq!(without_controls("a\u{1b}]0;x\u{7}b\r\n\tc\u{9b}\u{202e}d\u{7f}"), "a]0;xb   cd");
    }

    #[test]
    fn shortening_counts_characters_not_bytes() {
        assert_eq!(shorten("日本短観", 2), "日本…");
        assert_eq!(shorten("ab", 2), "ab");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1_000, 10_903, 1_234_567].map(grouped),
            ["0", "999", "1,000", "10,903", "1,234,567"]
        );
        assert_eq!((count(1, "row"), count(1_200, "row")), ("1 row".into(), "1,200 rows".into()));
    }

    #[test]
    fn durations_read_like_speech() {
        let said = [0.0824, 8.44, 59.99, 727.6, 7500.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(said, ["82 ms", "8.4 s", "60.0 s", "12 min 8 s", "2 h 5 min"]);
    }
}
