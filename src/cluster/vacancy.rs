//! Whether the ports that nodes need are free, and what to do where they are not.

use super::ports;
use super::state::{Node, State};
use crate::error::{Failure, Result};

/// Checks that nobody has a port of `nodes`.
///
/// # Errors
/// When somebody has: who, and what to do about it.
pub(super) async fn check_free<'a>(state: &State, nodes: impl IntoIterator<Item = &'a Node>) -> Result<()> {
    for node in nodes {
        for (purpose, port) in node.ports.named() {
            if !ports::comes_free(port).await {
                return Err(taken(state, &node.name, purpose, port));
            }
        }
    }
    Ok(())
}

/// What is told of a port that `node` needs and somebody has.
pub(super) fn taken(state: &State, node: &str, purpose: &str, port: u16) -> Failure {
    let holder = ports::taken_by(port);
    let failure = Failure::usage(format!("port {port} is taken{holder}; {node} needs it for its {purpose}"));
    let all = state.nodes.iter().flat_map(|node| node.ports.named()).map(|(_, port)| port);
    let failure = match ports::reserve_hint(port, all) {
        Some(hint) => failure.hint(hint),
        None => failure,
    };
    if state.provisioned {
        failure
            .hint("stop that process; this cluster keeps its ports")
            .hint("or start another cluster beside it: `--name OTHER --ports auto`")
    } else {
        failure.hint("stop that process, or let free ports be chosen: `--ports auto`")
    }
}
