//! Stops a cluster's containers, and on request removes them with their networks and volumes.

use std::time::Duration;

use tokio::time::Instant;

use super::engine::{ASK, call};
use super::project::{Container, Project, STORE};
use crate::cluster::folder::Folder;
use crate::cluster::step::{Progress, Step};
use crate::cluster::stop::Stopped;
use crate::error::Result;

/// Exit code of a process that was killed.
const KILLED: i64 = 137;

/// Stops every container of the project, and keeps them and their data.
pub(in crate::cluster) async fn stop(
    folder: &Folder,
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<Stopped> {
    let project = Project::of(folder);
    let mut stopped = Stopped { ended: Vec::new(), killed: Vec::new() };
    // What uses the nodes first, what the nodes use last.
    let waves: [fn(&Container) -> bool; 3] = [
        |container| !container.is_node() && container.service != STORE,
        Container::is_node,
        |container| container.service == STORE,
    ];
    for wave in waves {
        let mut running = project.containers().await?;
        running.retain(|container| {
            wave(container) && !matches!(container.status.as_str(), "exited" | "created" | "dead")
        });
        if running.is_empty() {
            continue;
        }
        let names: Vec<String> = running.iter().map(|container| container.service.clone()).collect();
        progress(&Step::Stopping(names.clone()));
        let grace = deadline.saturating_duration_since(Instant::now()).as_secs();
        let seconds = grace.to_string();
        let ids = running.iter().map(|container| container.id.as_str());
        let args: Vec<&str> = ["stop", "--time", &seconds].into_iter().chain(ids).collect();
        call("docker", &args, Duration::from_secs(grace) + ASK).await?;
        let after = project.containers().await?;
        let killed = after.iter().filter(|c| names.contains(&c.service) && c.exit_code == KILLED);
        stopped.killed.extend(killed.map(|container| container.service.clone()));
        stopped.ended.extend(names);
    }
    Ok(stopped)
}

/// Removes containers, networks and volumes of this cluster's project; those that ran.
pub(in crate::cluster) async fn remove(folder: &Folder, progress: Progress<'_>) -> Result<Stopped> {
    let project = Project::of(folder);
    let running = project.containers().await?.into_iter().filter(Container::is_live);
    let names: Vec<String> = running.map(|container| container.service).collect();
    if !names.is_empty() {
        progress(&Step::Stopping(names.clone()));
    }
    project.remove().await?;
    Ok(Stopped { ended: names, killed: Vec::new() })
}
