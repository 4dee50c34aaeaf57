//! What a provider answers: no panic, no key in what is shown, no wait longer than a day, and no number below zero.
//!
//! An input is a line `PROVIDER STATUS ITEMS`, lines `NAME: VALUE` of headers, an empty line, and a body.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use classify::domain::outcome;
use classify::fuzzing::llm::{self, Exchanged, HEADERS, KEY, Model, Refusal};
use classify::llm::{ModelOptions, Prices, Provider, RateHeaders, Usage, Verdict};
use classify::taxonomy::Taxonomy;
use libfuzzer_sys::fuzz_target;

const DAY: Duration = Duration::from_hours(24);
/// Characters of the provider's words, with the ellipsis, and of what stands in front.
const SHOWN: usize = 301 + 60;

static PROVIDERS: LazyLock<Vec<(Provider, Model, Model)>> = LazyLock::new(|| {
    let taxonomy = Taxonomy::economic();
    let model = |provider, items| {
        let items = std::num::NonZeroUsize::new(items).expect("it is not zero");
        Model::new(provider, taxonomy, ModelOptions::new(provider, items, None))
    };
    Provider::ALL.into_iter().map(|provider| (provider, model(provider, 1), model(provider, 8))).collect()
});
static PRICES: LazyLock<Prices> = LazyLock::new(Prices::embedded);

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let mut words = first.split(' ');
    let place = words.next().map_or(0, |name| name.len() % PROVIDERS.len());
    let status = words.next().and_then(|status| status.parse().ok()).unwrap_or(200);
    let items = words.next().and_then(|items| items.parse().ok()).unwrap_or(1).clamp(1, 8);
    let mut rest = lines.next().unwrap_or_default();
    let mut headers: Vec<(&'static str, &[u8])> = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, more) = (&rest[..end], &rest[end + 1..]);
        let Some(colon) =
            line.iter().position(|byte| *byte == b':').filter(|_| headers.len() < HEADERS.len())
        else {
            // An empty line ends them; what is none is the body's.
            rest = if line.is_empty() { more } else { rest };
            break;
        };
        let known = HEADERS.into_iter().find(|name| name.as_bytes() == &line[..colon]);
        headers.extend(known.map(|name| (name, &line[colon + 1..])));
        rest = more;
    }
    let (provider, one, many) = &PROVIDERS[place];
    let model = if items == 1 { one } else { many };
    // The second day of 2026.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_312_000);
    is_sound(*provider, items, &model.exchange(status, &headers, rest, now, items));
});

fn is_sound(provider: Provider, items: usize, exchanged: &Exchanged) {
    let Exchanged { answers, model, usage, feedback } = exchanged;
    match answers {
        Ok(answers) => assert_eq!(answers.len(), items),
        Err(Refusal { message, retryable, retry_after, obstacle, .. }) => {
            assert!(message.starts_with(provider.name()) && is_safe(message), "{message}");
            assert!(retry_after.is_none_or(|wait| wait <= DAY));
            assert!(!(*retryable && obstacle.is_some()), "what every call meets is not asked again");
        }
    }
    assert!(model.as_deref().is_none_or(is_safe), "{model:?}");

    let RateHeaders { reset_requests, reset_tokens, .. } = &feedback.rates;
    let asked = match feedback.verdict {
        Verdict::RateLimited { retry_after } | Verdict::Overloaded { retry_after } => retry_after,
        Verdict::Served | Verdict::Rejected => None,
    };
    assert!([*reset_requests, *reset_tokens, asked].into_iter().flatten().all(|wait| wait <= DAY));
    assert!(
        feedback.tokens.is_none_or(|tokens| tokens >= usage.input_tokens && tokens >= usage.output_tokens)
    );

    // Shares add up to the whole, and twice the whole is still a number.
    let mut sum = Usage::default();
    llm::shares(usage, items).into_iter().for_each(|share| sum += share);
    assert_eq!(sum, *usage);
    let price = PRICES.of(&"openai/gpt-6-luna".parse().expect("it is a model"));
    let priced = usage.priced(price);
    assert!(priced.cost_usd.is_none_or(|cost| cost.is_finite() && cost >= 0.0), "{priced:?}");
    let mut twice = outcome::Usage::default();
    twice.add(&priced);
    twice.add(&priced);
    assert!(twice.input_tokens >= priced.input_tokens && twice.output_tokens >= priced.output_tokens);
}

fn is_safe(text: &str) -> bool {
    let is_printable = !text.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    is_printable && text.chars().count() <= SHOWN && !text.contains(KEY) && !llm::has_key(text)
}
