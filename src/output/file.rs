//! A file that appears whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};

/// Rows on their way to `path`. Locked while it is open, so that two runs cannot write one file.
#[derive(Debug)]
pub(super) struct PartialFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    /// Whether there is anything in it that must survive an early end.
    holds_rows: bool,
}

impl PartialFile {
    /// Opens `PATH.partial`, emptied, after making sure that `path` can be replaced at the end.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let refuse = |why: String| {
            Failure::usage(format!("cannot write {}: {why}", path.display()))
                .hint("choose another place with `--output FILE`")
        };
        if path.is_dir() {
            return Err(refuse("it is a directory".into()));
        }
        if path.exists() && fs::metadata(path).is_ok_and(|meta| meta.permissions().readonly()) {
            return Err(refuse("it is read-only".into()));
        }
        let partial = partial_path(path);
        // Not truncated on opening: another run may be writing it, which only the lock tells.
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&partial)
            .map_err(|error| refuse(error.to_string()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(refuse("another run is writing it".into()));
            }
            Err(TryLockError::Error(error)) => return Err(refuse(error.to_string())),
        }
        file.set_len(0).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { path: path.to_owned(), partial, file, holds_rows: false })
    }

    /// Appends rows.
    pub(super) fn write(&mut self, rows: &[u8]) -> io::Result<()> {
        self.holds_rows |= !rows.is_empty();
        self.file.write_all(rows)
    }

    /// Appends what alone is not worth keeping.
    pub(super) fn write_header(&mut self, header: &[u8]) -> io::Result<()> {
        self.file.write_all(header)
    }

    /// Makes what was written survive a loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Where the rows are until [`Self::finish`].
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Puts the file in its place.
    pub(super) fn finish(mut self) -> io::Result<PathBuf> {
        self.holds_rows = true;
        self.file.sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        sync_folder(&self.path)?;
        Ok(self.path.clone())
    }
}

impl Drop for PartialFile {
    /// An unfinished file without rows leaves no trace; one with rows stays where it is.
    fn drop(&mut self) {
        if !self.holds_rows {
            let _already_gone = fs::remove_file(&self.partial);
        }
    }
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// A rename is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        fs::write(&path, "old").unwrap();
        let mut file = PartialFile::create(&path).unwrap();
        file.write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        file.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(!partial_path(&path).exists());
    }

    #[test]
    fn only_rows_survive_an_early_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let mut file = PartialFile::create(&path).unwrap();
        file.write_header(b"id,name\n").unwrap();
        drop(file);
        assert!(!partial_path(&path).exists());
        let mut file = PartialFile::create(&path).unwrap();
        file.write(b"A,x\n").unwrap();
        drop(file);
        assert!(partial_path(&path).exists() && !path.exists());
    }

    #[test]
    fn two_runs_cannot_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut first = PartialFile::create(&path).unwrap();
        first.write(b"kept").unwrap();
        let refused = PartialFile::create(&path).unwrap_err();
        assert!(refused.message().contains("another run is writing it"), "{refused}");
        assert_eq!(fs::read_to_string(first.partial()).unwrap(), "kept");
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing/out.jsonl")] {
            assert!(PartialFile::create(&path).unwrap_err().message().starts_with("cannot write"));
        }
    }
}
