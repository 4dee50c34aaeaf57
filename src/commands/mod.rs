//! One module per command: wiring between the command line and the parts that do the work.

mod cluster;
mod home;

use std::future::Future;

use crate::cli::{Cli, Command};
use crate::error::{ExitStatus, Failure, Result};
use crate::ui::Ui;

/// Runs the command that was typed.
pub fn dispatch(cli: Cli, ui: Ui) -> Result<ExitStatus> {
    match cli.command {
        Some(Command::Cluster(args)) => cluster::run(&cli.global, args, ui),
        None => Ok(ExitStatus::Usage),
    }
}

/// Runs `work` on a runtime of its own.
fn block_on<T, E: From<Failure>>(
    work: impl Future<Output = std::result::Result<T, E>>,
) -> std::result::Result<T, E> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::unexpected(format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(work);
    // A blocking call may still be going on, say npm's; the user has been waiting long enough.
    runtime.shutdown_background();
    outcome
}
