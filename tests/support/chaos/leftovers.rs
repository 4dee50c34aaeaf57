//! What a run must not leave behind on disk.

use std::fs::{self, File, TryLockError};
use std::path::Path;

/// Locks that are held and results that are not whole, in `folder` and below.
pub(super) fn leftovers(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            // Nodes keep theirs as long as they live.
            if name != "data" {
                found.extend(leftovers(&path));
            }
        } else if name == "lock" {
            if File::open(&path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock))) {
                found.push(format!("a lock on {}", path.display()));
            }
        } else if path.extension().is_some_and(|extension| extension == "partial") {
            found.push(path.display().to_string());
        }
    }
    found
}
