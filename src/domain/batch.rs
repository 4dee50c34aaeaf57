//! A batch: the unit that is submitted, journaled and polled. One batch is one `ClassifyBatch` workflow.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::indicator::Indicator;
use super::method::Method;
use super::outcome::Outcome;

/// Name and place of a batch: `{run_id}.{index}`, the workflow key. The same key may be sent any number of times,
/// to any node, and runs once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchKey {
    /// The run it belongs to.
    pub run_id: String,
    /// Its place in the run, from 0.
    pub index: u64,
}

impl fmt::Display for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run_id, self.index)
    }
}

/// Settings every batch of a run carries to the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Who shall answer.
    #[serde(flatten)]
    pub method: Method,
    /// Digest of the taxonomy the client expects; a service with another one refuses the batch.
    pub taxonomy: String,
    /// Set by `--force`: makes fingerprints differ from those of any earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The cluster itself submits the run's batches: each tells the run's object what came of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
}

/// Body of `ClassifyBatch/run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// The run's settings.
    pub options: RunOptions,
    /// What to classify.
    pub indicators: Vec<Indicator>,
}

/// Output of `ClassifyBatch/run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchResponse {
    /// One outcome per indicator of the request, in its order.
    pub outcomes: Vec<Outcome>,
}
