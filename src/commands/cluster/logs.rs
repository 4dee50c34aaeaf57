//! `classify cluster logs`

use std::io::{self, IsTerminal};
use std::time::Duration;

use crate::cli::cluster::LogsArgs;
use crate::cluster::logs::{Follower, Log, select, tail};
use crate::cluster::{Folder, State};
use crate::commands::block_on;
use crate::error::{ExitStatus, Failure, Result};
use crate::text::printable;
use crate::ui::Ui;

const POLL: Duration = Duration::from_millis(200);

pub(super) fn run(folder: &Folder, args: &LogsArgs, ui: Ui) -> Result<ExitStatus> {
    let state = State::require(folder)?;
    let logs = select(folder, &state, args.node.as_deref())?;
    let printer = Printer::new(ui, args.node.is_none(), &logs);
    let shown = if args.follow {
        block_on(follow(&logs, args.lines, &printer))
    } else {
        logs.iter().try_for_each(|log| {
            let lines = tail(&log.path, args.lines).map_err(|error| unreadable(log, &error))?;
            printer.print(&log.name, &lines)
        })
    };
    match shown {
        Ok(()) | Err(Stop::ReaderLeft) => Ok(ExitStatus::Success),
        Err(Stop::Failed(failure)) => Err(failure),
    }
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
    let forever = async {
        loop {
            for (log, follower) in &mut followers {
                let lines = follower.more().map_err(|error| unreadable(log, &error))?;
                printer.print(&log.name, &lines)?;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        stop = forever => stop,
        _ = tokio::signal::ctrl_c() => Ok(()),
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
    escape: bool,
}

impl Printer {
    fn new(ui: Ui, named: bool, logs: &[Log]) -> Self {
        let width = logs.iter().map(|log| log.name.len()).max().filter(|_| named).unwrap_or_default();
        Self { ui, width, escape: io::stdout().is_terminal() }
    }

    fn print(&self, name: &str, lines: &[String]) -> std::result::Result<(), Stop> {
        for line in lines {
            let line = if self.escape { printable(line) } else { line.clone() };
            let line =
                if self.width == 0 { line } else { format!("{name:<width$} | {line}", width = self.width) };
            match self.ui.data(&line) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Stop::ReaderLeft),
                Err(error) => return Err(Failure::unexpected(format!("standard output: {error}")).into()),
            }
        }
        Ok(())
    }
}
