//! `classify serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::cluster::DEFAULT_NAME;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen; containers reach the service only beyond loopback
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080", env = "CLASSIFY_BIND")]
    pub bind: SocketAddr,
    /// Register the service with the cluster once it listens
    #[arg(long)]
    pub register: bool,
    /// Label set to classify by [default: the built-in `economic`]
    #[arg(long, value_name = "FILE")]
    pub taxonomy: Option<PathBuf>,
    /// Append one JSON line for every classification that is really executed
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Answer only nodes that sign with this key, `publickeyv1_…`; may be given several times
    #[arg(long = "identity-key", value_name = "KEY", env = "CLASSIFY_IDENTITY_KEYS", value_delimiter = ',')]
    pub identity_keys: Vec<String>,
    /// Where to answer Prometheus at `/metrics`, say 127.0.0.1:9464 [default: nowhere]
    #[arg(long, value_name = "ADDRESS", env = "CLASSIFY_METRICS")]
    pub metrics: Option<SocketAddr>,
    /// Name of the cluster to register with
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "CLASSIFY_CLUSTER")]
    pub cluster: String,
}
