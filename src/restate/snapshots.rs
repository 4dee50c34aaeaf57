//! How far each partition's log is applied and archived, as `restatectl sql --json` tells it. Restate's admin API
//! does not know: the table is served between nodes only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The query; [`parse`] reads its answer. One row per partition and node: the leader knows best what is archived.
pub const QUERY: &str = "select partition_id, applied_log_lsn, archived_log_lsn from partition_state";

/// Where one partition stands. LSNs count the records of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartitionSnapshot {
    /// The partition.
    pub partition: u32,
    /// The last record that some node applied.
    pub applied_lsn: u64,
    /// The last record that the last snapshot holds; absent before the first, and while a new leader has not looked yet.
    pub archived_lsn: Option<u64>,
    /// Records that came after the last snapshot: what a node without data must read from the log.
    pub behind: u64,
}

/// Reads the answer to [`QUERY`]: each partition once, in order.
///
/// # Errors
/// When it is not what the query asks for.
pub fn parse(answer: &[u8]) -> Result<Vec<PartitionSnapshot>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Row {
        partition_id: u32,
        // Left out where they are unknown.
        #[serde(default)]
        applied_log_lsn: u64,
        #[serde(default)]
        archived_log_lsn: u64,
    }
    let rows: Vec<Row> = serde_json::from_slice(answer)?;
    let mut partitions: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let (applied, archived) = partitions.entry(row.partition_id).or_default();
        *applied = row.applied_log_lsn.max(*applied);
        *archived = row.archived_log_lsn.max(*archived);
    }
    let snapshot = |(partition, (applied_lsn, archived))| PartitionSnapshot {
        partition,
        applied_lsn,
        // LSNs begin at 1. A leader that looked and found no snapshot says 0.
        archived_lsn: (archived > 0).then_some(archived),
        behind: applied_lsn.saturating_sub(archived),
    };
    Ok(partitions.into_iter().map(snapshot).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_appears_once_with_what_its_best_node_knows() {
        // As 1.7.12 answers: a follower does not know the snapshot, a former leader knows an older one.
        let answer = br#"[{"partition_id":1,"applied_log_lsn":11653,"archived_log_lsn":11650},
            {"partition_id":0,"applied_log_lsn":98},{"partition_id":1,"applied_log_lsn":11680,"archived_log_lsn":11679},
            {"partition_id":1,"applied_log_lsn":11600},{"partition_id":2,"applied_log_lsn":7,"archived_log_lsn":0}]"#;
        let partitions = parse(answer).unwrap();
        let shown: Vec<_> = partitions.iter().map(|p| (p.partition, p.archived_lsn, p.behind)).collect();
        assert_eq!(shown, [(0, None, 98), (1, Some(11_679), 1), (2, None, 7)]);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(parse(b"").is_err());
        assert!(parse(br#"[{"partition":1}]"#).is_err());
        assert_eq!(parse(b"[]").unwrap(), []);
    }
}
