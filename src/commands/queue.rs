//! `classify queue …`: what the cluster holds, from any node that answers.

use super::target;
use crate::cli::Global;
use crate::cli::queue::{QueueArgs, QueueCommand};
use crate::error::{ExitStatus, Result};
use crate::ui::Ui;

pub(super) async fn run(_global: &Global, args: QueueArgs, _ui: Ui) -> Result<ExitStatus> {
    let QueueCommand::Status(args) = args.command;
    let _nodes = target::admin(&args.target)?;
    Ok(ExitStatus::Success)
}
