//! What a cluster is like right now. Looks, changes nothing, and never takes longer than three rounds of probes.

use futures_util::future::{OptionFuture, join_all, join4};
use serde::Serialize;

use super::archived::{self, SnapshotStatus};
use super::docker::{self, ContainerStatus, Seen};
use super::folder::Folder;
use super::ready::{self, Clients, PROBE_TIMEOUT};
use super::restatectl::Restatectl;
use super::state::{Node, Runtime, State};
use super::{guard, node, process, service};
use crate::error::Result;
use crate::restate::address::Address;
use crate::restate::admin::Deployment;
use crate::restate::names::ServiceInfo;

/// A cluster, as `cluster status --json` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The cluster's name.
    pub name: String,
    /// What runs the nodes.
    pub runtime: Runtime,
    /// All nodes serve, so does the service through each of them if one is registered, and so do the ports.
    pub ready: bool,
    /// Some node can write to the log.
    pub quorum: bool,
    /// Each node, number 1 first.
    pub nodes: Vec<NodeStatus>,
    /// The container of the snapshots' store, in a cluster of containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<ContainerStatus>,
    /// How far partitions are in snapshots; absent where none are kept.
    pub snapshots: Option<SnapshotStatus>,
    /// What is registered; absent when no node tells.
    pub deployments: Option<Vec<DeploymentStatus>>,
    /// The guard at the ports of nodes that listen at sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardStatus>,
    /// The service, if it was started as part of the cluster.
    pub service: Option<ServiceProcess>,
}

/// The guard at the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GuardStatus {
    /// Its process, if it runs.
    pub pid: Option<u32>,
    /// It runs.
    pub alive: bool,
}

/// One node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its process, if it runs; a container has none that counts.
    pub pid: Option<u32>,
    /// Docker's name of its container, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Docker's word for the container's state, with its health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its process or container runs.
    pub alive: bool,
    /// It can write to the log of every partition, and its admin API answers.
    pub ready: bool,
    /// Base URL of its ingress.
    pub ingress_url: String,
    /// Base URL of its admin API.
    pub admin_url: String,
    /// Version of the server.
    pub version: Option<String>,
    /// Partitions it leads.
    pub partitions_led: Option<u64>,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Age of its process.
    pub uptime_s: Option<u64>,
    /// The service called through it; absent when none is registered or nothing could be asked.
    pub service: Option<ServiceThrough>,
    /// Why it is not ready.
    pub problem: Option<String>,
}

/// The service, called through one node.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceThrough {
    /// It answered.
    pub reachable: bool,
    /// What it said of itself.
    #[serde(flatten)]
    pub info: Option<ServiceInfo>,
    /// Why it did not answer.
    pub problem: Option<String>,
}

/// A registered endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct DeploymentStatus {
    /// Restate's id.
    pub id: String,
    /// Where it is.
    pub uri: Option<String>,
    /// Names of its services.
    pub services: Vec<String>,
}

/// The service process that belongs to the cluster.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceProcess {
    /// Where it listens.
    pub uri: String,
    /// Its process when last seen.
    pub pid: u32,
    /// Its process runs.
    pub alive: bool,
}

/// What one node told.
struct Told {
    status: NodeStatus,
    can_write: bool,
    deployments: Option<Vec<Deployment>>,
}

/// Looks at the cluster.
///
/// # Errors
/// When there is no such cluster. A cluster in ruins is no error, but a status.
pub async fn status(folder: &Folder) -> Result<Status> {
    let state = State::require(folder)?;
    let clients = Clients::of_all(&state)?;
    let (seen, store) = match state.runtime {
        Runtime::Native => (state.nodes.iter().map(|node| process_of(folder, node)).collect(), None),
        Runtime::Docker => {
            let (seen, store) = docker::look(&state).await;
            let nodes = state.nodes.iter().zip(seen);
            (nodes.map(|(node, seen)| container_of(node, seen)).collect::<Vec<_>>(), store)
        }
    };
    let mut told = join_all(seen.into_iter().zip(&clients).map(|(node, clients)| ask(node, clients))).await;
    let quorum = told.iter().any(|node| node.can_write);
    let deployments = told.iter_mut().find_map(|node| node.deployments.take());
    let snapshots = snapshots(&state, &told).await;
    let mut nodes: Vec<NodeStatus> = told.into_iter().map(|node| node.status).collect();

    // Without a quorum the call would only hang.
    if quorum && let Some(deployment) = deployments.as_deref().and_then(ready::classifier) {
        let ready: Vec<usize> = (0..nodes.len()).filter(|index| nodes[*index].ready).collect();
        let asked: Vec<Clients> = ready.iter().map(|index| clients[*index].clone()).collect();
        let place = docker::service_place(&state).await?;
        for (index, answer) in ready.into_iter().zip(ready::call_service(&asked, deployment, &place).await) {
            let (info, problem) = match answer {
                Ok(info) => (Some(info), None),
                Err(problem) => (None, Some(problem)),
            };
            nodes[index].service = Some(ServiceThrough { reachable: info.is_some(), info, problem });
        }
    }
    let guard = state.sockets.is_some().then(|| {
        let pid = guard::running(folder, &state).map(|id| id.pid);
        GuardStatus { pid, alive: pid.is_some() }
    });
    let serves = |node: &NodeStatus| node.ready && node.service.as_ref().is_none_or(|s| s.reachable);
    Ok(Status {
        name: state.name.clone(),
        runtime: state.runtime,
        ready: nodes.iter().all(serves) && guard.is_none_or(|guard| guard.alive),
        quorum,
        nodes,
        store,
        snapshots,
        guard,
        deployments: deployments.map(|all| all.into_iter().map(DeploymentStatus::from).collect()),
        service: state.service.as_ref().map(|service| ServiceProcess {
            uri: service.uri.clone(),
            pid: service.process.pid,
            alive: service::is_running(&state),
        }),
    })
}

/// How far the partitions are in snapshots, where any are kept.
async fn snapshots(state: &State, told: &[Told]) -> Option<SnapshotStatus> {
    let answering = state.nodes.iter().zip(told).filter(|(_, told)| told.status.alive);
    let fabric: Vec<Address> = answering.map(|(node, _)| state.fabric(node)).collect();
    match state.runtime {
        Runtime::Native => {
            let kept = state.snapshots.as_ref()?;
            let peers: Vec<String> = fabric.iter().map(Address::for_restate).collect();
            Some(archived::look(kept, restatectl(state), &peers, &fabric).await)
        }
        Runtime::Docker => {
            let (kept, restatectl) = docker::snapshots(state).await?;
            Some(archived::look(&kept, Ok(restatectl), &docker::inside(state), &fabric).await)
        }
    }
}

fn restatectl(state: &State) -> std::result::Result<Restatectl, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Restatectl::find(state.server.as_deref(), state.restatectl.as_deref(), &path)
}

/// What can be said of a node without asking it.
fn unasked(node: &Node) -> NodeStatus {
    NodeStatus {
        name: node.name.clone(),
        pid: None,
        container: None,
        state: None,
        alive: false,
        ready: false,
        ingress_url: node.ingress_url(),
        admin_url: node.admin_url(),
        version: None,
        partitions_led: None,
        memory_bytes: None,
        uptime_s: None,
        service: None,
        problem: None,
    }
}

fn process_of(folder: &Folder, node: &Node) -> NodeStatus {
    let args = node::args(folder, &node.name);
    let vitals = node.process.and_then(|id| process::vitals(id, &args));
    NodeStatus {
        pid: node.process.filter(|_| vitals.is_some()).map(|id| id.pid),
        alive: vitals.is_some(),
        memory_bytes: vitals.map(|vitals| vitals.memory_bytes),
        uptime_s: vitals.map(|vitals| vitals.uptime_s),
        problem: Some("not running".into()),
        ..unasked(node)
    }
}

fn container_of(node: &Node, seen: Seen) -> NodeStatus {
    NodeStatus {
        container: seen.container,
        alive: seen.is_running,
        memory_bytes: seen.memory_bytes,
        uptime_s: seen.uptime_s,
        problem: Some(seen.state.clone()),
        state: Some(seen.state),
        ..unasked(node)
    }
}

async fn ask(mut status: NodeStatus, clients: &Clients) -> Told {
    // Whoever answers on the ports of a dead node is not our node.
    let answers: OptionFuture<_> = status
        .alive
        .then(|| {
            join4(
                clients.probe_log(),
                clients.admin.version(PROBE_TIMEOUT),
                clients.admin.deployments(PROBE_TIMEOUT),
                clients.metrics.partitions_led(PROBE_TIMEOUT),
            )
        })
        .into();
    let Some((writes, version, deployments, led)) = answers.await else {
        return Told { status, can_write: false, deployments: None };
    };
    let can_write = writes.some;
    let not_written = writes.all.err().map(|error| error.to_string());
    let problem = not_written.or_else(|| version.as_ref().err().map(ToString::to_string));
    status.ready = problem.is_none();
    status.problem = problem;
    status.partitions_led = led.ok().flatten();
    // A node that does not tell its version has none to show; what is wrong with it is said above.
    status.version = version.ok();
    Told { status, can_write, deployments: deployments.ok() }
}

impl From<Deployment> for DeploymentStatus {
    fn from(deployment: Deployment) -> Self {
        let services = deployment.services.into_iter().map(|service| service.name).collect();
        Self { id: deployment.id, uri: deployment.uri, services }
    }
}
