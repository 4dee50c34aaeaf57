//! One module per command: wiring between the command line and the parts that do the work.

mod cluster;
mod preflight;
mod queue;
mod run;
mod serve;
mod signals;
mod target;

use std::borrow::Cow;
use std::future::Future;
use std::path::Path;

use crate::cli::{Cli, Command};
use crate::error::{ExitStatus, Failure, Result};
use crate::taxonomy::Taxonomy;
use crate::ui::Ui;

/// Runs the command that was typed.
///
/// # Errors
/// Whatever the user must be told.
pub fn dispatch(cli: Cli, ui: Ui) -> Result<ExitStatus> {
    let global = cli.global;
    match cli.command {
        None => run::run(&global, cli.run, ui),
        Some(Command::Run(args)) => run::run(&global, args, ui),
        Some(Command::Cluster(args)) => cluster::run(&global, args, ui),
        Some(Command::Serve(args)) => block_on(serve::run(args, ui)),
        Some(Command::Queue(args)) => block_on(queue::run(&global, args, ui)),
    }
}

/// Runs a command's asynchronous part.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unexpected(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(command)
}

/// The label set in `file`, or the built-in one.
fn load_taxonomy(file: Option<&Path>) -> Result<Cow<'static, Taxonomy>> {
    Ok(match file {
        Some(file) => Cow::Owned(Taxonomy::load(file)?),
        None => Cow::Borrowed(Taxonomy::economic()),
    })
}
