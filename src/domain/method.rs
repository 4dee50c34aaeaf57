//! How a run wants its indicators classified: by which provider and model.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::money::Allowance;

/// Name of the built-in provider.
pub const RULES: &str = "rules";
/// Name of the provider that asks a model only where the rules are not sure.
pub const HYBRID: &str = "hybrid";

/// Provider, model, and what else an answer depends on beside the indicator and the taxonomy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// `rules`, `hybrid`, or a provider of models.
    pub provider: String,
    /// The model as `provider/name`; absent with `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// With `hybrid`: confidence of the rules below which the model is asked, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Most indicators in one request to the model. No part of an answer's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_per_call: Option<NonZeroUsize>,
    /// How long the model shall think; as long as it likes where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// What one indicator may cost, where the run has a limit. No part of an answer's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
}

/// How long a model shall think before it answers, in the providers' common words. Not every model knows all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words are all there is to know")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    /// All of them, from the least on.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// Its name, in requests and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

impl Method {
    /// The built-in rules alone.
    pub fn rules() -> Self {
        Self {
            provider: RULES.to_owned(),
            model: None,
            threshold: None,
            items_per_call: None,
            effort: None,
            allowance: None,
        }
    }
}
