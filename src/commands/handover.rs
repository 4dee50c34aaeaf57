//! `--detach`: the whole run goes to the cluster, and this process ends.

use std::time::{Duration, Instant};

use super::job::{self, Job};
use crate::engine::handover::Handover;
use crate::error::Result;
use crate::restate::ingress::Ingress;
use crate::shutdown::Shutdown;
use crate::text::{count, duration, grouped};
use crate::ui::Ui;

/// How often to say how far it is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Hands a run over that has nothing done yet. What does not get there can be handed over again: `runs resume`.
pub(super) async fn hand_over(job: Job, stop: &Shutdown, ui: Ui) -> Result<()> {
    let Job { opened, rows, nodes, pace, limits, .. } = job;
    let spec = &opened.folder.spec;
    let run_id = &spec.run_id;
    ui.note(&format!("run        {run_id}"));
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
    let progress = handover
        .run(&nodes, rows, told, stop)
        .await
        .map_err(|failure| failure.hint(format!("hand it over again: `classify runs resume {run_id}`")))?;
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
    Ok(())
}
