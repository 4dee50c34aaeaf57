//! A cluster that plain `docker compose` started: found by the project's name, and recorded as somebody else's until we are
//! told to take it over.

use std::path::Path;

use tokio::time::timeout;

use super::engine::{self, DETECT};
use super::owner::{Foreign, describe};
use super::project::{Container, PLAIN, Project, STORE};
use crate::cluster::DEFAULT_NAME;
use crate::cluster::compose::DEFAULT_STORE_PORT;
use crate::cluster::folder::Folder;
use crate::cluster::ports::{NodePorts, PortChoice};
use crate::cluster::state::{ComposeProject, Origin, Runtime, State};
use crate::disk::private;
use crate::error::{Failure, Result};

/// Records the compose project `classify` as the default cluster, where there is such a project and no such record: it can be used,
/// and stays whose it is. Whether it did. A machine without Docker has none.
///
/// # Errors
/// When the record cannot be written.
pub async fn adopt(folder: &Folder) -> Result<bool> {
    let Some((_, containers)) = plain(folder).await else { return Ok(false) };
    let Some(state) = recorded(folder, &containers, PLAIN, Origin::Found) else { return Ok(false) };
    write(folder, &state)?;
    Ok(true)
}

/// The compose project `classify`, where [`adopt`] would record it.
pub async fn found(folder: &Folder) -> Option<Foreign> {
    let (project, containers) = plain(folder).await?;
    recorded(folder, &containers, PLAIN, Origin::Found)?;
    timeout(DETECT, describe(&project, &containers)).await.ok()?.ok()
}

/// Makes the compose project `name` ours, as the cluster of this folder.
///
/// # Errors
/// When there is no such project, it is no cluster, or this folder has another cluster.
pub async fn take_over(folder: &Folder, name: &str) -> Result<State> {
    let have = State::load(folder)?;
    if let Some(have) = &have
        && (have.runtime == Runtime::Native || Project::of(have).name != name)
    {
        return Err(Failure::usage(format!(
            "there is a cluster `{}` already, and it is another one",
            folder.name()
        ))
        .hint(format!("give this one a name of its own: `classify cluster adopt {name} --name OTHER`")));
    }
    let project = Project { name: name.to_owned() };
    let containers = project.containers().await?;
    let state = match have {
        Some(have) if !containers.is_empty() => {
            let project = ComposeProject { name: name.to_owned(), origin: Origin::TakenOver };
            Some(State { project: Some(project), ..have })
        }
        _ => recorded_anywhere(folder, &containers, name, Origin::TakenOver),
    };
    let Some(state) = state else {
        let what = match containers.as_slice() {
            [] => "has no containers".to_owned(),
            some => {
                let services: Vec<&str> = some.iter().map(|container| container.service.as_str()).collect();
                format!("is no cluster of ours: its containers are {}", services.join(", "))
            }
        };
        return Err(Failure::usage(format!("the compose project `{name}` {what}"))
            .hint("`docker compose ls --all` lists the projects; a cluster has the services `restate-1`, `restate-2` and so on"));
    };
    write(folder, &state)?;
    Ok(state)
}

/// The project with the plain name and its containers, unless this folder has a cluster already.
async fn plain(folder: &Folder) -> Option<(Project, Vec<Container>)> {
    if folder.name() != DEFAULT_NAME || folder.state_file().exists() {
        return None;
    }
    let project = Project { name: PLAIN.to_owned() };
    // Every command asks this; an engine that hangs must not hold each of them up. One on another machine publishes its ports there.
    let (containers, here) =
        timeout(DETECT, async { tokio::join!(project.containers(), engine::is_here()) }).await.ok()?;
    let containers = containers.ok()?;
    here.ok()?;
    Some((project, containers))
}

fn write(folder: &Folder, state: &State) -> Result<()> {
    private::create_folders(folder.path())
        .map_err(|error| Failure::unexpected(format!("{}: {error}", folder.path().display())))?;
    state.save(folder)
}

fn recorded(folder: &Folder, containers: &[Container], project: &str, origin: Origin) -> Option<State> {
    // Another home folder's default cluster stays with that.
    let ours = Path::new("cluster").join(DEFAULT_NAME).join("compose");
    if containers.iter().any(|container| Path::new(&container.made_in).ends_with(&ours)) {
        return None;
    }
    recorded_anywhere(folder, containers, project, origin)
}

fn recorded_anywhere(
    folder: &Folder,
    containers: &[Container],
    project: &str,
    origin: Origin,
) -> Option<State> {
    let nodes: Vec<&Container> = containers.iter().filter(|container| container.is_node()).collect();
    // Numbered from 1 without a gap: otherwise it is something else that uses the name.
    let numbered = nodes.iter().zip(1..).all(|(node, number)| node.number() == Some(number));
    if nodes.is_empty() || !numbered {
        return None;
    }
    let ports = nodes.iter().map(|node| {
        let port = |inside: u16| node.ports.get(&inside).copied();
        Some(NodePorts { ingress: port(8080)?, admin: port(9070)?, fabric: port(5122)? })
    });
    let ports: Vec<NodePorts> = ports.collect::<Option<_>>()?;
    let store = containers.iter().find(|container| container.service == STORE);
    let store_port = store.and_then(|store| store.ports.get(&DEFAULT_STORE_PORT).copied());
    let state = State::new(folder, PortChoice::Default, ports);
    Some(State {
        runtime: Runtime::Docker,
        project: Some(ComposeProject { name: project.to_owned(), origin }),
        provisioned: true,
        store_port: store_port.filter(|port| *port != DEFAULT_STORE_PORT),
        ..state
    })
}

#[cfg(test)]
mod tests {
    use super::super::project::tests::container;
    use super::*;

    #[test]
    fn a_project_of_nodes_is_recorded_and_nothing_else_is() {
        let folder = Folder::new(Path::new("/h"), DEFAULT_NAME).unwrap();
        let recorded = |containers: &[Container]| recorded(&folder, containers, "classify", Origin::Found);
        let [first, second] = ["restate-1", "restate-2"].map(|name| container(name, "exited", None));
        let store = container("store", "running", Some("healthy"));
        let state = recorded(&[first.clone(), second.clone(), store.clone()]).unwrap();
        assert_eq!((state.runtime, state.provisioned, state.nodes.len()), (Runtime::Docker, true, 2));
        assert_eq!(state.nodes[1].ports, NodePorts { ingress: 28080, admin: 29070, fabric: 25122 });
        let found = ComposeProject { name: "classify".into(), origin: Origin::Found };
        assert_eq!(state.project, Some(found), "it stays somebody else's");
        assert_eq!(recorded(std::slice::from_ref(&store)), None);
        assert_eq!(recorded(&[second, store]), None, "a cluster has a node 1");
        let elsewhere = Container { made_in: "/other/home/cluster/default/compose".into(), ..first.clone() };
        assert_eq!(recorded(&[elsewhere]), None);
        assert_eq!(recorded(&[Container { ports: [].into(), ..first }]), None);
    }

    #[tokio::test]
    async fn a_cluster_that_is_there_is_not_replaced_by_one_that_is_taken_over() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        std::fs::create_dir_all(folder.path()).unwrap();
        let state = State::new(&folder, PortChoice::Default, Vec::new());
        state.save(&folder).unwrap();
        let refused = take_over(&folder, "shop").await.unwrap_err();
        assert!(refused.hints()[0].contains("`classify cluster adopt shop --name OTHER`"), "{refused:?}");
        assert_eq!(State::load(&folder).unwrap(), Some(state));
    }
}
