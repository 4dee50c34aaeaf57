//! What a run would ask of a model, before anything is sent: requests, tokens, price.
//!
//! Input tokens are counted on the very texts that would be sent; `tokens` says for whom that is exact. Output tokens
//! are an estimate.

use std::num::NonZeroUsize;

use super::{Price, Prompt, Usage};
use crate::domain::indicator::Indicator;
use crate::taxonomy::Taxonomy;

/// Tokens of an answer per field, name and value together, and around them: `"currency":"none",` takes six.
const PER_FIELD: u64 = 7;
/// Tokens of confidence, one sentence of reasoning, and the braces.
const PER_ANSWER: u64 = 40;

/// Counts requests and tokens, indicator by indicator.
#[derive(Debug)]
pub struct Estimator {
    prompt: Prompt,
    group: NonZeroUsize,
    gathered: Vec<Indicator>,
    answer: u64,
    usage: Usage,
}

impl Estimator {
    /// An estimator for requests of `items_per_call` indicators each.
    pub fn new(taxonomy: &Taxonomy, items_per_call: NonZeroUsize) -> Self {
        let answer = PER_FIELD * taxonomy.fields().len() as u64 + PER_ANSWER;
        let prompt = Prompt::new(taxonomy, items_per_call);
        Self { prompt, group: items_per_call, gathered: Vec::new(), answer, usage: Usage::default() }
    }

    /// What would be sent about `indicators`: first what is the same for all, then the data.
    pub fn sample(&self, indicators: &[Indicator]) -> (String, String) {
        (self.prompt.system().to_owned(), self.prompt.user(indicators, None))
    }

    /// Counts one more indicator.
    pub fn add(&mut self, indicator: Indicator) {
        self.gathered.push(indicator);
        if self.gathered.len() >= self.group.get() {
            self.flush();
        }
    }

    /// The sum. Nothing is taken to be cached: whether a provider remembers the system prompt is up to it.
    pub fn finish(mut self) -> Usage {
        self.flush();
        self.usage
    }

    fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let items = self.gathered.len() as u64;
        let user = self.prompt.user(&std::mem::take(&mut self.gathered), None);
        self.usage += Usage {
            requests: 1,
            input_tokens: self.prompt.tokens(&user),
            output_tokens: self.answer * items,
            ..Usage::default()
        };
    }
}

/// What an indicator is expected to cost on average, in US dollars.
pub fn cost_each(usage: &Usage, price: &Price, indicators: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let indicators = indicators.max(1) as f64;
    price.cost(usage) / indicators
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indicator(name: &str) -> Indicator {
        Indicator { id: name.into(), name: name.into(), ..Indicator::default() }
    }

    fn usage(items_per_call: usize, indicators: usize) -> Usage {
        let items_per_call = NonZeroUsize::new(items_per_call).unwrap();
        let mut estimator = Estimator::new(Taxonomy::economic(), items_per_call);
        (0..indicators).for_each(|index| estimator.add(indicator(&format!("Series {index}"))));
        estimator.finish()
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
        let estimator = Estimator::new(Taxonomy::economic(), NonZeroUsize::MIN);
        let (_, user) = estimator.sample(&[indicator("Series 0")]);
        let expected = estimator.prompt.tokens(&user);
        assert_eq!(usage(1, 1).input_tokens, expected);
    }
}
