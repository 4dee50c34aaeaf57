//! What a provider says about its limits in the headers of an answer, in the two dialects there are.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// Longest wait that is believed. A day: beyond it the header is nonsense or the quota is gone for good.
const LONGEST: Duration = Duration::from_hours(24);

/// Remaining budgets and when they are full again. Absent where the provider does not say.
///
/// OpenAI: `x-ratelimit-{remaining,reset}-{requests,tokens}`, resets as durations such as `1m6.5s` or `12ms`
/// (<https://platform.openai.com/docs/guides/rate-limits>). Anthropic: `anthropic-ratelimit-{requests,tokens}-`
/// `{remaining,reset}`, resets in RFC 3339 (<https://platform.claude.com/docs/en/api/rate-limits>).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests that may still be made in the current window.
    pub remaining_requests: Option<u64>,
    /// Tokens that may still be used in the current window.
    pub remaining_tokens: Option<u64>,
    /// How long until requests are at their full budget.
    pub reset_requests: Option<Duration>,
    /// How long until tokens are at their full budget.
    pub reset_tokens: Option<Duration>,
}

impl RateHeaders {
    /// Reads either dialect at the time `now`.
    pub(super) fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let number = |names: [&str; 2]| names.iter().find_map(|name| text(headers, name)?.parse().ok());
        let time =
            |names: [&str; 2]| names.iter().find_map(|name| reset(text(headers, name)?, now)).map(bounded);
        Self {
            remaining_requests: number([
                "x-ratelimit-remaining-requests",
                "anthropic-ratelimit-requests-remaining",
            ]),
            remaining_tokens: number([
                "x-ratelimit-remaining-tokens",
                "anthropic-ratelimit-tokens-remaining",
            ]),
            reset_requests: time(["x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset"]),
            reset_tokens: time(["x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset"]),
        }
    }
}

/// `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3), or OpenAI's `retry-after-ms`. A date that has
/// passed is no wait.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let exact = text(headers, "retry-after-ms").and_then(|text| seconds(text, 1e-3));
    let standard = || {
        let text = text(headers, "retry-after")?;
        seconds(text, 1.0).or_else(|| Some(until(http_date(text)?, now)))
    };
    exact.or_else(standard).map(bounded)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn bounded(wait: Duration) -> Duration {
    wait.min(LONGEST)
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    // Infinite and negative ones fail here.
    Duration::try_from_secs_f64(number * unit).ok()
}

/// Time left until `at`.
fn until(at: jiff::Timestamp, now: SystemTime) -> Duration {
    SystemTime::from(at).duration_since(now).unwrap_or_default()
}

fn http_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    go_duration(text).or_else(|| seconds(text, 1.0)).or_else(|| Some(until(text.parse().ok()?, now)))
}

/// A duration as Go writes it: `6m0s`, `1h2m3.5s`, `12ms`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
        total += number
            * match &rest[digits..unit_end] {
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn now() -> SystemTime {
        "2026-11-22T10:00:00Z".parse::<jiff::Timestamp>().unwrap().into()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |value: &str| retry_after(&headers(&[("retry-after", value)]), now());
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(read("Sun, 22 Nov 2026 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sun, 22 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("999999999999"), Some(LONGEST));
        for nonsense in ["", "-3", "soon", "inf", "NaN", "Sun, 99 Nov 2026 10:00:30 GMT"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        let both = headers(&[("retry-after", "1"), ("retry-after-ms", "40")]);
        assert_eq!(retry_after(&both, now()), Some(Duration::from_millis(40)));
    }

    #[test]
    fn both_dialects_say_the_same() {
        let openai = headers(&[
            ("x-ratelimit-remaining-requests", "4999"),
            ("x-ratelimit-remaining-tokens", "159976"),
            ("x-ratelimit-reset-requests", "12ms"),
            ("x-ratelimit-reset-tokens", "1m6.5s"),
        ]);
        let read = RateHeaders::read(&openai, now());
        assert_eq!((read.remaining_requests, read.remaining_tokens), (Some(4_999), Some(159_976)));
        assert_eq!(read.reset_requests, Some(Duration::from_millis(12)));
        assert_eq!(read.reset_tokens, Some(Duration::from_millis(66_500)));

        let anthropic = headers(&[
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-tokens-remaining", "96000"),
            ("anthropic-ratelimit-requests-reset", "2026-11-22T10:00:01Z"),
            ("anthropic-ratelimit-tokens-reset", "2026-11-22T09:59:59Z"),
        ]);
        let read = RateHeaders::read(&anthropic, now());
        assert_eq!((read.remaining_requests, read.remaining_tokens), (Some(999), Some(96_000)));
        assert_eq!(read.reset_requests, Some(Duration::from_secs(1)));
        assert_eq!(read.reset_tokens, Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_as_good_as_nothing() {
        let wild = headers(&[
            ("x-ratelimit-remaining-tokens", "-1"),
            ("x-ratelimit-reset-tokens", "5parsecs"),
            ("x-ratelimit-reset-requests", "1.2.3s"),
        ]);
        assert_eq!(RateHeaders::read(&wild, now()), RateHeaders::default());
    }
}
