//! The command line: what can be typed. Owns names, help texts and defaults; does nothing.

pub mod cluster;
pub mod completions;
pub mod queue;
pub mod run;
pub mod serve;
pub mod usage;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Label a large table through a Restate cluster without losing, repeating or overpaying for a call
#[derive(Debug, Parser)]
#[command(
    name = "classify",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    max_term_width = 110
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The main job, which needs no name.
    #[command(flatten)]
    pub run: run::RunArgs,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Folder for all local state [default: the XDG state folder, ~/.local/state/classify]
    #[arg(long, global = true, value_name = "DIR", env = "CLASSIFY_HOME")]
    pub home: Option<PathBuf>,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log what is done, -vv for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Classify tables (the default command)
    Run(run::RunArgs),
    /// Start, stop and inspect the Restate cluster
    Cluster(cluster::ClusterArgs),
    /// Run the classification service in the foreground
    Serve(serve::ServeArgs),
    /// Look at the work the cluster holds
    Queue(queue::QueueArgs),
    /// Write a script for shell completion to stdout
    Completions(completions::CompletionsArgs),
}
