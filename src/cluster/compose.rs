//! The compose file for any number of nodes, and the files that go with it.
//!
//! The checked-in `docker-compose.cluster.yml` is the template: node 2's block is repeated, and what lists the nodes
//! lists as many. Owns the text; whoever runs it owns the rest.

use std::path::{Path, PathBuf};

use super::ports::{self, NodePorts, PortChoice};
use super::state::State;
use crate::disk;
use crate::error::{Failure, Result};

/// Name of the compose file.
pub const FILE: &str = "docker-compose.cluster.yml";
const TEMPLATE: &str = include_str!("../../docker-compose.cluster.yml");
/// What the compose file mounts, and what its header names; paths are relative to it.
const COMPANIONS: [(&str, &str); 8] = [
    ("restate.toml", include_str!("../../restate.toml")),
    (".env.example", include_str!("../../.env.example")),
    (
        "deploy/grafana/dashboards/classify.json",
        include_str!("../../deploy/grafana/dashboards/classify.json"),
    ),
    ("deploy/grafana/dashboards/provider.yml", include_str!("../../deploy/grafana/dashboards/provider.yml")),
    (
        "deploy/grafana/datasources/prometheus.yml",
        include_str!("../../deploy/grafana/datasources/prometheus.yml"),
    ),
    ("deploy/haproxy/haproxy.cfg", include_str!("../../deploy/haproxy/haproxy.cfg")),
    ("deploy/prometheus/alerts.yml", include_str!("../../deploy/prometheus/alerts.yml")),
    ("deploy/prometheus/prometheus.yml", include_str!("../../deploy/prometheus/prometheus.yml")),
];
/// Services of the compose file beside the nodes.
pub(super) const SERVICES: [&str; 5] = ["store", "service", "lb", "prometheus", "grafana"];
/// Profiles of the compose file.
pub(super) const PROFILES: [&str; 3] = ["service", "lb", "monitoring"];
const STORE_PORT: &str = "${STORE_PORT:-9000}";
/// Where the store listens unless `.env` or a record says otherwise.
pub(super) const DEFAULT_STORE_PORT: u16 = 9000;
const PEERS: &str = "RESTATE_METADATA_CLIENT__ADDRESSES: ";

/// Whether the compose file asks for this variable of the environment.
pub(super) fn names(variable: &str) -> bool {
    let mut asked = TEMPLATE.split("${").skip(1);
    asked.any(|rest| {
        rest.strip_prefix(variable).is_some_and(|rest| rest.starts_with([':', '-', '}', '?', '+']))
    })
}

/// What differs between two compose files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Published ports of each node, number 1 first.
    pub nodes: Vec<NodePorts>,
    /// Published port of the store; `None` leaves it to `STORE_PORT`.
    pub store: Option<u16>,
}

impl Layout {
    /// That of a cluster that is recorded.
    pub(super) fn of(state: &State) -> Self {
        Self { nodes: state.nodes.iter().map(|node| node.ports).collect(), store: state.store_port }
    }

    /// Ports for a new cluster of `nodes` nodes.
    ///
    /// # Errors
    /// When there are not enough ports.
    pub fn choose(choice: PortChoice, nodes: u8) -> Result<Self> {
        let nodes = ports::choose(choice, nodes)?;
        let taken = |port| nodes.iter().flat_map(|node| node.named()).any(|(_, other)| other == port);
        let store = match choice {
            PortChoice::Default => None,
            // One of a new triple: rarely is it one of the nodes', and then there is another.
            PortChoice::Auto => {
                let free = ports::choose(choice, 1)?.into_iter().flat_map(NodePorts::named);
                free.map(|(_, port)| port).find(|port| !taken(*port))
            }
        };
        Ok(Self { nodes, store })
    }
}

/// The images of what always runs: the nodes, the store.
pub(super) fn images() -> impl Iterator<Item = &'static str> {
    let named = TEMPLATE.lines().filter_map(|line| line.trim_start().strip_prefix("image: "));
    named.filter(|image| image.contains("/restate:") || image.contains("/minio:"))
}

/// The compose file for these nodes.
pub fn render(layout: &Layout) -> String {
    let paragraphs = TEMPLATE.trim_end().split("\n\n").flat_map(|paragraph| {
        if paragraph.starts_with("  restate-2:") {
            let others = layout.nodes.iter().enumerate().skip(1);
            others.map(|(index, ports)| node(paragraph, index + 1, *ports)).collect()
        } else if paragraph.starts_with("  restate-3:") {
            Vec::new()
        } else {
            vec![shared(paragraph, layout)]
        }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n") + "\n"
}

/// Node 2's block, for another number.
fn node(block: &str, number: usize, ports: NodePorts) -> String {
    let lines = block.lines().map(|line| {
        if is_published(line) {
            return published(ports);
        }
        line.replace("restate-2", &format!("restate-{number}"))
            .replace("NODE_ID: 2", &format!("NODE_ID: {number}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What is not repeated, node 1 included: lists of nodes get as many items as there are nodes.
fn shared(paragraph: &str, layout: &Layout) -> String {
    let count = layout.nodes.len();
    let is_first_node = paragraph.starts_with("services:");
    let mut lines = Vec::new();
    for line in paragraph.lines() {
        let item = line.trim_start();
        if is_first_node && is_published(line) {
            lines.extend(layout.nodes.first().copied().map(published));
        } else if item.starts_with(PEERS) {
            let peers: Vec<String> = (1..=count).map(|n| format!("\"http://restate-{n}:5122\"")).collect();
            lines.push(format!("  {PEERS}'[{}]'", peers.join(",")));
            // One node cannot hold the two copies that restate.toml asks for.
            lines.extend((count == 1).then(|| "  RESTATE_DEFAULT_REPLICATION: \"1\"".to_owned()));
        } else if item.starts_with("restate-1: {") {
            lines.extend((1..=count).map(|n| line.replace("restate-1", &format!("restate-{n}"))));
        } else if !item.starts_with("restate-2: {") && !item.starts_with("restate-3: {") {
            let line = match (count, line.strip_prefix("# Three Restate nodes")) {
                (3, _) | (_, None) => line.to_owned(),
                (1, Some(rest)) => format!("# One Restate node{rest}"),
                (_, Some(rest)) => format!("# {count} Restate nodes{rest}"),
            };
            lines.push(match layout.store {
                Some(port) => line.replace(STORE_PORT, &port.to_string()),
                None => line,
            });
        }
    }
    lines.join("\n")
}

fn is_published(line: &str) -> bool {
    line.starts_with("    ports: [")
}

fn published(NodePorts { ingress, admin, fabric }: NodePorts) -> String {
    format!(
        "    ports: [\"127.0.0.1:{ingress}:8080\", \"127.0.0.1:{admin}:9070\", \"127.0.0.1:{fabric}:5122\"]"
    )
}

/// Writes the compose file and all it mounts into `dir`, which is made. Files that are the same already are not touched.
///
/// # Errors
/// When a file cannot be written, or one with other content stands there and `replace` is not set: then nothing is.
pub fn write_set(dir: &Path, layout: &Layout, replace: bool) -> Result<Vec<PathBuf>> {
    let compose = render(layout);
    let set: Vec<(PathBuf, &str)> = std::iter::once((FILE, compose.as_str()))
        .chain(COMPANIONS)
        .map(|(name, content)| (dir.join(name), content))
        .collect();
    let mut outdated = Vec::new();
    for (path, content) in &set {
        match std::fs::read(path) {
            Ok(found) if found == content.as_bytes() => {}
            Ok(_) if !replace => {
                return Err(Failure::usage(format!("{} is there, with other content", path.display()))
                    .hint("name another folder, or add `--force` to overwrite"));
            }
            _ => outdated.push((path, content)),
        }
    }
    for (path, content) in outdated {
        let parent = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(parent)
            .and_then(|()| disk::replace(path, content.as_bytes()))
            .and_then(|()| readable_by_all(path))
            .map_err(|error| Failure::unexpected(format!("{}: {error}", path.display())))?;
    }
    Ok(set.into_iter().map(|(path, _)| path).collect())
}

/// Containers that run as somebody else read these files.
fn readable_by_all(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(nodes: u8) -> Layout {
        Layout::choose(if nodes > 5 { PortChoice::Auto } else { PortChoice::Default }, nodes).unwrap()
    }

    #[test]
    fn three_nodes_are_the_checked_in_file() {
        assert_eq!(render(&layout(3)), TEMPLATE);
    }

    #[test]
    fn every_list_has_as_many_nodes_as_the_cluster() {
        for nodes in 1..=9 {
            let text = render(&layout(nodes));
            for number in 1..=9 {
                let name = format!("restate-{number}");
                let wanted = usize::from(number <= nodes);
                assert_eq!(text.matches(&format!("\n  {name}:\n")).count(), wanted, "{nodes}: {name}");
                assert_eq!(
                    text.matches(&format!("\n  {name}: {{}}\n")).count(),
                    wanted,
                    "{nodes}: its volume"
                );
                let waits = format!("\n      {name}: {{condition: service_healthy}}\n");
                assert_eq!(text.matches(&waits).count(), 2 * wanted, "{nodes}: service and lb");
                assert_eq!(text.matches(&format!("_NODE_ID: {number}\n")).count(), wanted);
                assert_eq!(text.matches(&format!("\"http://{name}:5122\"")).count(), wanted);
                assert_eq!(text.matches(&format!("\"{name}:/restate-data\"")).count(), wanted);
            }
            assert_eq!(text.matches("AUTO_PROVISION:-true").count(), 1);
            assert_eq!(text.contains("DEFAULT_REPLICATION"), nodes == 1);
        }
        assert!(render(&layout(1)).starts_with("# One Restate node, and"));
        assert!(render(&layout(5)).starts_with("# 5 Restate nodes, and"));
    }

    #[test]
    fn ports_that_were_chosen_are_published() {
        let chosen = Layout::choose(PortChoice::Auto, 2).unwrap();
        let text = render(&chosen);
        for (ports, inside) in chosen.nodes.iter().zip([[8080, 9070, 5122]; 2]) {
            for ((_, port), inside) in ports.named().into_iter().zip(inside) {
                assert_eq!(text.matches(&format!("\"127.0.0.1:{port}:{inside}\"")).count(), 1, "{text}");
            }
        }
        let store = chosen.store.unwrap();
        assert!(text.contains(&format!("[\"127.0.0.1:{store}:9000\"]")));
        assert!(!text.contains("STORE_PORT"));
        assert!(
            render(&layout(3)).contains(&format!("127.0.0.1:${{STORE_PORT:-{DEFAULT_STORE_PORT}}}:9000"))
        );
    }

    #[test]
    fn services_and_profiles_are_those_of_the_file() {
        let (_, services) = TEMPLATE.split_once("\nservices:\n").unwrap();
        let (services, _) = services.split_once("\nvolumes:\n").unwrap();
        let keys = services.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        let others: std::collections::BTreeSet<&str> =
            keys.filter(|name| !name.starts_with(' ') && !name.starts_with("restate-")).collect();
        assert_eq!(others, SERVICES.into());
        let lists = TEMPLATE.lines().filter_map(|line| line.trim().strip_prefix("profiles: ["));
        let profiles: std::collections::BTreeSet<&str> =
            lists.flat_map(|list| list.trim_end_matches(']').split(", ")).collect();
        assert_eq!(profiles, PROFILES.into());
    }

    #[test]
    fn the_images_are_pinned() {
        let images: Vec<&str> = images().collect();
        assert_eq!(images.len(), 2, "{images:?}");
        assert!(images[0].ends_with(super::super::server::VERSION), "one version for all runtimes");
    }

    #[test]
    fn the_set_has_every_file_that_is_mounted() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir().unwrap();
        write_set(dir.path(), &layout(3), false).unwrap();
        let mut folders: Vec<PathBuf> =
            ["haproxy", "prometheus", "grafana"].map(|f| root.join("deploy").join(f)).into();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let written = dir.path().join(path.strip_prefix(root).unwrap());
                if path.is_dir() {
                    folders.push(path);
                } else {
                    assert_eq!(
                        std::fs::read(&written).unwrap(),
                        std::fs::read(&path).unwrap(),
                        "{written:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_somebody_changed_is_not_overwritten_unasked() {
        let dir = tempfile::tempdir().unwrap();
        write_set(dir.path(), &layout(3), false).unwrap();
        write_set(dir.path(), &layout(3), false).unwrap();
        let changed = dir.path().join("restate.toml");
        std::fs::write(&changed, "mine").unwrap();
        let refused = write_set(dir.path(), &layout(3), false).unwrap_err();
        assert!(refused.message().contains("restate.toml"), "{refused}");
        assert!(write_set(dir.path(), &layout(5), false).is_err());
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), TEMPLATE, "nothing was written");
        write_set(dir.path(), &layout(5), true).unwrap();
        assert_ne!(std::fs::read_to_string(changed).unwrap(), "mine");
    }
}
