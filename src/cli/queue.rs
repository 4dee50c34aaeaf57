//! `classify queue …`

use clap::{Args, Subcommand};

use crate::cluster::DEFAULT_NAME;

/// Arguments of `queue`.
#[derive(Debug, Args)]
pub struct QueueArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: QueueCommand,
}

/// The verbs of `queue`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// What waits, runs, retries and is done, per service
    Status(QueueStatusArgs),
}

/// Arguments of `queue status`.
#[derive(Debug, Args)]
pub struct QueueStatusArgs {
    /// Show it again and again until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub interval: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Name of the cluster, as given to `cluster start --name`
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "CLASSIFY_CLUSTER")]
    pub cluster: String,
    /// Admin URLs of the nodes, instead of those of a cluster started here
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CLASSIFY_ADMIN")]
    pub admin: Vec<String>,
}
