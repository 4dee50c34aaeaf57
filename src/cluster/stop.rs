//! Ends a cluster's processes, and on request its data.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::docker::{self, Foreign};
use super::folder::Folder;
use super::guard;
use super::lock;
use super::node;
use super::process::{self, Looks, Target};
use super::results::Stopped;
use super::state::{Runtime, Service, State};
use super::step::Progress;
use super::users;
use crate::error::{Failure, Result};

/// How long the kernel may take to close what an ended process had open.
const LINGER: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);
/// How long the guard may take to end.
const GUARD_WAIT: Duration = Duration::from_secs(2);

/// Ends service and nodes, and keeps their data. Nothing to stop is no error.
///
/// # Errors
/// When the record is not ours or a process cannot be ended.
pub async fn stop(folder: &Folder, timeout: Duration, progress: Progress<'_>) -> Result<Stopped> {
    if State::load(folder)?.is_none() {
        return Ok(Stopped::default());
    }
    let _lock = lock::take(&folder.lock_file(), timeout, progress).await?;
    stop_locked(folder, timeout, progress).await
}

async fn stop_locked(folder: &Folder, timeout: Duration, progress: Progress<'_>) -> Result<Stopped> {
    let Some(mut state) = State::load(folder)? else {
        return Ok(Stopped::default());
    };
    let begun = Instant::now();
    let service = service_target(folder, &state);
    if state.runtime == Runtime::Docker {
        let killed = process::terminate(&service, begun + timeout / 2, progress).await?;
        let mut stopped = match docker::foreign(folder, &state).await? {
            Some(foreign) => Stopped { left: vec![foreign.to_string()], ..Stopped::default() },
            None => docker::stop(&state, begun + timeout, progress).await?,
        };
        stopped.ended.splice(..0, service.iter().map(|target| target.name.clone()));
        stopped.killed.extend(killed);
        state.service = None;
        state.save(folder)?;
        return Ok(stopped);
    }
    let looks = node::looks(folder, &state);
    let nodes: Vec<Target> = state
        .nodes
        .iter()
        .filter_map(|node| {
            let args = node::args(folder, &node.name);
            let recorded = node.process.filter(|id| process::vitals(*id, &args).is_some());
            let id = recorded.or_else(|| process::find(&args, &looks))?;
            Some(Target { name: node.name.clone(), id, args })
        })
        .collect();
    let guard: Vec<Target> = guard::target(folder, &state).into_iter().collect();
    let ended = service.iter().chain(&nodes).chain(&guard).map(|target| target.name.clone()).collect();
    // The service first: it drains calls whose results the nodes must still take.
    let mut killed = process::terminate(&service, begun + timeout / 2, progress).await?;
    killed.extend(process::terminate(&nodes, begun + timeout, progress).await?);
    // It has nothing to finish.
    killed.extend(process::terminate(&guard, Instant::now() + GUARD_WAIT, progress).await?);
    // One that lives and was not recognised stays on record.
    state.guard = state.guard.filter(|id| process::lives(*id));
    for node in &mut state.nodes {
        node.process = node.process.filter(|id| process::lives(*id));
    }
    state.service = state.service.filter(|service| process::lives(service.process));
    state.save(folder)?;
    Ok(Stopped { ended, killed, left: Vec::new() })
}

/// The recorded service, if it runs.
pub(super) fn service_target(folder: &Folder, state: &State) -> Vec<Target> {
    let own = std::env::current_exe().ok().and_then(|program| program.file_name().map(OsStr::to_owned));
    let looks = Looks::new(folder.path(), std::iter::once("classify".into()).chain(own));
    let target = |service: &Service| {
        let args = service.args.clone();
        let recorded = Some(service.process).filter(|id| process::vitals(*id, &args).is_some());
        // The home folder among its words makes it this cluster's and no other's.
        let is_unique = args.iter().any(|arg| arg == "--home");
        let id = recorded.or_else(|| process::find(&args, &looks).filter(|_| is_unique))?;
        Some(Target { name: super::logs::SERVICE.into(), id, args })
    };
    state.service.as_ref().and_then(target).into_iter().collect()
}

/// Stops a cluster and deletes its folder, and no other. `None` when there is no such cluster.
///
/// # Errors
/// When the folder is not one of ours, or something cannot be ended or deleted.
pub async fn clean(folder: &Folder, timeout: Duration, progress: Progress<'_>) -> Result<Option<Stopped>> {
    if !check_cleanable(folder)? {
        return Ok(None);
    }
    let _lock = lock::take(&folder.lock_file(), timeout, progress).await?;
    // Somebody may have cleaned while we waited; then the folder has but our lock.
    let Some(state) = State::load(folder)? else {
        remove_if_unused(folder)?;
        return Ok(None);
    };
    check_ours(folder, &state).await?;
    let stopped = match state.runtime {
        Runtime::Native => stop_locked(folder, timeout, progress).await?,
        Runtime::Docker => {
            process::terminate(&service_target(folder, &state), Instant::now() + timeout, progress).await?;
            docker::remove(folder, &state, progress).await?
        }
    };
    // A process is gone a moment before its sockets are.
    let deadline = Instant::now() + LINGER;
    let users = loop {
        let users = users::of(folder, &state);
        if users.is_empty() || Instant::now() >= deadline {
            break users;
        }
        sleep(POLL).await;
    };
    if !users.is_empty() {
        let failure = Failure::usage(format!("{} is still used: it is not deleted", folder.path().display()));
        let failure = users.into_iter().fold(failure, Failure::detail);
        return Err(failure.hint(format!("end what uses it, then again: `{}`", folder.command("clean"))));
    }
    // Renamed first: a deletion that is cut short leaves nothing that looks like a cluster.
    let path = folder.path();
    let doomed = path.with_file_name(format!(".{}.deleted-{}", folder.name(), std::process::id()));
    std::fs::rename(path, &doomed)
        .and_then(|()| std::fs::remove_dir_all(&doomed))
        .map_err(|error| Failure::unexpected(format!("cannot delete {}: {error}", path.display())))?;
    Ok(Some(stopped))
}

/// Refuses to delete what this home folder neither started nor was told to take over.
///
/// # Errors
/// When the containers are somebody else's, or Docker does not answer.
pub async fn check_ours(folder: &Folder, state: &State) -> Result<()> {
    let foreign = match state.runtime {
        Runtime::Native => None,
        Runtime::Docker => docker::foreign(folder, state).await?,
    };
    foreign.map_or(Ok(()), |foreign| Err(not_ours(folder, &foreign)))
}

/// What is told of containers that are somebody else's.
pub fn not_ours(folder: &Folder, foreign: &Foreign) -> Failure {
    let failure = Failure::usage(format!("the {foreign}, was not started from here: it is left as it is"));
    let failure = foreign.parts.iter().fold(failure, |failure, part| failure.detail(part.as_str()));
    let adopt = folder.command(&format!("adopt {}", foreign.project));
    failure.hint(format!("is it yours, and not needed any more? Take it over first: `{adopt}`"))
}

/// Whether there is a cluster to delete.
///
/// # Errors
/// When there is something, and it is not a cluster of ours: that is never deleted.
pub fn check_cleanable(folder: &Folder) -> Result<bool> {
    let path = folder.path();
    let refuse = |why: &str| {
        Failure::usage(format!("{}: {why}; it is not deleted", path.display()))
            .hint("look what it is, and remove it by hand")
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Failure::unexpected(format!("{}: {error}", path.display()))),
        Ok(found) if !found.is_dir() => return Err(refuse("not a folder")),
        Ok(_) => {}
    }
    if State::load(folder)?.is_some() {
        return Ok(true);
    }
    // A start that downloads the server holds its lock and has recorded nothing yet.
    let at_work = |lock: std::fs::File| matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock));
    if std::fs::File::open(folder.lock_file()).is_ok_and(at_work) {
        return Err(Failure::usage(format!("another command is at work on cluster `{}`", folder.name()))
            .hint("wait for its end, or end it"));
    }
    // A start that failed early leaves a lock.
    if remove_if_unused(folder)? { Ok(false) } else { Err(refuse("a folder without a `cluster.json`")) }
}

/// Removes a folder in which there is nothing but perhaps a lock.
pub(super) fn remove_if_unused(folder: &Folder) -> Result<bool> {
    let failed = |error: io::Error| Failure::unexpected(format!("{}: {error}", folder.path().display()));
    let lock = folder.lock_file();
    for entry in std::fs::read_dir(folder.path()).map_err(failed)? {
        if entry.map_err(failed)?.path() != lock {
            return Ok(false);
        }
    }
    match std::fs::remove_file(&lock) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // Another command may be about to use it; then it stays.
    Ok(std::fs::remove_dir(folder.path()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_that_is_not_ours_is_deleted() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        let quiet: Progress<'_> = &|_| {};
        assert_eq!(clean(&folder, Duration::ZERO, quiet).await.unwrap(), None);
        std::fs::create_dir_all(folder.path()).unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        let refused = clean(&folder, Duration::ZERO, quiet).await.unwrap_err();
        assert!(refused.message().contains("without a `cluster.json`"), "{refused}");
        std::fs::write(folder.state_file(), r#"{"name":"x"}"#).unwrap();
        assert!(clean(&folder, Duration::ZERO, quiet).await.is_err());
        assert!(folder.path().join("thesis.txt").exists());
    }

    #[tokio::test]
    async fn a_link_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        std::fs::create_dir_all(home.path().join("cluster")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path()).unwrap();
        assert!(clean(&folder, Duration::ZERO, &|_| {}).await.is_err());
        assert!(elsewhere.path().exists());
    }

    #[tokio::test]
    async fn what_an_early_failure_left_is_swept_away() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "x").unwrap();
        std::fs::create_dir_all(folder.path()).unwrap();
        std::fs::write(folder.lock_file(), "1").unwrap();
        assert_eq!(clean(&folder, Duration::ZERO, &|_| {}).await.unwrap(), None);
        assert!(!folder.path().exists());
    }
}
