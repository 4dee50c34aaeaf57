//! The guard at the ports of nodes that listen at sockets: a process like they, started before them and ended after them.

use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::birth::ProcessId;
use super::environment::is_inherited;
use super::folder::Folder;
use super::process::{self, Launch, Looks, Target};
use super::state::State;
use super::step::Progress;
use super::{logs, vacancy};
use crate::error::{Failure, Result};

/// Its name in messages and in the folder of logs.
pub(super) const NAME: &str = "guard";
/// How long it may take to listen.
const WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// The longest path of a socket, in bytes (`sun_path` without the zero at its end).
const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How nodes listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// At sockets that only their user can open, with a guard at the ports.
    Unix,
    /// At the ports themselves, for every user of this machine.
    Tcp,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unix => "unix",
            Self::Tcp => "tcp",
        })
    }
}

/// The folder for the nodes' sockets; without one they listen at the ports.
pub(super) fn sockets(folder: &Folder, wanted: Option<Listen>) -> Result<Option<PathBuf>> {
    let data = folder.data();
    // Nodes have one digit, and no other socket has a longer name.
    let length = data.join("restate-1").join("ingress.sock").as_os_str().len();
    match wanted {
        Some(Listen::Tcp) => Ok(None),
        None if length > LONGEST_PATH => Ok(None),
        Some(Listen::Unix) if length > LONGEST_PATH => Err(Failure::usage(format!(
            "the nodes' sockets would have paths of {length} bytes below {}; {LONGEST_PATH} is the most",
            data.display()
        ))
        .hint("choose a shorter folder (`--home DIR`) or name, or let them listen at ports: `--listen tcp`")),
        _ => Ok(Some(data)),
    }
}

/// Refuses to go on with a cluster that was moved: its nodes know each other by the paths of their sockets.
pub(super) fn check_place(folder: &Folder, state: &State) -> Result<()> {
    match &state.sockets {
        Some(sockets) if *sockets != folder.data() => Err(Failure::usage(format!(
            "cluster `{}` was made in {}, where its nodes look for each other; it is in {} now",
            state.name,
            sockets.display(),
            folder.data().display()
        ))
        .hint(format!("move it back, or delete it and start again: `{}`", folder.command("clean")))),
        _ => Ok(()),
    }
}

fn args(folder: &Folder) -> Vec<String> {
    let home = folder.home().to_string_lossy().into_owned();
    [NAME, "--home", &home, "--name", folder.name()].map(str::to_owned).to_vec()
}

/// The guard that runs.
pub(super) fn running(folder: &Folder, state: &State) -> Option<ProcessId> {
    state.sockets.as_ref()?;
    let args = args(folder);
    let recorded = state.guard.filter(|id| process::vitals(*id, &args).is_some());
    recorded.or_else(|| process::find(&args, &looks(folder)))
}

fn looks(folder: &Folder) -> Looks {
    let own = std::env::current_exe().ok().and_then(|program| program.file_name().map(OsStr::to_owned));
    Looks::new(folder.path(), std::iter::once("classify".into()).chain(own))
}

/// The running guard, for [`process::terminate`].
pub(super) fn target(folder: &Folder, state: &State) -> Option<Target> {
    let id = running(folder, state)?;
    Some(Target { name: NAME.into(), id, args: args(folder) })
}

/// Starts the guard where one is needed and none runs, and waits until it listens. Whether it was started.
///
/// # Errors
/// When a port is taken, or it does not listen in time.
pub(super) async fn ensure(folder: &Folder, state: &mut State, progress: Progress<'_>) -> Result<bool> {
    if state.sockets.is_none() {
        return Ok(false);
    }
    let args = args(folder);
    if state.guard.is_some_and(|id| process::vitals(id, &args).is_some()) {
        return Ok(false);
    }
    // One that was never recorded may guard the ports of a start that failed.
    let stray: Vec<Target> = target(folder, state).into_iter().collect();
    process::terminate(&stray, Instant::now() + WAIT, progress).await?;
    vacancy::check_free(state, &state.nodes).await?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::unexpected(format!("cannot find this program: {error}")))?;
    let (mut child, id) = start(folder, &program)?;
    state.guard = Some(id);
    // Saved now: if this process is killed, the next command still finds the guard.
    state.save(folder)?;
    let listens = wait_until_it_listens(folder, state, &mut child).await;
    if listens.is_err() {
        let _ended = child.kill();
        let _status = child.wait();
        state.guard = None;
        state.save(folder)?;
    }
    listens.map(|()| true)
}

fn start(folder: &Folder, program: &Path) -> Result<(Child, ProcessId)> {
    let env = std::env::vars_os().filter(|(name, _)| is_inherited(name)).collect();
    let log = folder.log(NAME);
    let launch = Launch { program, args: &args(folder), env, dir: folder.path(), log: &log };
    process::spawn(launch).map_err(|error| {
        Failure::unreachable(format!("the guard does not start: {}: {error}", program.display()))
    })
}

async fn wait_until_it_listens(folder: &Folder, state: &State, child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + WAIT;
    for (_, port) in state.nodes.iter().flat_map(|node| node.ports.named()) {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            let ended = child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() >= deadline {
                let how = ended.map_or_else(String::new, |status| format!(" ({status})"));
                let failure = Failure::unreachable(format!("the guard does not listen at port {port}{how}"));
                return Err(logs::quote(folder, NAME, failure));
            }
            sleep(POLL).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_need_a_path_that_is_short_enough() {
        let at = |home: &str| Folder::new(Path::new(home), "x").unwrap();
        let short = at("/h");
        assert_eq!(sockets(&short, None).unwrap(), Some(short.data()));
        assert_eq!(sockets(&short, Some(Listen::Tcp)).unwrap(), None);
        let fixed = "/cluster/x/data/restate-1/ingress.sock".len();
        let home = |length: usize| format!("/{}", "h".repeat(length - fixed - 1));
        assert!(sockets(&at(&home(LONGEST_PATH)), Some(Listen::Unix)).unwrap().is_some());
        let long = at(&home(LONGEST_PATH + 1));
        assert_eq!(sockets(&long, None).unwrap(), None);
        let refused = sockets(&long, Some(Listen::Unix)).unwrap_err();
        assert!(refused.message().contains("107 is the most") || !cfg!(target_os = "linux"), "{refused}");
    }

    #[test]
    fn a_cluster_that_was_moved_is_refused() {
        let folder = Folder::new(Path::new("/h"), "x").unwrap();
        let mut state = State::new(&folder, super::super::PortChoice::Default, Vec::new());
        check_place(&folder, &state).unwrap();
        state.sockets = Some(folder.data());
        check_place(&folder, &state).unwrap();
        state.sockets = Some("/elsewhere/cluster/x/data".into());
        let refused = check_place(&folder, &state).unwrap_err();
        assert!(refused.message().contains("was made in /elsewhere/cluster/x/data"), "{refused}");
    }
}
