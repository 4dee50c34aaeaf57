//! Files that two runs would write: the results of a run that the cluster has are not there yet, and no lock can say that they will be.

use std::path::Path;

use crate::domain::stats::RunStats;
use crate::error::{Failure, Result};
use crate::ledger::{Output, Past, RunFolder, Runs, Standing};
use crate::output::behind_links;
use crate::text::from_here;

/// Refuses places that a run in the cluster is going to take when its results are collected.
///
/// # Errors
/// When there is such a run.
pub(super) fn refuse_awaited(runs: &Runs, output: &Output) -> Result<()> {
    for folder in runs.all()?.into_iter().filter(|folder| folder.spec.options.detached) {
        let Some((flag, path)) = shared(output, &folder.spec.output) else { continue };
        // What cannot be read is told by whoever looks at that run.
        if !past(&folder).is_ok_and(|past| matches!(past.standing, Standing::Open | Standing::Sealed(_))) {
            continue;
        }
        let (id, path) = (&folder.spec.run_id, from_here(path));
        return Err(Failure::usage(format!("{} is where the run {id} will put its own", path.display()))
            .hint(format!("choose another place with `{flag} FILE`"))
            .hint(format!(
                "or end that run first: `classify runs attach {id}` collects it, `classify runs cancel {id}` gives it up"
            )));
    }
    Ok(())
}

/// Refuses to replace the results of a run that was begun after `folder`'s, and whose results are where its own shall go.
///
/// # Errors
/// When there is such a run.
pub(super) fn refuse_taken(runs: &Runs, folder: &RunFolder) -> Result<()> {
    let (id, output) = (&folder.spec.run_id, &folder.spec.output);
    for other in runs.all()?.into_iter().filter(|other| other.spec.run_id > *id) {
        let Some((_, path)) = shared(output, &other.spec.output) else { continue };
        let is_there = past(&other).is_ok_and(|past| {
            let extent =
                if output.results.as_deref() == Some(path) { past.mark.results } else { past.mark.failures };
            let is_placed =
                matches!(past.standing, Standing::Finished | Standing::Cancelled { collected: true });
            is_placed && extent.is_all_of(path).unwrap_or(false)
        });
        if is_there {
            let (by, path) = (&other.spec.run_id, from_here(path));
            return Err(Failure::usage(format!(
                "{} is what the younger run {by} left there: the run {id} would replace it",
                path.display()
            ))
            .hint(format!("move that file away, then collect: `classify runs attach {id}`")));
        }
    }
    Ok(())
}

/// A place that both would write, and the option that chooses another.
fn shared<'a>(ours: &'a Output, theirs: &Output) -> Option<(&'static str, &'a Path)> {
    let same = |one: &Path, other: Option<&Path>| {
        other.is_some_and(|other| {
            one == other
                || behind_links(one).is_ok_and(|one| behind_links(other).is_ok_and(|other| one == other))
        })
    };
    let places = [("--output", ours.results.as_deref()), ("--failures", Some(ours.failures.as_path()))];
    places.into_iter().find_map(|(flag, path)| {
        let path = path?;
        let is_shared = same(path, theirs.results.as_deref()) || same(path, Some(&theirs.failures));
        is_shared.then_some((flag, path))
    })
}

fn past(folder: &RunFolder) -> Result<Past> {
    folder.look(&mut RunStats::new(folder.spec.indicators(), Vec::new()))
}
