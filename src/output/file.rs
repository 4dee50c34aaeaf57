//! A file that appears whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};

/// Rows on their way to `path`. Locked while it is open, so that two runs cannot write one file.
#[derive(Debug)]
pub(super) struct PartialFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    /// Goes in front of the first row: a header alone is not worth keeping.
    header: Vec<u8>,
    /// What an interrupted run left there is thrown away when there is something to put in its place, not before.
    leftover: bool,
    /// Whether it holds this run's rows, which must survive an early end.
    begun: bool,
    /// How much of it is durable.
    synced: u64,
}

impl PartialFile {
    /// Opens `PATH.partial`, after making sure that `path` can be replaced at the end. `flag` chooses another path.
    pub(super) fn create(path: &Path, flag: &str) -> Result<Self> {
        let refuse = |why: String| {
            Failure::usage(format!("cannot write {}: {why}", path.display()))
                .hint(format!("choose another place with `{flag} FILE`"))
        };
        // Behind a symbolic link, the file itself is replaced, not the link.
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(refuse("it is a directory".into())),
            // A device or a pipe cannot be replaced, and must not be removed.
            Ok(found) if !found.is_file() => return Err(refuse("it is no regular file".into())),
            Ok(found) if found.permissions().readonly() => return Err(refuse("it is read-only".into())),
            Ok(_) | Err(_) => {}
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
        // Between opening and locking, another run may have put this very file in its place.
        let same = |one: &Metadata, other: &Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
        let still_there =
            fs::metadata(&partial).is_ok_and(|now| file.metadata().is_ok_and(|ours| same(&now, &ours)));
        if !still_there {
            return Err(refuse("another run has just finished it".into()));
        }
        let leftover = file.metadata().is_ok_and(|found| found.len() > 0);
        Ok(Self {
            path: path.to_owned(),
            partial,
            file,
            header: Vec::new(),
            leftover,
            begun: false,
            synced: 0,
        })
    }

    /// Appends rows.
    pub(super) fn write(&mut self, rows: &[u8]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.begin()?;
        self.file.write_all(rows)
    }

    /// Puts `header` in front of the first row.
    pub(super) fn set_header(&mut self, header: &[u8]) {
        header.clone_into(&mut self.header);
    }

    fn begin(&mut self) -> io::Result<()> {
        if !self.begun {
            self.file.set_len(0)?;
            self.begun = true;
            self.file.write_all(&self.header)?;
        }
        Ok(())
    }

    /// Makes what was written survive a loss of power.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.begun {
            self.file.sync_data()?;
            self.synced = self.file.stream_position()?;
        }
        Ok(())
    }

    /// Takes back what was written since the last [`Self::sync`]: it was not counted.
    pub(super) fn roll_back(&mut self) -> io::Result<()> {
        if self.begun {
            self.file.set_len(self.synced)?;
            self.file.seek(SeekFrom::Start(self.synced))?;
        }
        Ok(())
    }

    /// Where the rows are until [`Self::finish`], if there are any.
    pub(super) fn partial(&self) -> Option<&Path> {
        self.begun.then_some(&*self.partial)
    }

    /// Puts the file in its place.
    pub(super) fn finish(mut self) -> io::Result<PathBuf> {
        self.begin()?;
        self.file.sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        sync_folder(&self.path)?;
        Ok(self.path.clone())
    }

    /// Ends without a file: what earlier runs left at its place and on the way there is of no use any more.
    pub(super) fn clear(mut self) -> io::Result<()> {
        (self.begun, self.leftover) = (false, false);
        if self.path.exists() { fs::remove_file(&self.path) } else { Ok(()) }
    }
}

impl Drop for PartialFile {
    /// An unfinished file without rows leaves no trace; one with rows, ours or an earlier run's, stays where it is.
    fn drop(&mut self) {
        if !self.begun && !self.leftover {
            let _already_gone = fs::remove_file(&self.partial);
        }
    }
}

/// Where the rows of `path` are until it is complete.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// A rename is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &Path) -> PartialFile {
        PartialFile::create(path, "--output").unwrap()
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        fs::write(&path, "old").unwrap();
        let mut file = create(&path);
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
        let mut file = create(&path);
        file.set_header(b"id,name\n");
        drop(file);
        assert!(!partial_path(&path).exists());
        let mut file = create(&path);
        file.write(b"A,x\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "A,x\n");
        assert!(!path.exists());
    }

    #[test]
    fn rows_of_an_interrupted_run_stay_until_there_are_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(partial_path(&path), "paid for, and more").unwrap();
        let mut file = create(&path);
        file.set_header(b"id,name\n");
        drop(file);
        assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "paid for, and more");
        let mut file = create(&path);
        file.set_header(b"id,name\n");
        file.write(b"A,x\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "id,name\nA,x\n");
    }

    #[test]
    fn what_was_not_synced_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut file = create(&path);
        file.write(b"counted\n").unwrap();
        file.sync().unwrap();
        file.write(b"torn").unwrap();
        file.roll_back().unwrap();
        file.write(b"next\n").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "counted\nnext\n");
    }

    #[test]
    fn a_device_is_neither_replaced_nor_removed() {
        let refused = PartialFile::create(Path::new("/dev/null"), "--failures").unwrap_err();
        assert!(refused.message().ends_with("it is no regular file"), "{refused}");
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link.jsonl"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut file = create(&link);
        file.write(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn two_runs_cannot_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut first = create(&path);
        first.write(b"kept").unwrap();
        let refused = PartialFile::create(&path, "--output").unwrap_err();
        assert!(refused.message().contains("another run is writing it"), "{refused}");
        assert_eq!(fs::read_to_string(first.partial().unwrap()).unwrap(), "kept");
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing/out.jsonl")] {
            assert!(
                PartialFile::create(&path, "--output").unwrap_err().message().starts_with("cannot write")
            );
        }
    }
}
