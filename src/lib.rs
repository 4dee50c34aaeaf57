//! `classify`: label a large table through a Restate cluster without losing, repeating or overpaying for a call.
//!
//! `docs/architecture.md` has the map of these modules; each may use only those above it in this list, which
//! `tests/checks/architecture.rs` holds.

pub mod disk;
pub mod domain;
pub mod error;
pub mod listener;
pub mod lock;
pub mod shutdown;
pub mod sockets;
pub mod text;
pub mod throttle;
pub mod tls;

pub mod input;
pub mod output;
pub mod restate;
pub mod taxonomy;

pub mod guard;
pub mod ledger;
pub mod llm;

pub mod cluster;
pub mod engine;
pub mod report;
pub mod service;

pub mod ui;

pub mod config;

pub mod cli;
pub mod commands;

#[cfg(fuzzing)]
pub mod fuzzing;

#[cfg(test)]
#[path = "../tests/support/schema.rs"]
mod json_schema;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program on `args` (the first is the program's own name) and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Parsing and its errors come before any runtime exists: `--help` must not wait for one.
    let cli = match cli::Cli::parse_with_settings(args) {
        Ok(cli) => cli,
        Err(cli::Unparsed::Typed(error)) => return cli::usage::report(&error),
        Err(cli::Unparsed::Settings(failure)) => {
            ui::Ui::new(false).failure(&failure);
            return ExitCode::from(failure.status().code());
        }
    };
    ui::log::start(cli.global.verbose);
    let ui = ui::Ui::new(cli.global.quiet);
    if let Some(path) = &cli.settings {
        ui.note(&format!("settings   {}", path.display()));
    }
    match commands::dispatch(cli, ui) {
        Ok(status) => ExitCode::from(status.code()),
        Err(failure) => {
            ui.failure(&failure);
            ExitCode::from(failure.status().code())
        }
    }
}
