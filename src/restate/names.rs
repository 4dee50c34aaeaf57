//! Names of our services and handlers as Restate knows them. Service and clients must agree on them.

/// The workflow that classifies one batch.
pub const BATCH_WORKFLOW: &str = "ClassifyBatch";
/// Its main handler; a workflow has exactly one.
pub const BATCH_RUN: &str = "run";
/// The service that classifies indicators.
pub const CLASSIFIER: &str = "Classifier";
/// Asks a model about an indicator; called with its fingerprint as idempotency key.
pub const CLASSIFIER_CLASSIFY: &str = "classify";
/// Lets the rules answer for a batch; called with the fingerprint of all its indicators as idempotency key.
pub const CLASSIFIER_RULES: &str = "rules";
/// Cancels invocations; the body is a list of their ids.
pub const CLASSIFIER_WITHDRAW: &str = "withdraw";
/// Answers with what the service is, see [`ServiceInfo`].
pub const CLASSIFIER_INFO: &str = "info";
/// The virtual object that leases a model's limits.
pub const MODEL_LIMITS: &str = "ModelLimits";
/// Grants a process what the limits allow, see [`LeaseRequest`].
pub const MODEL_LIMITS_LEASE: &str = "lease";
/// Tells the limits and their use, see [`ModelLimits`].
pub const MODEL_LIMITS_SHOW: &str = "show";
/// Overrules the limits that processes were started with.
pub const MODEL_LIMITS_SET: &str = "set";
/// The virtual object that submits the batches of a detached run; its key is the run's id.
pub const DETACHED_RUN: &str = "DetachedRun";
/// Begins a run of which all pages are there, see [`Plan`](crate::domain::detached::Plan).
pub const DETACHED_RUN_BEGIN: &str = "begin";
/// Gives up a run that never began; the body is its [`Plan`](crate::domain::detached::Plan).
pub const DETACHED_RUN_GIVE_UP: &str = "give_up";
/// Counts batches that are done; the body is a list of [`Report`](crate::domain::detached::Report).
pub const DETACHED_RUN_FINISHED: &str = "finished";
/// The virtual object that keeps batches of a detached run until they are submitted; its key is `{run_id}.{page}`.
pub const BATCH_PAGE: &str = "BatchPage";
/// Keeps batches. The body is as [`PageWriter`](crate::domain::page::PageWriter) makes it.
pub const BATCH_PAGE_PUT: &str = "put";
/// Gathers what the batches of a detached run report.
pub const BATCH_REPORTS: &str = "BatchReports";
/// Every service of ours. Nothing else in a cluster is ours to list or to touch.
pub const SERVICES: [&str; 6] =
    [BATCH_WORKFLOW, CLASSIFIER, MODEL_LIMITS, DETACHED_RUN, BATCH_PAGE, BATCH_REPORTS];

use serde::{Deserialize, Serialize};

use crate::domain::detached::{Changes, Phase, Progress};
use crate::throttle::budget::{Ask, Limits, Usage};

/// What may be asked of a detached run that has begun. Each is answered with [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    /// Tell where it is.
    Show,
    /// Submit nothing more for the time being.
    Pause,
    /// Go on submitting.
    Resume(Changes),
    /// Take a step now, if it goes on.
    Wake,
    /// Submit nothing more, and throw away what was not submitted.
    Cancel,
}

impl Order {
    /// Its handler.
    pub fn handler(self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::Pause => "pause",
            Self::Resume(_) => "resume",
            Self::Wake => "wake",
            Self::Cancel => "cancel",
        }
    }

    /// Whether a run that stands like that has carried it out, or need not.
    pub fn is_done(self, progress: &Progress) -> bool {
        match self {
            Self::Show | Self::Wake => true,
            Self::Pause => progress.phase == Phase::Paused,
            Self::Resume(Changes { per_minute, max_failures, max_cost_usd }) => {
                let plan = &progress.plan;
                progress.phase == Phase::Running
                    && per_minute.is_none_or(|rate| plan.per_minute == Some(rate))
                    && max_failures.is_none_or(|most| plan.max_failures == Some(most))
                    && max_cost_usd.is_none_or(|most| plan.max_cost_usd == Some(most))
            }
            Self::Cancel => progress.phase == Phase::Cancelled,
        }
    }
}

/// Body of `ModelLimits/{provider}/{model}/lease`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Limits the process was started with.
    pub limits: Limits,
    /// What it asks.
    pub ask: Ask,
}

/// What `ModelLimits/show` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelLimits {
    /// The limits in force.
    pub limits: Limits,
    /// A person set some of them; the others are those of the process that asked last.
    pub set_by_hand: bool,
    /// Those that a person set.
    #[serde(default)]
    pub set: Limits,
    /// How much is used; absent where nobody ever asked.
    pub usage: Option<Usage>,
}

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
    /// Name of the secret that calls have to be signed with, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}
