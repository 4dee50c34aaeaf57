//! `classify limits …`

use std::num::NonZeroU64;

use clap::{Args, Subcommand};

use crate::cluster::DEFAULT_NAME;
use crate::llm::Model;

/// Arguments of `limits`.
#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: LimitsCommand,
}

/// The verbs of `limits`.
#[derive(Debug, Subcommand)]
pub enum LimitsCommand {
    /// Show the limits of one model or of all, who set them, and how much is used
    Show(ShowArgs),
    /// Change a model's limits, for every service of the cluster and at once
    Set(SetArgs),
}

/// Which cluster is meant.
#[derive(Debug, Args)]
pub struct Place {
    /// Name of the cluster, as given to `cluster start --name`
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "CLASSIFY_CLUSTER")]
    pub cluster: String,
    /// Ingress URLs of the nodes, instead of those of a cluster started here
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CLASSIFY_INGRESS")]
    pub ingress: Vec<String>,
}

/// Arguments of `limits show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The model as PROVIDER/NAME [default: every model that was asked or whose limits were set]
    #[arg(value_name = "MODEL")]
    pub model: Option<Model>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub place: Place,
    /// Admin URLs of the nodes, instead of those of a cluster started here
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CLASSIFY_ADMIN")]
    pub admin: Vec<String>,
    /// Print one JSON object; without MODEL one for each, a line each
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `limits set`.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["rpm", "tpm", "concurrency", "reset"])]
pub struct SetArgs {
    /// The model as PROVIDER/NAME
    #[arg(value_name = "MODEL")]
    pub model: Model,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub place: Place,
    /// Most requests in any 60 s
    #[arg(long, value_name = "N", value_parser = limit)]
    pub rpm: Option<NonZeroU64>,
    /// Most tokens, sent and received, in any 60 s
    #[arg(long, value_name = "N", value_parser = limit)]
    pub tpm: Option<NonZeroU64>,
    /// Most calls at once
    #[arg(long, value_name = "N", value_parser = limit)]
    pub concurrency: Option<NonZeroU64>,
    /// Back to the limits that the services were started with
    #[arg(long, conflicts_with_all = ["rpm", "tpm", "concurrency"])]
    pub reset: bool,
}

/// No provider allows more in a minute.
const MOST: u64 = 1_000_000_000_000;

fn limit(text: &str) -> Result<NonZeroU64, String> {
    let number = text.parse::<u64>().ok().filter(|number| *number <= MOST).and_then(NonZeroU64::new);
    number.ok_or_else(|| format!("must be a whole number from 1 to {MOST}"))
}
