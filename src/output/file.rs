//! A file that appears whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

#[cfg(target_os = "linux")]
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result};
use crate::text::from_here;

/// Which file it is, whatever its name. The number of a file that is gone may be given to another one; when it was
/// made tells them apart, and where the file system does not keep that, no two files are taken for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
    created_ns: u64,
}

impl FileId {
    fn of(metadata: &Metadata) -> Option<Self> {
        let created = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let created_ns = u64::try_from(created.as_nanos()).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino(), created_ns })
    }
}

/// How much of which file counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The file; `None` before its first row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileId>,
    /// Bytes of it.
    pub bytes: u64,
}

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
    /// How much of it counts.
    counted: u64,
}

impl PartialFile {
    /// Opens `PATH.partial`, after making sure that `path` can be replaced at the end. `flag` chooses another path.
    pub(super) fn create(path: &Path, flag: &str) -> Result<Self> {
        let refuse = |why: String| {
            Failure::usage(format!("cannot write {}: {why}", from_here(path).display()))
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
        let file = open_locked(&partial).map_err(&refuse)?;
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
            counted: 0,
        })
    }

    /// Whether the rows that an earlier process of the same run left are there: not where another run took the place, or
    /// somebody touched the file.
    pub(super) fn holds(&self, extent: Extent) -> io::Result<bool> {
        if extent == Extent::default() {
            return Ok(true);
        }
        let found = self.file.metadata()?;
        Ok(extent.file.is_some() && FileId::of(&found) == extent.file && found.len() >= extent.bytes)
    }

    /// Goes on behind the rows within `extent`, which it must hold; rows beyond were never counted.
    pub(super) fn go_on(&mut self, extent: Extent) -> io::Result<()> {
        (self.begun, self.counted) = (extent.file.is_some(), extent.bytes);
        self.roll_back()
    }

    /// Appends the first `bytes` of another file, header included.
    pub(super) fn carry(&mut self, from: &Path, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.header.clear();
        self.begin()?;
        let copied = io::copy(&mut File::open(from)?.take(bytes), &mut self.file)?;
        if copied == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
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
            if self.leftover {
                // A file of our own: the run whose rows these were must not take ours for them.
                fs::remove_file(&self.partial)?;
                self.file = open_locked(&self.partial).map_err(io::Error::other)?;
            }
            self.begun = true;
            self.file.write_all(&self.header)?;
        }
        Ok(())
    }

    /// Makes what was written survive a loss of power.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.begun {
            self.file.sync_data()?;
            spare_the_cache(&self.file);
        }
        Ok(())
    }

    /// All that was written so far.
    pub(super) fn extent(&mut self) -> io::Result<Extent> {
        if !self.begun {
            return Ok(Extent::default());
        }
        Ok(Extent { file: FileId::of(&self.file.metadata()?), bytes: self.file.stream_position()? })
    }

    /// What was written so far counts.
    pub(super) fn count(&mut self) -> io::Result<()> {
        if self.begun {
            self.counted = self.file.stream_position()?;
        }
        Ok(())
    }

    /// Takes back what was written and was not counted.
    pub(super) fn roll_back(&mut self) -> io::Result<()> {
        if self.begun {
            self.file.set_len(self.counted)?;
            self.file.seek(SeekFrom::Start(self.counted))?;
        }
        Ok(())
    }

    /// Where the rows are until [`Self::finish`], if there are any.
    pub(super) fn partial(&self) -> Option<&Path> {
        self.begun.then_some(&*self.partial)
    }

    /// The rows written so far, if there are any.
    pub(super) fn rows(&self) -> Option<&File> {
        self.begun.then_some(&self.file)
    }

    /// Writes the rows anew in another order, each given by where it starts and how long it is. What stands before the
    /// first of them in the file stays there.
    pub(super) fn rewrite(&mut self, rows: impl Iterator<Item = (u64, u64)> + Clone) -> io::Result<()> {
        let head = rows.clone().map(|(start, _)| start).min().unwrap_or_default();
        let mut name = self.partial.file_name().unwrap_or_default().to_owned();
        name.push(".ordered");
        let ordered = self.partial.with_file_name(name);
        let file = open_locked(&ordered).map_err(io::Error::other)?;
        file.set_len(0)?;
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        let mut row = Vec::new();
        for (start, bytes) in std::iter::once((0, head)).chain(rows) {
            row.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
            self.file.read_exact_at(&mut row, start)?;
            out.write_all(&row)?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        fs::rename(&ordered, &self.partial)?;
        self.file = file;
        Ok(())
    }

    /// Completes the file where it is: nothing is missing but its name.
    pub(super) fn seal(&mut self) -> io::Result<Extent> {
        self.begin()?;
        self.file.sync_all()?;
        self.extent()
    }

    /// Puts the sealed file in its place.
    pub(super) fn finish(self) -> io::Result<PathBuf> {
        put_in_place(&self.partial, &self.path)?;
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

/// Lets the system forget what is on disk of a file: nobody reads it before the run is over, and nodes on the same machine have better
/// use for the memory. On a virtual machine that hands free memory back to its host, a page that was just freed also costs a
/// fraction of a fresh one.
#[cfg(target_os = "linux")]
fn spare_the_cache(file: &File) {
    // Advice: without it everything is as right.
    let _ignored = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

#[cfg(not(target_os = "linux"))]
fn spare_the_cache(_: &File) {}

/// Opens a file and locks it, creating it if it is not there. Not truncated: another run may be writing it, which only the
/// lock tells.
fn open_locked(path: &Path) -> std::result::Result<File, String> {
    let open = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path);
    let file = open.map_err(|error| error.to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another run is writing it".into()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// Where the rows of `path` are until it is complete.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Puts a file that was sealed in its place, or finds it there already; false where it is nowhere.
pub(super) fn settle(path: &Path, sealed: Extent) -> io::Result<bool> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let partial = partial_path(path);
    let is = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| sealed.file.is_some() && FileId::of(&found) == sealed.file)
    };
    if is(&partial) {
        put_in_place(&partial, path)?;
    }
    Ok(is(path))
}

/// A rename is durable once its folder is.
fn put_in_place(partial: &Path, path: &Path) -> io::Result<()> {
    fs::rename(partial, path)?;
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
