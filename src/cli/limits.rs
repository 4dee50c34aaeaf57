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
    /// What a model's limits are, and how much of them is used
    Show(ShowArgs),
    /// Change a model's limits, for every service of the cluster and at once
    Set(SetArgs),
}

/// Which model is meant, and where.
#[derive(Debug, Args)]
pub struct Target {
    /// The model as PROVIDER/NAME
    #[arg(value_name = "MODEL")]
    pub model: Model,
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
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `limits set`.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["rpm", "tpm", "concurrency", "reset"])]
pub struct SetArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub target: Target,
    /// Most requests in any 60 s
    #[arg(long, value_name = "N")]
    pub rpm: Option<NonZeroU64>,
    /// Most tokens, sent and received, in any 60 s
    #[arg(long, value_name = "N")]
    pub tpm: Option<NonZeroU64>,
    /// Most calls at once
    #[arg(long, value_name = "N")]
    pub concurrency: Option<NonZeroU64>,
    /// Back to the limits that the services were started with
    #[arg(long, conflicts_with_all = ["rpm", "tpm", "concurrency"])]
    pub reset: bool,
}
