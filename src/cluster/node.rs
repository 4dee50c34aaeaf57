//! One node as a process: its command line, its environment, its configuration file.
//!
//! What all nodes share is in `restate.toml`, at the top of the repository; what differs comes by environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Child;

use super::birth::ProcessId;
use super::environment::is_inherited;
use super::folder::Folder;
use super::process;
use super::process::{Launch, Looks, spawn};
use super::server;
use super::state::{Node, State};
use crate::disk::{self, private};
use crate::error::{Failure, Result};

const CONFIG: &str = include_str!("../../restate.toml");
const CONFIG_NOTE: &str = "# Written by `classify cluster start`, which overwrites changes.\n\n";

/// Names the private key that a node signs its requests to the service with.
const IDENTITY: &str = "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE";
/// Peers and service on this machine are not to be reached through a proxy.
const LOOPBACK: &str = "127.0.0.1,localhost,::1";

/// Command line of a node without the program. Path and name together occur in no other process.
pub(super) fn args(folder: &Folder, name: &str) -> Vec<String> {
    let config = folder.config_file().to_string_lossy().into_owned();
    ["--no-logo", "--config-file", &config, "--node-name", name].map(str::to_owned).to_vec()
}

/// What a process is besides those words, if it is a node.
pub(super) fn looks(folder: &Folder, state: &State) -> Looks {
    let recorded = state.server.iter().filter_map(|server| {
        server.canonicalize().as_ref().unwrap_or(server).file_name().map(OsStr::to_owned)
    });
    Looks::new(folder.path(), std::iter::once(server::BINARY.into()).chain(recorded))
}

/// Whether a node's recorded process runs.
pub(super) fn is_running(folder: &Folder, node: &Node) -> bool {
    node.process.is_some_and(|id| process::vitals(id, &args(folder, &node.name)).is_some())
}

/// Nodes whose process runs.
pub(super) fn live<'a>(folder: &Folder, state: &'a State) -> Vec<&'a Node> {
    state.nodes.iter().filter(|node| is_running(folder, node)).collect()
}

/// Whether node 1 may found the cluster: only where there is none. A node 1 that lost its data must join the others
/// again, not found a second cluster beside them.
pub(super) fn may_provision(provisioned: bool, has_data: &[bool]) -> bool {
    let nothing_yet = !has_data.contains(&true);
    // A first start that was cut short: nobody ever saw the cluster serve, and its founder still has what it wrote.
    let unfinished = !provisioned && has_data.first() == Some(&true);
    nothing_yet || unfinished
}

/// Which nodes have data.
pub(super) fn has_data(folder: &Folder, state: &State) -> Vec<bool> {
    let has = |node: &Node| {
        let mut entries = std::fs::read_dir(folder.data().join(&node.name)).into_iter().flatten();
        entries.next().is_some()
    };
    state.nodes.iter().map(has).collect()
}

/// Brings the configuration file up to date.
pub(super) fn write_config(folder: &Folder) -> Result<()> {
    let path = folder.config_file();
    let wanted = format!("{CONFIG_NOTE}{CONFIG}");
    // Running nodes watch the file: touch it only when it changes.
    if std::fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    disk::replace(&path, wanted.as_bytes())
        .map_err(|error| Failure::unexpected(format!("{}: {error}", path.display())))
}

/// Starts node number `index` (from 0).
pub(super) fn launch(
    folder: &Folder,
    state: &State,
    index: usize,
    server: &Path,
    provision: bool,
) -> Result<(Child, ProcessId)> {
    let node = &state.nodes[index];
    let scratch = folder.scratch(&node.name);
    // What it left there when it last ended is of no use to anybody.
    let _absent = std::fs::remove_dir_all(&scratch);
    private::create_folders(&scratch)
        .map_err(|error| Failure::unexpected(format!("{}: {error}", scratch.display())))?;
    let launch = Launch {
        program: server,
        args: &args(folder, &node.name),
        env: environment(std::env::vars_os(), folder, state, index, provision).into_iter().collect(),
        dir: folder.path(),
        log: &folder.log(&node.name),
    };
    spawn(launch).map_err(|error| {
        Failure::unreachable(format!("{} does not start: {}: {error}", node.name, server.display()))
    })
}

/// The whole environment of node number `index` (from 0).
fn environment(
    ours: impl IntoIterator<Item = (OsString, OsString)>,
    folder: &Folder,
    state: &State,
    index: usize,
    provision: bool,
) -> BTreeMap<OsString, OsString> {
    let ours: Vec<(OsString, OsString)> = ours.into_iter().collect();
    let mut env = BTreeMap::new();
    let mut no_proxy = OsString::from(LOOPBACK);
    for (name, value) in ours.clone() {
        if name.eq_ignore_ascii_case("NO_PROXY") && !value.is_empty() {
            no_proxy.push(",");
            no_proxy.push(value);
        } else if is_inherited(&name) {
            env.insert(name, value);
        }
    }
    let node = &state.nodes[index];
    let peers: Vec<String> = state.nodes.iter().map(|node| state.fabric(node).for_restate()).collect();
    // One node cannot hold two copies; two and more can.
    let replication = if state.nodes.len() == 1 { "1" } else { "2" };
    let set = [
        ("DO_NOT_TRACK", "1".to_owned()),
        ("TMPDIR", folder.scratch(&node.name).to_string_lossy().into_owned()),
        ("RESTATE_FORCE_NODE_ID", (index + 1).to_string()),
        ("RESTATE_AUTO_PROVISION", (provision && index == 0).to_string()),
        ("RESTATE_BASE_DIR", folder.data().to_string_lossy().into_owned()),
        // The web UI shows these.
        ("RESTATE_INGRESS__ADVERTISED_ADDRESS", format!("{}/", node.ingress_url())),
        ("RESTATE_ADMIN__ADVERTISED_ADDRESS", format!("{}/", node.admin_url())),
        ("RESTATE_METADATA_CLIENT__ADDRESSES", serde_json::json!(peers).to_string()),
        ("RESTATE_DEFAULT_REPLICATION", replication.to_owned()),
    ];
    env.extend(set.map(|(name, value)| (name.into(), value.into())));
    env.extend(listening(state, node).map(|(name, value)| (name.into(), value.into())));
    let identity = folder.identity_file();
    if identity.exists() {
        env.insert(IDENTITY.into(), identity.into());
    }
    if let Some(snapshots) = &state.snapshots {
        env.extend(snapshots.environment(&ours));
    }
    env.insert("no_proxy".into(), no_proxy.clone());
    env.insert("NO_PROXY".into(), no_proxy);
    env
}

/// Where a node listens. It makes its sockets in its own data folder, and tells the others where.
fn listening(state: &State, node: &Node) -> impl Iterator<Item = (&'static str, String)> {
    let tcp = || {
        [
            ("RESTATE_BIND_IP", "127.0.0.1".to_owned()),
            ("RESTATE_BIND_PORT", node.ports.fabric.to_string()),
            ("RESTATE_ADVERTISED_ADDRESS", format!("{}/", node.fabric_url())),
            ("RESTATE_INGRESS__BIND_PORT", node.ports.ingress.to_string()),
            ("RESTATE_ADMIN__BIND_PORT", node.ports.admin.to_string()),
        ]
    };
    let (mode, ports) = if state.sockets.is_some() { ("unix", None) } else { ("tcp", Some(tcp())) };
    std::iter::once(("RESTATE_LISTEN_MODE", mode.to_owned())).chain(ports.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::super::ports::{PortChoice, choose};
    use super::*;

    fn env_of(
        nodes: u8,
        index: usize,
        provision: bool,
        ours: &[(&str, &str)],
    ) -> BTreeMap<OsString, OsString> {
        let folder = Folder::new(Path::new("/h"), "x").unwrap();
        let ports = choose(PortChoice::Default, nodes).unwrap();
        let state = State::new(&folder, PortChoice::Default, ports);
        let ours = ours.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        environment(ours, &folder, &state, index, provision)
    }

    fn get<'a>(env: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a str> {
        env.get(OsStr::new(name)).and_then(|value| value.to_str())
    }

    #[test]
    fn nothing_of_the_users_shell_reconfigures_a_node() {
        let shell = [
            ("PATH", "/bin"),
            ("RESTATE_CLUSTER_NAME", "prod"),
            ("RESTATE_BIND_PORT", "1"),
            ("RUST_LOG", "trace"),
            ("MEMORY_LIMIT", "1"),
            ("TMPDIR", "/tmp"),
            ("OPENAI_API_KEY", "secret"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("http_proxy", "http://proxy:3128"),
            ("no_proxy", "intranet"),
        ];
        let env = env_of(3, 1, true, &shell);
        assert_eq!(get(&env, "PATH"), Some("/bin"));
        for gone in
            ["RESTATE_CLUSTER_NAME", "RUST_LOG", "MEMORY_LIMIT", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY"]
        {
            assert_eq!(get(&env, gone), None, "{gone}");
        }
        assert_eq!(get(&env, "RESTATE_BIND_PORT"), Some("25122"));
        assert_eq!(get(&env, "NO_PROXY"), Some("127.0.0.1,localhost,::1,intranet"));
        assert_eq!(get(&env, "DO_NOT_TRACK"), Some("1"));
        assert_eq!(get(&env, "TMPDIR"), Some("/h/cluster/x/tmp/restate-2"));
    }

    #[test]
    fn each_node_knows_itself_and_its_peers() {
        let env = env_of(3, 2, true, &[]);
        let peers = r#"["http://127.0.0.1:5122","http://127.0.0.1:25122","http://127.0.0.1:35122"]"#;
        assert_eq!(get(&env, "RESTATE_METADATA_CLIENT__ADDRESSES"), Some(peers));
        assert_eq!(get(&env, "RESTATE_FORCE_NODE_ID"), Some("3"));
        assert_eq!(get(&env, "RESTATE_AUTO_PROVISION"), Some("false"), "only node 1 provisions");
        assert_eq!(get(&env, "RESTATE_INGRESS__BIND_PORT"), Some("38080"));
        assert_eq!(get(&env, "RESTATE_ADVERTISED_ADDRESS"), Some("http://127.0.0.1:35122/"));
        assert_eq!(get(&env, "RESTATE_BASE_DIR"), Some("/h/cluster/x/data"));
        let replication =
            |nodes| env_of(nodes, 0, true, &[])[OsStr::new("RESTATE_DEFAULT_REPLICATION")].clone();
        assert_eq!([1, 2, 3].map(replication), ["1", "2", "2"]);
    }

    #[test]
    fn node_1_founds_a_cluster_only_where_there_is_none() {
        assert!(may_provision(false, &[false, false, false]), "first start");
        assert!(may_provision(true, &[false, false, false]), "all data removed by hand");
        assert!(may_provision(false, &[true, false, false]), "first start cut short");
        assert!(!may_provision(true, &[true, true, true]), "ordinary restart");
        assert!(!may_provision(true, &[false, true, true]), "node 1 lost its data");
        assert!(!may_provision(false, &[false, true, true]), "and nobody knows what the others have");
    }
}
