//! One module per command: wiring between the command line and the parts that do the work.

mod cluster;

use crate::cli::{Cli, Command};
use crate::error::{ExitStatus, Result};
use crate::ui::Ui;

/// Runs the command that was typed.
pub fn dispatch(cli: Cli, ui: Ui) -> Result<ExitStatus> {
    match cli.command {
        Some(Command::Cluster(args)) => cluster::run(&cli.global, args, ui),
        None => Ok(ExitStatus::Usage),
    }
}
