//! How a run wants its indicators classified: by which provider and model.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

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
}

impl Method {
    /// The built-in rules alone.
    pub fn rules() -> Self {
        Self { provider: RULES.to_owned(), model: None, threshold: None, items_per_call: None }
    }
}
