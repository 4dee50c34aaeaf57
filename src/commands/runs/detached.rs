//! Runs that the cluster goes on with: `runs attach`, `runs pause`, `runs cancel`, and what `runs resume` means for them.

use super::super::job::{AllRows, Job};
use super::super::{handover, job, print, question, signals, target};
use super::resume::{Input, finished, ready, superseded, unchanged};
use crate::cli::Global;
use crate::cli::runs::{ActArgs, AttachArgs, CancelArgs, ChangeArgs, ResumeArgs};
use crate::domain::detached::{Changes, Phase, Progress};
use crate::domain::max_failures::MaxFailures;
use crate::engine::attach::{self, Order};
use crate::engine::counts;
use crate::error::{ExitStatus, Failure, Result};
use crate::input::Row;
use crate::ledger::{self, Limits, RunFolder, Runs, Spec, Speed, Standing};
use crate::restate::ingress::Ingress;
use crate::shutdown::{Level, Shutdown};
use crate::text::grouped;
use crate::throttle::{Pace, Rate};
use crate::ui::Ui;
use crate::ui::attached::Attached;

/// A run, and how to reach it.
struct Place {
    id: String,
    nodes: Vec<Ingress>,
    /// In the ledger of this machine.
    folder: Option<RunFolder>,
}

fn place(global: &Global, runs: &Runs, args: &ActArgs) -> Result<Place> {
    let folder = match runs.find(&args.id) {
        Ok(folder) => Some(folder),
        // Another machine may have handed it over.
        Err(_) if ledger::is_id(&args.id) => None,
        Err(failure) => return Err(failure),
    };
    let (cluster, ingress) = match &folder {
        Some(folder) => {
            super::about(&folder.spec);
            (&folder.spec.target.cluster, &folder.spec.target.ingress)
        }
        None => (&args.cluster, &args.ingress),
    };
    let nodes = target::ingress(global, cluster, ingress)?.into_iter().map(|(_, node)| node).collect();
    let id = folder.as_ref().map_or_else(|| args.id.clone(), |folder| folder.spec.run_id.clone());
    Ok(Place { id, nodes, folder })
}

impl Place {
    /// Refuses runs that are in this ledger and were not handed over.
    fn detached(self) -> Result<Self> {
        match &self.folder {
            Some(folder) if !folder.spec.options.detached => {
                Err(Failure::usage(format!("the run {} was not handed over to the cluster", self.id)).hint(
                    "it is paused by ending its process (Ctrl-C); `classify runs resume` goes on with it",
                ))
            }
            _ => Ok(self),
        }
    }
}

/// `runs attach`
pub(super) async fn attach(global: &Global, runs: &Runs, args: &AttachArgs, ui: Ui) -> Result<ExitStatus> {
    let stop = signals::listen()?;
    let Place { id, nodes, folder } = place(global, runs, &args.run)?.detached()?;
    if let Some(folder) = &folder
        && folder.look(&mut counts(folder.spec.indicators(), &[]))?.standing == Standing::Finished
    {
        return finished(folder, args.json, ui);
    }
    let mut view = Attached::new(ui);
    let followed = tokio::select! {
        followed = attach::follow(&nodes, &id, |progress| view.show(progress)) => Some(followed),
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
    if let Some(reason) = progress.halted.as_ref().filter(|_| !progress.is_over()) {
        return Err(Failure::new(ExitStatus::SomeFailed, format!("the run has halted: {reason}"))
            .hint(format!("when that is put right: `classify runs resume {id}`")));
    }
    match folder {
        Some(folder) => Box::pin(collect(global, folder, progress, args, stop, ui)).await,
        None => tell(&id, &progress, args.json, ui),
    }
}

/// `runs pause`
pub(super) async fn pause(global: &Global, runs: &Runs, args: &ActArgs, ui: Ui) -> Result<ExitStatus> {
    let Place { id, nodes, .. } = place(global, runs, args)?.detached()?;
    let progress = attach::order(&nodes, &id, Order::Pause).await?;
    say("paused", &id, &progress, ui);
    ui.note(&format!("next       classify runs resume {id}"));
    Ok(ExitStatus::Success)
}

/// `runs cancel`, of any run.
pub(super) async fn cancel(global: &Global, runs: &Runs, args: &CancelArgs, ui: Ui) -> Result<ExitStatus> {
    let Some(id) = args.id.clone().map_or_else(|| youngest(runs), |id| Ok(Some(id)))? else {
        ui.note("nothing was cancelled");
        return Ok(ExitStatus::Success);
    };
    let wanted = ActArgs { id, cluster: args.cluster.clone(), ingress: args.ingress.clone() };
    let Place { id, nodes, folder } = place(global, runs, &wanted)?;
    let detached = folder.as_ref().is_none_or(|folder| folder.spec.options.detached);
    if detached {
        let progress = attach::order(&nodes, &id, Order::Cancel).await?;
        if progress.phase != Phase::Cancelled {
            return Err(Failure::usage(format!("the run {id} is over")));
        }
        say("cancelled", &id, &progress, ui);
    }
    if let Some(folder) = folder {
        // Claimed, so that nobody goes on with it meanwhile.
        let mut stats = counts(folder.spec.indicators(), &[]);
        let opened = folder.open(&mut stats)?;
        if matches!(opened.past.standing, Standing::Finished | Standing::Superseded(_)) {
            return Err(Failure::usage(format!("the run {id} is finished")));
        }
        opened.folder.cancel()?;
        if detached {
            ui.note(&format!("next       classify runs attach {id}   collects what was classified"));
        } else {
            ui.note(&format!("cancelled  {id}: {} pending", grouped(stats.pending())));
        }
    }
    Ok(ExitStatus::Success)
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
pub(super) async fn resume(
    global: &Global,
    folder: RunFolder,
    args: &ResumeArgs,
    ui: Ui,
) -> Result<ExitStatus> {
    let stop = signals::listen()?;
    let spec = folder.spec.clone();
    let id = &spec.run_id;
    if folder.look(&mut counts(spec.indicators(), &[]))?.standing == Standing::Cancelled {
        return Err(Failure::usage(format!("the run {id} was cancelled"))
            .hint("run the command again: rows that are classified already are not paid for twice"));
    }
    let named = target::ingress(global, &spec.target.cluster, &spec.target.ingress)?;
    let nodes: Vec<Ingress> = named.iter().map(|(_, node)| node.clone()).collect();
    let limits = super::limits(&spec, spec.limits, &args.changes)?;
    let changes = Changes {
        per_minute: args.changes.rpm.map(|rpm| rpm.get().into()),
        max_failures: args.changes.max_failures,
        max_cost_usd: args.changes.max_cost,
    };
    match attach::find(&nodes, id).await? {
        Some(progress) if progress.is_over() => say("over", id, &progress, ui),
        Some(_) => {
            let progress = attach::order(&nodes, id, Order::Resume(changes)).await?;
            say("resumed", id, &progress, ui);
        }
        None => {
            ready(&named, &spec, &stop, ui).await?;
            let pace = super::pace(&spec, &named, &args.changes);
            let job = job(folder, named, pace, limits, u64::MAX, &stop).await?;
            return handover::hand_over(job, &stop, ui).await.map(|()| ExitStatus::Success);
        }
    }
    ui.note(&format!("next       classify runs attach {id}"));
    Ok(ExitStatus::Success)
}

/// Collects the results of what was submitted. The cluster has them; a batch that it has forgotten is classified again from answers that
/// it remembers longer.
async fn collect(
    global: &Global,
    folder: RunFolder,
    progress: Progress,
    args: &AttachArgs,
    stop: Shutdown,
    ui: Ui,
) -> Result<ExitStatus> {
    let spec = folder.spec.clone();
    let nodes = target::ingress(global, &spec.target.cluster, &spec.target.ingress)?;
    // What `runs resume` has changed since is what the cluster goes by.
    let changes = ChangeArgs { max_cost: args.max_cost, ..ChangeArgs::default() };
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
    let submitted = plan.rows_before(progress.released);
    let id = folder.spec.run_id.clone();
    let job = job(folder, nodes, pace, super::limits(&paced, limits, &changes)?, submitted, &stop).await?;
    let (phase, pending) = (progress.phase, progress.pending());
    let status = job.collect(progress, stop, args.json, ui).await?;
    if phase == Phase::Cancelled {
        let pending = grouped(pending);
        return Err(Failure::new(
            ExitStatus::SomeFailed,
            format!("the run {id} was cancelled: {pending} pending"),
        )
        .hint("run the command again: rows that are classified already are not paid for twice"));
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
async fn job(
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
    if let Standing::Superseded(by) = &opened.past.standing {
        return Err(superseded(&spec.run_id, by));
    }
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
        .hint("put it back as it was"));
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
    say("over", id, progress, ui);
    ui.note("results    with the machine that handed it over: `classify runs attach` collects them there");
    if json {
        print(&serde_json::to_string_pretty(progress).map_err(anyhow::Error::from)?, ui)?;
    }
    let all = progress.tally.succeeded == progress.plan.indicators;
    Ok(if all { ExitStatus::Success } else { ExitStatus::SomeFailed })
}

fn say(what: &str, id: &str, progress: &Progress, ui: Ui) {
    ui.note(&format!(
        "{what:<10} {id}: {} classified, {} failed, {} pending of {}, {} of them in flight",
        grouped(progress.tally.succeeded),
        grouped(progress.tally.failures()),
        grouped(progress.pending()),
        grouped(progress.plan.indicators),
        grouped(progress.in_flight())
    ));
}
