//! What is known of a cluster between two commands: `cluster.json`.
//!
//! Owns its format and that it is replaced whole or not at all. Whether a recorded process still runs is the
//! business of `node` and `service`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::birth::ProcessId;
use super::folder::Folder;
use super::ports::{NodePorts, PortChoice};
use super::snapshots::Snapshots;
use crate::disk;
use crate::error::{Failure, Result};
use crate::restate::address::Address;

const FORMAT: u32 = 1;

/// Everything recorded about one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of this format.
    pub format: u32,
    /// The cluster's name.
    pub name: String,
    /// What runs the nodes.
    pub runtime: Runtime,
    /// The compose project of a cluster in containers; older versions recorded none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ComposeProject>,
    /// How the ports were chosen.
    pub ports: PortChoice,
    /// The published port of the snapshots' store, where one was chosen for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_port: Option<u16>,
    /// Whether all nodes once served: from then on there may be data worth keeping.
    pub provisioned: bool,
    /// The server that was started last.
    pub server: Option<PathBuf>,
    /// The `restatectl` that goes with it; looked for only where snapshots are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restatectl: Option<PathBuf>,
    /// Where the nodes keep snapshots of their partitions, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Snapshots>,
    /// The folder in which the nodes have their sockets; without one they listen at the ports themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<PathBuf>,
    /// The nodes, number 1 first.
    pub nodes: Vec<Node>,
    /// The guard at the ports of nodes that have sockets, when last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<ProcessId>,
    /// The classification service, if it was started as part of the cluster.
    pub service: Option<Service>,
}

/// What runs the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Processes of this machine.
    Native,
    /// Containers of a compose project.
    Docker,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Docker => "docker",
        })
    }
}

/// The compose project that a cluster in containers is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeProject {
    /// Its name, as compose's `-p` takes it.
    pub name: String,
    /// How it came to be recorded here.
    pub origin: Origin,
}

/// How a compose project came to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `cluster start` made it.
    Started,
    /// Somebody told us by its name that it is ours now.
    TakenOver,
    /// It was found running. It is somebody else's.
    Found,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `restate-1` and so on; also the name of its data folder and its log.
    pub name: String,
    /// Where it listens.
    pub ports: NodePorts,
    /// Its process when last seen; a container has none.
    pub process: Option<ProcessId>,
}

/// A service that was started as part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Where it listens.
    pub uri: String,
    /// Its command line without the program.
    pub args: Vec<String>,
    /// Its process when last seen.
    pub process: ProcessId,
}

impl Node {
    /// Base URL of its ingress.
    pub fn ingress_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.ingress)
    }

    /// Base URL of its admin API; the web UI is at `/ui`.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.admin)
    }

    /// Base URL for its peers, and for its metrics.
    pub fn fabric_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.fabric)
    }
}

impl State {
    /// A native cluster of which nothing runs yet.
    pub(super) fn new(folder: &Folder, choice: PortChoice, ports: Vec<NodePorts>) -> Self {
        let node = |(index, ports)| Node { name: format!("restate-{}", index + 1), ports, process: None };
        Self {
            format: FORMAT,
            name: folder.name().to_owned(),
            runtime: Runtime::Native,
            project: None,
            ports: choice,
            store_port: None,
            provisioned: false,
            server: None,
            restatectl: None,
            snapshots: None,
            sockets: None,
            nodes: ports.into_iter().enumerate().map(node).collect(),
            guard: None,
            service: None,
        }
    }

    /// Reads what is recorded, `None` when there is no such cluster.
    ///
    /// # Errors
    /// When the file cannot be read or is not ours.
    pub fn load(folder: &Folder) -> Result<Option<Self>> {
        let path = folder.state_file();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::unexpected(format!("{}: {error}", path.display()))),
        };
        let state: Self =
            serde_json::from_slice(&text).map_err(|error| foreign(&path, &error.to_string()))?;
        if state.format != FORMAT {
            let why = format!("format {}, this version knows {FORMAT}", state.format);
            return Err(foreign(&path, &why));
        }
        if state.name != folder.name() {
            return Err(foreign(&path, &format!("it describes the cluster `{}`", state.name)));
        }
        Ok(Some(state))
    }

    /// Reads what is recorded of a cluster that must exist.
    ///
    /// # Errors
    /// As [`State::load`], and when there is no such cluster.
    pub fn require(folder: &Folder) -> Result<Self> {
        Self::load(folder)?.ok_or_else(|| {
            Failure::unreachable(format!("there is no cluster `{}`", folder.name()))
                .detail(format!("looked in {}", folder.path().display()))
                .hint(format!("start one with `{}`", folder.command("start")))
        })
    }

    /// Replaces the record, whole or not at all.
    pub(super) fn save(&self, folder: &Folder) -> Result<()> {
        let path = folder.state_file();
        disk::replace(&path, &serde_json::to_vec_pretty(self).unwrap_or_default())
            .map_err(|error| Failure::unexpected(format!("{}: {error}", path.display())))
    }

    /// Where all ingresses are, node 1 first.
    pub fn ingress_addresses(&self) -> Vec<Address> {
        self.nodes.iter().map(|node| self.ingress(node)).collect()
    }

    /// Where all admin APIs are, node 1 first.
    pub fn admin_addresses(&self) -> Vec<Address> {
        self.nodes.iter().map(|node| self.admin(node)).collect()
    }

    /// Where a node's ingress is.
    pub fn ingress(&self, node: &Node) -> Address {
        self.address(node, node.ingress_url(), "ingress.sock")
    }

    /// Where a node's admin API is.
    pub fn admin(&self, node: &Node) -> Address {
        self.address(node, node.admin_url(), "admin.sock")
    }

    /// Where other nodes find a node, and where its metrics are.
    pub fn fabric(&self, node: &Node) -> Address {
        self.address(node, node.fabric_url(), "fabric.sock")
    }

    /// Restate chooses the names of its sockets.
    fn address(&self, node: &Node, url: String, socket: &str) -> Address {
        match &self.sockets {
            Some(folder) => Address::at_socket(url, folder.join(&node.name).join(socket)),
            None => url.into(),
        }
    }
}

fn foreign(path: &Path, why: &str) -> Failure {
    Failure::usage(format!("{}: not a record this version understands: {why}", path.display()))
        .hint("use the version of `classify` that wrote it, or another `--name`")
}

#[cfg(test)]
mod tests {
    use super::super::ports;
    use super::*;

    fn example() -> (tempfile::TempDir, Folder, State) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        std::fs::create_dir_all(folder.path()).unwrap();
        let ports = ports::choose(PortChoice::Default, 3).unwrap();
        let mut state = State::new(&folder, PortChoice::Default, ports);
        state.nodes[1].process = Some(ProcessId { pid: 12, started: 34, birth: None, uid: None });
        state.service = Some(Service {
            uri: "http://127.0.0.1:9080".into(),
            args: vec!["serve".into()],
            process: ProcessId { pid: 56, started: 78, birth: None, uid: None },
        });
        (home, folder, state)
    }

    #[test]
    fn what_is_saved_is_what_is_read() {
        let (_home, folder, state) = example();
        assert_eq!(State::load(&folder).unwrap(), None);
        state.save(&folder).unwrap();
        assert_eq!(State::load(&folder).unwrap().unwrap(), state);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_node_is_at_its_socket_or_at_its_port() {
        let (_home, _folder, mut state) = example();
        let second = |state: &State| {
            let all =
                [state.ingress(&state.nodes[1]), state.admin(&state.nodes[1]), state.fabric(&state.nodes[1])];
            all.map(|address| (address.url().to_owned(), address.for_restate()))
        };
        let urls = [28080, 29070, 25122].map(|port| format!("http://127.0.0.1:{port}"));
        assert_eq!(second(&state), urls.clone().map(|url| (url.clone(), url)));
        state.sockets = Some("/h/data".into());
        let sockets = ["ingress", "admin", "fabric"].map(|api| format!("unix:/h/data/restate-2/{api}.sock"));
        assert_eq!(second(&state).map(|(_, at)| at), sockets);
        assert_eq!(second(&state).map(|(url, _)| url), urls, "as it is called");
    }

    #[test]
    fn records_that_are_not_ours_are_refused() {
        let (_home, folder, mut state) = example();
        std::fs::write(folder.state_file(), "{}").unwrap();
        assert!(State::load(&folder).is_err());
        state.format = 99;
        state.save(&folder).unwrap();
        assert!(State::load(&folder).unwrap_err().message().contains("format 99"));
        state.format = FORMAT;
        state.name = "other".into();
        state.save(&folder).unwrap();
        assert!(State::load(&folder).unwrap_err().message().contains("`other`"));
    }
}
