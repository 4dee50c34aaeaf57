//! `classify runs …`

use std::num::NonZeroU32;

use clap::{Args, Subcommand};

use super::run::{dollars, positive};
use crate::cluster::DEFAULT_NAME;
use crate::domain::max_failures::MaxFailures;
use crate::domain::outcome::FailureClass;

/// Arguments of `runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RunsCommand,
}

/// The verbs of `runs`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// Every run in the ledger, youngest last
    List(ListArgs),
    /// What a run was asked to do, and how it stands
    Show(ShowArgs),
    /// The report of a run, of an unfinished one as far as it got
    Report(ShowArgs),
    /// Go on with a run that was ended before its time
    Resume(ResumeArgs),
    /// Watch a run that the cluster goes on with, and collect its results at its end
    Attach(AttachArgs),
    /// Let a run that the cluster goes on with wait
    Pause(ActArgs),
    /// Give a run up; what is classified stays known for 7 days
    Cancel(CancelArgs),
    /// Classify the failed rows of a finished run again, and put them among its results
    Retry(RetryArgs),
    /// Delete runs from the ledger; results stay where they are
    Delete(DeleteArgs),
}

/// Arguments of `runs list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `runs show` and `runs report`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The run
    #[arg(value_name = "ID", default_value = "latest")]
    pub id: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `runs resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run
    #[arg(value_name = "ID", default_value = "latest")]
    pub id: String,
    /// If the input has changed, start a run over it as it is now: rows that are the same are not paid for again
    #[arg(long)]
    pub accept_changes: bool,
    /// What may be other than it was.
    #[command(flatten)]
    pub changes: ChangeArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub place: PlaceArgs,
}

/// Arguments of `runs attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub run: ActArgs,
    /// What the run may cost, if the cluster has forgotten answers and they are paid for again [default: the run's own limit]
    #[arg(long, value_name = "USD", value_parser = dollars, allow_negative_numbers = true)]
    pub max_cost: Option<f64>,
    /// How many of those may fail [default: as many as failed, or the run's own limit if that is more]
    #[arg(long, value_name = "N|N%")]
    pub max_failures: Option<MaxFailures>,
    /// Print the report, or what is known of a run of another machine, as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Which run is meant, and where it is.
#[derive(Debug, Args)]
pub struct ActArgs {
    /// The run
    #[arg(value_name = "ID", default_value = "latest")]
    pub id: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub place: PlaceArgs,
}

/// Where a run is. What is given here wins over what the ledger has: a cluster may have moved.
#[derive(Debug, Default, Args)]
pub struct PlaceArgs {
    /// Name of the cluster, of a run that another machine began or whose cluster has another name now [default: the run's own; else
    /// `CLASSIFY_CLUSTER`]
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Ingress URLs of the nodes, instead of those the run began with
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CLASSIFY_INGRESS")]
    pub ingress: Vec<String>,
}

impl PlaceArgs {
    /// Name and URLs of the cluster that is meant, for a run that began with those in `recorded`, if it is in the ledger.
    pub fn target(&self, recorded: Option<(&str, &[String])>) -> (String, Vec<String>) {
        let own = || recorded.map(|(cluster, _)| cluster.to_owned());
        let usual = || super::variable("CLASSIFY_CLUSTER").unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let cluster = self.cluster.clone().or_else(own).unwrap_or_else(usual);
        let ingress = match recorded {
            _ if !self.ingress.is_empty() => self.ingress.clone(),
            Some((_, ingress)) if self.cluster.is_none() => ingress.to_vec(),
            _ => Vec::new(),
        };
        (cluster, ingress)
    }
}

/// Arguments of `runs cancel`. It cannot be taken back, so that the youngest run is meant only if somebody says so.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The run; without it you are asked about the youngest one
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub place: PlaceArgs,
}

/// Arguments of `runs delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The runs
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `runs retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The run
    #[arg(value_name = "ID", default_value = "latest")]
    pub id: String,
    /// Only failures of these classes: `rate_limited`, `timeout`, `provider`, `schema`, `refused`, `cancelled` [default: all of them]
    #[arg(long, value_name = "CLASS", value_delimiter = ',', value_parser = class)]
    pub class: Vec<FailureClass>,
    /// What may be other than it was.
    #[command(flatten)]
    pub changes: ChangeArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the command's help")]
    pub place: PlaceArgs,
}

/// What may be other than when the run began.
#[derive(Debug, Default, Args)]
pub struct ChangeArgs {
    /// Indicators per minute over all nodes, from now on
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub rpm: Option<NonZeroU32>,
    /// As with `run`, from now on
    #[arg(long, value_name = "USD", value_parser = dollars, allow_negative_numbers = true)]
    pub max_cost: Option<f64>,
    /// As with `run`, from now on
    #[arg(long, value_name = "N|N%")]
    pub max_failures: Option<MaxFailures>,
    /// Print the report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// A class that may end otherwise the next time. What is no indicator stays none.
fn class(name: &str) -> Result<FailureClass, String> {
    let known = || FailureClass::ALL.into_iter().filter(|class| *class != FailureClass::InvalidInput);
    known().find(|class| class.name() == name).ok_or_else(|| {
        let names: Vec<&str> = known().map(FailureClass::name).collect();
        format!("use one of: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_wins_over_what_the_ledger_has() {
        let some = |url: &str| vec![url.to_owned()];
        let typed = |cluster: Option<&str>, ingress: &[&str]| PlaceArgs {
            cluster: cluster.map(str::to_owned),
            ingress: ingress.iter().map(|url| (*url).to_owned()).collect(),
        };
        let old = some("http://old");
        let recorded = Some(("own", old.as_slice()));
        for (args, expected) in [
            (typed(None, &[]), ("own", some("http://old"))),
            (typed(None, &["http://new"]), ("own", some("http://new"))),
            (typed(Some("moved"), &[]), ("moved", Vec::new())),
            (typed(Some("moved"), &["http://new"]), ("moved", some("http://new"))),
        ] {
            assert_eq!(args.target(recorded), (expected.0.to_owned(), expected.1), "{args:?}");
        }
        let elsewhere = typed(Some("theirs"), &["http://new"]).target(None);
        assert_eq!(elsewhere, ("theirs".to_owned(), some("http://new")));
    }
}
