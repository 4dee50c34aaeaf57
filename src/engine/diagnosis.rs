//! Why nothing moves: asks every node three questions at once and draws the conclusion.

use std::time::Duration;

use futures_util::future::join_all;

use crate::domain::event::Trouble;
use crate::restate::Error;
use crate::restate::ingress::Ingress;
use crate::restate::names::ServiceInfo;

/// Patience with each question. Without quorum a node never answers; this is how we find out.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a node answered.
#[derive(Debug)]
pub struct Checkup {
    /// Whether its process answers at all.
    pub alive: Result<(), Error>,
    /// Whether it can write to a partition's log.
    pub log: Result<(), Error>,
    /// Whether a call through it reaches the service.
    pub service: Result<ServiceInfo, Error>,
}

/// Asks all nodes, concurrently; takes as long as the slowest answer, at most 3 s.
pub async fn examine<'a>(nodes: impl IntoIterator<Item = &'a Ingress>, probe: &str) -> Vec<Checkup> {
    join_all(nodes.into_iter().map(|node| async move {
        let (alive, log, service) =
            tokio::join!(node.alive(PATIENCE), node.probe_log(probe, PATIENCE), node.service_info(PATIENCE));
        Checkup { alive, log, service }
    }))
    .await
}

/// The conclusion; `None` if at least one node serves, which is all a run needs.
pub fn conclude(checkups: &[Checkup]) -> Option<Trouble> {
    if checkups.iter().any(|node| node.service.is_ok()) {
        None
    } else if checkups.iter().all(|node| node.alive.is_err()) {
        Some(Trouble::NodesGone)
    } else if checkups.iter().all(|node| node.log.is_err()) {
        Some(Trouble::QuorumLost)
    } else if checkups.iter().any(|node| node.service.as_ref().is_err_and(Error::is_unknown_service)) {
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

    fn node(alive: bool, log: bool, service: Result<(), Error>) -> Checkup {
        let info = ServiceInfo {
            version: String::new(),
            taxonomy: String::new(),
            taxonomy_digest: String::new(),
            providers: Vec::new(),
        };
        let ok = |yes: bool| if yes { Ok(()) } else { Err(silent()) };
        Checkup { alive: ok(alive), log: ok(log), service: service.map(|()| info) }
    }

    #[test]
    fn each_kind_of_standstill_has_its_name() {
        let dead = || node(false, false, Err(silent()));
        let no_quorum = || node(true, false, Err(silent()));
        let no_service = || node(true, true, Err(silent()));
        let unregistered = || node(true, true, Err(unknown_service()));
        let well = || node(true, true, Ok(()));
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
