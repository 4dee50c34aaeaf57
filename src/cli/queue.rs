//! `classify queue …`

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use ulid::Ulid;

use crate::cluster::DEFAULT_NAME;
use crate::restate::id::InvocationId;
use crate::restate::names::{
    BATCH_PAGE, BATCH_REPORTS, BATCH_WORKFLOW, CLASSIFIER, DETACHED_RUN, MODEL_LIMITS,
};
use crate::restate::queue::{self, ErrorClass};

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
    /// Single invocations, the oldest first
    List(QueueListArgs),
    /// End batches and calls that have not ended; their rows fail as `cancelled`
    ///
    /// A call that has left for a model's provider ends with its answer, which is kept: the same `classify` command does not pay for it
    /// again. Services that pace and count detached runs are ended only by `--service` or an id.
    Cancel(QueueCancelArgs),
    /// Try those now that failed and wait for their next attempt, or are paused
    Retry(Change),
    /// Make the cluster forget invocations that have ended: failed ones, others only by id or `--state succeeded`
    Purge(Change),
}

/// Which cluster is meant.
#[derive(Debug, Args)]
pub struct Nodes {
    /// Name of the cluster, as given to `cluster start --name`
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "CLASSIFY_CLUSTER")]
    pub cluster: String,
    /// Admin URLs of the nodes, instead of those of a cluster started here
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CLASSIFY_ADMIN")]
    pub admin: Vec<String>,
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
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub nodes: Nodes,
}

/// Which invocations are meant, by what they are. Several filters must all hold.
#[derive(Debug, Args)]
#[group(id = "filter", multiple = true)]
pub struct Filter {
    /// Batches of this run and the calls they made
    #[arg(long, value_name = "RUN_ID", value_parser = run_id)]
    pub run: Option<Ulid>,
    /// Invocations of this service
    #[arg(long, value_enum, value_name = "NAME")]
    pub service: Option<Service>,
    /// In one of these states
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<State>,
    /// Created longer ago than this: `90s`, `10m`, `2h`, `1d`
    #[arg(long, value_name = "DURATION", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Failed like this, in the end or at the last attempt: `cancelled`, `killed`, a status like `500`, or a code of
    /// Restate's like `RT0010` (the service does not answer; codes are kept until the invocation ends)
    #[arg(long, value_name = "CLASS")]
    pub error: Option<ErrorClass>,
}

/// A service of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Batches
    #[value(name = BATCH_WORKFLOW)]
    ClassifyBatch,
    /// Calls that answer: one per batch to the rules, one per row to a model
    #[value(name = CLASSIFIER)]
    Classifier,
    /// Leases of models' limits
    #[value(name = MODEL_LIMITS)]
    ModelLimits,
    /// Pacing of detached runs
    #[value(name = DETACHED_RUN)]
    DetachedRun,
    /// Batches of detached runs that wait for their time
    #[value(name = BATCH_PAGE)]
    BatchPage,
    /// What batches of detached runs report
    #[value(name = BATCH_REPORTS)]
    BatchReports,
}

impl Service {
    /// Its name in Restate.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClassifyBatch => BATCH_WORKFLOW,
            Self::Classifier => CLASSIFIER,
            Self::ModelLimits => MODEL_LIMITS,
            Self::DetachedRun => DETACHED_RUN,
            Self::BatchPage => BATCH_PAGE,
            Self::BatchReports => BATCH_REPORTS,
        }
    }
}

/// A state, in the words of `queue status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Not begun
    Waiting,
    /// At work
    Running,
    /// Waiting for others
    Suspended,
    /// Failed, and to be tried again
    Retrying,
    /// Stopped until resumed
    Paused,
    /// Ended with a result
    Succeeded,
    /// Ended with an error, or cancelled
    Failed,
}

impl From<State> for queue::State {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Waiting,
            State::Running => Self::Running,
            State::Suspended => Self::Suspended,
            State::Retrying => Self::Retrying,
            State::Paused => Self::Paused,
            State::Succeeded => Self::Succeeded,
            State::Failed => Self::Failed,
        }
    }
}

/// Arguments of `queue list`.
#[derive(Debug, Args)]
pub struct QueueListArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub filter: Filter,
    /// Show this many at most
    #[arg(long, value_name = "N", default_value = "50")]
    pub limit: NonZeroUsize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub nodes: Nodes,
}

/// Arguments of `queue retry` and `queue purge`, and of `queue cancel` with more.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["ids", "all", "run", "service", "state", "older_than", "error"])]
pub struct Change {
    /// Ids as `queue list` shows them
    #[arg(value_name = "ID", conflicts_with = "filter")]
    pub ids: Vec<InvocationId>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub filter: Filter,
    /// Every invocation the command is for
    #[arg(long, conflicts_with_all = ["filter", "ids"])]
    pub all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub nodes: Nodes,
}

/// Arguments of `queue cancel`.
#[derive(Debug, Args)]
pub struct QueueCancelArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub change: Change,
    /// Kill what no service is working on, and cancel the rest
    #[arg(long)]
    pub kill: bool,
}

fn run_id(text: &str) -> Result<Ulid, String> {
    // The decoder takes more than what it writes: another case, and numbers that are too large.
    let id = Ulid::from_string(text).ok().filter(|id| id.to_string() == text);
    id.ok_or_else(|| "no run's id: 26 letters and digits, as `run_id` in the run's report".into())
}

fn age(text: &str) -> Result<Duration, String> {
    // What jiff would say is about calendars and ISO 8601, of which nobody who types an age has thought.
    let span = text.parse::<jiff::Span>().ok();
    let length = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    let length = length.and_then(|length| Duration::try_from(length).ok());
    length.ok_or_else(|| "no length of time: for instance `90s`, `10m`, `2h` or `1d`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_runs_own_id_is_one() {
        assert!(run_id("01M82VWXVYQHWRKTN4PR1DFQ44").is_ok());
        for text in [
            "latest",
            "",
            "01m82vwxvyqhwrktn4pr1dfq44",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01M82VWXVYQHWRKTN4PR1DFQ4'",
            "%",
        ] {
            assert!(run_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_are_lengths_of_time() {
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(age("1d"), Ok(Duration::from_hours(24)));
        for text in ["", "5", "-5m", "1 month", "soon"] {
            assert!(age(text).is_err(), "{text}: {:?}", age(text));
        }
    }
}
