//! What a start is to bring up: the cluster that is there, or a new one; as processes or as containers.

use std::time::Duration;

use super::docker;
use super::folder::Folder;
use super::guard::{self, Listen};
use super::ports::{self, PortChoice};
use super::server::Source;
use super::snapshots::{self, Snapshots};
use super::state::{Origin, Runtime, State};
use super::step::{Progress, Step};
use super::{node, service};
use crate::error::{Failure, Result};

const NODES_MAX: u8 = 9;

/// Options of a start.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The runtime of the nodes.
    pub runtime: RuntimeChoice,
    /// Number of nodes; `None` takes what the cluster has, or [`super::DEFAULT_NODES`].
    pub nodes: Option<u8>,
    /// How ports are chosen; `None` takes what the cluster has, or the default ones.
    pub ports: Option<PortChoice>,
    /// How processes listen; `None` takes what the cluster has, or sockets where their paths are short enough.
    pub listen: Option<Listen>,
    /// Where snapshots are kept; `None` takes what the cluster has, or keeps none.
    pub snapshots: Option<Snapshots>,
    /// How long all of it may take.
    pub timeout: Duration,
    /// Where the server comes from, if the nodes are to be processes.
    pub server: Source,
}

/// What shall run the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// Whatever the cluster has; else containers where they can be had, else processes.
    Auto,
    /// This and nothing else.
    Only(Runtime),
}

/// What will run the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Native,
    Docker(docker::Compose),
}

impl Means {
    fn runtime(self) -> Runtime {
        match self {
            Self::Native => Runtime::Native,
            Self::Docker(_) => Runtime::Docker,
        }
    }
}

/// The record that a start must go by. That of a start which failed and left nothing binds nobody.
pub(super) async fn binding(folder: &Folder) -> Result<Option<State>> {
    let Some(state) = State::load(folder)? else { return Ok(None) };
    // What was found and is gone was never ours to keep.
    let is_found = state.project.as_ref().is_some_and(|project| project.origin == Origin::Found);
    let is_disposable = (!state.provisioned || is_found)
        && !service::is_running(&state)
        && match state.runtime {
            Runtime::Native => {
                !node::has_data(folder, &state).contains(&true) && node::live(folder, &state).is_empty()
            }
            Runtime::Docker => docker::is_absent(&state).await?,
        };
    Ok(Some(state).filter(|_| !is_disposable))
}

/// Finds what runs the nodes. With `Auto`, missing containers are no failure.
pub(super) async fn means(
    folder: &Folder,
    wanted: RuntimeChoice,
    bound: Option<&State>,
    progress: Progress<'_>,
) -> Result<Means> {
    match settle(folder, wanted, bound.map(|state| state.runtime))? {
        RuntimeChoice::Only(Runtime::Native) => Ok(Means::Native),
        RuntimeChoice::Only(Runtime::Docker) => {
            let compose = docker::detect().await?;
            docker::have_images(progress).await?;
            Ok(Means::Docker(compose))
        }
        RuntimeChoice::Auto => {
            let compose = match docker::detect().await {
                Ok(compose) => compose,
                Err(failure) => {
                    tracing::debug!(why = failure.message(), "no containers");
                    return Ok(Means::Native);
                }
            };
            match docker::have_images(progress).await {
                Ok(()) => Ok(Means::Docker(compose)),
                Err(failure) => {
                    progress(&Step::WithoutContainers { why: failure.message().to_owned() });
                    Ok(Means::Native)
                }
            }
        }
    }
}

/// What was asked for against what the cluster has. `Auto` comes out only where there is none.
fn settle(folder: &Folder, wanted: RuntimeChoice, has: Option<Runtime>) -> Result<RuntimeChoice> {
    match (wanted, has) {
        (wanted, None) => Ok(wanted),
        (RuntimeChoice::Only(wanted), Some(has)) if wanted != has => Err(Failure::usage(format!(
            "cluster `{}` was made with `--runtime {has}`, and cannot go on with `{wanted}`",
            folder.name()
        ))
        .hint(clean_first(folder))
        .hint(BESIDE)),
        (_, Some(has)) => Ok(RuntimeChoice::Only(has)),
    }
}

/// The cluster that is there if the options agree with it, otherwise a new one.
pub(super) fn plan(
    folder: &Folder,
    options: &StartOptions,
    bound: Option<State>,
    means: Means,
) -> Result<State> {
    if let Some(nodes) = options.nodes
        && !(1..=NODES_MAX).contains(&nodes)
    {
        return Err(Failure::usage(format!("a cluster has 1 to {NODES_MAX} nodes, not {nodes}")));
    }
    if let Some(state) = bound {
        return agree(folder, options, state);
    }
    let choice = options.ports.unwrap_or(PortChoice::Default);
    let nodes = options.nodes.unwrap_or(super::DEFAULT_NODES);
    Ok(match means.runtime() {
        Runtime::Native => {
            let sockets = guard::sockets(folder, options.listen)?;
            State { sockets, ..State::new(folder, choice, ports::choose(choice, nodes)?) }
        }
        Runtime::Docker if options.listen.is_some() => {
            return Err(Failure::usage(
                "containers listen as the compose file says: `--listen` is for processes",
            ));
        }
        Runtime::Docker => {
            let layout = super::compose::Layout::choose(choice, nodes)?;
            let state = State::new(folder, choice, layout.nodes);
            let project = Some(docker::new_project(folder));
            State { runtime: Runtime::Docker, project, store_port: layout.store, ..state }
        }
    })
}

const BESIDE: &str = "or start another one beside it: `--name OTHER --ports auto`";

fn clean_first(folder: &Folder) -> String {
    format!("remove it and its data first with `{}`", folder.command("clean"))
}

fn agree(folder: &Folder, options: &StartOptions, state: State) -> Result<State> {
    let name = folder.name();
    let have = state.nodes.len();
    if let Some(nodes) = options.nodes
        && usize::from(nodes) != have
    {
        return Err(Failure::usage(format!(
            "cluster `{name}` has {have} nodes, and that cannot become {nodes}"
        ))
        .hint(clean_first(folder))
        .hint(BESIDE));
    }
    if let Some(choice) = options.ports
        && choice != state.ports
    {
        let had = state.ports;
        return Err(Failure::usage(format!(
            "cluster `{name}` was made with `--ports {had}`, and keeps its ports"
        ))
        .hint(clean_first(folder))
        .hint(BESIDE));
    }
    let listens = if state.sockets.is_some() { Listen::Unix } else { Listen::Tcp };
    if let Some(wanted) = options.listen
        && wanted != listens
    {
        return Err(Failure::usage(format!("cluster `{name}` was not made with `--listen {wanted}`"))
            .hint(clean_first(folder))
            .hint(BESIDE));
    }
    Ok(state)
}

/// The cluster with the snapshots that are wanted of it; without a wish it keeps what it has.
///
/// # Errors
/// When nodes run that write somewhere else or nowhere: all nodes must agree.
pub(super) fn with_snapshots(folder: &Folder, mut state: State, wanted: Option<&Snapshots>) -> Result<State> {
    let Some(wanted) = wanted.filter(|wanted| state.snapshots.as_ref() != Some(wanted)) else {
        return Ok(state);
    };
    if state.runtime == Runtime::Docker {
        return Err(snapshots::not_for_containers());
    }
    if !node::live(folder, &state).is_empty() {
        let have = state.snapshots.as_ref().map_or("nowhere", |snapshots| &snapshots.destination);
        return Err(Failure::usage(format!("cluster `{}` runs, and writes snapshots {have}", folder.name()))
            .hint(format!("stop it first with `{}`; its data is kept", folder.command("stop"))));
    }
    state.snapshots = Some(wanted.clone());
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::*;

    fn options(nodes: Option<u8>, ports: Option<PortChoice>) -> StartOptions {
        let server = Source { explicit: None, path: "".into(), cache: PathBuf::new() };
        let runtime = RuntimeChoice::Only(Runtime::Native);
        StartOptions { runtime, nodes, ports, listen: None, snapshots: None, timeout: Duration::ZERO, server }
    }

    #[tokio::test]
    async fn an_existing_cluster_keeps_its_nodes_and_ports() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        std::fs::create_dir_all(folder.path()).unwrap();
        let plan = async |nodes, ports| {
            plan(&folder, &options(nodes, ports), binding(&folder).await.unwrap(), Means::Native)
        };
        let mut state = plan(None, None).await.unwrap();
        assert_eq!((state.nodes.len(), state.ports), (3, PortChoice::Default));
        state.save(&folder).unwrap();
        let other = plan(Some(1), Some(PortChoice::Auto)).await.unwrap();
        assert_eq!(other.nodes.len(), 1, "a start that failed binds nobody");
        state.provisioned = true;
        state.save(&folder).unwrap();
        assert_eq!(plan(None, None).await.unwrap(), state);
        assert_eq!(plan(Some(3), Some(PortChoice::Default)).await.unwrap(), state);
        let refused = plan(Some(5), None).await.unwrap_err();
        assert!(refused.message().contains("has 3 nodes"), "{refused}");
        assert!(refused.hints()[0].contains("clean --name x"));
        assert!(plan(None, Some(PortChoice::Auto)).await.is_err());
    }

    #[test]
    fn the_number_of_nodes_has_bounds() {
        let folder = Folder::new(Path::new("/nowhere"), "x").unwrap();
        for nodes in [0, 10] {
            assert!(
                plan(&folder, &options(Some(nodes), Some(PortChoice::Auto)), None, Means::Native).is_err()
            );
        }
    }

    #[test]
    fn containers_come_with_a_store() {
        let folder = Folder::new(Path::new("/nowhere"), "x").unwrap();
        let docker = Means::Docker(docker::Compose::V1);
        let state = plan(&folder, &options(None, Some(PortChoice::Auto)), None, docker).unwrap();
        assert_eq!((state.runtime, state.store_port.is_some()), (Runtime::Docker, true));
        assert_eq!(state.project.map(|project| project.origin), Some(Origin::Started));
        let state = plan(&folder, &options(None, None), None, docker).unwrap();
        assert_eq!((state.nodes.len(), state.store_port), (3, None), "`STORE_PORT` says it");
    }

    #[test]
    fn an_existing_cluster_keeps_its_runtime() {
        use Runtime::{Docker, Native};
        use RuntimeChoice::{Auto, Only};
        let folder = Folder::new(Path::new("/nowhere"), "x").unwrap();
        let settle = |wanted, has| settle(&folder, wanted, has);
        for runtime in [Docker, Native] {
            assert_eq!(settle(Auto, Some(runtime)).unwrap(), Only(runtime));
            assert_eq!(settle(Only(runtime), Some(runtime)).unwrap(), Only(runtime));
            assert_eq!(settle(Only(runtime), None).unwrap(), Only(runtime));
        }
        assert_eq!(settle(Auto, None).unwrap(), Auto);
        let refused = settle(Only(Docker), Some(Native)).unwrap_err();
        assert!(refused.message().contains("`--runtime native`"), "{refused}");
        assert!(settle(Only(Native), Some(Docker)).is_err());
    }

    #[test]
    fn a_running_cluster_keeps_its_place_and_a_stopped_one_takes_another() {
        let store = Snapshots::new("s3://restate/snapshots", Some("http://127.0.0.1:9000")).unwrap();
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        let state = State::new(&folder, PortChoice::Default, ports::choose(PortChoice::Default, 1).unwrap());
        let settled = with_snapshots(&folder, state, Some(&store)).unwrap();
        assert_eq!(settled.snapshots, Some(store.clone()));
        let settled = with_snapshots(&folder, settled, None).unwrap();
        assert_eq!(settled.snapshots, Some(store), "a restart keeps them");
        let elsewhere = Snapshots::new("s3://other/x", None).unwrap();
        let moved = with_snapshots(&folder, settled, Some(&elsewhere)).unwrap();
        assert_eq!(moved.snapshots, Some(elsewhere));
    }
}
