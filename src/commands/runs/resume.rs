//! `classify runs resume`: what a process before this one has begun.

use tokio::task::spawn_blocking;

use super::super::job::{self, Job};
use super::super::preflight::{self, Wanted};
use super::super::signals;
use super::states::AGAIN;
use crate::cli::runs::{ChangeArgs, ResumeArgs};
use crate::engine::counts;
use crate::error::{ExitStatus, Failure, Result};
use crate::input::{self, Checked, RowId, Source};
use crate::ledger::{self, Opened, RunFolder, Runs, Spec, Standing, Tables};
use crate::restate::ingress::Ingress;
use crate::shutdown::{Level, Shutdown};
use crate::text::grouped;
use crate::ui::Ui;

/// `runs resume` of a run of this machine.
pub(super) async fn run(
    runs: &Runs,
    folder: RunFolder,
    nodes: Vec<(String, Ingress)>,
    args: &ResumeArgs,
    ui: Ui,
) -> Result<ExitStatus> {
    let stop = signals::listen()?;
    let spec = folder.spec.clone();
    let mut stats = counts(spec.indicators(), &nodes);
    let mut opened = folder.open(&mut stats)?;
    match &opened.past.standing {
        Standing::Open => {}
        Standing::Sealed(_) => {
            if let Some(status) = job::settle(&mut opened, &stats, None, args.changes.json, ui)? {
                return Ok(status);
            }
        }
        Standing::Finished => return finished(&opened.folder, args.changes.json, ui),
        Standing::Cancelled { .. } => {
            return Err(Failure::usage(format!("the run {} was cancelled", spec.run_id)).hint(AGAIN));
        }
        Standing::Superseded(by) => return Err(superseded(&spec.run_id, by)),
    }
    let rows: job::AllRows = match &spec.rows {
        ledger::Rows::Failures(_) => Box::new(ledger::retried_rows(&opened.folder.retry_file())?),
        ledger::Rows::Tables(tables) => match unchanged(tables, &opened.folder, &stop).await? {
            Input::Same(checked) => Box::new(checked.rows()),
            Input::Changed(changed) if args.accept_changes => {
                return Box::pin(follow_up(runs, opened, *changed, nodes, &args.changes, stop, ui)).await;
            }
            Input::Changed(found) => return Err(changed(&spec, &found)),
        },
    };
    let pace = super::pace(&spec, &nodes, &args.changes);
    let limits = super::limits(&spec, spec.limits, &args.changes)?;
    if let Some(failure) = job::brakes(&limits).are_on(&stats) {
        return Err(failure);
    }
    let sink = job::sink(&spec)?;
    ready(&nodes, &spec, &stop, ui).await?;
    let job = Job { opened, stats, sink, rows, nodes, pace, limits };
    job.execute(stop, args.changes.json, ui).await
}

/// The input of a run, read again.
pub(super) enum Input {
    Same(Box<Checked>),
    Changed(Box<Changed>),
}

/// An input that is not what it was.
pub(super) struct Changed {
    checked: Checked,
    rows: Vec<RowId>,
    changes: ledger::Changes,
    tables: Tables,
}

/// As [`read_again`], unless it is interrupted: an input may be long, and its disk slow.
pub(super) async fn unchanged(tables: &Tables, folder: &RunFolder, stop: &Shutdown) -> Result<Input> {
    let reading = spawn_blocking({
        let (tables, folder) = (tables.clone(), folder.clone());
        move || read_again(&tables, &folder)
    });
    tokio::select! {
        read = reading => read.map_err(anyhow::Error::from)?,
        () = stop.at_least(Level::Drain) => Err(interrupted()),
    }
}

fn interrupted() -> Failure {
    Failure::new(ExitStatus::Interrupted, "interrupted before anything was submitted")
}

/// Reads the input again and compares it, byte by byte, with what it was.
fn read_again(tables: &Tables, folder: &RunFolder) -> Result<Input> {
    let sources: Vec<Source> = tables.sources.iter().cloned().map(Source::from).collect();
    let mut checked = input::check(&sources, &tables.options, tables.keys)
        .map_err(|failure| failure.hint("the run needs the input it began with, at the same place"))?;
    if checked.summary().digest == tables.digest {
        return Ok(Input::Same(Box::new(checked)));
    }
    let rows: Vec<RowId> = checked.take_rows().collect();
    let changes = ledger::changes(&folder.rows_file(), rows.iter().copied()).map_err(|error| {
        Failure::unexpected(format!("cannot read {}: {error}", folder.rows_file().display()))
    })?;
    let summary = checked.summary();
    let tables = Tables {
        digest: summary.digest.clone(),
        files: summary.files,
        rows: summary.rows,
        invalid: summary.invalid,
        duplicates: summary.duplicates,
        ..tables.clone()
    };
    Ok(Input::Changed(Box::new(Changed { checked, rows, changes, tables })))
}

fn changed(spec: &Spec, changed: &Changed) -> Failure {
    let ledger::Changes { added, removed, changed } = changed.changes;
    Failure::usage(format!("the input of the run {} has changed since it began", spec.run_id))
        .detail(format!(
            "{} added, {} removed, {} with other content",
            grouped(added),
            grouped(removed),
            grouped(changed)
        ))
        .hint(
            "classify it as it is now: add `--accept-changes`; rows that are the same are not paid for again",
        )
}

pub(super) fn superseded(run_id: &str, by: &str) -> Failure {
    Failure::usage(format!("the files of the run {run_id} belong to the run {by} now"))
        .hint(format!("see it: `classify runs show {by}`"))
}

/// A run over the changed input, which takes the place of the one that cannot go on.
async fn follow_up(
    runs: &Runs,
    old: Opened,
    changed: Changed,
    nodes: Vec<(String, Ingress)>,
    wishes: &ChangeArgs,
    stop: Shutdown,
    ui: Ui,
) -> Result<ExitStatus> {
    let Changed { checked, rows, tables, .. } = changed;
    let Opened { folder, mut journal, .. } = old;
    let spec = Spec {
        run_id: runs.new_id(),
        created_at: ledger::now(),
        parent: Some(folder.spec.run_id.clone()),
        rows: ledger::Rows::Tables(tables),
        ..folder.spec.clone()
    };
    let sink = job::sink(&spec)?;
    let pace = super::pace(&spec, &nodes, wishes);
    let limits = super::limits(&spec, spec.limits, wishes)?;
    ready(&nodes, &spec, &stop, ui).await?;
    let mut stats = counts(spec.indicators(), &nodes);
    let by = spec.run_id.clone();
    let fill = |folder: &std::path::Path| ledger::write_rows(&folder.join("rows.bin"), rows.into_iter());
    let opened = runs.create(spec, fill, &mut stats)?;
    journal.append([ledger::Line::Superseded { by }]).map_err(anyhow::Error::from)?;
    let job = Job { opened, stats, sink, rows: Box::new(checked.rows()), nodes, pace, limits };
    job.execute(stop, wishes.json, ui).await
}

/// Waits for the cluster's word that it serves what the run wants.
pub(super) async fn ready(nodes: &[(String, Ingress)], spec: &Spec, stop: &Shutdown, ui: Ui) -> Result<()> {
    let wanted = Wanted { options: &spec.options, taxonomy: &spec.taxonomy.id, can_start: false };
    tokio::select! {
        ready = preflight::check(nodes, &wanted, ui) => ready,
        () = stop.at_least(Level::Drain) => Err(interrupted()),
    }
}

/// There is nothing to do: what was told at its end is told again.
pub(super) fn finished(folder: &RunFolder, json: bool, ui: Ui) -> Result<ExitStatus> {
    ui.note(&format!("run        {} is finished", folder.spec.run_id));
    let report = super::show::kept_report(folder)?;
    job::tell(&report, json, ui)?;
    Ok(report.status())
}
