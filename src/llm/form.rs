//! How the form of an answer is asked for. OpenAI and Anthropic take one subset of JSON schema. Of the servers that speak
//! OpenAI's format some decode under any schema, some under that subset, and some have a JSON mode only.
//!
//! Which a server is, it is asked once, before the first request; a server that refuses the form gets a simpler one.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Provider;
use super::client::Client;

/// Who a model belongs to by its server's own list of models, where the server decodes under a schema with bounds:
/// llama.cpp, vLLM, Ollama.
const BOUNDED: [&str; 3] = ["llamacpp", "vllm", "library"];

/// How the form of an answer is asked for, the most exact way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A schema with bounds, patterns and lengths: decoding keeps to them.
    Bounded,
    /// A schema of what OpenAI's strict mode and Anthropic's structured outputs accept.
    Strict,
    /// JSON, whatever its form; the schema stands in the prompt.
    Json,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bounded, Self::Strict, Self::Json];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bounded => "bounded",
            Self::Strict => "strict",
            Self::Json => "json",
        }
    }

    fn simpler(self) -> Option<Self> {
        match self {
            Self::Bounded => Some(Self::Strict),
            Self::Strict => Some(Self::Json),
            Self::Json => None,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|form| form.name() == name);
        found.ok_or_else(|| format!("`{name}` is no form of answers (bounded, strict, json)"))
    }
}

/// What one server takes, as far as it is known.
#[derive(Debug)]
pub(super) struct Forms {
    named: Option<Form>,
    asks: bool,
    found: OnceCell<Form>,
    /// The simplest one it came to.
    simplest: Mutex<Option<Form>>,
}

impl Forms {
    /// For a model of `provider`. A form that is `named` is not departed from.
    pub(super) fn new(provider: Provider, named: Option<Form>) -> Self {
        let asks = provider == Provider::Compatible;
        Self { named: named.filter(|_| asks), asks, found: OnceCell::new(), simplest: Mutex::default() }
    }

    /// The form to ask in.
    pub(super) async fn at_first(&self, client: &Client) -> Form {
        if let Some(form) = self.named.or_else(|| self.simplest()) {
            return form;
        }
        if !self.asks {
            return Form::Strict;
        }
        let ask = || async {
            match client.owner_of_models().await {
                Some(owner) if BOUNDED.contains(&owner.as_str()) => Form::Bounded,
                _ => Form::Strict,
            }
        };
        *self.found.get_or_init(ask).await
    }

    /// The form to ask in when `refused` was refused.
    pub(super) fn simpler_than(&self, refused: Form) -> Option<Form> {
        let simpler = refused.simpler().filter(|_| self.asks && self.named.is_none())?;
        let mut simplest = self.simplest.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may have come further meanwhile.
        if simplest.is_none_or(|known| known == refused) {
            *simplest = Some(simpler);
        }
        Some(simpler)
    }

    fn simplest(&self) -> Option<Form> {
        *self.simplest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
