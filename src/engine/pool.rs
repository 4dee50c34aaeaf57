//! The nodes of a run: whose turn it is, who is out, and how one comes back.
//!
//! Owns the state of every node. Nobody else decides whether a node is up.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::rotation::Rotation;
use crate::restate::ingress::Ingress;
use crate::restate::{Error, Origin};
use crate::throttle::{Gate, Pace};

/// Patience with a node that is asked whether it is back.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// First and longest pause between such questions. Short: a returned quorum shall be noticed at once, and without one each question
/// takes all the patience there is anyway.
const PROBE_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(500));

/// One node as the run sees it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) ingress: Ingress,
    gate: Gate,
    up: watch::Sender<bool>,
}

/// All nodes of the run.
#[derive(Debug)]
pub(crate) struct Pool {
    nodes: Vec<Node>,
    rotation: Mutex<Rotation>,
    /// Counts changes of any node, to wake who waits for one.
    changes: watch::Sender<u64>,
}

/// What an error of a node means for the work at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The node is at fault; another will do.
    OtherNode,
    /// The request is at fault; no node will take it.
    Hopeless,
}

/// Judges an error by its kind, never by its text.
pub(crate) fn verdict(error: &Error) -> Verdict {
    match error {
        Error::Status { status, origin: Origin::Node, .. } => match status.as_u16() {
            // 404: this node has not heard of the service yet. The others: busy, or a fault of the node.
            404 | 408 | 425 | 429 | 500..=599 => Verdict::OtherNode,
            _ => Verdict::Hopeless,
        },
        Error::Status { origin: Origin::Invocation, .. } => Verdict::Hopeless,
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::Malformed { .. } => Verdict::OtherNode,
    }
}

impl Pool {
    /// A pool of these nodes (name, ingress), all up, each behind a gate of its own.
    pub(crate) fn new(nodes: impl IntoIterator<Item = (String, Ingress)>, pace: &Pace) -> Self {
        let node = |(name, ingress)| Node {
            name,
            ingress,
            gate: Gate::new(pace.per_node, pace.batch_size),
            up: watch::Sender::new(true),
        };
        Self {
            nodes: nodes.into_iter().map(node).collect(),
            rotation: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// As [`Self::turn`], for the batch with this place in the run. While all nodes are up, the place alone decides which
    /// node it is: a run that is resumed says the same of its rows as one that was not disturbed.
    pub(crate) async fn turn_of(&self, batch: u64, indicators: NonZeroU32) -> usize {
        self.set_place(batch);
        self.turn(indicators).await
    }

    /// As [`Self::turn_of`], past the gate: for what the cluster has been given already.
    pub(crate) async fn place_of(&self, batch: u64) -> usize {
        self.set_place(batch);
        self.any_up().await
    }

    fn set_place(&self, batch: u64) {
        if (0..self.nodes.len()).all(|node| self.is_up(node)) {
            let place = usize::try_from(batch % self.nodes.len() as u64).unwrap_or_default();
            self.rotation.lock().unwrap_or_else(PoisonError::into_inner).set(place);
        }
    }

    /// Waits for a node that is up and whose gate lets `indicators` pass, in strict rotation.
    pub(crate) async fn turn(&self, indicators: NonZeroU32) -> usize {
        loop {
            let node = self.any_up().await;
            let mut up = self.nodes[node].up.subscribe();
            tokio::select! {
                () = self.nodes[node].gate.pass(indicators) => return node,
                _ = up.wait_for(|up| !up) => {} // It went down while we waited; its turn is over.
            }
        }
    }

    /// The next node that is up, waiting until there is one.
    pub(crate) async fn any_up(&self) -> usize {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let chosen = self
                .rotation
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next(self.nodes.len(), |node| self.is_up(node));
            if let Some(node) = chosen {
                return node;
            }
            // The sender lives as long as the pool.
            let _woken = changes.changed().await;
        }
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        *self.nodes[node].up.borrow()
    }

    /// Takes a node out of the rotation. True if it was in it.
    pub(crate) fn take_out(&self, node: usize) -> bool {
        let was_up = self.nodes[node].up.send_replace(false);
        self.changes.send_modify(|count| *count += 1);
        was_up
    }

    /// Waits until `node` is out, then until it is back: able to write to the log again. One call, one return.
    pub(crate) async fn wait_for_return(&self, node: usize) {
        let this = &self.nodes[node];
        let mut up = this.up.subscribe();
        // The borrow that comes back must not live across the waits below.
        drop(up.wait_for(|up| !up).await);
        let (mut pause, longest) = PROBE_PAUSES;
        for probe in 0_u64.. {
            sleep(pause).await;
            // A fresh key each time: the probe shall not depend on the leader of a single partition.
            if this.ingress.probe_log(&format!("{}-{probe}", this.name), PROBE_TIMEOUT).await.is_ok() {
                break;
            }
            pause = (pause * 2).min(longest);
        }
        this.up.send_replace(true);
        self.changes.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::throttle::{Answerer, Rate};

    fn pool() -> Pool {
        let pace = Pace::new(Rate::Unlimited, NonZeroU32::new(3).unwrap(), Answerer::Rules, None, None);
        let node = |name: &str| (name.to_owned(), Ingress::new("http://127.0.0.1:1").unwrap());
        Pool::new(["a", "b", "c"].map(node), &pace)
    }

    #[tokio::test]
    async fn a_node_that_is_out_gets_no_turn() {
        let pool = pool();
        assert!(pool.take_out(1));
        assert!(!pool.take_out(1), "it was out already");
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(pool.turn(NonZeroU32::MIN).await);
        }
        assert_eq!(turns, [0, 2, 0, 2]);
    }

    #[test]
    fn errors_are_judged_by_kind() {
        let status = |code: u16, origin| Error::Status {
            url: String::new(),
            status: StatusCode::from_u16(code).unwrap(),
            origin,
            message: String::new(),
        };
        for code in [404, 408, 425, 429, 500, 503] {
            assert_eq!(verdict(&status(code, Origin::Node)), Verdict::OtherNode, "{code}");
        }
        for code in [400, 405, 413] {
            assert_eq!(verdict(&status(code, Origin::Node)), Verdict::Hopeless, "{code}");
        }
        assert_eq!(verdict(&status(500, Origin::Invocation)), Verdict::Hopeless);
        let silent = Error::Timeout { url: String::new(), after: PROBE_TIMEOUT };
        assert_eq!(verdict(&silent), Verdict::OtherNode);
    }
}
