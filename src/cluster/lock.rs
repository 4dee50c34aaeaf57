//! One command at a time on a cluster: waits for the lock, and owns the words about who holds it.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::step::{Progress, Step};
use crate::error::{Failure, Result};
use crate::lock::{self, Lock};

const POLL: Duration = Duration::from_millis(100);

/// Takes the lock at `path`, waiting for its holder up to `wait`.
pub(super) async fn take(path: &Path, wait: Duration, progress: Progress<'_>) -> Result<Lock> {
    let deadline = Instant::now() + wait;
    let mut told = false;
    loop {
        match Lock::try_take(path) {
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
                return Err(cannot_lock(path, &error));
            }
        }
    }
}

fn cannot_lock(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot write {}: {error}", path.display());
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem
        | ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists => Failure::usage(message)
            .hint("local state is kept there: name a folder where you may write with `--home DIR`"),
        _ => Failure::unexpected(message),
    }
}

fn holder(path: &Path) -> String {
    match lock::holder(path) {
        Some(pid) => format!("another `classify` (pid {pid})"),
        None => "another `classify`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_told_with_a_way_out() {
        // A file where a folder should be: root may write anywhere else.
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = take(&file.path().join("lock"), Duration::ZERO, &|_| {}).await.unwrap_err();
        assert!(refused.message().starts_with("cannot write /"), "{refused}");
        assert!(refused.hints()[0].contains("--home DIR"), "{refused:?}");
        let denied = cannot_lock(Path::new("/x/lock"), &ErrorKind::ReadOnlyFilesystem.into());
        assert_eq!(denied.hints().len(), 1);
    }

    #[tokio::test]
    async fn a_second_holder_waits_says_so_and_names_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/lock");
        let steps = std::sync::Mutex::new(Vec::new());
        let progress = |step: &Step| steps.lock().unwrap().push(step.clone());
        let first = take(&path, Duration::ZERO, &progress).await.unwrap();
        let refused = take(&path, Duration::from_millis(150), &progress).await.unwrap_err();
        assert!(refused.message().contains(&format!("pid {}", std::process::id())), "{refused}");
        assert_eq!(steps.lock().unwrap().len(), 1);
        drop(first);
        take(&path, Duration::ZERO, &progress).await.unwrap();
    }
}
