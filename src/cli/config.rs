//! `classify config …`

use clap::{Args, Subcommand};

use crate::config::Shown;

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: ConfigCommand,
    /// The settings in force, filled in when the command line is parsed.
    #[arg(skip)]
    pub list: Vec<Shown>,
}

/// The verbs of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting, its value and where it came from
    Show(ShowArgs),
    /// Write a classify.toml with every setting to stdout, all commented out
    Example,
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// One JSON list instead of a table
    #[arg(long)]
    pub json: bool,
}
