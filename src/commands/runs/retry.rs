//! `classify runs retry`: the failed rows of a finished run, classified again and put among its results.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::job::{self, Job};
use super::super::signals;
use super::place::{self, Place};
use super::states::Command;
use crate::cli::Global;
use crate::cli::runs::RetryArgs;
use crate::domain::batch::RunOptions;
use crate::domain::outcome::FailureClass;
use crate::domain::stats::RunStats;
use crate::engine::counts;
use crate::error::{ExitStatus, Failure, Result};
use crate::ledger::{self, Limits, Opened, Retried, Runs, Spec, Speed, Standing};
use crate::output::Extent;
use crate::text::count;
use crate::ui::Ui;

pub(super) async fn run(global: &Global, runs: &Runs, args: &RetryArgs, ui: Ui) -> Result<ExitStatus> {
    let stop = signals::listen()?;
    let Place { nodes, target, folder, .. } = place::find(global, runs, &args.id, &args.place, false)?;
    let folder = folder.ok_or_else(|| Failure::usage(format!("no run `{}`", args.id)))?;
    place::listed(&folder)?.allow(Command::Retry, &folder.spec.run_id)?;
    let mut before = RunStats::new(folder.spec.indicators(), Vec::new());
    // Held until the new run is done: nobody else may retry the same rows meanwhile.
    let parent = folder.open(&mut before)?;
    let results = retryable(&parent, &before)?;
    let classes: BTreeSet<FailureClass> = if args.class.is_empty() {
        FailureClass::ALL.into_iter().filter(|class| *class != FailureClass::InvalidInput).collect()
    } else {
        args.class.iter().copied().collect()
    };
    let retried: u64 =
        before.failed.iter().filter(|(class, _)| classes.contains(class)).map(|(_, n)| n).sum();
    if retried == 0 {
        ui.note(&format!("run        {}: nothing to retry", parent.folder.spec.run_id));
        return Ok(ExitStatus::Success);
    }
    let kept = before.failed.iter().filter(|(class, _)| !classes.contains(class));
    let was = &parent.folder.spec;
    let before_limits = Limits { max_failures: None, max_cost_usd: None, ..was.limits };
    let limits = super::limits(was, before_limits, &args.changes)?;
    let spec = Spec {
        run_id: runs.new_id(),
        created_at: ledger::now(),
        parent: Some(parent.folder.spec.run_id.clone()),
        rows: ledger::Rows::Failures(Retried {
            rows: retried,
            results: parent.past.mark.results,
            succeeded: before.succeeded,
            failed: kept.map(|(class, number)| (*class, *number)).collect(),
            input: parent.folder.spec.counts(),
        }),
        target,
        // The client looks after them, whoever looked after the others.
        options: RunOptions { detached: false, ..parent.folder.spec.options.clone() },
        limits,
        pace: Speed { batch_size: limits.affordable(was.pace.batch_size), ..was.pace },
        ..parent.folder.spec.clone()
    };
    ui.note(&format!("retry      {} of {}", count(retried, "failed row"), results.display()));
    let pace = super::pace(&spec, &nodes, &args.changes);
    let sink = job::sink(&spec)?;
    super::resume::ready(&nodes, &spec, &stop, ui).await?;
    let mut stats = counts(spec.indicators(), &nodes);
    let failures = spec.output.failures.clone();
    let fill = |folder: &Path| {
        let (retry, keep) = (folder.join("retry.jsonl"), folder.join("kept.jsonl"));
        let split = ledger::split_failures(&failures, &classes, &retry, &keep)?;
        if split.retried != retried {
            return Err(std::io::Error::other(format!("{} was changed", failures.display())));
        }
        std::fs::copy(parent.folder.rows_file(), folder.join("rows.bin")).map(drop)
    };
    let opened = runs.create(spec, fill, &mut stats)?;
    let rows = Box::new(ledger::retried_rows(&opened.folder.retry_file())?);
    Job { opened, stats, sink, rows, nodes, pace, limits }.execute(stop, args.changes.json, ui).await
}

/// The results of a run whose failures can be retried.
fn retryable<'a>(parent: &'a Opened, stats: &RunStats) -> Result<&'a Path> {
    let spec = &parent.folder.spec;
    let refuse = |why: String| Failure::usage(format!("the run {} {why}", spec.run_id));
    match &parent.past.standing {
        Standing::Finished if stats.pending() == 0 => {}
        Standing::Superseded(by) => {
            return Err(refuse(format!("was retried already, by {by}"))
                .hint(format!("retry that one: `classify runs retry {by}`")));
        }
        _ => {
            return Err(refuse("is not finished".into())
                .hint(format!("go on with it first: `classify runs resume {}`", spec.run_id)));
        }
    }
    let Some(results) = &spec.output.results else {
        return Err(refuse("wrote its results to stdout: there is nothing to put more rows into".into())
            .hint(
                "run the command again with `--output FILE`: rows that are classified already cost nothing",
            ));
    };
    let mark = parent.past.mark;
    for (path, extent) in [(results, mark.results), (&spec.output.failures, mark.failures)] {
        if extent == Extent::default() {
            // Nothing failed, and there is nothing to retry.
            continue;
        }
        let as_left = extent.is_all_of(path);
        if !as_left
            .map_err(|error| Failure::unexpected(format!("cannot read {}: {error}", path.display())))?
        {
            return Err(refuse(format!(
                "left {} behind, and it was changed or replaced since",
                path.display()
            ))
            .hint("put it back, or run the command again: rows that are classified already cost nothing"));
        }
    }
    Ok(results)
}
