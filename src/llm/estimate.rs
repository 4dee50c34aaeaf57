//! What a run would ask of a model, before anything is sent: requests, tokens, price.
//!
//! Input tokens are counted on the very texts that would be sent; `tokens` says for whom that is exact. Output tokens,
//! those a model thinks with among them, are an estimate.

use std::num::NonZeroUsize;

use super::cache::keys_at;
use super::{ModelOptions, Price, Prompt, Provider, Usage};
use crate::domain::indicator::Indicator;
use crate::domain::method::Effort;
use crate::domain::remarks::Remarks;
use crate::taxonomy::Taxonomy;

/// Tokens of an answer per field, name and value together, and around them: `"currency":"none",` takes six.
const PER_FIELD: u64 = 7;
/// Tokens of confidence, one sentence of reasoning, and the braces.
const PER_ANSWER: u64 = 40;

/// Counts requests and tokens, indicator by indicator.
#[derive(Debug)]
pub struct Estimator {
    prompt: Prompt,
    options: ModelOptions,
    gathered: Vec<Indicator>,
    thinking: u64,
    answer: u64,
    usage: Usage,
    remarks: Remarks,
}

/// What a run would take.
#[derive(Debug)]
pub struct Estimated {
    /// Requests and tokens, if no request is repeated and nothing is cached.
    pub usage: Usage,
    /// Of the output, tokens that the model thinks with.
    pub thinking: u64,
    /// Indicators of which the model would read a part only.
    pub remarks: Remarks,
    prefix: u64,
}

impl Estimator {
    /// An estimator for requests of `items_per_call` indicators each.
    pub fn new(
        taxonomy: &Taxonomy,
        provider: Provider,
        items_per_call: NonZeroUsize,
        effort: Option<Effort>,
    ) -> Self {
        let options = ModelOptions::new(provider, items_per_call, effort);
        Self {
            prompt: Prompt::new(taxonomy, options.items_per_call),
            options,
            gathered: Vec::new(),
            thinking: thought(effort.or_else(|| provider.default_effort())),
            answer: PER_FIELD * taxonomy.fields().len() as u64 + PER_ANSWER,
            usage: Usage::default(),
            remarks: Remarks::default(),
        }
    }

    /// What would be sent about `indicators`: first what is the same for all, then the data.
    pub fn sample(&self, indicators: &[Indicator]) -> (String, String) {
        (self.prompt.system().to_owned(), self.prompt.user(indicators, None))
    }

    /// Counts one more indicator.
    pub fn add(&mut self, indicator: Indicator) {
        self.remarks.cut(self.prompt.cut(&indicator).iter().map(String::as_str));
        self.gathered.push(indicator);
        if self.gathered.len() >= self.options.items_per_call.get() {
            self.flush();
        }
    }

    /// The sum.
    pub fn finish(mut self) -> Estimated {
        self.flush();
        let (usage, remarks) = (self.usage, self.remarks);
        let thinking = self.thinking * usage.requests;
        Estimated { usage, thinking, remarks, prefix: self.prompt.tokens("") }
    }

    /// What comes next belongs to another batch: no request holds indicators of two.
    pub fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let items = self.gathered.len() as u64;
        let user = self.prompt.user(&std::mem::take(&mut self.gathered), None);
        let input_tokens = self.prompt.tokens(&user);
        self.usage += Usage {
            requests: 1,
            input_tokens,
            output_tokens: self.answer * items + self.thinking,
            ..Usage::default()
        };
    }
}

/// Tokens that a model thinks with before an easy answer, roughly: they differ by model and row.
fn thought(effort: Option<Effort>) -> u64 {
    match effort {
        None | Some(Effort::None) => 0,
        Some(Effort::Minimal) => 50,
        Some(Effort::Low) => 150,
        Some(Effort::Medium) => 400,
        Some(Effort::High) => 1_000,
        Some(Effort::Xhigh) => 2_500,
        Some(Effort::Max) => 5_000,
    }
}

impl Estimated {
    /// US dollars if the provider's cache holds nothing for us: what all requests share is written once for every key, and
    /// read by nobody.
    pub fn cost(&self, price: &Price, per_minute: Option<f64>) -> f64 {
        price.cost(&Usage { written_tokens: self.written(price, per_minute), ..self.usage })
    }

    /// US dollars if all requests but the first ones read what they share from the cache.
    pub fn cost_cached(&self, price: &Price, per_minute: Option<f64>) -> f64 {
        let written_tokens = self.written(price, per_minute);
        let shared = self.prefix.saturating_mul(self.usage.requests);
        let first = self.prefix.saturating_mul(self.keys(per_minute));
        price.cost(&Usage { written_tokens, cached_tokens: shared.saturating_sub(first), ..self.usage })
    }

    fn written(&self, price: &Price, per_minute: Option<f64>) -> u64 {
        if price.written.is_none() {
            return 0;
        }
        self.prefix.saturating_mul(self.keys(per_minute)).min(self.usage.input_tokens)
    }

    fn keys(&self, per_minute: Option<f64>) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let in_a_minute = per_minute.map_or(self.usage.requests, |rate| self.usage.requests.min(rate as u64));
        keys_at(in_a_minute).min(self.usage.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indicator(name: &str) -> Indicator {
        Indicator { id: name.into(), name: name.into(), ..Indicator::default() }
    }

    fn estimated(items_per_call: usize, indicators: usize, effort: Option<Effort>) -> Estimated {
        let items_per_call = NonZeroUsize::new(items_per_call).unwrap();
        let mut estimator = Estimator::new(Taxonomy::economic(), Provider::Anthropic, items_per_call, effort);
        (0..indicators).for_each(|index| estimator.add(indicator(&format!("Series {index}"))));
        estimator.finish()
    }

    fn usage(items_per_call: usize, indicators: usize) -> Usage {
        estimated(items_per_call, indicators, Some(Effort::None)).usage
    }

    fn price() -> Price {
        Price {
            provider: "anthropic".into(),
            models: vec!["m".into()],
            input: 2.0,
            cached: 0.1,
            written: Some(2.5),
            output: 10.0,
            date: String::new(),
            source: String::new(),
        }
    }

    #[test]
    fn thinking_and_writing_are_reckoned_with() {
        let (none, high) = (estimated(1, 100, Some(Effort::None)), estimated(1, 100, None));
        assert_eq!(none.thinking, 0);
        assert_eq!(high.usage.output_tokens - none.usage.output_tokens, high.thinking);
        assert_eq!(high.thinking, 100_000, "Anthropic's models think hard unless they are told not to");
        let price = price();
        let plain = price.cost(&none.usage);
        assert!(none.cost(&price, None) > plain && none.cost(&price, None) < plain * 1.05);
        assert!(none.cost_cached(&price, None) < plain * 0.75);
        let unwritten = Price { written: None, ..price };
        assert!((none.cost(&unwritten, None) - plain).abs() < 1e-9);
    }

    #[test]
    fn rows_that_would_be_cut_are_counted() {
        let mut estimator = Estimator::new(Taxonomy::economic(), Provider::OpenAi, NonZeroUsize::MIN, None);
        estimator.add(indicator("short"));
        estimator.add(Indicator { definition: Some("word ".repeat(900)), ..indicator("long") });
        let remarks = estimator.finish().remarks;
        assert_eq!((remarks.cut, remarks.cut_columns["definition"]), (1, 1));
    }

    #[test]
    fn a_request_per_group_and_an_answer_per_indicator() {
        let (single, grouped) = (usage(1, 7), usage(3, 7));
        assert_eq!((single.requests, grouped.requests), (7, 3));
        assert_eq!(single.output_tokens, grouped.output_tokens);
        assert!(grouped.input_tokens < single.input_tokens / 2, "the system prompt is shared");
        assert_eq!(usage(1, 0), Usage::default());
    }

    #[test]
    fn input_tokens_are_those_of_the_texts() {
        let estimator = Estimator::new(Taxonomy::economic(), Provider::OpenAi, NonZeroUsize::MIN, None);
        let (_, user) = estimator.sample(&[indicator("Series 0")]);
        let expected = estimator.prompt.tokens(&user);
        assert_eq!(usage(1, 1).input_tokens, expected);
    }
}
