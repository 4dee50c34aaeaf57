//! `classify cluster logs`

use std::io;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use crate::cli::cluster::LogsArgs;
use crate::cluster::logs::{Follower, Log, SERVICE, select, tail};
use crate::cluster::{self, ContainerLog, Folder, Runtime, State};
use crate::commands::block_on;
use crate::error::{ExitStatus, Failure, Result};
use crate::ui::Ui;

const POLL: Duration = Duration::from_millis(200);
const LINES_WAITING: usize = 256;

pub(super) fn run(folder: &Folder, args: &LogsArgs, ui: Ui) -> Result<ExitStatus> {
    let state = State::require(folder)?;
    let shown = match state.runtime {
        Runtime::Native => {
            let files = select(folder, &state, args.node.as_deref())?;
            block_on(show(&files, &[], args, ui))
        }
        Runtime::Docker => block_on(async {
            let containers = cluster::container_logs(&state, args.node.as_deref()).await?;
            let files = files_beside(folder, &state, args, &containers)?;
            show(&files, &containers, args, ui).await
        }),
    };
    match shown {
        Ok(()) | Err(Stop::ReaderLeft) => Ok(ExitStatus::Success),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// The log of a service that was started with the containers as a process.
fn files_beside(
    folder: &Folder,
    state: &State,
    args: &LogsArgs,
    containers: &[ContainerLog],
) -> Result<Vec<Log>> {
    let service = Log { name: SERVICE.to_owned(), path: folder.log(SERVICE) };
    let is_meant = args.node.as_deref().is_none_or(|node| node == SERVICE);
    if is_meant && service.path.exists() {
        return Ok(vec![service]);
    }
    // What is neither there nor known: the same words as for processes.
    if containers.is_empty() { select(folder, state, args.node.as_deref()) } else { Ok(Vec::new()) }
}

async fn show(
    files: &[Log],
    containers: &[ContainerLog],
    args: &LogsArgs,
    ui: Ui,
) -> std::result::Result<(), Stop> {
    let names = files.iter().map(|log| &log.name).chain(containers.iter().map(|log| &log.name));
    let printer = Printer::new(ui, args.node.is_none(), names.map(String::len).max());
    if args.follow {
        return tokio::select! {
            stop = follow(files, args.lines, &printer) => stop,
            stop = follow_containers(containers, args.lines, &printer) => stop,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    for log in containers {
        printer.print(&log.name, &log.tail(args.lines).await?)?;
    }
    for log in files {
        let lines = tail(&log.path, args.lines).map_err(|error| unreadable(log, &error))?;
        printer.print(&log.name, &lines)?;
    }
    Ok(())
}

/// Why no more lines are shown.
enum Stop {
    /// `cluster logs | head`: what was wanted has been read.
    ReaderLeft,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

async fn follow(logs: &[Log], count: usize, printer: &Printer) -> std::result::Result<(), Stop> {
    let mut followers = Vec::new();
    for log in logs {
        let (follower, lines) = Follower::begin(&log.path, count).map_err(|error| unreadable(log, &error))?;
        printer.print(&log.name, &lines)?;
        followers.push((log, follower));
    }
    loop {
        for (log, follower) in &mut followers {
            let lines = follower.more().map_err(|error| unreadable(log, &error))?;
            printer.print(&log.name, &lines)?;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn follow_containers(
    logs: &[ContainerLog],
    count: usize,
    printer: &Printer,
) -> std::result::Result<(), Stop> {
    let (send, mut lines) = mpsc::channel(LINES_WAITING);
    let following = try_join_all(logs.iter().map(|log| log.follow(count, send.clone())));
    let printing = async {
        // `send` lives on, so this does not end by itself.
        while let Some((name, line)) = lines.recv().await {
            printer.print(&name, &[line])?;
        }
        Ok(())
    };
    tokio::select! {
        Err(failure) = following => Err(failure.into()),
        stop = printing => stop,
    }
}

fn unreadable(log: &Log, error: &io::Error) -> Failure {
    Failure::unexpected(format!("{}: {error}", log.path.display()))
}

/// Writes lines, with the log's name before them where there are several.
struct Printer {
    ui: Ui,
    /// Width of the name; 0 for none.
    width: usize,
}

impl Printer {
    fn new(ui: Ui, named: bool, longest: Option<usize>) -> Self {
        let width = longest.filter(|_| named).unwrap_or_default();
        Self { ui, width }
    }

    fn print(&self, name: &str, lines: &[String]) -> std::result::Result<(), Stop> {
        for line in lines {
            let line = if self.width == 0 {
                line.clone()
            } else {
                format!("{name:<width$} | {line}", width = self.width)
            };
            match self.ui.data(&line) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Stop::ReaderLeft),
                Err(error) => return Err(Failure::unexpected(format!("standard output: {error}")).into()),
            }
        }
        Ok(())
    }
}
