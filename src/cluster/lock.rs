//! One command at a time. Owns the lock file and the words about who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::step::{Progress, Step};
use crate::error::{Failure, Result};

const POLL: Duration = Duration::from_millis(100);

/// Held until dropped. The operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, waiting for its holder up to `wait`.
    pub(super) async fn take(path: &Path, wait: Duration, progress: Progress<'_>) -> Result<Self> {
        let deadline = Instant::now() + wait;
        let mut told = false;
        loop {
            match try_take(path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) if Instant::now() >= deadline => {
                    return Err(Failure::unreachable(format!("{} is at work on this cluster", holder(path)))
                        .hint("try again when it is done"));
                }
                Ok(None) => {
                    if !told {
                        progress(&Step::WaitingForLock { holder: holder(path) });
                        told = true;
                    }
                    sleep(POLL).await;
                }
                Err(error) => {
                    return Err(Failure::unexpected(format!("{}: {error}", path.display())));
                }
            }
        }
    }
}

fn try_take(path: &Path) -> io::Result<Option<Lock>> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // `clean` removes the folder with the lock in it. Whoever waited for that one holds a file nobody else will find.
    let there = match std::fs::metadata(path) {
        Ok(metadata) => Some((metadata.dev(), metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let held = file.metadata()?;
    if there != Some((held.dev(), held.ino())) {
        return Ok(None);
    }
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(Some(Lock { _file: file }))
}

fn holder(path: &Path) -> String {
    let mut pid = String::new();
    let read = File::open(path).and_then(|file| file.take(20).read_to_string(&mut pid));
    match (read, pid.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("another `classify` (pid {pid})"),
        _ => "another `classify`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_holder_waits_says_so_and_names_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/lock");
        let steps = std::sync::Mutex::new(Vec::new());
        let progress = |step: &Step| steps.lock().unwrap().push(step.clone());
        let first = Lock::take(&path, Duration::ZERO, &progress).await.unwrap();
        let refused = Lock::take(&path, Duration::from_millis(150), &progress).await.unwrap_err();
        assert!(refused.message().contains(&format!("pid {}", std::process::id())), "{refused}");
        assert_eq!(steps.lock().unwrap().len(), 1);
        drop(first);
        Lock::take(&path, Duration::ZERO, &progress).await.unwrap();
    }

    #[test]
    fn a_lock_on_a_removed_file_is_worth_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c/lock");
        let held = try_take(&path).unwrap().unwrap();
        std::fs::remove_dir_all(dir.path().join("c")).unwrap();
        assert!(try_take(&path).unwrap().is_some(), "a new file, a new lock");
        drop(held);
    }
}
