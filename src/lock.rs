//! One process at a time: a file that is locked while someone is at work, and holds the pid of whoever that is.
//!
//! Does not wait and knows no command: how long to try, and what to tell, is the caller's business.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::disk::private;

/// Times that a lock is asked for while others do nothing but ask.
const ASKERS: usize = 100_000;

/// Held until dropped. The operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, making its folder; `None` while another process has it.
    ///
    /// # Errors
    /// When the file cannot be opened or locked.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        if let Some(parent) = path.parent() {
            private::create_folders(parent)?;
        }
        let mut file =
            private::open(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
        if !take(&file)? {
            return Ok(None);
        }
        // The folder may have been removed with the lock in it. Whoever waited for that one holds a file nobody else will find.
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
        Ok(Some(Self { _file: file }))
    }
}

/// Takes the lock of `file`; false where somebody has it. Those who only ask hold it for a moment, and are waited for.
fn take(file: &File) -> io::Result<bool> {
    let taken = |lock: Result<(), TryLockError>| match lock {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    };
    for _ in 0..ASKERS {
        if taken(file.try_lock())? {
            return Ok(true);
        }
        // Nobody has it for himself where it can be shared.
        if !taken(file.try_lock_shared())? {
            return Ok(false);
        }
        file.unlock()?;
        std::thread::yield_now();
    }
    Ok(false)
}

/// Whether somebody holds the lock at `path`.
pub fn is_held(path: &Path) -> bool {
    // Asked by a shared lock, let go of at once: two who ask do not take each other for holders.
    let Ok(file) = File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The pid that the holder of the lock at `path` wrote there.
pub fn holder(path: &Path) -> Option<u32> {
    let mut pid = String::new();
    File::open(path).and_then(|file| file.take(20).read_to_string(&mut pid)).ok()?;
    pid.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_whose_pid_can_be_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/lock");
        assert!(!is_held(&path));
        let held = Lock::try_take(&path).unwrap().unwrap();
        assert!(is_held(&path) && Lock::try_take(&path).unwrap().is_none());
        assert_eq!(holder(&path), Some(std::process::id()));
        drop(held);
        assert!(!is_held(&path) && Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn who_asks_takes_nothing_from_who_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        drop(Lock::try_take(&path).unwrap().unwrap());
        std::thread::scope(|threads| {
            let (done, over) = std::sync::mpsc::channel::<()>();
            let asking = threads.spawn({
                let path = &path;
                move || {
                    let mut held = 0;
                    while over.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                        held += usize::from(is_held(path));
                    }
                    held
                }
            });
            for taken in 0..5_000 {
                let lock = Lock::try_take(&path).unwrap();
                assert!(lock.is_some(), "after {taken} times: nobody has it");
            }
            drop(done);
            asking.join().unwrap();
        });
    }

    #[test]
    fn a_lock_on_a_removed_file_is_worth_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c/lock");
        let held = Lock::try_take(&path).unwrap().unwrap();
        std::fs::remove_dir_all(dir.path().join("c")).unwrap();
        assert!(Lock::try_take(&path).unwrap().is_some(), "a new file, a new lock");
        drop(held);
    }
}
