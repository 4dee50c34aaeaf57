//! `classify cluster …`

use clap::{Args, Subcommand};

/// Arguments of `cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// The verbs of `cluster`.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Start the nodes and wait until they serve
    Start,
}
