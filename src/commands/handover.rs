//! `--detach`: the whole run goes to the cluster, and this process ends.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::job::{self, Job};
use super::print;
use crate::domain::detached::Progress;
use crate::engine::handover::Handover;
use crate::error::Result;
use crate::ledger::{self, Line, Opened};
use crate::restate::ingress::Ingress;
use crate::shutdown::Shutdown;
use crate::text::{count, duration, grouped};
use crate::ui::Ui;

/// How often to say how far it is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Hands a run over that has nothing done yet. What does not get there can be handed over again: `runs resume`. What a script needs of it goes
/// to stdout: its id where nothing else is said, or all there is to know with `json`.
pub(super) async fn hand_over(job: Job, json: bool, stop: &Shutdown, ui: Ui) -> Result<()> {
    let Job { opened, rows, nodes, pace, limits, .. } = job;
    let Opened { folder, mut journal, lock: _lock, .. } = opened;
    let spec = &folder.spec;
    let run_id = &spec.run_id;
    ui.note(&format!("run        {run_id}"));
    journal.append([Line::HandingOver { at: ledger::now() }]).map_err(anyhow::Error::from)?;
    let nodes: Vec<Ingress> = nodes.into_iter().map(|(_, node)| node).collect();
    let handover = Handover {
        run_id: run_id.clone(),
        options: job::options(spec, &limits),
        pace,
        brakes: job::brakes(&limits),
    };
    let (began, mut next_line) = (Instant::now(), LINE_EVERY);
    let told = |there: u64| {
        if began.elapsed() >= next_line {
            next_line = began.elapsed() + LINE_EVERY;
            ui.note(&format!("handing    {} of {}", grouped(there), grouped(spec.indicators())));
        }
    };
    let progress = handover.run(&nodes, rows, told, stop).await.map_err(|failure| {
        failure
            .hint(format!("hand it over again: `classify runs resume {run_id}`"))
            .hint(format!("or give it up: `classify runs cancel {run_id}`"))
    })?;
    // Without it whoever looks asks the cluster.
    let _found_out_anyway = journal.append([Line::HandedOver { at: ledger::now() }]);
    let plan = &progress.plan;
    let speed =
        plan.per_minute.map_or_else(|| "without a limit".to_owned(), |rate| format!("at {rate:.0}/min"));
    let time = pace.duration(plan.indicators).map(|time| format!(", about {}", duration(time)));
    ui.note(&format!(
        "detached   the cluster goes on with {} {speed}{}",
        count(plan.indicators, "indicator"),
        time.unwrap_or_default()
    ));
    ui.note(&format!("next       classify runs attach {run_id}"));
    if json {
        print(&as_json(run_id, &progress)?, ui)
    } else if ui.is_quiet() {
        print(run_id, ui)
    } else {
        Ok(())
    }
}

/// What is known of a run that the cluster has, as one JSON object.
pub(super) fn as_json(run_id: &str, progress: &Progress) -> Result<String> {
    #[derive(Serialize)]
    struct Known<'a> {
        run_id: &'a str,
        #[serde(flatten)]
        progress: &'a Progress,
    }
    Ok(serde_json::to_string_pretty(&Known { run_id, progress }).map_err(anyhow::Error::from)?)
}
