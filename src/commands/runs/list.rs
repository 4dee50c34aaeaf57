//! `classify runs list`: every run in the ledger.

use serde::Serialize;

use super::super::print;
use super::place;
use super::states::State;
use crate::cli::runs::ListArgs;
use crate::domain::stats::RunStats;
use crate::error::{ExitStatus, Result};
use crate::ledger::{RunFolder, Runs};
use crate::text::{grouped, paths, printable};
use crate::ui::Ui;

#[derive(Serialize)]
struct Listed {
    run_id: String,
    created_at: String,
    state: String,
    indicators: u64,
    succeeded: u64,
    failed: u64,
    pending: u64,
    #[serde(serialize_with = "paths::lossy")]
    output: Option<std::path::PathBuf>,
}

pub(super) fn run(runs: &Runs, args: &ListArgs, ui: Ui) -> Result<ExitStatus> {
    let (mut listed, mut status) = (Vec::new(), ExitStatus::Success);
    for folder in runs.each()? {
        // One damaged run must not hide the others.
        match folder.and_then(|folder| look(&folder)) {
            Ok(one) => listed.push(one),
            Err(failure) => {
                ui.failure(&failure);
                status = failure.status();
            }
        }
    }
    let lines: Vec<String> = if args.json {
        let lines = listed.iter().map(serde_json::to_string).collect::<std::result::Result<_, _>>();
        lines.map_err(anyhow::Error::from)?
    } else if listed.is_empty() {
        if status == ExitStatus::Success {
            ui.note("no runs yet");
        }
        return Ok(status);
    } else {
        table(&listed)
    };
    if !lines.is_empty() {
        print(&lines.join("\n"), ui)?;
    }
    Ok(status)
}

fn look(folder: &RunFolder) -> Result<Listed> {
    let mut stats = RunStats::new(folder.spec.indicators(), Vec::new());
    let past = folder.look(&mut stats)?;
    Ok(Listed {
        run_id: folder.spec.run_id.clone(),
        created_at: folder.spec.created_at.clone(),
        state: name(&place::state(folder, &past)),
        indicators: stats.indicators,
        succeeded: stats.succeeded,
        failed: stats.failures(),
        pending: stats.pending(),
        output: folder.spec.output.results.clone(),
    })
}

/// How a run stands, in a word or two.
pub(super) fn state(folder: &RunFolder) -> Result<String> {
    Ok(name(&place::listed(folder)?))
}

fn name(state: &State) -> String {
    match state {
        State::Running(pid) => return format!("running (pid {pid})"),
        State::TakenOver(by) => return format!("taken over by {by}"),
        State::Interrupted => "interrupted",
        State::Finished => "finished",
        State::Cancelled | State::GivenUp => "cancelled",
        State::NotHandedOver => "not handed over",
        State::Detached | State::Going | State::Paused | State::Halted(_) | State::Over => "detached",
    }
    .to_owned()
}

fn table(listed: &[Listed]) -> Vec<String> {
    let head = format!(
        "{:<26}  {:<24}  {:>11}  {:>11}  {:>9}  {:>11}  {:<11}  results",
        "run", "made", "indicators", "classified", "failed", "pending", "state"
    );
    let row = |one: &Listed| {
        let output =
            one.output.as_ref().map_or_else(|| "stdout".to_owned(), |path| path.display().to_string());
        format!(
            "{:<26}  {:<24}  {:>11}  {:>11}  {:>9}  {:>11}  {:<11}  {}",
            one.run_id,
            one.created_at,
            grouped(one.indicators),
            grouped(one.succeeded),
            grouped(one.failed),
            grouped(one.pending),
            one.state,
            printable(&output)
        )
    };
    std::iter::once(head).chain(listed.iter().map(row)).collect()
}
