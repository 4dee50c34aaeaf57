//! Stops a cluster's containers, and on request removes them with their network and volumes.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::engine::{ASK, Compose, as_argument, call, detect};
use super::project::{Container, Project, STORE};
use crate::cluster::compose::{self, Layout};
use crate::cluster::folder::Folder;
use crate::cluster::results::Stopped;
use crate::cluster::state::State;
use crate::cluster::step::{Progress, Step};
use crate::error::Result;

/// Exit code of a process that was killed.
const KILLED: i64 = 137;
/// How long the removal of everything may take.
const DOWN: Duration = Duration::from_mins(2);

/// Stops every container that the compose file declares, and keeps them and their data.
pub(in crate::cluster) async fn stop(
    state: &State,
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<Stopped> {
    let project = Project::of(state);
    let mut stopped = Stopped::default();
    // What uses the nodes first, what the nodes use last.
    let waves: [fn(&Container) -> bool; 3] = [
        |container| !container.is_node() && container.service != STORE,
        Container::is_node,
        |container| container.service == STORE,
    ];
    for wave in waves {
        let mut running = project.containers().await?;
        running.retain(|container| {
            wave(container)
                && container.is_declared()
                && !matches!(container.status.as_str(), "exited" | "created" | "dead")
        });
        if running.is_empty() {
            continue;
        }
        let names: Vec<String> = running.iter().map(|container| container.service.clone()).collect();
        progress(&Step::Stopping(names.clone()));
        let grace = deadline.saturating_duration_since(Instant::now()).as_secs();
        let seconds = grace.to_string();
        let ids = running.iter().map(|container| container.id.as_str());
        let args: Vec<&str> = ["stop", "-t", &seconds].into_iter().chain(ids).collect();
        call("docker", &args, Duration::from_secs(grace) + ASK).await?;
        let after = project.containers().await?;
        let killed = after.iter().filter(|c| names.contains(&c.service) && c.exit_code == KILLED);
        stopped.killed.extend(killed.map(|container| container.service.clone()));
        stopped.ended.extend(names);
    }
    Ok(stopped)
}

/// Removes what the compose file declares, with its volumes: no more than that, and what is left of the project is named. `Started`
/// and taken over clusters only: the caller has asked [`super::foreign`].
pub(in crate::cluster) async fn remove(
    folder: &Folder,
    state: &State,
    progress: Progress<'_>,
) -> Result<Stopped> {
    let project = Project::of(state);
    let containers = project.containers().await?;
    let running = containers.iter().filter(|container| container.is_live());
    let names: Vec<String> = running.map(|container| container.service.clone()).collect();
    if containers.is_empty() && project.volumes().await?.is_empty() {
        return Ok(Stopped::default());
    }
    if !names.is_empty() {
        progress(&Step::Stopping(names.clone()));
    }
    let file = folder.compose().join(compose::FILE);
    if !file.is_file() {
        compose::write_set(&folder.compose(), &Layout::of(state), true)?;
    }
    down(detect().await?, &project, &file).await?;
    Ok(Stopped { ended: names, killed: Vec::new(), left: project.everything().await? })
}

/// Removes what the compose file declares. Nobody needs the time to end well: the data goes, too.
pub(super) async fn down(compose: Compose, project: &Project, file: &Path) -> Result<()> {
    let profiles = compose::PROFILES.iter().flat_map(|profile| ["--profile", profile]);
    let args: Vec<&str> = ["-p", &project.name, "-f", as_argument(file)?]
        .into_iter()
        .chain(profiles)
        .chain(["down", "--volumes", "--timeout", "0"])
        .collect();
    compose.run(&args, &[], DOWN).await.map(|_| ())
}
