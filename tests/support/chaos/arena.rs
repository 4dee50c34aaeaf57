//! Where rounds take place: a cluster, the service, a provider that counts.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};
use tempfile::TempDir;

use super::isolation::{self, Network};
use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::running::wait_for;
use crate::world::{Program, World};

/// How long the provider takes over an answer.
pub(super) const LATENCY: Duration = Duration::from_millis(150);
/// Calls the service makes at once.
const AT_ONCE: &str = "16";
pub(super) const NODES: usize = 3;
/// Restate forgets finished work only after a day; what is unfinished when nobody asks any more must end soon.
const SETTLED: Duration = Duration::from_secs(30);

pub(crate) struct Arena {
    pub(super) world: World,
    pub(super) provider: Provider,
    /// The network between the nodes, or why it cannot be cut here.
    pub(super) network: Result<Network, String>,
    began: Instant,
    models: usize,
    _scripts: TempDir,
}

impl Arena {
    /// Starts all of it, with network and mounts of its own where they can be had.
    pub(crate) fn start(mut program: Program) -> Self {
        let scripts = tempfile::tempdir().expect("a temporary folder");
        let isolated = isolation::probe();
        if isolated.is_ok() {
            let script = scripts.path().join("restate-server");
            // What is not there yet cannot be downloaded from inside.
            let server = server(&program);
            isolation::enter().expect("what was possible a moment ago");
            isolation::grouped(&server, &script).expect("a script");
            program.environment.push(("RESTATE_SERVER", script.into()));
        }
        let provider = Provider::start(Plan::healthy().slowed(LATENCY));
        let world = World::start(program);
        let network = isolated.and_then(|()| Network::between(fabric_ports(&world)));
        Self { world, provider, network, began: Instant::now(), models: 0, _scripts: scripts }
    }

    /// Three nodes and the service, whatever a round before left behind.
    pub(super) fn make_whole(&mut self) {
        self.world.start_nodes();
        if self.world.service_pid().is_none() {
            self.start_service();
        }
    }

    /// Puts a service in the place of the one there is, if there is one.
    pub(super) fn start_service(&mut self) {
        self.provider.serve(&mut self.world, &["--llm-concurrency", AT_ONCE]);
    }

    /// A model nobody has asked yet, so that calls of one round are not taken for another's.
    pub(super) fn new_model(&mut self) -> String {
        self.models += 1;
        format!("chaos-{}", self.models)
    }

    /// Time since the world began.
    pub(super) fn at(&self, when: Instant) -> Duration {
        when.saturating_duration_since(self.began)
    }

    /// Waits for the first of `nodes` that listens for the others.
    pub(super) fn wait_listening(&self, nodes: &[usize]) {
        let ports = fabric_ports(&self.world);
        wait_for("a node to listen", SETTLED, || {
            nodes.iter().any(|node| TcpStream::connect((Ipv4Addr::LOCALHOST, ports[*node])).is_ok())
        });
    }

    /// What the cluster still works at or has put off, once it has had time to end it.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let look = || {
            let queue = self.world.classify(&["queue", "status", "--json"]);
            if queue.code != Some(0) {
                return vec![queue.stderr];
            }
            unfinished(&queue.json())
        };
        let deadline = Instant::now() + SETTLED;
        loop {
            let left = look();
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    /// Processes of this world beside its nodes and its service.
    pub(super) fn strangers(&mut self) -> Vec<String> {
        let mut known = self.world.node_pids();
        known.extend(self.world.service_pid());
        known.push(std::process::id());
        processes_of(&self.world.path(""))
            .into_iter()
            .filter(|(pid, _)| !known.contains(pid))
            .map(|found| found.1)
            .collect()
    }
}

fn unfinished(queue: &Value) -> Vec<String> {
    let services = queue["services"].as_array().into_iter().flatten();
    let states = ["waiting", "running", "suspended", "retrying", "paused"];
    services
        .flat_map(|service| states.map(|state| (service, state)))
        .filter(|(service, state)| service[*state] != 0)
        .map(|(service, state)| format!("{} {state} {}", service[state], service["service"]))
        .collect()
}

/// Ports the nodes have for each other, node 1 first.
fn fabric_ports(world: &World) -> Vec<u16> {
    let file = world.cluster_folder().join("cluster.json");
    let state: Value =
        serde_json::from_str(&fs::read_to_string(file).expect("the cluster's state")).expect("JSON");
    let nodes = state["nodes"].as_array().expect("nodes");
    let port = |node: &Value| node["ports"]["fabric"].as_u64().and_then(|port| u16::try_from(port).ok());
    nodes.iter().map(|node| port(node).expect("a port")).collect()
}

/// The server that a cluster of `program` runs.
fn server(program: &Program) -> PathBuf {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(crate::server::server(program.cache.clone()))
}

/// Processes that work in `home` or have it on their command line: number, and what to call them.
fn processes_of(home: &Path) -> Vec<(u32, String)> {
    let mut system = System::new().expect("a look at the processes");
    let wanted = ProcessRefreshKind::nothing()
        .with_cmd(UpdateKind::Always)
        .with_cwd(UpdateKind::Always)
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
    let ours = |process: &Process| {
        let home = home.to_string_lossy();
        process.cwd().is_some_and(|cwd| cwd.starts_with(&*home))
            || process.cmd().iter().any(|word| word.to_string_lossy().contains(&*home))
    };
    let name = |process: &Process| {
        let words: Vec<_> = process.cmd().iter().map(|word| word.to_string_lossy()).collect();
        format!("process {}: {}", process.pid(), words.join(" "))
    };
    let alive = |process: &&Process| process.status() != ProcessStatus::Zombie;
    let processes = system.processes().values().filter(alive).filter(|process| ours(process));
    processes.map(|process| (process.pid().as_u32(), name(process))).collect()
}
