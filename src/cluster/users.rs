//! Who still uses a cluster's data, whatever is recorded: before it is deleted.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::birth::ProcessId;
use super::folder::Folder;
use super::state::{Node, Runtime, State};
use super::{guard, logs, process};
use crate::sockets::{self, named};

/// Everybody who uses it, in words. Processes of other users show only what they listen on.
pub(super) fn of(folder: &Folder, state: &State) -> Vec<String> {
    let mut users = recorded(state);
    users.extend(open_files(folder));
    if state.runtime == Runtime::Native {
        users.extend(state.nodes.iter().flat_map(|node| listeners(folder, node)));
    }
    users
}

/// Recorded processes that run, whatever their command line says by now.
fn recorded(state: &State) -> Vec<String> {
    let nodes = state.nodes.iter().map(|node| (node.name.as_str(), node.process));
    let service = state.service.iter().map(|service| (logs::SERVICE, Some(service.process)));
    let lives = |(name, id): (&str, Option<ProcessId>)| {
        let id = id.filter(|id| process::lives(*id))?;
        Some(format!("{name}: {} runs", named(id.pid)))
    };
    let guard = std::iter::once((guard::NAME, state.guard));
    nodes.chain(guard).chain(service).filter_map(lives).collect()
}

/// Processes with a file of the folder open; those that wait for its lock have nothing else.
fn open_files(folder: &Folder) -> Vec<String> {
    let lock = folder.lock_file();
    let is_used = |file: &PathBuf| file.starts_with(folder.path()) && *file != lock;
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let user = |pid: u32| {
        let file = files(pid).find(is_used)?;
        Some(format!("{} has {} open", named(pid), file.display()))
    };
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own).filter_map(user).collect()
}

fn files(pid: u32) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok())
}

/// Those who listen on the node's ports and may be the node: from this folder, or, where nothing of them can be seen, as the user whose
/// data it is.
fn listeners(folder: &Folder, node: &Node) -> Vec<String> {
    // A node without data has no owner, and nobody can be told to hold it.
    let owner = std::fs::metadata(folder.data().join(&node.name)).map(|data| data.uid()).ok();
    let user = |port: u16| {
        if let Some(pid) = sockets::listening_process(port).filter(|pid| is_at_home(*pid, folder.path())) {
            return Some(format!("{}: {} listens on port {port}", node.name, named(pid)));
        }
        let hidden = sockets::hidden_listener(port).filter(|uid| Some(*uid) == owner);
        hidden
            .map(|_| format!("{}: a process that cannot be seen from here listens on port {port}", node.name))
    };
    node.ports.named().into_iter().filter_map(|(_, port)| user(port)).collect()
}

fn is_at_home(pid: u32, folder: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|dir| dir.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use super::super::ports::{NodePorts, PortChoice};
    use super::super::process::Launch;
    use super::*;

    /// A folder with a record of one node, whose data is there.
    fn cluster(port: u16) -> (tempfile::TempDir, Folder, State) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        std::fs::create_dir_all(folder.data().join("restate-1")).unwrap();
        let ports = NodePorts { ingress: port, admin: port, fabric: port };
        let state = State::new(&folder, PortChoice::Auto, vec![ports]);
        (home, folder, state)
    }

    #[test]
    fn whoever_has_a_file_open_uses_the_data_and_whoever_waits_for_the_lock_does_not() {
        let (_home, folder, state) = cluster(1);
        assert_eq!(of(&folder, &state), [""; 0]);
        let hold = |path: PathBuf| {
            let file = std::fs::File::create(path).unwrap();
            Command::new("sleep").arg("60").stdin(Stdio::null()).stdout(file).spawn().unwrap()
        };
        let mut waiting = hold(folder.lock_file());
        assert!(!cfg!(target_os = "linux") || of(&folder, &state).is_empty());
        let mut using = hold(folder.data().join("restate-1/LOG"));
        if cfg!(target_os = "linux") {
            let users = of(&folder, &state);
            let wanted = format!("sleep (pid {}) has {}", using.id(), folder.data().display());
            assert!(users.len() == 1 && users[0].starts_with(&wanted), "{users:?}");
        }
        for child in [&mut waiting, &mut using] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(of(&folder, &state), [""; 0]);
    }

    #[test]
    fn a_recorded_process_that_lives_uses_the_data_whatever_its_command_line() {
        let (home, folder, mut state) = cluster(1);
        let (dir, args) = (folder.path().to_owned(), ["60".to_owned()]);
        let log = home.path().join("elsewhere.log");
        let env = std::env::vars_os().filter(|(name, _)| name == "PATH").collect();
        let launch = Launch { program: Path::new("sleep"), args: &args, env, dir: &dir, log: &log };
        let (mut child, own) = process::spawn(launch).unwrap();
        state.nodes[0].process = Some(own);
        let users = of(&folder, &state);
        assert!(users.len() == 1 && users[0].starts_with("restate-1: "), "{users:?}");
        state.nodes[0].process = Some(ProcessId { pid: own.pid, started: 0, birth: None, uid: None });
        assert_eq!(of(&folder, &state), [""; 0], "the number came round again");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn whoever_listens_somewhere_else_on_the_same_ports_does_not_use_the_data() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_home, folder, state) = cluster(listener.local_addr().unwrap().port());
        assert_eq!(of(&folder, &state), [""; 0]);
    }
}
