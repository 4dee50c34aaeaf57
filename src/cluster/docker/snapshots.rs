//! Where nodes in containers write their snapshots, and how to ask them how far they are.

use serde::Deserialize;

use super::project::{Container, Project};
use crate::cluster::restatectl::{self, Restatectl};
use crate::cluster::snapshots::{SCHEDULE, SETTING, Snapshots};
use crate::cluster::state::State;
use crate::error::Result;

/// What a node was told, as the server reads it from its environment.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Setting {
    destination: Option<String>,
    aws_endpoint_url: Option<String>,
}

/// Where the running nodes write, and `restatectl` inside one of them; `None` where none runs or none is told to. The
/// containers know, whoever started them and with whatever settings.
pub(in crate::cluster) async fn snapshots(state: &State) -> Option<(Snapshots, Restatectl)> {
    beside(state, "").await.ok()?
}

/// The same, asked of other nodes than this one.
///
/// # Errors
/// When Docker does not answer.
pub(in crate::cluster) async fn beside(state: &State, node: &str) -> Result<Option<(Snapshots, Restatectl)>> {
    let containers = Project::of(state).containers().await?;
    let is_asked = |other: &&Container| other.is_node() && other.status == "running" && other.service != node;
    Ok(containers.iter().find(is_asked).and_then(ask))
}

fn ask(node: &Container) -> Option<(Snapshots, Restatectl)> {
    let told = node.env.iter().find_map(|entry| entry.strip_prefix(SETTING)?.strip_prefix('='))?;
    let command = ["docker", "exec", &node.id, restatectl::BINARY].map(Into::into).to_vec();
    Some((parse(told)?, Restatectl::new(command)))
}

/// The nodes as they call each other.
pub(in crate::cluster) fn inside(state: &State) -> Vec<String> {
    state.nodes.iter().map(|node| format!("http://{}:5122", node.name)).collect()
}

fn parse(told: &str) -> Option<Snapshots> {
    #[derive(Deserialize)]
    struct Document {
        told: Setting,
    }
    // The compose file puts the schedule first and what the user says after it. Both may name the same key: the server takes
    // the later one, TOML's own rules allow neither.
    let user = told.strip_prefix(&format!("{{{SCHEDULE}, ")).map(|rest| format!("{{{rest}"));
    let told = user.as_deref().unwrap_or(told);
    let Document { told } = toml::from_str(&format!("told = {told}")).ok()?;
    Some(Snapshots { destination: told.destination?, endpoint: told.aws_endpoint_url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_read_back() {
        let store = Snapshots::new("s3://restate/x", Some("http://store:9000")).unwrap();
        assert_eq!(parse(&store.setting()), Some(store));
        let amazon = Snapshots::new("s3://b/x", None).unwrap();
        assert_eq!(parse(&amazon.setting()), Some(amazon));
        let faster = format!("{{{SCHEDULE}, snapshot-interval=\"1s\", destination=\"s3://b/x\"}}");
        assert_eq!(parse(&faster), Snapshots::new("s3://b/x", None).ok());
        assert_eq!(parse("{snapshot-interval=\"5m\"}"), None);
        assert_eq!(parse("junk"), None);
    }
}
