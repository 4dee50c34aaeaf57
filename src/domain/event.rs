//! What happens in a run, as values. The engine makes them, one owner applies them to the counts, and whoever
//! shows or stores something only listens.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::money::Done;
use super::outcome::{FailureClass, Hopeless, Usage};
use super::remarks::Remarks;
use super::tally::Tally;

/// One thing that happened. `node` is the node's place in the list of nodes; times are since the run's start.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// A node accepted a batch.
    Submitted {
        /// The node.
        node: usize,
        /// Whether the cluster knew it.
        reception: Reception,
        /// Indicators in the batch.
        indicators: u64,
        /// When the request was let through to the node.
        at: Duration,
    },
    /// An exchange with a node failed; the work goes to another.
    NodeFault {
        /// The node.
        node: usize,
        /// What it answered, or did not.
        error: String,
    },
    /// A node is out of the rotation.
    NodeDown {
        /// The node.
        node: usize,
        /// Why.
        reason: String,
    },
    /// A node is back in the rotation.
    NodeUp {
        /// The node.
        node: usize,
    },
    /// Nothing moves, and this is why; `None`: it moves again.
    Trouble(Option<Trouble>),
    /// No batch leaves until it is known what those under way have cost (`--max-cost`); `None`: that is over.
    Held {
        /// What is spent, and the most that is under way can cost; in US dollars.
        reserved_usd: Option<f64>,
    },
    /// A finished batch is on disk.
    Recorded(Recorded),
    /// What was bought for rows of a batch that was taken back. They are pending; going on with the run counts them.
    Spent(Usage),
    /// A row that is no indicator is in the failures file.
    Rejected,
}

/// How the cluster took a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// As a new one.
    New,
    /// As one it had been given before this process began: its result is there or on its way, and nothing is sent twice.
    Known,
    /// As a new one, though it had been given it before: it has forgotten it.
    Forgotten,
}

/// What a batch on disk added to the counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Node that delivered the output.
    #[serde(skip)]
    pub node: usize,
    /// Indicators with labels.
    pub succeeded: u64,
    /// Of these, answered by an earlier call.
    pub reused: u64,
    /// Indicators without labels, by class.
    pub failed: BTreeMap<FailureClass, u64>,
    /// What was bought for this batch; answers that were reused cost nothing.
    pub usage: Usage,
    /// Indicators for which no model had to be asked.
    pub spared: u64,
    /// Why every other indicator would fail, too, if one failed in such a way.
    #[serde(skip)]
    pub hopeless: Option<Hopeless>,
    /// Columns that were cut, and what failures said.
    #[serde(default, skip_serializing_if = "no_remarks")]
    pub remarks: Box<Remarks>,
    /// From submission to the output in hand.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}

impl Recorded {
    /// What a batch that counts as `tally` adds.
    pub fn new(node: usize, tally: Tally, took: Duration) -> Self {
        let Tally { succeeded, reused, failed, usage, spared, hopeless, remarks } = tally;
        Self { node, succeeded, reused, failed, usage, spared, hopeless, remarks: Box::new(remarks), took }
    }

    /// As the account of the run counts it.
    pub fn done(&self) -> Done<'_> {
        let rows = self.succeeded + self.failed.values().sum::<u64>();
        let cancelled = self.failed.get(&FailureClass::Cancelled).copied().unwrap_or_default();
        Done { rows, free: self.reused + self.spared, cancelled, usage: &self.usage }
    }
}

#[expect(clippy::borrowed_box, reason = "serde's signature")]
fn no_remarks(remarks: &Box<Remarks>) -> bool {
    remarks.is_empty()
}

/// A duration as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// Why a whole run stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No node accepts a connection.
    NodesGone,
    /// Nodes answer, and nothing can be written: too few of them are there.
    QuorumLost,
    /// The cluster works and does not know the service.
    ServiceMissing,
    /// The cluster works and gets no answer from the service.
    ServiceSilent,
    /// The service is not the one that the run needs.
    OtherService {
        /// What is different.
        why: String,
    },
    /// The provider wants no requests for the model for a while.
    ModelPaused {
        /// The model, as `provider/name`.
        model: String,
        /// So many minutes, the last one begun.
        minutes: u64,
    },
    /// Cluster and service answer, and yet no batch is accepted or finished.
    WorkStuck,
}
