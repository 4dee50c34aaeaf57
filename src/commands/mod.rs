//! One module per command: wiring between the command line and the parts that do the work.

mod claims;
mod cluster;
mod collected;
mod config;
mod guard;
mod handover;
mod home;
mod job;
mod limits;
mod preflight;
mod question;
mod queue;
mod registration;
mod run;
mod runs;
mod serve;
mod signals;
mod target;
mod taxonomy;
mod up;

use std::borrow::Cow;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cli::{Cli, Command, completions};
use crate::error::{ExitStatus, Failure, Result};
use crate::taxonomy::Taxonomy;
use crate::ui::Ui;

/// Runs the command that was typed.
///
/// # Errors
/// Whatever the user must be told.
pub fn dispatch(cli: Cli, ui: Ui) -> Result<ExitStatus> {
    allow_descriptors();
    let global = cli.global;
    match cli.command {
        None => run::run(&global, &cli.run, ui),
        Some(Command::Run(args)) => run::run(&global, &args, ui),
        Some(Command::Cluster(args)) => cluster::run(&global, args, ui),
        Some(Command::Serve(args)) => block_on(serve::run(&global, args, ui)),
        Some(Command::Runs(args)) => runs::run(&global, args.command, ui),
        Some(Command::Queue(args)) => queue::run(&global, args, ui),
        Some(Command::Limits(args)) => block_on(limits::run(&global, args, ui)),
        Some(Command::Taxonomy(args)) => taxonomy::run(args.command, ui),
        Some(Command::Config(args)) => config::run(&args, ui),
        Some(Command::Guard(args)) => block_on(guard::run(&global, &args)),
        Some(Command::Completions(args)) => {
            print(&completions::script(args.shell), ui)?;
            Ok(ExitStatus::Success)
        }
    }
}

/// Takes as many file descriptors as this process may have. A shell allows 1,024 and a Mac's 256, for the sake of programs that use `select`.
fn allow_descriptors() {
    let limit = Resource::RLIMIT_NOFILE;
    let raised = getrlimit(limit).and_then(|(_, most)| setrlimit(limit, most, most));
    if let Err(errno) = raised {
        tracing::debug!("file descriptors stay as they are: {errno}");
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

/// Writes data to stdout. A reader that went away has seen enough.
fn print(text: &str, ui: Ui) -> Result<()> {
    is_read(text, ui).map(drop)
}

/// As [`print`]; false where nobody reads any more.
fn is_read(text: &str, ui: Ui) -> Result<bool> {
    match ui.data(text) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::unexpected(format!("cannot write to stdout: {error}"))),
    }
}

/// The label set in `file`, or the built-in one.
fn load_taxonomy(file: Option<&Path>) -> Result<Cow<'static, Taxonomy>> {
    Ok(match file {
        Some(file) => Cow::Owned(Taxonomy::load(file)?),
        None => Cow::Borrowed(Taxonomy::economic()),
    })
}
