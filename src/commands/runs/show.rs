//! `classify runs show` and `runs report`: one run, from its folder.

use serde::Serialize;

use super::super::{job, print};
use super::list::state;
use super::place;
use super::states::{Command, State};
use crate::cli::runs::ShowArgs;
use crate::domain::stats::RunStats;
use crate::error::{ExitStatus, Failure, Result};
use crate::ledger::{self, RunFolder, Runs, Spec, Standing};
use crate::report::RunReport;
use crate::text::{grouped, printable};
use crate::ui::Ui;

pub(super) fn run(runs: &Runs, args: &ShowArgs, ui: Ui) -> Result<ExitStatus> {
    #[derive(Serialize)]
    struct Shown<'a> {
        state: String,
        #[serde(flatten)]
        spec: &'a Spec,
        folder: std::borrow::Cow<'a, str>,
        report: RunReport,
    }
    let folder = runs.find(&args.id)?;
    let (report, state) = (report_of(&folder)?, state(&folder)?);
    let text = if args.json {
        let shown = Shown { state, spec: &folder.spec, folder: folder.path().to_string_lossy(), report };
        serde_json::to_string_pretty(&shown).map_err(anyhow::Error::from)?
    } else {
        describe(&folder, &state, &report)
    };
    print(&text, ui)?;
    Ok(ExitStatus::Success)
}

fn describe(folder: &RunFolder, state: &str, report: &RunReport) -> String {
    let spec = &folder.spec;
    let method = &spec.options.method;
    let input = match &spec.rows {
        ledger::Rows::Tables(tables) => printable(&tables.names.join(", ")),
        ledger::Rows::Failures(retried) => format!("{} failed rows of an earlier run", grouped(retried.rows)),
    };
    let totals = &report.totals;
    let results =
        spec.output.results.as_ref().map_or_else(|| "stdout".to_owned(), |path| path.display().to_string());
    let mut lines = vec![
        format!("run        {}", spec.run_id),
        format!("state      {state}"),
        format!("made       {}", spec.created_at),
        format!("input      {input}"),
        format!("provider   {}", printable(method.model.as_deref().unwrap_or(&method.provider))),
        format!("taxonomy   {}", printable(&spec.taxonomy.id)),
        format!(
            "rows       {}: {} classified, {} failed, {} pending",
            grouped(totals.indicators),
            grouped(totals.succeeded),
            grouped(totals.failed),
            grouped(totals.pending)
        ),
        format!("results    {}", printable(&results)),
        format!("failures   {}", printable(&spec.output.failures.display().to_string())),
        format!("ledger     {}", printable(&folder.path().display().to_string())),
    ];
    if let Some(parent) = &spec.parent {
        lines.insert(1, format!("follows    {parent}"));
    }
    lines.join("\n")
}

pub(super) fn report(runs: &Runs, args: &ShowArgs, ui: Ui) -> Result<ExitStatus> {
    let folder = runs.find(&args.id)?;
    let (report, state) = (report_of(&folder)?, place::listed(&folder)?);
    state.allow(Command::Report, &folder.spec.run_id)?;
    if let Some(line) = as_of_now(&folder.spec.run_id, &state) {
        ui.note(&line);
    }
    let text = if args.json {
        serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?
    } else {
        crate::report::summary(&job::from_here(&report)).join("\n")
    };
    print(&text, ui)?;
    Ok(ExitStatus::Success)
}

/// What a report that is not the last one leaves out.
fn as_of_now(id: &str, state: &State) -> Option<String> {
    match state {
        State::Running(pid) => {
            Some(format!("running    pid {pid} is at the run; this is what is on disk by now"))
        }
        State::Detached => Some(format!(
            "detached   the cluster has the run; this is what is collected by now. How it stands: `classify runs attach {id}`"
        )),
        State::NotHandedOver => Some(format!(
            "run        {id} was not handed over to its end; hand it over again: `classify runs resume {id}`"
        )),
        State::GivenUp => Some(format!(
            "cancelled  what was classified is not collected: `classify runs attach {id}` does that"
        )),
        _ => None,
    }
}

/// The report that was made at the run's end, or of what its journal says so far.
pub(super) fn report_of(folder: &RunFolder) -> Result<RunReport> {
    let mut stats = RunStats::new(folder.spec.indicators(), Vec::new());
    let past = folder.look(&mut stats)?;
    match past.standing {
        Standing::Finished | Standing::Superseded(_) if stats.pending() == 0 => kept_report(folder),
        Standing::Cancelled { collected: true } if folder.report()?.is_some() => kept_report(folder),
        _ => Ok(job::standing_report(folder, &past, &stats)),
    }
}

/// The report that was made at the run's end.
pub(super) fn kept_report(folder: &RunFolder) -> Result<RunReport> {
    let kept = folder.report()?;
    let text = kept.ok_or_else(|| Failure::unexpected("the run is finished, and its report is gone"))?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::unexpected(format!("the run's report cannot be understood: {error}")))
}
