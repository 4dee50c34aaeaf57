//! `classify runs …`: the ledger's runs, looked at and gone on with.

mod collect;
mod delete;
mod detached;
mod list;
mod place;
mod resume;
mod retry;
mod say;
mod show;
mod states;

use std::path::Path;

use super::{block_on, home};
use crate::cli::Global;
use crate::cli::runs::{ChangeArgs, ResumeArgs, RunsCommand};
use crate::domain::method::RULES;
use crate::error::{ExitStatus, Failure, Result};
use crate::ledger::{Limits, Runs, Spec};
use crate::restate::ingress::Ingress;
use crate::taxonomy::Taxonomy;
use crate::throttle::{Answerer, Pace, Rate};
use crate::ui::{Ui, context};

pub(super) fn run(global: &Global, command: RunsCommand, ui: Ui) -> Result<ExitStatus> {
    let runs = Runs::new(&home::folder(global)?);
    match command {
        RunsCommand::List(args) => list::run(&runs, &args, ui),
        RunsCommand::Show(args) => show::run(&runs, &args, ui),
        RunsCommand::Report(args) => show::report(&runs, &args, ui),
        RunsCommand::Resume(args) => block_on(resume(global, &runs, &args, ui)),
        RunsCommand::Attach(args) => block_on(collect::attach(global, &runs, &args, ui)),
        RunsCommand::Pause(args) => block_on(detached::pause(global, &runs, &args, ui)),
        RunsCommand::Cancel(args) => block_on(detached::cancel(global, &runs, &args, ui)),
        RunsCommand::Delete(args) => block_on(delete::run(global, &runs, &args, ui)),
        RunsCommand::Retry(args) => block_on(retry::run(global, &runs, &args, ui)),
    }
}

/// `runs resume`
async fn resume(global: &Global, runs: &Runs, args: &ResumeArgs, ui: Ui) -> Result<ExitStatus> {
    let mut run = place::find(global, runs, &args.id, &args.place, true)?;
    match run.folder.take_if(|folder| !folder.spec.options.detached) {
        Some(folder) => Box::pin(resume::run(runs, folder, run.nodes, args, ui)).await,
        None => Box::pin(detached::resume(run, args, ui)).await,
    }
}

/// Says which cluster and what run this is about, for hints. The file of a run's label set is not recorded.
fn about(cluster: &str, spec: Option<&Spec>) {
    let is_built_in = spec.is_none_or(|spec| spec.taxonomy.id == Taxonomy::economic().id());
    context::set(cluster, (!is_built_in).then(|| Path::new("FILE")));
}

/// The pace of a run over the nodes there are now. Batches stay as they are: their keys depend on them.
fn pace(spec: &Spec, nodes: &[(String, Ingress)], changes: &ChangeArgs) -> Pace {
    let count = u32::try_from(nodes.len()).ok().and_then(std::num::NonZeroU32::new);
    let rate = changes.rpm.map_or(spec.pace.rate, |total| Rate::Total(total.get().into()));
    let in_flight = spec.pace.max_in_flight;
    let count = count.unwrap_or(std::num::NonZeroU32::MIN);
    let answerer = Answerer::of(&spec.options.method.provider);
    Pace::new(rate, count, answerer, Some(spec.pace.batch_size), Some(in_flight))
}

/// Its limits, as far as they were not changed.
///
/// # Errors
/// For a limit on the cost where nobody knows what an indicator can cost.
fn limits(spec: &Spec, was: Limits, changes: &ChangeArgs) -> Result<Limits> {
    if changes.max_cost.is_some() && was.price.is_none() {
        let model = spec.options.method.model.as_deref().unwrap_or(RULES);
        return Err(Failure::usage(format!(
            "`--max-cost` needs a price, and the run {} knows none of `{model}`",
            spec.run_id
        ))
        .hint(
            "run the command again with `--max-cost` and `--prices FILE`: rows that are classified already cost nothing",
        ));
    }
    Ok(Limits {
        max_failures: changes.max_failures.or(was.max_failures),
        max_cost_usd: changes.max_cost.or(was.max_cost_usd),
        ..was
    })
}
