//! One process at a time: a file that is locked while someone is at work, and holds the pid of whoever that is.
//!
//! Does not wait and knows no command: how long to try, and what to tell, is the caller's business.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
            std::fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
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
    fn a_lock_on_a_removed_file_is_worth_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c/lock");
        let held = Lock::try_take(&path).unwrap().unwrap();
        std::fs::remove_dir_all(dir.path().join("c")).unwrap();
        assert!(Lock::try_take(&path).unwrap().is_some(), "a new file, a new lock");
        drop(held);
    }
}
