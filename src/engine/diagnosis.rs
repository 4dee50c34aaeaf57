//! Why nothing moves: asks every node the same questions at once and draws the conclusion.

use std::time::Duration;

use futures_util::future::join_all;

use crate::domain::event::Trouble;
use crate::restate::Error;
use crate::restate::ingress::Ingress;
use crate::restate::names::ServiceInfo;

/// Patience with each question. Without quorum a node never answers; this is how we find out.
const PATIENCE: Duration = Duration::from_secs(3);

/// How far a request through a node gets.
#[derive(Debug)]
pub enum Checkup {
    /// Its process does not answer.
    Dead(Error),
    /// It answers and cannot write to a partition's log.
    CannotWrite(Error),
    /// It can write, and a call through it does not reach the service.
    NoService(Error),
    /// A call through it reaches the service.
    Serves(ServiceInfo),
}

impl Checkup {
    /// What stands in the way, if anything does.
    pub fn problem(&self) -> Option<&Error> {
        match self {
            Self::Dead(error) | Self::CannotWrite(error) | Self::NoService(error) => Some(error),
            Self::Serves(_) => None,
        }
    }

    /// What the service says of itself.
    pub fn info(&self) -> Option<&ServiceInfo> {
        match self {
            Self::Serves(info) => Some(info),
            _ => None,
        }
    }
}

/// Asks all nodes, concurrently; takes as long as the slowest of them, at most 6 s and 3 s unless the cluster is well
/// and the service is not.
pub async fn examine<'a>(nodes: impl IntoIterator<Item = &'a Ingress>, probe: &str) -> Vec<Checkup> {
    join_all(nodes.into_iter().map(|node| checkup(node, probe))).await
}

async fn checkup(node: &Ingress, probe: &str) -> Checkup {
    let (alive, log) = tokio::join!(node.alive(PATIENCE), node.probe_log(probe, PATIENCE));
    if let Err(error) = alive {
        return Checkup::Dead(error);
    }
    if let Err(error) = log {
        return Checkup::CannotWrite(error);
    }
    // Only now: a call that cannot get through would stay in the cluster and wait.
    match node.service_info(PATIENCE).await {
        Ok(info) => Checkup::Serves(info),
        Err(error) => Checkup::NoService(error),
    }
}

/// The conclusion; `None` if at least one node serves, which is all a run needs.
pub fn conclude(checkups: &[Checkup]) -> Option<Trouble> {
    if checkups.iter().any(|node| matches!(node, Checkup::Serves(_))) {
        None
    } else if checkups.iter().all(|node| matches!(node, Checkup::Dead(_))) {
        Some(Trouble::NodesGone)
    } else if checkups.iter().all(|node| matches!(node, Checkup::Dead(_) | Checkup::CannotWrite(_))) {
        Some(Trouble::QuorumLost)
    } else if checkups.iter().filter_map(Checkup::problem).any(Error::is_unknown_service) {
        Some(Trouble::ServiceMissing)
    } else {
        Some(Trouble::ServiceSilent)
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::restate::Origin;

    fn silent() -> Error {
        Error::Timeout { url: "http://node".into(), after: PATIENCE }
    }

    fn unknown_service() -> Error {
        let (url, message) = (String::new(), String::new());
        Error::Status { url, status: StatusCode::NOT_FOUND, origin: Origin::Node, message }
    }

    fn info() -> ServiceInfo {
        let (version, taxonomy, taxonomy_digest) = Default::default();
        ServiceInfo { version, taxonomy, taxonomy_digest, providers: Vec::new() }
    }

    #[test]
    fn each_kind_of_standstill_has_its_name() {
        let dead = || Checkup::Dead(silent());
        let no_quorum = || Checkup::CannotWrite(silent());
        let no_service = || Checkup::NoService(silent());
        let unregistered = || Checkup::NoService(unknown_service());
        let well = || Checkup::Serves(info());
        let cases = [
            (vec![dead(), dead(), dead()], Some(Trouble::NodesGone)),
            (vec![no_quorum(), dead(), dead()], Some(Trouble::QuorumLost)),
            (vec![no_service(), dead(), no_service()], Some(Trouble::ServiceSilent)),
            (vec![unregistered(), unregistered(), dead()], Some(Trouble::ServiceMissing)),
            (vec![dead(), well(), no_quorum()], None),
        ];
        for (checkups, expected) in cases {
            assert_eq!(conclude(&checkups), expected);
        }
    }
}
