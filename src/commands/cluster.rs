//! `classify cluster …`

use crate::cli::Global;
use crate::cli::cluster::{ClusterArgs, ClusterCommand};
use crate::error::{ExitStatus, Result};
use crate::ui::Ui;

pub(super) fn run(_global: &Global, args: ClusterArgs, _ui: Ui) -> Result<ExitStatus> {
    match args.command {
        ClusterCommand::Start => Ok(ExitStatus::Success),
    }
}
