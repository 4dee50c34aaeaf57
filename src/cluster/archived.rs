//! How far the partitions are in snapshots. Only looks; where snapshots go is the business of `snapshots`.

use futures_util::future::join_all;
use serde::Serialize;

use super::ready::PROBE_TIMEOUT;
use super::restatectl::Restatectl;
use super::snapshots::Snapshots;
use crate::restate::address::Address;
use crate::restate::metrics::Metrics;
use crate::restate::snapshots::PartitionSnapshot;

/// Snapshots of a cluster that keeps them.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotStatus {
    /// Where they are kept.
    pub destination: String,
    /// The store, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// Each partition in order; empty when it cannot be told.
    pub partitions: Vec<PartitionSnapshot>,
    /// Seconds since the oldest of the partitions' last snapshots; absent before each has one. A node goes on counting
    /// for a partition that it no longer leads, so it may be less.
    pub oldest_age_s: Option<u64>,
    /// Why it cannot be told.
    pub problem: Option<String>,
}

/// Asks the nodes at these addresses; `restatectl` knows them as `peers`.
pub async fn look(
    snapshots: &Snapshots,
    restatectl: Result<Restatectl, String>,
    peers: &[String],
    nodes: &[Address],
) -> SnapshotStatus {
    let told = match restatectl {
        _ if nodes.is_empty() => Err("no node runs".to_owned()),
        Ok(restatectl) => restatectl.partitions(peers).await,
        Err(missing) => Err(missing),
    };
    let mut status = SnapshotStatus {
        destination: snapshots.destination.clone(),
        endpoint: snapshots.endpoint.clone(),
        partitions: Vec::new(),
        oldest_age_s: None,
        problem: None,
    };
    match told {
        Ok(partitions) => status.partitions = partitions,
        Err(problem) => status.problem = Some(problem),
    }
    // Before the first snapshot the nodes count from when they looked for one.
    if !status.partitions.is_empty() && status.partitions.iter().all(|p| p.archived_lsn.is_some()) {
        let age = async |node: &Address| Metrics::new(node)?.oldest_snapshot_s(PROBE_TIMEOUT).await;
        let ages = join_all(nodes.iter().map(age)).await;
        status.oldest_age_s = ages.into_iter().filter_map(|age| age.ok().flatten()).max();
    }
    status
}
