//! Which file it is, how much of it counts and what stands there: all that is carried over from one process to the next is
//! known by it.

use std::fs::{File, Metadata};
use std::hash::Hasher as _;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Bytes that are read at a time.
const PIECE: usize = 256 * 1024;

/// Which file it is, whatever its name. The number of a file that is gone may be given to another one; when it was
/// made tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
    created_ns: u64,
}

impl FileId {
    /// Nothing where the file system does not keep when a file was made.
    fn of(metadata: &Metadata) -> Option<Self> {
        let created = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let created_ns = u64::try_from(created.as_nanos()).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino(), created_ns })
    }
}

/// How much of which file counts. The default is no file: there is no row yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The file; `None` before its first row, and where it cannot be told from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileId>,
    /// Bytes of it.
    pub bytes: u64,
    /// Checksum of these bytes; an earlier version kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u64>,
}

impl Extent {
    /// What stands within the extent in `file`. Nothing where it is another file, is shorter or has other bytes.
    pub(super) fn content_of(&self, file: &File) -> io::Result<Option<Content>> {
        let found = file.metadata()?;
        let same = match self.file {
            Some(file) => FileId::of(&found) == Some(file),
            // Its bytes must do where no file can be told from another.
            None => self.digest.is_some() && FileId::of(&found).is_none(),
        };
        if !same || found.len() < self.bytes {
            return Ok(None);
        }
        let content = match Content::read(file, self.bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            content => content?,
        };
        Ok(self.digest.is_none_or(|digest| digest == content.digest()).then_some(content))
    }

    /// Whether the file at `path` is the very one, with these bytes and no others.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_all_of(&self, path: &Path) -> io::Result<bool> {
        match File::open(path) {
            Ok(file) => Ok(file.metadata()?.len() == self.bytes && self.content_of(&file)?.is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What was written to a file: how much, and a checksum of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    bytes: u64,
    hasher: SipHasher13,
}

impl Content {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    /// The first `bytes` of `file`.
    fn read(file: &File, bytes: u64) -> io::Result<Self> {
        let mut content = Self::default();
        let mut piece = vec![0; PIECE];
        while content.bytes < bytes {
            let left = usize::try_from(bytes - content.bytes).unwrap_or(PIECE).min(PIECE);
            file.read_exact_at(&mut piece[..left], content.bytes)?;
            content.write_all(&piece[..left])?;
        }
        Ok(content)
    }

    /// Whether `file` begins with it.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.bytes {
            return Ok(false);
        }
        Ok(Self::read(file, self.bytes)?.digest() == self.digest())
    }

    /// As an extent of `file`.
    pub(super) fn extent(&self, file: &File) -> io::Result<Extent> {
        let id = FileId::of(&file.metadata()?);
        Ok(Extent { file: id, bytes: self.bytes, digest: Some(self.digest()) })
    }
}

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.write(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_known_by_what_it_is_and_by_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one\ntwo\n").unwrap();
        let extent = |bytes| {
            let file = File::open(&path).unwrap();
            Content::read(&file, bytes).unwrap().extent(&file).unwrap()
        };
        let (whole, part) = (extent(8), extent(4));
        let holds = |extent: Extent| extent.content_of(&File::open(&path).unwrap()).unwrap().is_some();
        assert!(holds(whole) && holds(part) && whole.is_all_of(&path).unwrap());
        assert!(!part.is_all_of(&path).unwrap(), "there is more");
        assert!(holds(Extent { digest: None, ..part }), "of an earlier version");
        assert!(!holds(Extent { file: None, ..part }), "it can be told from others");

        fs::write(&path, "one\nTWO\n").unwrap();
        assert!(!holds(whole) && holds(part), "other bytes in the same file");
        fs::write(&path, "one").unwrap();
        assert!(!holds(part), "it is shorter");
        fs::write(folder.path().join("b"), "one\ntwo\n").unwrap();
        fs::rename(folder.path().join("b"), &path).unwrap();
        assert!(!holds(whole) && !whole.is_all_of(&path).unwrap(), "the same bytes in another file");
        fs::remove_file(&path).unwrap();
        assert!(!whole.is_all_of(&path).unwrap());
    }

    #[test]
    fn a_checksum_does_not_depend_on_how_bytes_came() {
        let text: Vec<u8> = (0..=255).cycle().take(PIECE + 77).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        let mut content = Content::default();
        for piece in text.chunks(31) {
            content.write_all(piece).unwrap();
        }
        assert!(content.is_in(&file).unwrap());
        content.write_all(b"x").unwrap();
        assert!(!content.is_in(&file).unwrap());
    }
}
