//! `classify runs delete`: runs that nobody needs any more, taken out of the ledger.

use super::super::{question, target};
use super::list::state;
use super::place;
use super::states::{Command, State};
use crate::cli::Global;
use crate::cli::runs::DeleteArgs;
use crate::engine::attach;
use crate::error::{ExitStatus, Failure, Result};
use crate::ledger::{Claimed, ClaimedRest, Damaged, RunFolder, Runs};
use crate::restate::ingress::Ingress;
use crate::text::{count, grouped, printable};
use crate::ui::Ui;

pub(super) async fn run(global: &Global, runs: &Runs, args: &DeleteArgs, ui: Ui) -> Result<ExitStatus> {
    if !args.yes && !question::can_be_asked() {
        return Err(Failure::usage("nothing was deleted: there is no terminal to ask on")
            .hint("see what it is: `classify runs show ID`; without a question: `--yes`"));
    }
    let mut ids = args.ids.clone();
    ids.sort_unstable();
    ids.dedup();
    // All of them are claimed before the first goes, so that none comes to life meanwhile.
    let mut claimed = Vec::new();
    for id in &ids {
        if let Some(damaged) = runs.damaged(id)? {
            let line = describe_damaged(&damaged);
            claimed.push((Doomed::Damaged(damaged.claim()?), line));
            continue;
        }
        let folder = runs.find(id)?;
        let line = describe(&folder);
        claimed.push((Doomed::Run(Box::new(claim(global, folder).await?)), line));
    }
    for (_, line) in &claimed {
        ui.note(line);
    }
    let all = count(claimed.len() as u64, "run");
    if !args.yes
        && !question::confirmed(&format!("Delete {all} from the ledger? Results stay where they are"))?
    {
        ui.note("nothing was deleted");
        return Ok(ExitStatus::Success);
    }
    for (run, _) in claimed {
        match run {
            Doomed::Run(run) => run.delete()?,
            Doomed::Damaged(rest) => rest.delete()?,
        }
    }
    ui.note(&format!("deleted    {all}"));
    Ok(ExitStatus::Success)
}

/// What is claimed and goes.
enum Doomed {
    Run(Box<Claimed>),
    Damaged(ClaimedRest),
}

fn describe_damaged(damaged: &Damaged) -> String {
    format!(
        "run        {0}: its run.json is damaged, so that nobody can go on with it here; should the cluster be at it, \
         `classify runs attach {0}` finds it there afterwards",
        damaged.id()
    )
}

fn describe(folder: &RunFolder) -> String {
    let spec = &folder.spec;
    let results = spec.output.results.as_ref().map_or_else(|| "stdout".into(), |path| path.to_string_lossy());
    format!(
        "run        {} of {}, {}: {} rows, results {}",
        spec.run_id,
        spec.created_at,
        state(folder).unwrap_or_else(|_| "its journal is damaged".into()),
        grouped(spec.indicators()),
        printable(&results)
    )
}

/// Claims a run at which nobody is: no process here, and not the cluster. A journal that cannot be read keeps nobody from deleting it.
async fn claim(global: &Global, folder: RunFolder) -> Result<Claimed> {
    let (spec, id) = (folder.spec.clone(), folder.spec.run_id.clone());
    let listed = place::listed(&folder).ok();
    let claimed = folder.claim()?;
    let may_be_of_cluster = listed.as_ref().map_or(spec.options.detached, State::is_of_cluster);
    if !may_be_of_cluster {
        return Ok(claimed);
    }
    let nodes = target::ingress(global, &spec.target.cluster, &spec.target.ingress)?;
    let nodes: Vec<Ingress> = nodes.into_iter().map(|(_, node)| node).collect();
    let progress = attach::find(&nodes, &id).await.map_err(|failure| {
        failure.detail(format!("the cluster may be at the run {id}")).hint(format!(
            "or give it up first, wherever its cluster is: `classify runs cancel {id} --ingress URL`"
        ))
    })?;
    match (progress, listed) {
        (Some(progress), _) => State::in_cluster(&progress).allow(Command::Delete, &id)?,
        (None, Some(_)) => State::NotHandedOver.allow(Command::Delete, &id)?,
        // The cluster knows nothing of it, and nothing here can say how far it got.
        (None, None) => {}
    }
    Ok(claimed)
}
