//! Whether a node really serves. Health URLs stay green without quorum, so these probes go through the log.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::docker::ServicePlace;
use super::state::{Node, State};
use crate::error::{Failure, Result};
use crate::restate::Error;
use crate::restate::admin::{Admin, Deployment};
use crate::restate::ingress::Ingress;
use crate::restate::metrics::Metrics;
use crate::restate::names::{CLASSIFIER, ServiceInfo};

/// How long one probe may take. Loopback answers in milliseconds, or it hangs for want of a quorum.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Keys spread over the partitions by their hash: with six partitions this many leave one out in a thousandth of
/// clusters, and each costs a millisecond.
const PROBES: u8 = 48;
const KNOCK_TIMEOUT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(100);

/// Clients for one node.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    pub(super) name: String,
    pub(super) ingress: Ingress,
    pub(super) admin: Admin,
    pub(super) metrics: Metrics,
}

impl Clients {
    pub(super) fn new(state: &State, node: &Node) -> Result<Self> {
        let failed = |error: Error| Failure::unexpected(error.to_string());
        Ok(Self {
            name: node.name.clone(),
            ingress: Ingress::new(state.ingress(node)).map_err(failed)?,
            admin: Admin::new(state.admin(node)).map_err(failed)?,
            metrics: Metrics::new(&state.fabric(node)).map_err(failed)?,
        })
    }

    /// Clients for all nodes of a cluster.
    pub(super) fn of_all(state: &State) -> Result<Vec<Self>> {
        state.nodes.iter().map(|node| Self::new(state, node)).collect()
    }

    /// Writes to the log of (as good as) every partition through this node.
    pub(super) async fn probe_log(&self) -> Writes {
        let keys = probe_keys();
        let answers = join_all(keys.iter().map(|key| self.ingress.probe_log(key, PROBE_TIMEOUT))).await;
        let some = answers.iter().any(std::result::Result::is_ok);
        Writes { some, all: answers.into_iter().collect() }
    }

    /// Waits until the node serves; its version.
    async fn until_ready(&self, deadline: Instant) -> std::result::Result<String, Error> {
        let mut left = probe_keys();
        for round in 1_u32.. {
            // What hangs now may go through a moment later, so most rounds are short; some are long, for the sake of
            // machines so busy that nothing is quick.
            let timeout = if round.is_multiple_of(4) { PROBE_TIMEOUT } else { KNOCK_TIMEOUT };
            let error = match self.round(&mut left, timeout).await {
                Ok(version) => return Ok(version),
                Err(error) => error,
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
        unreachable!("rounds do not run out")
    }

    /// Tries what has not come through yet.
    async fn round(&self, left: &mut Vec<String>, timeout: Duration) -> std::result::Result<String, Error> {
        // One first: a cluster that is not up yet need not be asked for everything again and again.
        if let Some(key) = left.last() {
            self.ingress.probe_log(key, timeout).await?;
            left.pop();
        }
        let answers = join_all(left.iter().map(|key| self.ingress.probe_log(key, timeout))).await;
        let mut failed = None;
        let mut answers = answers.into_iter();
        left.retain(|_| match answers.next() {
            Some(Err(error)) => {
                failed = Some(error);
                true
            }
            _ => false,
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.admin.version(timeout).await
    }
}

fn probe_keys() -> Vec<String> {
    (0..PROBES).map(|key| format!("ready-{key}")).collect()
}

/// Which writes came through.
#[derive(Debug)]
pub(super) struct Writes {
    /// At least one: there is a quorum. Right after a node died, its partitions still wait for another leader.
    pub(super) some: bool,
    /// All of them, or why one did not.
    pub(super) all: std::result::Result<(), Error>,
}

/// A node that did not get ready, and what it answered last.
#[derive(Debug)]
pub(super) struct NotReady {
    pub(super) node: String,
    pub(super) error: Error,
}

/// Waits until each node serves; the version of the first. Otherwise what each of those that do not answers.
pub(super) async fn wait_until_ready(
    nodes: &[Clients],
    deadline: Instant,
) -> std::result::Result<String, Vec<NotReady>> {
    let each = nodes.iter().map(async |node| {
        let outcome = node.until_ready(deadline).await;
        outcome.map_err(|error| NotReady { node: node.name.clone(), error })
    });
    let mut versions = Vec::new();
    let mut not_ready = Vec::new();
    for outcome in join_all(each).await {
        match outcome {
            Ok(version) => versions.push(version),
            Err(node) => not_ready.push(node),
        }
    }
    if not_ready.is_empty() { Ok(versions.into_iter().next().unwrap_or_default()) } else { Err(not_ready) }
}

/// Where the classification service is registered, if it is.
pub(super) fn classifier(deployments: &[Deployment]) -> Option<&Deployment> {
    let offers =
        |deployment: &&Deployment| deployment.services.iter().any(|service| service.name == CLASSIFIER);
    // A service that moved is in two deployments; the newer one counts.
    deployments.iter().filter(offers).max_by_key(|deployment| {
        deployment.services.iter().filter(|s| s.name == CLASSIFIER).map(|s| s.revision).max()
    })
}

/// Whether somebody listens where the service is registered, as far as we can tell from here.
///
/// A call to a service that is down stays in the cluster and is retried there: do not leave one behind with every look
/// where a glance at the port tells the same.
pub(super) async fn knock(deployment: &Deployment, place: &ServicePlace) -> std::result::Result<(), String> {
    let Some(uri) = deployment.uri.as_deref() else { return Ok(()) };
    let Some(address) = address_here(&place.as_seen_here(uri), place.listen) else { return Ok(()) };
    connects(&address).await.map_err(|why| format!("{uri}: {why}"))
}

/// Calls the service through each node.
pub(super) async fn call_service(
    nodes: &[Clients],
    deployment: &Deployment,
    place: &ServicePlace,
) -> Vec<std::result::Result<ServiceInfo, String>> {
    if let Err(why) = knock(deployment, place).await {
        return nodes.iter().map(|_| Err(why.clone())).collect();
    }
    join_all(
        nodes.iter().map(async |node| {
            node.ingress.service_info(PROBE_TIMEOUT).await.map_err(|error| error.to_string())
        }),
    )
    .await
}

async fn connects(address: &str) -> std::result::Result<(), String> {
    match tokio::time::timeout(PROBE_TIMEOUT, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err("connection refused".into())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".into()),
    }
}

/// `host:port` of an endpoint on this machine, where we reach what the nodes reach: loopback or `listen`.
fn address_here(uri: &str, listen: IpAddr) -> Option<String> {
    let authority = uri.strip_prefix("http://")?.split('/').next()?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    (loopback || host == listen.to_string()).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_endpoints_on_this_machine_are_knocked_at() {
        let here = |uri| address_here(uri, [172, 17, 0, 1].into());
        assert_eq!(here("http://127.0.0.1:9080/"), Some("127.0.0.1:9080".into()));
        assert_eq!(here("http://localhost:9080"), Some("localhost:9080".into()));
        assert_eq!(here("http://[::1]:9080/x"), Some("[::1]:9080".into()));
        assert_eq!(here("http://172.17.0.1:9080/"), Some("172.17.0.1:9080".into()));
        assert_eq!(here("http://service.internal:9080"), None);
        assert_eq!(here("https://127.0.0.1:9080"), None);
    }
}
