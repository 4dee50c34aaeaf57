//! `classify serve`

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValue;

use crate::cluster::DEFAULT_NAME;

/// What is no option: a command line can be seen by everybody.
const ENVIRONMENT: &str = "\
Environment:
  OPENAI_API_KEY, ANTHROPIC_API_KEY, CLASSIFY_COMPATIBLE_API_KEY
          Keys of providers
  CLASSIFY_OPENAI_URL, CLASSIFY_ANTHROPIC_URL, CLASSIFY_COMPATIBLE_URL
          Where they are; a key goes there over HTTPS, or to this machine
  CLASSIFY_ALLOW_PLAIN_HTTP
          Hosts, with commas between them, to which keys may go over plain HTTP";

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_long_help = ENVIRONMENT)]
pub struct ServeArgs {
    /// Where to listen; containers reach the service only beyond loopback
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080", env = "CLASSIFY_BIND")]
    pub bind: SocketAddr,
    /// Register the service with the cluster once it listens
    #[arg(long)]
    pub register: bool,
    /// With `--register`: take the place of another service that is registered and answers. It gets it back when this one ends first
    #[arg(long)]
    pub replace: bool,
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
    /// Ingress URLs of the nodes that share out the models' limits, instead of those of a cluster started here
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CLASSIFY_INGRESS")]
    pub ingress: Vec<String>,

    /// Most requests to a model in any 60 s, over all services of the cluster [default: no limit]
    #[arg(long, value_name = "N", env = "CLASSIFY_LLM_RPM", help_heading = "Limits of each model")]
    pub llm_rpm: Option<NonZeroU32>,
    /// Most tokens to and from a model in any 60 s [default: no limit]
    #[arg(long, value_name = "N", env = "CLASSIFY_LLM_TPM", help_heading = "Limits of each model")]
    pub llm_tpm: Option<NonZeroU32>,
    /// Most calls to a model at once
    #[arg(
        long,
        value_name = "N",
        default_value = "64",
        env = "CLASSIFY_LLM_CONCURRENCY",
        help_heading = "Limits of each model"
    )]
    pub llm_concurrency: NonZeroU32,
    /// Seconds a model may take for one answer
    #[arg(
        long,
        value_name = "SECS",
        default_value = "180",
        env = "CLASSIFY_LLM_TIMEOUT",
        help_heading = "Limits of each model"
    )]
    pub llm_timeout: NonZeroU32,
    /// How a `compatible` server is asked for the form of an answer: bounded (a schema with bounds: llama.cpp, vLLM, Ollama),
    /// strict (OpenAI's strict schema), json (JSON mode, with the schema in the prompt) [default: found out by asking it once]
    #[arg(
        long,
        value_name = "FORM",
        value_parser = ["bounded", "strict", "json"].map(PossibleValue::new),
        hide_possible_values = true,
        env = "CLASSIFY_ANSWER_FORM",
        help_heading = "Limits of each model"
    )]
    pub answer_form: Option<String>,
    /// Prices to count with, before the built-in ones
    #[arg(long, value_name = "FILE", env = "CLASSIFY_PRICES", help_heading = "Limits of each model")]
    pub prices: Option<PathBuf>,
}
