//! `classify guard`, which `cluster start` starts

use clap::Args;

/// Arguments of `guard`.
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// Name of the cluster
    #[arg(long, value_name = "NAME")]
    pub name: String,
}
