//! Brings a cluster up, whatever state it is in: absent, stopped, half started, crashed in part, or running.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::finish::finish;
use super::folder::Folder;
use super::guard;
use super::leaders;
use super::lock;
use super::plan::{Means, RuntimeChoice, StartOptions};
use super::process::{self, Target};
use super::ready::{self, Clients, NotReady};
use super::results::{Outcome, RUNS_ON, Started};
use super::server;
use super::snapshots;
use super::state::{Runtime, State};
use super::step::{Progress, Step};
use super::{docker, keys, logs, node, plan, restatectl, stop, vacancy};
use crate::error::{Failure, Result};

const POLL: Duration = Duration::from_millis(100);
/// How long nodes of a failed start may take to end.
const UNDO_WAIT: Duration = Duration::from_secs(10);

/// Starts the cluster, or what of it is not running, and waits until every node serves. Nodes outlive the caller.
///
/// # Errors
/// When the options contradict the existing cluster, a port is taken, there is no server, a node dies, or the nodes
/// do not serve in time. Nodes that this call started are stopped again, unless they had data and only want more time.
pub async fn start(folder: &Folder, options: &StartOptions, progress: Progress<'_>) -> Result<Started> {
    let begun = Instant::now();
    let _lock = lock::take(&folder.lock_file(), options.timeout, progress).await?;
    let started = match planned(folder, options, progress).await {
        Ok((state, Means::Native)) => start_processes(folder, options, state, begun, progress).await,
        Ok((state, Means::Docker(compose))) => {
            docker::start(folder, options.timeout, state, compose, begun, progress).await
        }
        Err(failure) => Err(failure),
    };
    if started.is_err() {
        forget_unused(folder);
    }
    started
}

async fn planned(folder: &Folder, options: &StartOptions, progress: Progress<'_>) -> Result<(State, Means)> {
    let bound = plan::binding(folder).await?;
    let runtime = match (options.runtime, &options.snapshots, &bound) {
        // The compose file has a store of its own.
        (RuntimeChoice::Auto, Some(_), None) => RuntimeChoice::Only(Runtime::Native),
        (RuntimeChoice::Only(Runtime::Docker), Some(_), _) => return Err(snapshots::not_for_containers()),
        (wanted, ..) => wanted,
    };
    let means = plan::means(folder, runtime, bound.as_ref(), progress).await?;
    let state = plan::plan(folder, options, bound, means)?;
    if state.runtime == Runtime::Native
        && !state.provisioned
        && state.sockets.is_none()
        && options.listen.is_none()
    {
        progress(&Step::ForEverybody);
    }
    Ok((plan::with_snapshots(folder, state, options.snapshots.as_ref())?, means))
}

async fn start_processes(
    folder: &Folder,
    options: &StartOptions,
    mut state: State,
    begun: Instant,
    progress: Progress<'_>,
) -> Result<Started> {
    guard::check_place(folder, &state)?;
    let dead = find_dead(folder, &mut state);
    let clients = Clients::of_all(&state)?;

    if dead.is_empty() {
        let outcome = if guard::ensure(folder, &mut state, progress).await? {
            Outcome::Repaired(vec![guard::NAME.to_owned()])
        } else {
            Outcome::AlreadyUp
        };
        if let Ok(version) = ready::wait_until_ready(&clients, Instant::now()).await {
            return finish(folder, state, &clients, outcome, version, begun).await;
        }
        progress(&Step::WaitingUntilReady);
        return match leaders::wait_until_settled(&clients, begun + options.timeout).await {
            Ok(version) => finish(folder, state, &clients, Outcome::BecameReady, version, begun).await,
            Err(nodes) => Err(not_ready(folder, options.timeout, &nodes)),
        };
    }

    let prepared = prepare(folder, options, &mut state, &dead, progress).await?;
    let names: Vec<String> = dead.iter().map(|index| state.nodes[*index].name.clone()).collect();
    let outcome =
        if dead.len() == state.nodes.len() { Outcome::Started } else { Outcome::Repaired(names.clone()) };
    progress(&match outcome {
        Outcome::Repaired(_) => Step::Repairing(names),
        _ => Step::Starting(names),
    });
    let new_data = !node::has_data(folder, &state).contains(&true);
    // The time for a download is not the nodes' fault.
    let deadline = Instant::now() + options.timeout;
    let mut launched = Launched { folder, guard: prepared.guard, children: Vec::new() };
    let up = match launched.launch(&mut state, &dead, &prepared.server) {
        Ok(()) => launched.wait(&clients, deadline, options.timeout).await,
        Err(failure) => Err(failure),
    };
    match up {
        Ok(version) => finish(folder, state, &clients, outcome, version, begun).await,
        // A node with data is catching up. Stopped now, it would start over next time.
        Err(failure) if !new_data && Instant::now() >= deadline => Err(failure.hint(RUNS_ON)),
        Err(failure) => {
            launched.undo(&mut state, progress).await?;
            // Nobody ever saw this cluster serve. Half of a founding would only confuse the next start.
            if new_data && !state.provisioned {
                let _absent = std::fs::remove_dir_all(folder.data());
            }
            Err(failure)
        }
    }
}

/// Which nodes do not run. Processes that were started and never recorded are taken in.
fn find_dead(folder: &Folder, state: &mut State) -> Vec<usize> {
    let mut dead = Vec::new();
    let looks = node::looks(folder, state);
    for (index, node) in state.nodes.iter_mut().enumerate() {
        if node::is_running(folder, node) {
            continue;
        }
        node.process = process::find(&node::args(folder, &node.name), &looks);
        if node.process.is_none() {
            dead.push(index);
        }
    }
    dead
}

/// What is there before the first node is started.
struct Prepared {
    server: PathBuf,
    /// Whether the guard was started.
    guard: bool,
}

/// All that can fail before a node is started: ports, server, files, and the guard.
async fn prepare(
    folder: &Folder,
    options: &StartOptions,
    state: &mut State,
    dead: &[usize],
    progress: Progress<'_>,
) -> Result<Prepared> {
    if state.sockets.is_none() {
        vacancy::check_free(state, dead.iter().map(|index| &state.nodes[*index])).await?;
    } else if guard::running(folder, state).is_none() {
        vacancy::check_free(state, &state.nodes).await?;
    }
    let server = server::locate(&options.server, progress).await?;
    if state.snapshots.is_some() {
        state.restatectl = restatectl::find_or_fetch(&options.server, &server.binary, progress).await;
    }
    node::write_config(folder)?;
    state.save(folder)?;
    if !state.provisioned {
        keys::found(folder)?;
        keys::found_identity(folder)?;
    }
    let guard = guard::ensure(folder, state, progress).await?;
    Ok(Prepared { server: server.binary, guard })
}

/// Nodes started by this very command.
struct Launched<'a> {
    folder: &'a Folder,
    /// Whether the guard is one of them.
    guard: bool,
    children: Vec<(usize, Child)>,
}

impl Launched<'_> {
    fn launch(&mut self, state: &mut State, dead: &[usize], binary: &Path) -> Result<()> {
        let provision = node::may_provision(state.provisioned, &node::has_data(self.folder, state));
        state.server = Some(binary.to_owned());
        for index in dead {
            let (child, id) = node::launch(self.folder, state, *index, binary, provision)?;
            self.children.push((*index, child));
            state.nodes[*index].process = Some(id);
            // After each, so that whoever kills us leaves no process that nobody knows of.
            state.save(self.folder)?;
        }
        Ok(())
    }

    /// Waits until all nodes serve or one of ours dies.
    async fn wait(&mut self, clients: &[Clients], deadline: Instant, timeout: Duration) -> Result<String> {
        let folder = self.folder;
        tokio::select! {
            ready = leaders::wait_until_settled(clients, deadline) => {
                ready.map_err(|nodes| not_ready(folder, timeout, &nodes))
            }
            (name, how) = self.death(clients) => {
                let failure = Failure::unreachable(format!("{name} died while starting ({how})"));
                Err(logs::quote(folder, &name, failure))
            }
        }
    }

    async fn death(&mut self, clients: &[Clients]) -> (String, String) {
        loop {
            for (index, child) in &mut self.children {
                if let Ok(Some(status)) = child.try_wait() {
                    return (clients[*index].name.clone(), status.to_string());
                }
            }
            sleep(POLL).await;
        }
    }

    async fn undo(mut self, state: &mut State, progress: Progress<'_>) -> Result<()> {
        let mut targets = Vec::new();
        for (index, _) in &self.children {
            let node = &mut state.nodes[*index];
            let args = node::args(self.folder, &node.name);
            targets.extend(node.process.take().map(|id| Target { name: node.name.clone(), id, args }));
        }
        if self.guard {
            targets.extend(guard::target(self.folder, state));
            state.guard = None;
        }
        process::terminate(&targets, Instant::now() + UNDO_WAIT, progress).await?;
        for (_, child) in &mut self.children {
            let _status = child.try_wait();
        }
        state.save(self.folder)
    }
}

fn not_ready(folder: &Folder, timeout: Duration, nodes: &[NotReady]) -> Failure {
    let seconds = timeout.as_secs();
    let failure = Failure::unreachable(format!("the cluster does not serve after {seconds} s"));
    let failure = nodes.iter().fold(failure, |f, node| f.detail(format!("{}: {}", node.node, node.error)));
    let failure = match nodes.first() {
        Some(node) => logs::quote(folder, &node.node, failure),
        None => failure,
    };
    failure.hint("a busy machine may need more time: `--timeout SECS`")
}

/// Removes the folder of a cluster that never came to be; one with anything but a lock in it stays.
fn forget_unused(folder: &Folder) {
    if !folder.state_file().exists() {
        let _kept = stop::remove_if_unused(folder);
    }
}
