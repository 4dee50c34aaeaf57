//! The cluster in containers: a compose project that is started, watched, stopped and removed by Docker's own commands.
//!
//! Owns what is asked of `docker` and compose, and what their answers mean. The compose file is the business of
//! `compose`, readiness that of `ready`, the record that of `state`.

mod adopt;
mod dotenv;
mod engine;
mod logs;
mod owner;
mod project;
mod reach;
mod snapshots;
mod start;
mod status;
mod stop;

pub use adopt::{adopt, found, take_over};
pub(super) use engine::{Compose, detect, have_images};
pub use logs::{ContainerLog, logs};
pub use owner::Foreign;
pub(super) use owner::foreign;
pub(super) use project::new_project;
pub use reach::{ServicePlace, service_place};
pub(super) use reach::{default_uri, uri_for_nodes};
pub(super) use snapshots::{beside, inside, snapshots};
pub(super) use start::start;
pub use status::ContainerStatus;
pub(super) use status::{Seen, look};
pub(super) use stop::{remove, stop};

use super::state::{Node, State};
use crate::error::Result;
use project::Project;

/// Whether Docker has nothing of this cluster, neither containers nor data.
pub(super) async fn is_absent(state: &State) -> Result<bool> {
    let project = Project::of(state);
    Ok(project.containers().await?.is_empty() && project.volumes().await?.is_empty())
}

/// Nodes whose container runs.
pub(super) async fn live_nodes(state: &State) -> Result<Vec<&Node>> {
    let containers = Project::of(state).containers().await?;
    let runs = |node: &&Node| {
        containers.iter().any(|container| container.service == node.name && container.status == "running")
    };
    Ok(state.nodes.iter().filter(runs).collect())
}
