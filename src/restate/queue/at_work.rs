//! Which batches have a call that a service is at: it may be at a model's provider, and is paid for then.

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;

use super::State;
use crate::restate::Error;
use crate::restate::admin::Admin;
use crate::restate::id::InvocationId;
use crate::restate::names::{CLASSIFIER, CLASSIFIER_CLASSIFY};

#[derive(Debug, Deserialize)]
struct Call {
    id: InvocationId,
    #[serde(default)]
    invoked_by_id: Option<InvocationId>,
}

/// That a batch knows the id of a call it made.
#[derive(Debug, Deserialize)]
struct Known {
    id: InvocationId,
    #[serde(default)]
    entry_json: Option<String>,
}

/// All such batches. A call that several batches wait for is that of each, and tells the first only: the others' journals are read.
///
/// # Errors
/// When the node does not answer, or cannot reach the leader of a partition.
pub async fn at_work(admin: &Admin, timeout: Duration) -> Result<HashSet<InvocationId>, Error> {
    let running = State::Running.sql();
    let calls = format!(
        "SELECT id, invoked_by_id FROM sys_invocation WHERE target_service_name = '{CLASSIFIER}' \
         AND target_handler_name = '{CLASSIFIER_CLASSIFY}' AND {running}"
    );
    let calls: Vec<Call> = admin.query(&calls, timeout).await?;
    if calls.is_empty() {
        return Ok(HashSet::new());
    }
    let known = "SELECT id, entry_json FROM sys_journal WHERE entry_type = 'Notification: CallInvocationId'";
    let known: Vec<Known> = admin.query(known, timeout).await?;
    let running: HashSet<InvocationId> = calls.iter().map(|call| call.id.clone()).collect();
    let waiting = known.into_iter().filter(|known| called(known).is_some_and(|call| running.contains(&call)));
    let waiting: Vec<InvocationId> = waiting.map(|known| known.id).collect();
    Ok(calls.into_iter().filter_map(|call| call.invoked_by_id).chain(waiting).collect())
}

/// The id in an entry of a journal: the one text in it that can be one.
fn called(known: &Known) -> Option<InvocationId> {
    known.entry_json.as_deref()?.split('"').find_map(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_found_in_the_entry() {
        let entry = |entry_json: &str| Known {
            id: "inv_1batch".parse().unwrap(),
            entry_json: Some(entry_json.into()),
        };
        let notification = r#"{"Notification":{"Completion":{"CallInvocationId":{"completion_id":1,"invocation_id":"inv_1call"}}}}"#;
        assert_eq!(called(&entry(notification)), Some("inv_1call".parse().unwrap()));
        assert_eq!(called(&entry("{}")), None);
    }
}
