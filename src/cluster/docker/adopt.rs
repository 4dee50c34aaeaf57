//! A cluster that plain `docker compose` started: found by the project's name, and recorded like one of ours.

use std::path::Path;

use super::project::{Container, Project, STORE};
use crate::cluster::DEFAULT_NAME;
use crate::cluster::compose::DEFAULT_STORE_PORT;
use crate::cluster::folder::Folder;
use crate::cluster::ports::{NodePorts, PortChoice};
use crate::cluster::state::{Runtime, State};
use crate::error::{Failure, Result};

/// Records the compose project `classify` as the default cluster, where there is such a project and no such record.
/// Whether it did. A machine without Docker has none.
///
/// # Errors
/// When the record cannot be written.
pub async fn adopt(folder: &Folder) -> Result<bool> {
    if folder.name() != DEFAULT_NAME || folder.state_file().exists() {
        return Ok(false);
    }
    let Ok(containers) = Project::of(folder).containers().await else { return Ok(false) };
    let Some(state) = recorded(folder, &containers) else { return Ok(false) };
    std::fs::create_dir_all(folder.path())
        .map_err(|error| Failure::unexpected(format!("{}: {error}", folder.path().display())))?;
    state.save(folder)?;
    Ok(true)
}

fn recorded(folder: &Folder, containers: &[Container]) -> Option<State> {
    // Another home folder's default cluster stays with that.
    let ours = Path::new("cluster").join(DEFAULT_NAME).join("compose");
    if containers.iter().any(|container| Path::new(&container.made_in).ends_with(&ours)) {
        return None;
    }
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
        let [first, second] = ["restate-1", "restate-2"].map(|name| container(name, "exited", None));
        let store = container("store", "running", Some("healthy"));
        let state = recorded(&folder, &[first.clone(), second.clone(), store.clone()]).unwrap();
        assert_eq!((state.runtime, state.provisioned, state.nodes.len()), (Runtime::Docker, true, 2));
        assert_eq!(state.nodes[1].ports, NodePorts { ingress: 28080, admin: 29070, fabric: 25122 });
        assert_eq!(recorded(&folder, std::slice::from_ref(&store)), None);
        assert_eq!(recorded(&folder, &[second, store]), None, "a cluster has a node 1");
        let elsewhere = Container { made_in: "/other/home/cluster/default/compose".into(), ..first.clone() };
        assert_eq!(recorded(&folder, &[elsewhere]), None);
        assert_eq!(recorded(&folder, &[Container { ports: [].into(), ..first }]), None);
    }
}
