//! Whether a run can move, and why not: asks every node the same questions at once and draws the conclusion.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::domain::event::Trouble;
use crate::error::Failure;
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

/// Asks all nodes at once, until one serves, which is all a run needs: what was found at each of them by then. Where none does,
/// something was found at each; that takes as long as the slowest of them, at most 6 s.
pub async fn examine<'a>(nodes: impl IntoIterator<Item = &'a Ingress>, probe: &str) -> Vec<Option<Checkup>> {
    let ask = async |(place, node)| (place, checkup(node, probe).await);
    let mut asked: FuturesUnordered<_> = nodes.into_iter().enumerate().map(ask).collect();
    let mut found = Vec::new();
    found.resize_with(asked.len(), || None);
    while let Some((place, checkup)) = asked.next().await {
        let serves = checkup.info().is_some();
        found[place] = Some(checkup);
        if serves {
            break;
        }
    }
    found
}

/// One question after the other: of two answers the node's listener holds the second back until the first is acknowledged, which a client
/// that has nothing to send does 40 ms later.
async fn checkup(node: &Ingress, probe: &str) -> Checkup {
    if let Err(error) = node.probe_log(probe, PATIENCE).await {
        return match node.alive(PATIENCE).await {
            Ok(()) => Checkup::CannotWrite(error),
            Err(error) => Checkup::Dead(error),
        };
    }
    // Only now: a call that cannot get through would stay in the cluster and wait.
    match node.service_info(PATIENCE).await {
        Ok(info) => Checkup::Serves(info),
        Err(error) => Checkup::NoService(error),
    }
}

/// The conclusion; `None` if at least one node serves.
pub fn conclude(checkups: &[Option<Checkup>]) -> Option<Trouble> {
    let found = || checkups.iter().flatten();
    if found().any(|node| matches!(node, Checkup::Serves(_))) {
        None
    } else if found().all(|node| matches!(node, Checkup::Dead(_))) {
        Some(Trouble::NodesGone)
    } else if found().all(|node| matches!(node, Checkup::Dead(_) | Checkup::CannotWrite(_))) {
        Some(Trouble::QuorumLost)
    } else if found().filter_map(Checkup::problem).any(Error::is_unknown_service) {
        Some(Trouble::ServiceMissing)
    } else {
        Some(Trouble::ServiceSilent)
    }
}

/// The failure of a command that cannot do without a cluster that serves; `can_start` says whether it has `--up`.
pub fn explain(
    trouble: &Trouble,
    nodes: &[Ingress],
    checkups: &[Option<Checkup>],
    can_start: bool,
) -> Failure {
    let or_up = if can_start { ", or let this command do it: add `--up`" } else { "" };
    let failure = match trouble {
        Trouble::NodesGone => Failure::unreachable("no Restate node answers")
            .hint(format!("start a cluster with `classify cluster start`{or_up}")),
        Trouble::QuorumLost => Failure::unreachable(
            "the cluster has no quorum: nodes answer but cannot write",
        )
        .hint("see which nodes are missing: `classify cluster status`; start them: `classify cluster start`"),
        Trouble::ServiceMissing => {
            Failure::unreachable("the cluster does not know the classification service")
                .hint(format!("start and register it with `classify serve --register`{or_up}"))
        }
        Trouble::ServiceSilent
        | Trouble::WorkStuck
        | Trouble::OtherService { .. }
        | Trouble::ModelPaused { .. } => {
            Failure::unreachable("the classification service does not answer the cluster")
                .hint("start it: `classify serve`; see what the cluster says: `classify queue status`")
                .hint("one runs elsewhere? `classify cluster status` shows where; `classify cluster register URL` tells the cluster")
        }
    };
    let width = nodes.iter().map(|node| node.url().len()).max().unwrap_or_default();
    let line = |(node, checkup): (&Ingress, &Option<Checkup>)| {
        let error = checkup.as_ref()?.problem()?;
        Some(format!("{:<width$}  {}", node.url(), error.reason()))
    };
    nodes.iter().zip(checkups).filter_map(line).fold(failure, Failure::detail)
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
        ServiceInfo { version, taxonomy, taxonomy_digest, providers: Vec::new(), secret: None }
    }

    #[test]
    fn each_kind_of_standstill_has_its_name() {
        let dead = || Some(Checkup::Dead(silent()));
        let no_quorum = || Some(Checkup::CannotWrite(silent()));
        let no_service = || Some(Checkup::NoService(silent()));
        let unregistered = || Some(Checkup::NoService(unknown_service()));
        let well = || Some(Checkup::Serves(info()));
        let cases = [
            (vec![dead(), dead(), dead()], Some(Trouble::NodesGone)),
            (vec![no_quorum(), dead(), dead()], Some(Trouble::QuorumLost)),
            (vec![no_service(), dead(), no_service()], Some(Trouble::ServiceSilent)),
            (vec![unregistered(), unregistered(), dead()], Some(Trouble::ServiceMissing)),
            (vec![dead(), well(), no_quorum()], None),
            (vec![dead(), well(), None], None),
        ];
        for (checkups, expected) in cases {
            assert_eq!(conclude(&checkups), expected);
        }
    }
}
