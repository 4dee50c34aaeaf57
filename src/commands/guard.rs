//! `classify guard`: the ports of a cluster's nodes, and who may ask there.

use crate::cli::Global;
use crate::cli::guard::GuardArgs;
use crate::cluster::{Folder, State};
use crate::error::{ExitStatus, Result};
use crate::guard::{self, Door};

use super::home;

pub(super) async fn run(global: &Global, args: &GuardArgs) -> Result<ExitStatus> {
    let state = State::require(&Folder::new(&home::folder(global)?, &args.name)?)?;
    let doors = state.nodes.iter().flat_map(|node| {
        [
            Door { port: node.ports.ingress, behind: state.ingress(node) },
            Door { port: node.ports.admin, behind: state.admin(node) },
            Door { port: node.ports.fabric, behind: state.fabric(node) },
        ]
    });
    guard::serve(doors.collect()).await?;
    Ok(ExitStatus::Success)
}
