//! `runs attach`: a run that the cluster goes on with, watched to its end, and its results collected.

use super::super::job::{self, AllRows, Job};
use super::super::{claims, handover, print, signals};
use super::place::{self, Place};
use super::resume::{Input, finished, unchanged};
use super::say::say;
use super::states::{AGAIN, Command, State};
use crate::cli::Global;
use crate::cli::runs::{AttachArgs, ChangeArgs};
use crate::domain::detached::{Phase, Progress};
use crate::domain::max_failures::MaxFailures;
use crate::engine::{attach, counts};
use crate::error::{ExitStatus, Failure, Result};
use crate::input::Row;
use crate::ledger::{self, Limits, Line, RunFolder, Runs, Spec, Speed, Standing};
use crate::restate::ingress::Ingress;
use crate::shutdown::{Level, Shutdown};
use crate::text::grouped;
use crate::throttle::{Pace, Rate};
use crate::ui::Ui;
use crate::ui::attached::Attached;

/// `runs attach`
pub(super) async fn attach(global: &Global, runs: &Runs, args: &AttachArgs, ui: Ui) -> Result<ExitStatus> {
    let stop = signals::listen()?;
    let place = place::find(global, runs, &args.run.id, &args.run.place, true)?;
    let id = &place.id;
    let listed = place.listed()?;
    if let (Some(state), Some(folder)) = (&listed, &place.folder)
        && !state.is_of_cluster()
    {
        state.allow(Command::Attach, id)?;
        match state {
            State::Finished => return finished(folder, args.json, ui),
            State::Cancelled => return told_again(folder, args.json, ui),
            _ => {}
        }
    }
    let mut view = Attached::new(ui);
    let nodes = place.ingress();
    let options = place.spec().map(|spec| &spec.options);
    let followed = tokio::select! {
        followed = attach::follow(&nodes, id, options, |news| view.tell(&news, nodes.len())) => Some(followed),
        () = stop.at_least(Level::Drain) => None,
    };
    view.finish();
    let Some(progress) = followed.transpose()? else {
        return Err(Failure::new(
            ExitStatus::Interrupted,
            "no longer attached; the cluster goes on with the run",
        )
        .hint(format!(
            "`classify runs attach {id}` shows it again, `classify runs pause {id}` lets it wait"
        )));
    };
    let Some(progress) = progress else {
        return Err(match &place.folder {
            Some(_) => not_begun(id),
            None => attach::unknown(id),
        });
    };
    State::in_cluster(&progress).allow(Command::Attach, id)?;
    let Some(folder) = &place.folder else { return tell(id, &progress, args.json, ui) };
    claims::refuse_taken(runs, folder)?;
    Box::pin(collect(place, progress, args, stop, ui)).await
}

/// The cluster knows nothing of a run of the ledger.
fn not_begun(id: &str) -> Failure {
    let refused = State::NotHandedOver.allow(Command::Attach, id);
    refused.err().unwrap_or_else(|| attach::unknown(id))
}

/// What was told when the results were collected is told again.
fn told_again(folder: &RunFolder, json: bool, ui: Ui) -> Result<ExitStatus> {
    let report = super::show::report_of(folder)?;
    job::tell(&report, json, ui)?;
    Err(cancelled(&folder.spec.run_id, report.totals.pending))
}

fn cancelled(id: &str, pending: u64) -> Failure {
    let said = format!("the run {id} was cancelled: {} pending", grouped(pending));
    Failure::new(ExitStatus::SomeFailed, said).hint(format!("for the rest: {AGAIN}"))
}

/// Collects the results of what was submitted. The cluster has them; a batch that it has forgotten is classified again from answers that
/// it remembers longer.
async fn collect(
    run: Place,
    progress: Progress,
    args: &AttachArgs,
    stop: Shutdown,
    ui: Ui,
) -> Result<ExitStatus> {
    let Place { id, nodes, folder: Some(folder), .. } = run else {
        return Err(attach::unknown(&run.id));
    };
    let spec = folder.spec.clone();
    // What `runs resume` has changed since is what the cluster goes by.
    let changes =
        ChangeArgs { max_cost: args.max_cost, max_failures: args.max_failures, ..ChangeArgs::default() };
    let plan = progress.plan.clone();
    let rate = plan.per_minute.map_or(Rate::Unlimited, Rate::Total);
    let paced = Spec { pace: Speed { rate, ..spec.pace }, ..spec };
    let pace = super::pace(&paced, &nodes, &changes);
    let limits = Limits {
        max_failures: plan.max_failures.map(|most| beyond(most, &progress, paced.counts().invalid)),
        max_cost_usd: plan.max_cost_usd,
        expected_cost_usd: plan.expected_cost_usd,
        price: paced.limits.price,
    };
    let limits = super::limits(&paced, limits, &changes)?;
    let submitted = plan.rows_before(progress.released);
    let mut job = job_of(folder, nodes, pace, limits, submitted, &stop).await?;
    if progress.phase == Phase::Cancelled && !job.opened.past.cancelled {
        // By another machine, or by an order that was thought lost.
        let line = Line::Cancelled { at: ledger::now(), collected: false };
        job.opened.journal.append([line.clone()]).map_err(anyhow::Error::from)?;
        job.opened.past.learn(line, &mut job.stats).map_err(Failure::unexpected)?;
    }
    if let Standing::Sealed(_) = job.opened.past.standing
        && let Some(status) = job::settle(&mut job.opened, &job.stats, Some(&progress), args.json, ui)?
    {
        return if job.opened.past.cancelled { Err(cancelled(&id, job.stats.pending())) } else { Ok(status) };
    }
    let (phase, pending) = (progress.phase, progress.pending());
    let status = Box::pin(job.collect(progress, stop, args.json, ui)).await?;
    if phase == Phase::Cancelled && status != ExitStatus::Interrupted && status != ExitStatus::ReaderGone {
        return Err(cancelled(&id, pending));
    }
    Ok(status)
}

/// The limit for what is classified again while results are collected: what has failed already is no reason to leave them.
fn beyond(most: MaxFailures, progress: &Progress, invalid: u64) -> MaxFailures {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of the rows"
    )]
    let most = match most {
        MaxFailures::Count(most) => most,
        MaxFailures::Percent(percent) => (percent / 100.0 * progress.plan.indicators as f64) as u64,
    };
    MaxFailures::Count(most.max(progress.tally.failures() + invalid))
}

/// The run with the first `submitted` of its rows.
pub(super) async fn job_of(
    folder: RunFolder,
    nodes: Vec<(String, Ingress)>,
    pace: Pace,
    limits: Limits,
    submitted: u64,
    stop: &Shutdown,
) -> Result<Job> {
    let spec = folder.spec.clone();
    let mut stats = counts(spec.indicators(), &nodes);
    let opened = folder.open(&mut stats)?;
    let rows = rows(&spec, &opened.folder, submitted, stop).await?;
    let sink = job::sink(&spec)?;
    Ok(Job { opened, stats, sink, rows, nodes, pace, limits })
}

async fn rows(spec: &Spec, folder: &RunFolder, submitted: u64, stop: &Shutdown) -> Result<AllRows> {
    let ledger::Rows::Tables(tables) = &spec.rows else {
        return Err(Failure::unexpected("a run over failures is never handed over"));
    };
    let Input::Same(checked) = unchanged(tables, folder, stop).await? else {
        return Err(Failure::usage(format!(
            "the input of the run {} has changed since it began: rows and results do not belong together",
            spec.run_id
        ))
        .hint("put it back as it was, and say the same again")
        .hint(format!("or, over the input as it is now: {AGAIN}")));
    };
    let mut left = submitted;
    Ok(Box::new(checked.rows().filter(move |row| {
        let Ok(Row::Valid(_)) = row else { return true };
        let there = left > 0;
        left = left.saturating_sub(1);
        there
    })))
}

/// What is known of a run of which nothing is on this machine.
fn tell(id: &str, progress: &Progress, json: bool, ui: Ui) -> Result<ExitStatus> {
    let what = if progress.phase == Phase::Cancelled { "cancelled" } else { "over" };
    say(what, id, progress, ui);
    ui.note("results    with the machine that handed it over: `classify runs attach` collects them there");
    if json {
        print(&handover::as_json(id, progress)?, ui)?;
    }
    let all = progress.tally.succeeded == progress.plan.indicators;
    Ok(if all { ExitStatus::Success } else { ExitStatus::SomeFailed })
}
