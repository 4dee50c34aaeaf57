//! Language models as classifiers: indicators to provider requests, provider replies to validated answers.
//!
//! Owns the prompt, the answer's schema and its check, the two wire formats, retries, token counts and prices. Knows
//! no cluster and no run. Limits are somebody else's: [`Throttle`] is asked before every HTTP request. Keys are
//! given to it from the environment and never shown.

mod access;
mod anthropic;
mod ask;
mod cache;
mod canary;
mod client;
mod escape;
mod estimate;
mod fit;
mod form;
mod forms;
#[cfg(fuzzing)]
pub mod fuzzing;
mod limit;
mod most;
mod openai;
mod prices;
mod prompt;
mod rates;
mod rejected;
mod retry;
mod safe;
mod schema;
mod strict;
mod throttle;
pub mod tokens;
mod unwrap;
mod usage;
mod validate;
mod wire;

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;

use crate::domain::method::Effort;

pub use access::{Access, Secret, key_variable, variables};
pub use ask::{Asked, Asker, Unanswered};
pub use client::{Client, Timeouts};
pub use estimate::{Estimated, Estimator};
pub use form::Form;
pub use most::most_each;
pub use prices::{Price, Prices};
pub use prompt::{PROMPT_VERSION, Prompt, prompt_version};
pub use rates::RateHeaders;
pub use retry::Backoff;
pub use safe::looks_like_key;
pub use schema::Schema;
pub use throttle::{Feedback, Throttle, Verdict};
pub use usage::Usage;

/// Most tokens a model may spend on one answer if it hardly thinks first: labels and a sentence take some 200.
const LEAST_ROOM: NonZeroU32 = NonZeroU32::MIN.saturating_add(2_047);
/// Most tokens of output that are ever asked for: models of OpenAI and Anthropic that allow fewer are not sold any more.
const MOST_ROOM: u32 = 64_000;
/// The same of other servers: gateways and local models often allow no more.
const MOST_ROOM_ELSEWHERE: u32 = 8_192;
/// How much more room an answer gets that was cut off.
const MORE_ROOM: u64 = 4;

/// Most characters of a model's name. The longest ones in use have some 60.
const LONGEST_NAME: usize = 128;

/// Who runs the model, and so the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OpenAI's Chat Completions.
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Any server that speaks OpenAI's Chat Completions: Ollama, LM Studio, vLLM, llama.cpp, a gateway.
    Compatible,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Compatible];

    /// Its name on the command line, in requests and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Compatible => "compatible",
        }
    }

    /// How long its models think where a request does not say: OpenAI's GPT-6 to a medium degree, most of Anthropic's a
    /// high one (<https://platform.claude.com/docs/en/build-with-claude/effort>).
    fn default_effort(self) -> Option<Effort> {
        match self {
            Self::OpenAi => Some(Effort::Medium),
            Self::Anthropic => Some(Effort::High),
            Self::Compatible => None,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no provider's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no provider with models (openai, anthropic, compatible)")]
pub struct UnknownProvider(String);

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        let found = Self::ALL.into_iter().find(|provider| provider.name() == name);
        found.ok_or_else(|| UnknownProvider(name.to_owned()))
    }
}

/// A model of a provider: what limits, prices and answers belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    /// Who runs it.
    pub provider: Provider,
    /// What the provider calls it.
    pub name: String,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

/// What is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownModel {
    /// There is no provider in front.
    #[error("a model is named PROVIDER/NAME, for instance `openai/gpt-6-luna`")]
    NoProvider,
    /// What stands in front is none.
    #[error(transparent)]
    Provider(#[from] UnknownProvider),
    /// No provider calls one so.
    #[error("a model's name has at most {LONGEST_NAME} characters")]
    TooLong,
}

impl FromStr for Model {
    type Err = UnknownModel;

    /// Reads `provider/name`; the name may have slashes of its own.
    fn from_str(text: &str) -> Result<Self, UnknownModel> {
        match text.split_once('/') {
            Some((_, name)) if name.chars().count() > LONGEST_NAME => Err(UnknownModel::TooLong),
            Some((provider, name)) if !name.is_empty() => {
                Ok(Self { provider: provider.parse()?, name: name.to_owned() })
            }
            _ => Err(UnknownModel::NoProvider),
        }
    }
}

/// How a model is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelOptions {
    /// Left out of the request by default: models that reason refuse any value but their own.
    pub temperature: Option<f64>,
    /// Most tokens of output per indicator, the ones the model thinks with included. An answer that is cut off is asked
    /// for again with more.
    pub max_output_tokens: NonZeroU32,
    /// Most tokens of output that a request asks for, whatever was cut off before.
    pub most_room: u32,
    /// Most indicators in one request; fewer than was asked for where their answers would need more room than models have.
    pub items_per_call: NonZeroUsize,
    /// How long it shall think; left out of the request where this is absent.
    pub effort: Option<Effort>,
    /// How a compatible server is asked for the form of an answer; found out where this is absent.
    pub form: Option<Form>,
}

impl ModelOptions {
    /// Options for so many indicators per request and this much thought, for which there is room in the answer.
    pub fn new(provider: Provider, items_per_call: NonZeroUsize, effort: Option<Effort>) -> Self {
        let more = match effort.or_else(|| provider.default_effort()) {
            None | Some(Effort::None | Effort::Minimal | Effort::Low) => 1,
            Some(Effort::Medium) => 2,
            Some(Effort::High) => 4,
            Some(Effort::Xhigh | Effort::Max) => 8,
        };
        let max_output_tokens = LEAST_ROOM.saturating_mul(NonZeroU32::MIN.saturating_add(more - 1));
        let most_room = match provider {
            Provider::OpenAi | Provider::Anthropic => MOST_ROOM,
            Provider::Compatible => MOST_ROOM_ELSEWHERE,
        };
        let fit = NonZeroUsize::new((most_room / max_output_tokens) as usize).unwrap_or(NonZeroUsize::MIN);
        let items_per_call = items_per_call.min(fit);
        Self { temperature: None, max_output_tokens, most_room, items_per_call, effort, form: None }
    }

    /// Most tokens of the answer to a request with so many indicators.
    fn room(&self, items: usize) -> u64 {
        u64::from(self.max_output_tokens.get()).saturating_mul(items as u64)
    }

    /// Tokens of output that a request counts as under the model's limits until its answer is there. Where nobody said how long
    /// to think, less than the room: few answers take all of it, and what a request reserves others have to wait for.
    fn reserve(&self, items: usize) -> u64 {
        let room = self.room(items);
        if self.effort.is_some() {
            return room;
        }
        room.min(u64::from(LEAST_ROOM.get()).saturating_mul(items as u64))
    }

    /// Most tokens of the answer that is asked for when one was cut off at `room`.
    fn more_room(&self, room: u64) -> u64 {
        room.saturating_mul(MORE_ROOM).min(self.most_room.into()).max(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for provider in Provider::ALL {
            assert_eq!(provider.name().parse(), Ok(provider));
        }
        let model = Model { provider: Provider::Compatible, name: "meta-llama/Llama-3.1-8B".into() };
        assert_eq!(model.to_string().parse(), Ok(model));
        assert_eq!("gpt".parse::<Model>(), Err(UnknownModel::NoProvider));
        assert!(format!("openai/{}", "ä".repeat(128)).parse::<Model>().is_ok());
        assert_eq!(format!("openai/{}", "ä".repeat(129)).parse::<Model>(), Err(UnknownModel::TooLong));
        let error = "OpenAI".parse::<Provider>().unwrap_err();
        assert_eq!(error.to_string(), "`OpenAI` is no provider with models (openai, anthropic, compatible)");
    }
}
