//! `classify [run] INPUT…`

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::cluster::{Runtime, ServerArgs};
use crate::cluster::DEFAULT_NAME;
use crate::input;
use crate::output;
use crate::throttle::{Mode, Rate};

/// Arguments of `run`, which is also what `classify INPUT…` means.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct RunArgs {
    /// Tables to classify (CSV, JSON, JSON Lines), `-` for standard input
    #[arg(value_name = "INPUT", required = true)]
    pub input: Vec<PathBuf>,
    /// Start the cluster and the service if they are not there
    #[arg(long, conflicts_with = "ingress")]
    pub up: bool,

    /// How fast: safe 450/min, fast 900/min, ultra 5,000/min, max without limit
    #[arg(short, long, value_enum, default_value_t, conflicts_with_all = ["rpm", "rpm_per_node"], help_heading = "Pace")]
    pub mode: ModeArg,
    /// Indicators per minute over all nodes
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, help_heading = "Pace")]
    pub rpm: Option<NonZeroU32>,
    /// Indicators per minute for each node
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, conflicts_with = "rpm", help_heading = "Pace")]
    pub rpm_per_node: Option<NonZeroU32>,
    /// Indicators per batch [default: about one second's worth for a node, 1 to 50]
    #[arg(long, value_name = "N", value_parser = batch_size, allow_negative_numbers = true, help_heading = "Pace")]
    pub batch_size: Option<NonZeroU32>,
    /// Most unfinished indicators at once [default: one minute's worth, at least 500]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, help_heading = "Pace")]
    pub max_in_flight: Option<NonZeroU32>,

    /// Format of the input: csv, json or jsonl [default: by extension]
    #[arg(long, value_name = "FORMAT", value_parser = input::Format::from_str, help_heading = "Input")]
    pub input_format: Option<input::Format>,
    /// Put bad rows into the failures file and go on
    #[arg(long, help_heading = "Input")]
    pub skip_invalid: bool,

    /// Results, `-` for stdout [default: next to the input, NAME.classified.jsonl]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Format of the results: jsonl or csv [default: by extension]
    #[arg(long, value_name = "FORMAT", value_parser = output::Format::from_str, help_heading = "Output")]
    pub output_format: Option<output::Format>,
    /// Rows that could not be classified [default: next to the results, NAME.failures.jsonl]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub failures: Option<PathBuf>,
    /// Print the report as one JSON object on stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Who classifies
    #[arg(long, value_name = "NAME", default_value = "rules", help_heading = "Classification")]
    pub provider: String,
    /// Label set the service shall be using [default: the built-in `economic`]
    #[arg(long, value_name = "FILE", help_heading = "Classification")]
    pub taxonomy: Option<PathBuf>,
    /// Classify again what was classified before
    #[arg(long, help_heading = "Classification")]
    pub force: bool,

    /// Name of the cluster, as given to `cluster start --name`
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "CLASSIFY_CLUSTER", help_heading = "Cluster")]
    pub cluster: String,
    /// Ingress URLs of the nodes, instead of those of a cluster started here
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        env = "CLASSIFY_INGRESS",
        help_heading = "Cluster"
    )]
    pub ingress: Vec<String>,
    /// What runs the nodes
    #[arg(long, value_enum, default_value_t = Runtime::Auto, env = "CLASSIFY_RUNTIME", help_heading = "Server for --up")]
    pub runtime: Runtime,
    /// Where `--up` takes the server from.
    #[command(flatten, next_help_heading = "Server for --up")]
    pub server: ServerArgs,
}

/// Presets of the rate.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum ModeArg {
    /// 450 a minute
    #[default]
    Safe,
    /// 900 a minute
    Fast,
    /// 5,000 a minute
    Ultra,
    /// No limit
    Max,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Safe => Self::Safe,
            ModeArg::Fast => Self::Fast,
            ModeArg::Ultra => Self::Ultra,
            ModeArg::Max => Self::Max,
        }
    }
}

impl RunArgs {
    /// The rate that was asked for, in whichever form.
    pub fn rate(&self) -> Rate {
        match (self.rpm, self.rpm_per_node) {
            (Some(total), _) => Rate::Total(total.get().into()),
            (None, Some(share)) => Rate::PerNode(share.get().into()),
            (None, None) => Mode::from(self.mode).rate(),
        }
    }
}

fn positive(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "must be a whole number above 0".to_owned())
}

/// A workflow fans out to all rows of its batch and holds their answers at once; beyond this it only gets slower.
const LARGEST_BATCH: u32 = 1_000;

fn batch_size(text: &str) -> Result<NonZeroU32, String> {
    positive(text).and_then(|size| {
        if size.get() <= LARGEST_BATCH { Ok(size) } else { Err(format!("must be at most {LARGEST_BATCH}")) }
    })
}
