//! A file that appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use thiserror::Error;

use super::extent::{Content, Extent};
use super::place::{behind_links, create_ordered, inherit, is_at, obstacle, open_locked, partial_path};
use crate::disk;
use crate::error::{Failure, Result};
use crate::text::from_here;

/// Somebody else changed a file that is being written.
#[derive(Debug, Error)]
#[error("{} was changed by another program: {how}", from_here(path).display())]
struct Spoiled {
    path: PathBuf,
    how: String,
}

/// Whether another program changed a file that is being written.
pub fn is_spoiled(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Spoiled>()).is_some()
}

/// Rows on their way to `path`. Locked while it is open, so that two runs cannot write one file. Other programs ask no lock: they are
/// noticed by the file's number, length and checksum.
#[derive(Debug)]
pub(super) struct PartialFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    /// Goes in front of the first row: a header alone is not worth keeping.
    header: Vec<u8>,
    stage: Stage,
    /// Whether its name survives a loss of power.
    named: bool,
    /// What it has, if nobody else changed it.
    written: Content,
    /// How much of that counts.
    counted: Content,
    /// Whether somebody else changed it in such a way that what counts is not there any more.
    spoiled: bool,
}

/// Whose rows are in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody's.
    Empty,
    /// Those of an interrupted run. They are thrown away when there is something to put in their place, not before.
    Leftover,
    /// This run's, which must survive an early end.
    Begun,
}

impl PartialFile {
    /// Opens `PATH.partial`, after making sure that `path` can be replaced at the end. `flag` chooses another path.
    pub(super) fn create(path: &Path, flag: &str) -> Result<Self> {
        let refuse = |why: String| {
            Failure::usage(format!("cannot write {}: {why}", from_here(path).display()))
                .hint(format!("choose another place with `{flag} FILE`"))
        };
        // Behind a symbolic link, the file itself is replaced, not the link.
        let path = &behind_links(path).map_err(|error| refuse(error.to_string()))?;
        if let Some(why) = obstacle(path) {
            return Err(refuse(why));
        }
        let partial = partial_path(path);
        let file = open_locked(&partial, path).map_err(&refuse)?;
        // Between opening and locking, another run may have put this very file in its place.
        if !is_at(&file, &partial) {
            return Err(refuse("another run has just finished it".into()));
        }
        let is_empty = file.metadata().is_ok_and(|found| found.len() == 0);
        Ok(Self {
            path: path.to_owned(),
            partial,
            file,
            header: Vec::new(),
            stage: if is_empty { Stage::Empty } else { Stage::Leftover },
            named: false,
            written: Content::default(),
            counted: Content::default(),
            spoiled: false,
        })
    }

    /// What the rows are that an earlier process of the same run left within `extent`. Nothing where another run took the place, or
    /// somebody changed them.
    pub(super) fn held(&self, extent: Extent) -> io::Result<Option<Content>> {
        if extent == Extent::default() { Ok(Some(Content::default())) } else { extent.content_of(&self.file) }
    }

    /// Goes on behind the rows within `extent`, which it holds; rows beyond were never counted.
    pub(super) fn go_on(&mut self, extent: Extent, held: Content) -> io::Result<()> {
        if extent == Extent::default() {
            return Ok(());
        }
        self.stage = Stage::Begun;
        self.inherit()?;
        self.file.set_len(held.bytes())?;
        (self.written, self.counted) = (held.clone(), held);
        Ok(())
    }

    /// Appends all of the file at `from`, header included. False, and nothing is appended, where that is not `extent`.
    pub(super) fn carry(&mut self, from: &Path, extent: Extent) -> io::Result<bool> {
        if !extent.is_all_of(from)? {
            return Ok(false);
        }
        self.append_all(from, extent.bytes)?;
        Ok(self.written.extent(&self.file)?.digest == extent.digest || extent.digest.is_none())
    }

    /// Appends the file at `from`, which has `bytes`.
    pub(super) fn append_all(&mut self, from: &Path, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.header.clear();
        self.begin()?;
        let copied = io::copy(&mut io::Read::take(File::open(from)?, bytes), self)?;
        if copied == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Appends rows.
    pub(super) fn append(&mut self, rows: &[u8]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.begin()?;
        self.write_all(rows)
    }

    /// Puts `header` in front of the first row.
    pub(super) fn set_header(&mut self, header: &[u8]) {
        header.clone_into(&mut self.header);
    }

    fn is_begun(&self) -> bool {
        self.stage == Stage::Begun
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.stage != Stage::Begun {
            if self.stage == Stage::Leftover {
                // A file of our own: the run whose rows these were must not take ours for them.
                fs::remove_file(&self.partial)?;
                self.file = open_locked(&self.partial, &self.path).map_err(io::Error::other)?;
            }
            self.stage = Stage::Begun;
            self.inherit()?;
            let header = std::mem::take(&mut self.header);
            self.write_all(&header)?;
        }
        Ok(())
    }

    /// Takes over who may read what stands at its place.
    fn inherit(&self) -> io::Result<()> {
        fs::metadata(&self.path).map_or(Ok(()), |replaced| inherit(&self.file, &replaced))
    }

    /// An error where another program replaced or removed the file, or changed its length. What is appended afterwards changes the
    /// length, too, so that whatever happened is found sooner or later.
    fn check(&mut self) -> io::Result<()> {
        let (bytes, expected) = (self.file.metadata()?.len(), self.written.bytes());
        if !is_at(&self.file, &self.partial) {
            return self.spoil("another file has its name, or none".into());
        }
        if bytes == expected {
            return Ok(());
        }
        self.spoil(format!("it has {bytes} bytes, and {expected} were written"))
    }

    fn spoil(&mut self, how: String) -> io::Result<()> {
        self.spoiled = true;
        Err(io::Error::other(Spoiled { path: self.partial.clone(), how }))
    }

    /// An error where what stands in the file is not what was written.
    pub(super) fn verify(&mut self) -> io::Result<()> {
        if !self.is_begun() {
            return Ok(());
        }
        self.check()?;
        if self.written.is_in(&self.file)? { Ok(()) } else { self.spoil("it has other bytes".into()) }
    }

    /// Makes what was written survive a loss of power.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.is_begun() {
            self.check()?;
            self.file.sync_data()?;
            if !self.named {
                disk::sync_name(&self.partial)?;
                self.named = true;
            }
            spare_the_cache(&self.file);
        }
        Ok(())
    }

    /// All that was written so far.
    pub(super) fn extent(&self) -> io::Result<Extent> {
        if self.is_begun() { self.written.extent(&self.file) } else { Ok(Extent::default()) }
    }

    /// What was written so far counts.
    pub(super) fn count(&mut self) {
        self.counted = self.written.clone();
    }

    /// Takes back what was written and was not counted. Where what counts is not there any more, nothing is touched.
    pub(super) fn roll_back(&mut self) -> io::Result<()> {
        if self.is_begun() {
            self.spoiled = !is_at(&self.file, &self.partial) || !self.counted.is_in(&self.file)?;
            if !self.spoiled {
                self.file.set_len(self.counted.bytes())?;
                self.written = self.counted.clone();
            }
        }
        Ok(())
    }

    /// Whether somebody else changed it in such a way that what counts is not there any more.
    pub(super) fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// Where the rows are until [`Self::finish`], if there are any.
    pub(super) fn partial(&self) -> Option<&Path> {
        self.is_begun().then_some(&*self.partial)
    }

    /// The rows written so far, if there are any.
    pub(super) fn rows(&self) -> Option<&File> {
        self.is_begun().then_some(&self.file)
    }

    /// Writes the rows anew in another order, each given by where it starts and how long it is. What stands before the
    /// first of them in the file stays there.
    pub(super) fn rewrite(&mut self, rows: impl Iterator<Item = (u64, u64)> + Clone) -> io::Result<()> {
        let head = rows.clone().map(|(start, _)| start).min().unwrap_or_default();
        let ordered = create_ordered(&self.partial)?;
        let file = ordered.as_file().try_clone()?;
        // It takes the place of the one that was locked.
        file.lock()?;
        inherit(&file, &self.file.metadata()?)?;
        let (mut out, mut content) = (BufWriter::with_capacity(256 * 1024, file), Content::default());
        let mut row = Vec::new();
        for (start, bytes) in std::iter::once((0, head)).chain(rows) {
            row.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
            self.file.read_exact_at(&mut row, start)?;
            out.write_all(&row)?;
            content.write_all(&row)?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        ordered.persist(&self.partial)?;
        (self.file, self.written) = (file, content);
        Ok(())
    }

    /// Completes the file where it is: nothing is missing but its name.
    pub(super) fn seal(&mut self) -> io::Result<Extent> {
        self.begin()?;
        self.verify()?;
        self.file.sync_all()?;
        disk::sync_name(&self.partial)?;
        self.extent()
    }

    /// Puts the sealed file in its place.
    pub(super) fn finish(mut self) -> io::Result<PathBuf> {
        self.check()?;
        put_in_place(&self.file, &self.partial, &self.path)?;
        // Between the look and the name, somebody may have put another file there.
        if !is_at(&self.file, &self.path) || self.file.metadata()?.len() != self.written.bytes() {
            self.spoil("another file got its name".into())?;
        }
        Ok(self.path.clone())
    }

    /// Ends without a file: what earlier runs left at its place and on the way there is of no use any more.
    pub(super) fn clear(mut self) -> io::Result<()> {
        self.stage = Stage::Empty;
        if !self.path.exists() {
            return Ok(());
        }
        fs::remove_file(&self.path)?;
        disk::sync_name(&self.path)
    }
}

impl Write for PartialFile {
    /// Only what a file took counts as written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.written.write_all(&bytes[..taken])?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PartialFile {
    /// An unfinished file without rows leaves no trace; one with rows, ours or an earlier run's, stays where it is.
    fn drop(&mut self) {
        if self.stage == Stage::Empty && is_at(&self.file, &self.partial) {
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

/// Puts a file that was sealed in its place, or finds it there already; false where it is nowhere.
pub(super) fn settle(path: &Path, sealed: Extent) -> io::Result<bool> {
    let path = &behind_links(path)?;
    let partial = partial_path(path);
    if sealed.is_all_of(&partial)? {
        put_in_place(&File::open(&partial)?, &partial, path)?;
    }
    sealed.is_all_of(path)
}

/// A rename is durable once its folder is.
fn put_in_place(file: &File, partial: &Path, path: &Path) -> io::Result<()> {
    if let Ok(replaced) = fs::metadata(path) {
        inherit(file, &replaced)?;
    }
    fs::rename(partial, path)?;
    disk::sync_name(path)
}

#[cfg(test)]
mod others;
#[cfg(test)]
mod tests;
