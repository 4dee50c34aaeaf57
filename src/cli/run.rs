//! `classify [run] INPUT…`

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::cluster::{Runtime, ServerArgs};
use crate::cluster::DEFAULT_NAME;
use crate::domain::bounds::LARGEST_BATCH;
use crate::domain::max_failures::MaxFailures;
use crate::domain::method::{Effort, HYBRID, Method, RULES};
use crate::error::Failure;
use crate::input;
use crate::llm::{Model, Provider};
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
    /// Indicators per batch [default: about one second's worth for a node, 1 to 50; 400 for the rules without a rate; never more than --max-in-flight]
    #[arg(long, value_name = "N", value_parser = batch_size, allow_negative_numbers = true, help_heading = "Pace")]
    pub batch_size: Option<NonZeroU32>,
    /// Most unfinished indicators at once [default: one minute's worth, at least 500; without a rate 2,000, for the rules 12,000]
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
    /// Write the results in the order of the input, once all are there
    #[arg(long, help_heading = "Output")]
    pub ordered: bool,
    /// Rows that could not be classified [default: next to the results, NAME.failures.jsonl]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub failures: Option<PathBuf>,
    /// Hand the whole run over to the cluster, which goes on with it by itself; `runs attach` shows it and collects its results
    #[arg(long, help_heading = "Output", conflicts_with = "plan")]
    pub detach: bool,
    /// Print the report as one JSON object on stdout; with `--detach` the run's id and how it stands
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Who classifies: rules (built in), openai, anthropic, compatible (any OpenAI-compatible server), hybrid (rules, and a
    /// model where they are not sure)
    #[arg(long, value_name = "NAME", default_value = RULES, value_parser = provider, help_heading = "Classification")]
    pub provider: String,
    /// Model to ask, as the provider calls it; with `hybrid` as PROVIDER/NAME
    #[arg(long, value_name = "NAME", help_heading = "Classification")]
    pub model: Option<String>,
    /// With `hybrid`: ask the model where the rules' confidence is below this [default: 0.7]
    #[arg(long, value_name = "0..1", value_parser = share, help_heading = "Classification")]
    pub threshold: Option<f64>,
    /// Most indicators in one request to the model [default: 1]
    #[arg(long, value_name = "N", value_parser = items, allow_negative_numbers = true, help_heading = "Classification")]
    pub items_per_call: Option<NonZeroUsize>,
    /// How long the model shall think: none, minimal, low, medium, high, xhigh, max, as far as it knows them [default: up
    /// to the model]
    #[arg(long, value_name = "EFFORT", value_parser = effort, help_heading = "Classification")]
    pub reasoning_effort: Option<Effort>,
    /// Label set the service shall be using [default: the built-in `economic`]
    #[arg(long, value_name = "FILE", help_heading = "Classification")]
    pub taxonomy: Option<PathBuf>,
    /// Classify again what was classified before
    #[arg(long, help_heading = "Classification")]
    pub force: bool,

    /// Send nothing: say what the run would take and cost, with a sample of what a model would read
    #[arg(long, help_heading = "Limits")]
    pub plan: bool,
    /// Stop submitting before the total would exceed N US dollars
    #[arg(long, value_name = "USD", value_parser = dollars, allow_negative_numbers = true, help_heading = "Limits")]
    pub max_cost: Option<f64>,
    /// Stop submitting when more than N indicators, or N% of those finished, have failed
    #[arg(long, value_name = "N|N%", help_heading = "Limits")]
    pub max_failures: Option<MaxFailures>,
    /// Prices to count with, before the built-in ones
    #[arg(long, value_name = "FILE", env = "CLASSIFY_PRICES", help_heading = "Limits")]
    pub prices: Option<PathBuf>,

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

/// Confidence of the rules below which `hybrid` asks a model: lower ones had to fall back to defaults.
const DEFAULT_THRESHOLD: f64 = 0.7;

impl RunArgs {
    /// The way of classifying that was asked for.
    ///
    /// # Errors
    /// When provider, model and threshold do not go together.
    pub fn method(&self) -> Result<Method, Failure> {
        let stray = |flag: &str, why: &str| Err(Failure::usage(format!("`{flag}` does nothing here: {why}")));
        if self.threshold.is_some() && self.provider != HYBRID {
            return stray("--threshold", "only `--provider hybrid` has one");
        }
        if self.provider == RULES {
            let idle = [
                ("--model", self.model.is_some()),
                ("--items-per-call", self.items_per_call.is_some()),
                ("--reasoning-effort", self.reasoning_effort.is_some()),
            ];
            return match idle.iter().find(|(_, given)| *given) {
                Some((flag, _)) => stray(flag, "`--provider rules` asks no model"),
                None => Ok(Method::rules()),
            };
        }
        let Some(name) = self.model.as_deref().filter(|name| !name.is_empty()) else {
            let example = if self.provider == HYBRID { "openai/gpt-6-luna" } else { "gpt-6-luna" };
            return Err(Failure::usage(format!("`--provider {}` needs a model", self.provider))
                .hint(format!("for instance `--model {example}`")));
        };
        let full =
            if self.provider == HYBRID { name.to_owned() } else { format!("{}/{name}", self.provider) };
        let model: Model =
            full.parse().map_err(|error| Failure::usage(format!("`--model {name}`: {error}")))?;
        let model = model.to_string();
        Ok(Method {
            provider: self.provider.clone(),
            model: Some(model),
            threshold: (self.provider == HYBRID).then(|| self.threshold.unwrap_or(DEFAULT_THRESHOLD)),
            items_per_call: self.items_per_call,
            effort: self.reasoning_effort,
            allowance: None,
        })
    }
}

fn provider(name: &str) -> Result<String, String> {
    let all = || [RULES, HYBRID].into_iter().chain(Provider::ALL.iter().map(|provider| provider.name()));
    if all().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let near = all().min_by_key(|known| strsim::damerau_levenshtein(known, name)).unwrap_or(RULES);
    Err(format!("no such provider; did you mean `{near}`? ({})", all().collect::<Vec<_>>().join(", ")))
}

fn effort(name: &str) -> Result<Effort, String> {
    let found = Effort::ALL.into_iter().find(|effort| effort.name() == name);
    found.ok_or_else(|| format!("use one of: {}", Effort::ALL.map(Effort::name).join(", ")))
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "must be between 0 and 1".into())
}

pub(super) fn dollars(text: &str) -> Result<f64, String> {
    let usable = |amount: &f64| amount.is_finite() && *amount > 0.0;
    text.parse().ok().filter(usable).ok_or_else(|| "must be an amount above 0".into())
}

/// Answers to more in one request get worse before they get cheaper.
const MOST_ITEMS: usize = 50;

pub(super) fn items(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(number) if number.get() <= MOST_ITEMS => Ok(number),
        _ => Err(format!("must be a whole number from 1 to {MOST_ITEMS}")),
    }
}

pub(super) fn positive(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "must be a whole number above 0".to_owned())
}

fn batch_size(text: &str) -> Result<NonZeroU32, String> {
    positive(text).and_then(|size| {
        if size.get() <= LARGEST_BATCH { Ok(size) } else { Err(format!("must be at most {LARGEST_BATCH}")) }
    })
}
