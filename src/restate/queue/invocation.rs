//! One invocation as Restate tells it: its state, what it failed with, whose it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::restate::id::InvocationId;
use crate::restate::names::SERVICES;

/// Where an invocation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not begun.
    Waiting,
    /// At work.
    Running,
    /// Begun, and waiting for others without taking up a slot.
    Suspended,
    /// Failed, and to be tried again.
    Retrying,
    /// Stopped until somebody resumes it.
    Paused,
    /// Completed with a result.
    Succeeded,
    /// Completed with an error; also what was cancelled or killed.
    Failed,
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Suspended,
        Self::Retrying,
        Self::Paused,
        Self::Succeeded,
        Self::Failed,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// From `status` and `completion_result` of `sys_invocation`.
    pub(super) fn of(status: &str, completion_result: Option<&str>) -> Self {
        match (status, completion_result) {
            ("running", _) => Self::Running,
            ("suspended", _) => Self::Suspended,
            ("backing-off", _) => Self::Retrying,
            ("paused", _) => Self::Paused,
            // `completed` alone does not mean success.
            ("completed", Some("success")) => Self::Succeeded,
            ("completed", _) => Self::Failed,
            // `pending`, `scheduled`, `ready`.
            _ => Self::Waiting,
        }
    }

    /// SQL that holds for what [`State::of`] takes for this state.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Waiting => "status NOT IN ('running', 'suspended', 'backing-off', 'paused', 'completed')",
            Self::Running => "status = 'running'",
            Self::Suspended => "status = 'suspended'",
            Self::Retrying => "status = 'backing-off'",
            Self::Paused => "status = 'paused'",
            Self::Succeeded => "(status = 'completed' AND completion_result = 'success')",
            Self::Failed => "(status = 'completed' AND completion_result IS DISTINCT FROM 'success')",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One invocation. All text in it is the server's or a service's: make it safe before showing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row")]
pub struct Invocation {
    /// Restate's id.
    pub id: InvocationId,
    /// The service it calls.
    pub service: String,
    /// Service, key and handler.
    pub target: String,
    /// Where it is.
    pub state: State,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// Attempts so far; absent once it has ended.
    pub retry_count: Option<u64>,
    /// How it ended if it failed, else what its last failed attempt said; cut off after 400 characters.
    pub error: Option<String>,
    /// Restate's own code for it, say `RT0010` where the service does not answer.
    pub error_code: Option<String>,
    /// When it is tried again, RFC 3339.
    pub next_retry_at: Option<String>,
    /// The invocation that made it, if one did.
    #[serde(skip_serializing)]
    pub invoked_by: Option<InvocationId>,
}

/// What a query for invocations selects, in the names of [`Row`].
pub(super) const COLUMNS: &str = "id, target_service_name, target, status, completion_result, created_at, \
     retry_count, substr(COALESCE(completion_failure, last_failure), 1, 400) AS error, \
     last_failure_error_code, next_retry_at, invoked_by_id";

#[derive(Debug, Deserialize)]
struct Row {
    id: InvocationId,
    target_service_name: String,
    target: String,
    status: String,
    #[serde(default)]
    completion_result: Option<String>,
    created_at: String,
    #[serde(default)]
    retry_count: Option<u64>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    last_failure_error_code: Option<String>,
    #[serde(default)]
    next_retry_at: Option<String>,
    #[serde(default)]
    invoked_by_id: Option<InvocationId>,
}

impl From<Row> for Invocation {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            service: row.target_service_name,
            target: row.target,
            state: State::of(&row.status, row.completion_result.as_deref()),
            created_at: row.created_at,
            retry_count: row.retry_count,
            error: row.error,
            error_code: row.last_failure_error_code,
            next_retry_at: row.next_retry_at,
            invoked_by: row.invoked_by_id,
        }
    }
}

impl Invocation {
    /// Whether it belongs to a service of ours, by both things that tell.
    pub fn is_ours(&self) -> bool {
        SERVICES.contains(&self.service.as_str())
            && self.target.strip_prefix(&self.service).is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_service_is_not_ours() {
        let row = |service: &str, target: &str| {
            let json = serde_json::json!({
                "id": "inv_1", "target_service_name": service, "target": target, "status": "running",
                "created_at": "2026-01-02T03:04:05Z"
            });
            serde_json::from_value::<Invocation>(json).unwrap()
        };
        assert!(row("ClassifyBatch", "ClassifyBatch/01R.0/run").is_ours());
        assert!(!row("Classifiers", "Classifiers/classify").is_ours());
        assert!(!row("Classifier", "Classifiers/classify").is_ours());
        assert!(!row("Payments", "Classifier/classify").is_ours());
    }

    #[test]
    fn a_row_without_a_proper_id_is_no_row() {
        let json = serde_json::json!({
            "id": "inv_1/../../x", "target_service_name": "Classifier", "target": "Classifier/classify",
            "status": "running", "created_at": ""
        });
        assert!(serde_json::from_value::<Invocation>(json).is_err());
    }
}
