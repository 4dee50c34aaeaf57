//! What the cluster holds of our work, by SQL over `sys_invocation`. Owns the queries and the meaning of states;
//! touches nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use super::admin::Admin;
use super::names::{BATCH_WORKFLOW, CLASSIFIER};

/// Retrying invocations shown at most; their number is always exact.
const SHOWN: usize = 10;

/// A look at the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Counts per service; a service without work is there with zeros.
    pub services: Vec<ServiceCounts>,
    /// What has been waiting longest for its first attempt.
    pub oldest_waiting: Option<Invocation>,
    /// Invocations that failed and will be tried again, most attempts first; at most 10.
    pub retrying: Vec<Invocation>,
    /// Invocations that Restate gave up on until somebody resumes them; at most 10. Ours are killed instead, so
    /// that anything here was paused by hand.
    pub paused: Vec<Invocation>,
}

/// Invocations of one service by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceCounts {
    /// The service.
    pub service: String,
    /// Not begun.
    pub waiting: u64,
    /// At work.
    pub running: u64,
    /// Begun, and waiting for others without taking up a slot.
    pub suspended: u64,
    /// Failed, and to be tried again.
    pub retrying: u64,
    /// Stopped until somebody resumes them.
    pub paused: u64,
    /// Completed with a result.
    pub succeeded: u64,
    /// Completed with an error.
    pub failed: u64,
}

/// One invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Restate's id.
    pub id: String,
    /// Service, key and handler.
    pub target: String,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// Attempts that failed.
    #[serde(default)]
    pub retry_count: Option<u64>,
    /// What the last of them said.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// When it is tried again, RFC 3339.
    #[serde(default)]
    pub next_retry_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Count {
    target_service_name: String,
    status: String,
    #[serde(default)]
    completion_result: Option<String>,
    n: u64,
}

impl Queue {
    /// Looks at the queue through one node.
    ///
    /// # Errors
    /// When the node does not answer, or cannot reach the leader of a partition.
    pub async fn look(admin: &Admin, timeout: Duration) -> Result<Self, Error> {
        let ours = format!("target_service_name IN ('{BATCH_WORKFLOW}', '{CLASSIFIER}')");
        let counts = format!(
            "SELECT target_service_name, status, completion_result, COUNT(*) AS n FROM sys_invocation \
             WHERE {ours} GROUP BY target_service_name, status, completion_result"
        );
        let list = |states: &str, order: &str, limit: usize| {
            format!(
                "SELECT id, target, created_at, retry_count, last_failure, next_retry_at FROM sys_invocation \
                 WHERE {ours} AND status IN ({states}) ORDER BY {order} LIMIT {limit}"
            )
        };
        let oldest = list("'pending', 'scheduled', 'ready'", "created_at", 1);
        let retrying = list("'backing-off'", "retry_count DESC", SHOWN);
        let paused = list("'paused'", "created_at", SHOWN);
        let (counts, oldest, retrying, paused) = tokio::try_join!(
            admin.query::<Count>(&counts, timeout),
            admin.query::<Invocation>(&oldest, timeout),
            admin.query::<Invocation>(&retrying, timeout),
            admin.query::<Invocation>(&paused, timeout),
        )?;
        Ok(Self { services: tally(&counts), oldest_waiting: oldest.into_iter().next(), retrying, paused })
    }
}

fn tally(counts: &[Count]) -> Vec<ServiceCounts> {
    let mut services = [BATCH_WORKFLOW, CLASSIFIER]
        .map(|service| ServiceCounts { service: service.to_owned(), ..ServiceCounts::default() });
    for count in counts {
        let Some(service) = services.iter_mut().find(|service| service.service == count.target_service_name)
        else {
            continue;
        };
        *match (count.status.as_str(), count.completion_result.as_deref()) {
            ("running", _) => &mut service.running,
            ("suspended", _) => &mut service.suspended,
            ("backing-off", _) => &mut service.retrying,
            ("paused", _) => &mut service.paused,
            // `completed` alone does not mean success.
            ("completed", Some("success")) => &mut service.succeeded,
            ("completed", _) => &mut service.failed,
            _ => &mut service.waiting,
        } += count.n;
    }
    services.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_is_not_success() {
        let count = |status: &str, completion_result: Option<&str>, n| Count {
            target_service_name: CLASSIFIER.into(),
            status: status.into(),
            completion_result: completion_result.map(Into::into),
            n,
        };
        let counts = [
            count("completed", Some("success"), 7),
            count("completed", Some("failure"), 2),
            count("pending", None, 3),
            count("ready", None, 1),
            count("backing-off", None, 4),
        ];
        let expected = ServiceCounts {
            service: CLASSIFIER.into(),
            waiting: 4,
            retrying: 4,
            succeeded: 7,
            failed: 2,
            ..ServiceCounts::default()
        };
        assert_eq!(tally(&counts)[1], expected);
    }
}
