//! The most that an indicator can cost, whatever is asked about it: what a run with `--max-cost` reserves for it.
//!
//! Output is bounded by what a request allows. Input is bounded by the prompt and its budget for an indicator, counted with
//! OpenAI's tokenizer and a margin for those that nobody publishes.

use std::num::NonZeroUsize;

use super::prompt::LONGEST_COMPLAINT;
use super::usage::Unsettled;
use super::{ModelOptions, Prompt, Provider};
use crate::domain::method::Effort;
use crate::domain::money::PerMillion;
use crate::taxonomy::Taxonomy;

/// Tokens that a provider may count around texts beyond those that `tokens` knows of.
const AROUND: u64 = 64;

/// Most input tokens by the provider's count, where ours is `counted`. Other tokenizers than OpenAI's make up to 1.6 times as
/// many of English and of JSON.
pub(super) fn most_input(provider: Provider, counted: u64) -> u64 {
    let counted = counted.saturating_add(AROUND);
    match provider {
        Provider::OpenAi => counted.saturating_add(counted / 10),
        Provider::Anthropic | Provider::Compatible => counted.saturating_mul(2),
    }
}

/// The most that an indicator can cost, in US dollars: asked about in a group first where groups are asked, then alone, and
/// once more with the most room that an answer gets.
pub fn most_each(
    taxonomy: &Taxonomy,
    provider: Provider,
    items_per_call: NonZeroUsize,
    effort: Option<Effort>,
    price: &PerMillion,
) -> f64 {
    let options = ModelOptions::new(provider, items_per_call, effort);
    let prompt = Prompt::new(taxonomy, options.items_per_call);
    let first = most_input(provider, prompt.most_tokens());
    let again = most_input(provider, prompt.most_tokens().saturating_add(LONGEST_COMPLAINT));
    let room = options.room(1);
    // A group is shared by those in it: none bears more than it would alone.
    let firsts = if options.items_per_call.get() == 1 { 1 } else { 2 };
    let all = Unsettled {
        input: first.saturating_mul(firsts).saturating_add(again),
        output: room.saturating_mul(firsts).saturating_add(options.more_room(room)),
    };
    all.most(price)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::indicator::Indicator;

    const PRICE: PerMillion = PerMillion { input: 2.0, cached: 0.1, written: Some(2.5), output: 10.0 };

    #[test]
    fn no_indicator_costs_more_however_it_is_asked() {
        let long = Indicator {
            id: "long ".repeat(1_000),
            name: "\u{1}\"<&> ".repeat(9_000),
            definition: Some("词".repeat(9_000)),
            ..Indicator::default()
        };
        for (provider, items) in [(Provider::OpenAi, 1), (Provider::Anthropic, 5), (Provider::Compatible, 50)]
        {
            let items = NonZeroUsize::new(items).unwrap();
            let options = ModelOptions::new(provider, items, None);
            let prompt = Prompt::new(Taxonomy::economic(), options.items_per_call);
            let most = most_each(Taxonomy::economic(), provider, items, None, &PRICE);
            let asked = |complaint: Option<&str>, room| {
                let user = prompt.user(std::slice::from_ref(&long), complaint);
                Unsettled { input: most_input(provider, prompt.tokens(&user)), output: room }.most(&PRICE)
            };
            let firsts = if options.items_per_call.get() == 1 { 1.0 } else { 2.0 };
            let room = options.room(1);
            let complaint = "no such value ".repeat(5_000);
            let worst = firsts * asked(None, room) + asked(Some(&complaint), options.more_room(room));
            assert!(worst <= most && most < 1.3 * worst, "{provider}: {worst} of {most}");
        }
    }
}
