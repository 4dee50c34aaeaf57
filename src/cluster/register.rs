//! Makes the classification service known to a cluster, to each of its nodes.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::docker;
use super::folder::Folder;
use super::node;
use super::ready::{Clients, PROBE_TIMEOUT};
use super::state::{Node, Runtime, State};
use super::step::{Progress, Step};
use crate::error::{Failure, Result};
use crate::restate::admin::Deployment;
use crate::restate::names::{CLASSIFIER, ServiceInfo};
use crate::restate::{Error, ingress::Ingress};

/// Discovery is one exchange with the endpoint, which the node repeats a few times before it gives up.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// A service that is callable through each live node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Where it listens.
    pub uri: String,
    /// Restate's id of the deployment.
    pub deployment: String,
    /// The nodes through which it was called.
    pub nodes: Vec<String>,
    /// What it says of itself.
    pub info: ServiceInfo,
}

/// Registers the endpoint at `uri` (default: the cluster's own service, or where `serve` listens), then waits until
/// it can be called through every live node.
///
/// # Errors
/// When no node lives, the endpoint is not reachable or offers something else, or a node does not resolve it in time.
pub async fn register(
    folder: &Folder,
    uri: Option<&str>,
    timeout: Duration,
    progress: Progress<'_>,
) -> Result<Registered> {
    let state = State::require(folder)?;
    let uri = match uri {
        Some(uri) => for_nodes(&state, uri).await?,
        None => default_uri(&state).await?,
    };
    let uri = uri.as_str();
    let deadline = Instant::now() + timeout;
    let nodes = live_nodes(folder, &state).await?;
    if nodes.is_empty() {
        return Err(Failure::unreachable(format!("no node of cluster `{}` runs", folder.name()))
            .hint(format!("start it with `{}`", folder.command("start"))));
    }
    let clients = nodes.into_iter().map(|node| Clients::new(&state, node)).collect::<Result<Vec<_>>>()?;
    let deployment = tell(&clients, uri, timeout).await.map_err(|failure| match state.runtime {
        Runtime::Native => failure,
        Runtime::Docker => {
            failure.hint("where must it listen for nodes in containers? `classify serve --register` says it")
        }
    })?;
    if !deployment.services.iter().any(|service| service.name == CLASSIFIER) {
        let offered: Vec<&str> = deployment.services.iter().map(|service| service.name.as_str()).collect();
        return Err(Failure::unreachable(format!("{uri} offers no `{CLASSIFIER}` service"))
            .detail(format!("it is registered as {}, and offers: {}", deployment.id, offered.join(", ")))
            .hint("is it `classify serve` that listens there?"));
    }
    progress(&Step::Registered { deployment: deployment.id.clone() });
    let info = wait_resolved(&clients, uri, deadline).await?;
    Ok(Registered {
        uri: uri.to_owned(),
        deployment: deployment.id,
        nodes: clients.into_iter().map(|node| node.name).collect(),
        info,
    })
}

/// What the nodes must be told of a service that listens on `address` of this machine.
///
/// # Errors
/// When there is no such cluster, or its nodes cannot reach that address.
pub async fn uri_for_nodes(folder: &Folder, address: SocketAddr) -> Result<String> {
    docker::uri_for_nodes(&State::require(folder)?, address).await
}

/// Where the service is when nobody says where: started with the cluster, else where `serve` listens.
async fn default_uri(state: &State) -> Result<String> {
    let recorded = state.service.as_ref().map(|service| service.uri.as_str());
    match state.runtime {
        Runtime::Native => Ok(recorded.unwrap_or(super::DEFAULT_SERVICE_URI).to_owned()),
        Runtime::Docker => {
            let address = recorded.and_then(|uri| uri.strip_prefix("http://")?.parse().ok());
            match address {
                Some(address) => docker::uri_for_nodes(state, address).await,
                None => docker::default_uri(state).await,
            }
        }
    }
}

/// Loopback is another place for a node in a container than for who typed it.
async fn for_nodes(state: &State, uri: &str) -> Result<String> {
    let authority = uri.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    match authority.replace("localhost", "127.0.0.1").parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && state.runtime == Runtime::Docker => {
            docker::uri_for_nodes(state, address).await
        }
        _ => Ok(uri.to_owned()),
    }
}

async fn live_nodes<'a>(folder: &Folder, state: &'a State) -> Result<Vec<&'a Node>> {
    match state.runtime {
        Runtime::Native => Ok(node::live(folder, state)),
        Runtime::Docker => docker::live_nodes(state).await,
    }
}

/// Registers through the first node that answers.
async fn tell(clients: &[Clients], uri: &str, timeout: Duration) -> Result<Deployment> {
    let mut failure = Failure::unreachable(format!("cannot register {uri}"));
    for node in clients {
        match node.admin.register(uri, timeout.min(REGISTER_TIMEOUT)).await {
            Ok(deployment) => return Ok(deployment),
            // The node answered; another one would say the same.
            Err(Error::Status { status, message, .. }) => {
                return Err(failure
                    .detail(format!("Restate answered {}: {message}", status.as_u16()))
                    .hint("is the service running? Start it with `classify serve`"));
            }
            Err(error) => failure = failure.detail(format!("{}: {error}", node.name)),
        }
    }
    Err(failure
        .hint("look at `classify cluster status`: without a quorum of nodes nothing can be registered"))
}

async fn wait_resolved(clients: &[Clients], uri: &str, deadline: Instant) -> Result<ServiceInfo> {
    let each = clients.iter().map(async |node| (node, resolve(&node.ingress, deadline).await));
    let mut info = None;
    let mut failed = Vec::new();
    for (node, outcome) in join_all(each).await {
        match outcome {
            Ok(answer) => info = Some(answer),
            Err(error) => failed.push(format!("{}: {error}", node.name)),
        }
    }
    let failure =
        Failure::unreachable(format!("{uri} is registered, and cannot be called through every node"));
    match info {
        Some(info) if failed.is_empty() => Ok(info),
        _ => Err(failed
            .into_iter()
            .fold(failure, Failure::detail)
            .hint("look at `classify cluster status`, and whether the service still runs")),
    }
}

/// Calls the service through one node until it answers. "Not found" right after the registration means "not yet".
async fn resolve(ingress: &Ingress, deadline: Instant) -> std::result::Result<ServiceInfo, Error> {
    loop {
        let error = match ingress.service_info(PROBE_TIMEOUT).await {
            Ok(info) => return Ok(info),
            Err(error) => error,
        };
        let is_final = matches!(error, Error::Malformed { .. });
        if is_final || Instant::now() + PAUSE >= deadline {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}
