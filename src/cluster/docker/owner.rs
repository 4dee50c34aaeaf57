//! Whose the containers of a cluster are. What this home folder did not start, and was not told by name to take over, is
//! never stopped and never removed by it.

use std::fmt;
use std::path::Path;

use super::project::{Container, Project};
use crate::cluster::folder::{Folder, canonical};
use crate::cluster::state::{Origin, State};
use crate::error::Result;

/// A compose project of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub project: String,
    /// The folder of its compose file, where a container tells.
    pub made_in: Option<String>,
    /// Its containers and volumes, in words.
    pub parts: Vec<String>,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compose project `{}`", self.project)?;
        self.made_in.as_ref().map_or(Ok(()), |folder| write!(f, ", made in {folder}"))
    }
}

/// The project that the record names, if it is somebody else's and there is anything of it.
///
/// # Errors
/// When Docker does not answer.
pub(in crate::cluster) async fn foreign(folder: &Folder, state: &State) -> Result<Option<Foreign>> {
    let project = Project::of(state);
    let containers = project.containers().await?;
    if is_ours(folder, state, &containers) {
        return Ok(None);
    }
    Ok(Some(describe(&project, &containers).await?).filter(|foreign| !foreign.parts.is_empty()))
}

pub(super) async fn describe(project: &Project, containers: &[Container]) -> Result<Foreign> {
    Ok(Foreign {
        project: project.name.clone(),
        made_in: containers.first().map(|container| container.made_in.clone()),
        parts: project.everything().await?,
    })
}

fn is_ours(folder: &Folder, state: &State, containers: &[Container]) -> bool {
    match state.project.as_ref().map(|project| project.origin) {
        Some(Origin::Started | Origin::TakenOver) => true,
        Some(Origin::Found) => false,
        // Older versions recorded what they started and what they found alike. The containers know.
        None => !containers.is_empty() && containers.iter().all(|container| was_made_by(folder, container)),
    }
}

/// Whether the container was made from the compose file in this folder.
pub(super) fn was_made_by(folder: &Folder, container: &Container) -> bool {
    canonical(Path::new(&container.made_in)).is_ok_and(|made_in| made_in == folder.compose())
}

#[cfg(test)]
mod tests {
    use super::super::project::tests::container;
    use super::*;
    use crate::cluster::ports::PortChoice;
    use crate::cluster::state::ComposeProject;

    #[test]
    fn what_was_found_is_not_ours_and_what_older_versions_recorded_is_ours_if_it_was_made_here() {
        let folder = Folder::new(Path::new("/h"), "x").unwrap();
        let strange = container("restate-1", "running", None);
        let own = Container { made_in: "/h/./cluster/x/compose".into(), ..strange.clone() };
        let with = |origin: Option<Origin>| {
            let project = origin.map(|origin| ComposeProject { name: "p".into(), origin });
            State { project, ..State::new(&folder, PortChoice::Default, Vec::new()) }
        };
        let ours = |origin, containers: &[Container]| is_ours(&folder, &with(origin), containers);
        for origin in [Origin::Started, Origin::TakenOver] {
            assert!(ours(Some(origin), std::slice::from_ref(&strange)), "{origin:?}");
        }
        assert!(!ours(Some(Origin::Found), std::slice::from_ref(&own)));
        assert!(ours(None, std::slice::from_ref(&own)), "another spelling of the folder is the same folder");
        assert!(!ours(None, &[own, strange]));
        assert!(!ours(None, &[]), "volumes alone do not tell");
    }
}
