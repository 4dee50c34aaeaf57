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
struct Caller {
    id: InvocationId,
}

/// All such batches. A call that several batches wait for is that of each.
///
/// # Errors
/// When the node does not answer, or cannot reach the leader of a partition.
pub async fn at_work(admin: &Admin, timeout: Duration) -> Result<HashSet<InvocationId>, Error> {
    let running = State::Running.sql();
    let sql = format!(
        "SELECT DISTINCT id FROM sys_journal WHERE invoked_id IN (SELECT id FROM sys_invocation \
         WHERE target_service_name = '{CLASSIFIER}' AND target_handler_name = '{CLASSIFIER_CLASSIFY}' AND {running})"
    );
    let callers: Vec<Caller> = admin.query(&sql, timeout).await?;
    Ok(callers.into_iter().map(|caller| caller.id).collect())
}
