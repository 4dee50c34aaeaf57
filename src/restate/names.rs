//! Names of our services and handlers as Restate knows them. Service and clients must agree on them.

/// The workflow that classifies one batch.
pub const BATCH_WORKFLOW: &str = "ClassifyBatch";
/// Its main handler; a workflow has exactly one.
pub const BATCH_RUN: &str = "run";
/// The service that classifies one indicator.
pub const CLASSIFIER: &str = "Classifier";
/// Answers with what the service is, see [`ServiceInfo`].
pub const CLASSIFIER_INFO: &str = "info";

use serde::{Deserialize, Serialize};

/// What a running service says of itself. Asking through an ingress proves the whole way: node, log quorum,
/// partition leader, service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Version of the `classify` binary that serves.
    pub version: String,
    /// Taxonomy in use, `name@version`.
    pub taxonomy: String,
    /// Digest of its content.
    pub taxonomy_digest: String,
    /// Providers it can use.
    pub providers: Vec<String>,
}
