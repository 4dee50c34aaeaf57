//! Runs that the cluster goes on with: `runs pause`, `runs cancel`, and what `runs resume` means for them. `collect` has `runs attach`.

use super::super::{handover, job, print, question, signals};
use super::collect::job_of;
use super::place::{self, Place};
use super::resume::ready;
use super::say::say;
use super::states::{AGAIN, Command, State};
use crate::cli::Global;
use crate::cli::runs::{ActArgs, CancelArgs, ResumeArgs};
use crate::domain::detached::{Changes, Phase, Plan};
use crate::engine::counts;
use crate::engine::orders::{self, Order};
use crate::engine::withdraw::take_back;
use crate::error::{ExitStatus, Failure, Result};
use crate::ledger::{Line, RunFolder, Runs, Spec, now};
use crate::text::grouped;
use crate::ui::Ui;

/// `runs pause`
pub(super) async fn pause(global: &Global, runs: &Runs, args: &ActArgs, ui: Ui) -> Result<ExitStatus> {
    let place = place::find(global, runs, &args.id, &args.place, true)?;
    let (state, _) = place.stands().await?;
    state.allow(Command::Pause, &place.id)?;
    let progress = orders::order(&place.ingress(), &place.admins, &place.id, Order::Pause).await?;
    // It may have ended in between.
    let state = State::in_cluster(&progress);
    state.allow(Command::Pause, &place.id)?;
    say("paused", &place.id, &progress, ui);
    if let State::Halted(reason) = state {
        ui.note(&format!("halted     {reason}"));
    }
    ui.note(&format!("next       classify runs resume {}", place.id));
    Ok(ExitStatus::Success)
}

/// `runs cancel`, of any run.
pub(super) async fn cancel(global: &Global, runs: &Runs, args: &CancelArgs, ui: Ui) -> Result<ExitStatus> {
    let Some(id) = args.id.clone().map_or_else(|| youngest(runs), |id| Ok(Some(id)))? else {
        ui.note("nothing was cancelled");
        return Ok(ExitStatus::Success);
    };
    let place = place::find(global, runs, &id, &args.place, true)?;
    let (state, known) = place.stands().await?;
    state.allow(Command::Cancel, &place.id)?;
    let id = &place.id;
    match (state, &place.folder) {
        (State::Cancelled, folder) => {
            // An older version left its copies.
            if let Some(folder) = folder {
                folder.clone().claim()?.tidy();
            }
            ui.note(&format!("cancelled  {id} already; for the rest: {AGAIN}"));
        }
        (State::Interrupted, Some(folder)) => {
            let pending = give_up(folder, false)?;
            ui.note(&format!("cancelled  {id}: {} pending", grouped(pending)));
        }
        (State::NotHandedOver, Some(folder)) => {
            let progress = orders::give_up(&place.ingress(), id, &plan(&folder.spec)).await?;
            // It may have begun just now: what was submitted is collected then.
            let begun = progress.released > 0;
            give_up(folder, !begun)?;
            ui.note(&format!("cancelled  {id}: the cluster forgets what it had of it"));
            if begun {
                collect_next(id, ui);
            }
        }
        _ => {
            let progress = match known.filter(|known| known.phase == Phase::Cancelled) {
                Some(already) => already,
                None => orders::order(&place.ingress(), &place.admins, id, Order::Cancel).await?,
            };
            // It may have ended in between.
            State::in_cluster(&progress).allow(Command::Cancel, id)?;
            if let Some(folder) = &place.folder {
                give_up(folder, false)?;
            }
            // What costs nothing may end by itself.
            let may_cost = place.spec().is_none_or(|spec| spec.options.method.model.is_some());
            let progress = if may_cost { take_back(&place.ingress(), id, progress).await } else { progress };
            say("cancelled", id, &progress, ui);
            collect_next(id, ui);
        }
    }
    Ok(ExitStatus::Success)
}

fn collect_next(id: &str, ui: Ui) {
    ui.note(&format!("next       classify runs attach {id}   collects what was classified"));
}

/// Writes down that the run is given up, claimed so that nobody goes on with it meanwhile. Returns how many rows are pending. Copies of rows
/// go, but for those of a run whose results are still to be collected: `runs attach` reads them once more.
fn give_up(folder: &RunFolder, collected: bool) -> Result<u64> {
    let mut stats = counts(folder.spec.indicators(), &[]);
    let mut opened = folder.clone().open(&mut stats)?;
    if !opened.past.cancelled {
        let cancelled = Line::Cancelled { at: now(), collected };
        opened.journal.append([cancelled]).map_err(anyhow::Error::from)?;
    }
    if collected {
        opened.folder.save_report(&job::standing_report(folder, &opened.past, &stats))?;
    }
    if collected || !folder.spec.options.detached {
        opened.folder.tidy();
    }
    Ok(stats.pending())
}

/// What is to be handed over of a run, as far as giving it up needs it.
fn plan(spec: &Spec) -> Plan {
    Plan {
        // Rows that are no indicators stay here.
        indicators: spec.indicators().saturating_sub(spec.counts().invalid),
        batch_size: spec.pace.batch_size,
        per_minute: None,
        max_in_flight: spec.pace.max_in_flight,
        largest_batch: 0,
        max_failures: None,
        max_cost_usd: None,
        expected_cost_usd: 0.0,
    }
}

/// The youngest run, if somebody says that it is meant.
fn youngest(runs: &Runs) -> Result<Option<String>> {
    let folder = runs.find("latest")?;
    let id = folder.spec.run_id.clone();
    if !question::can_be_asked() {
        return Err(Failure::usage("nothing was cancelled: which run is meant?").hint(format!(
            "name it: `classify runs cancel {id}` is the youngest; `classify runs list` shows all"
        )));
    }
    let question = format!("Cancel the run {id} ({})?", super::list::state(&folder)?);
    Ok(question::confirmed(&question)?.then_some(id))
}

/// `runs resume` of a run that was handed over: it goes on, or is handed over if it never was.
pub(super) async fn resume(run: Place, args: &ResumeArgs, ui: Ui) -> Result<ExitStatus> {
    let stop = signals::listen()?;
    if args.accept_changes {
        return Err(Failure::usage(format!(
            "`--accept-changes` does nothing here: the rows of the run {} go to the cluster as they were",
            run.id
        ))
        .hint(AGAIN));
    }
    let (state, known) = run.stands().await?;
    state.allow(Command::Resume, &run.id)?;
    let limits = run.spec().map(|spec| super::limits(spec, spec.limits, &args.changes)).transpose()?;
    let (what, progress) = match (state, known, run.folder) {
        (State::Over, Some(progress), _) => ("over", progress),
        (State::NotHandedOver, _, Some(folder)) => {
            ready(&run.nodes, &folder.spec, &stop, ui).await?;
            let pace = super::pace(&folder.spec, &run.nodes, &args.changes);
            let limits = limits.unwrap_or(folder.spec.limits);
            let job = job_of(folder, run.nodes, pace, limits, u64::MAX, &stop).await?;
            return handover::hand_over(job, args.changes.json, &stop, ui)
                .await
                .map(|()| ExitStatus::Success);
        }
        (_, _, _folder) => {
            let changes = Changes {
                per_minute: args.changes.rpm.map(|rpm| rpm.get().into()),
                max_failures: args.changes.max_failures,
                max_cost_usd: args.changes.max_cost,
            };
            let nodes: Vec<_> = run.nodes.iter().map(|(_, node)| node.clone()).collect();
            let progress = orders::order(&nodes, &run.admins, &run.id, Order::Resume(changes)).await?;
            ("resumed", progress)
        }
    };
    say(what, &run.id, &progress, ui);
    ui.note(&format!("next       classify runs attach {}", run.id));
    if args.changes.json {
        print(&handover::as_json(&run.id, &progress)?, ui)?;
    }
    Ok(ExitStatus::Success)
}
