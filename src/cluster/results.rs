//! What a start and a stop found to do, and did.

use std::time::Duration;

use super::state::State;

/// Hint of a start that ran out of time and leaves its nodes running.
pub(super) const RUNS_ON: &str =
    "the nodes that were started keep running and catch up; run the same command again to wait for them";

/// What a start found to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: all nodes served already.
    AlreadyUp,
    /// Nothing but wait: all nodes ran, and had not served yet.
    BecameReady,
    /// No node ran; all were started.
    Started,
    /// These had died and were started again.
    Repaired(Vec<String>),
}

/// A cluster that is up.
#[derive(Debug, Clone)]
pub struct Started {
    /// What was done.
    pub outcome: Outcome,
    /// Its record: nodes, ports, processes.
    pub state: State,
    /// Version of the server.
    pub version: String,
    /// From call to readiness.
    pub elapsed: Duration,
    /// Why the registered service does not answer, if one is registered and does not.
    pub service_problem: Option<String>,
}

/// What a stop found to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// What ran and does not any more.
    pub ended: Vec<String>,
    /// Those of them that had to be killed.
    pub killed: Vec<String>,
    /// What belongs to somebody else, or is not the cluster's, and was left as it is.
    pub left: Vec<String>,
}
