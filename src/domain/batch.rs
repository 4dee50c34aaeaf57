//! A batch: the unit that is submitted, journaled and polled. One batch is one `ClassifyBatch` workflow.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::indicator::Indicator;
use super::method::Method;
use super::outcome::Outcome;
use super::{bounds, rows};

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
    /// What is read of an indicator and of the label set; absent in runs of versions that read all columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Reads>,
    /// Set by `--force`: makes fingerprints differ from those of any earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The cluster itself submits the run's batches: each tells the run's object what came of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
}

/// What an answer is made from beside the indicator's known columns. It travels with a batch, so that a batch that is under
/// way keeps its identity when the service is replaced by another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// Version of the prompt for this label set.
    pub prompt: u32,
    /// Columns beyond the known ones that the label set names. Nothing else is read, or sent to a provider.
    pub columns: Vec<String>,
}

impl RunOptions {
    /// `indicator` with what of it is read.
    pub fn read(&self, mut indicator: Indicator) -> Indicator {
        if let Some(Reads { columns, .. }) = &self.reads {
            indicator.extra.retain(|name, _| columns.contains(name));
        }
        indicator
    }

    /// What of `indicator` is read.
    pub fn of<'a>(&self, indicator: &'a Indicator) -> Cow<'a, Indicator> {
        let is_read = |name: &String| self.reads.as_ref().is_none_or(|reads| reads.columns.contains(name));
        if indicator.extra.keys().all(is_read) {
            return Cow::Borrowed(indicator);
        }
        Cow::Owned(self.read(indicator.clone()))
    }
}

/// Body of `ClassifyBatch/run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// The run's settings.
    #[serde(deserialize_with = "bounds::options")]
    pub options: RunOptions,
    /// What to classify.
    #[serde(deserialize_with = "rows::rows")]
    pub indicators: Vec<Indicator>,
}

/// Output of `ClassifyBatch/run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchResponse {
    /// One outcome per indicator of the request, in its order.
    #[serde(deserialize_with = "bounds::one_each")]
    pub outcomes: Vec<Outcome>,
}
