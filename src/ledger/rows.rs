//! The rows of a run as two hashes each: enough to say how an input has changed, and in which order its rows stood.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::Path;

use crate::disk::private;
use crate::input::RowId;

/// How an input differs from what it was, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Ids that were not there.
    pub added: u64,
    /// Ids that are not there any more.
    pub removed: u64,
    /// Ids whose row has other content.
    pub changed: u64,
}

/// Writes the rows' hashes; syncing them is the caller's.
pub fn write(path: &Path, rows: impl Iterator<Item = RowId>) -> io::Result<()> {
    let mut file = BufWriter::new(private::create(path)?);
    for row in rows {
        file.write_all(&row.id.to_le_bytes())?;
        file.write_all(&row.content.to_le_bytes())?;
    }
    file.flush()
}

/// Reads them again, in the order of the input.
///
/// # Errors
/// When the file cannot be opened.
pub fn read(path: &Path) -> io::Result<impl Iterator<Item = io::Result<RowId>> + use<>> {
    Ok(read_from(BufReader::new(File::open(path)?)))
}

/// As [`read`], from wherever they are.
pub(super) fn read_from<R: BufRead>(mut file: R) -> impl Iterator<Item = io::Result<RowId>> + use<R> {
    let mut next = move || -> io::Result<Option<RowId>> {
        // A row that is cut off is no end.
        if file.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let (mut id, mut content) = ([0; 8], [0; 8]);
        file.read_exact(&mut id)?;
        file.read_exact(&mut content)?;
        Ok(Some(RowId { id: u64::from_le_bytes(id), content: u64::from_le_bytes(content) }))
    };
    std::iter::from_fn(move || next().transpose())
}

/// Compares the rows kept at `path` with those of an input that was hashed with the same keys.
///
/// # Errors
/// When the file cannot be read.
pub fn changes(path: &Path, now: impl Iterator<Item = RowId>) -> io::Result<Changes> {
    Ok(compare(read(path)?.collect::<io::Result<_>>()?, now.collect()))
}

/// Compares the rows of an input with those of another one, which were hashed with the same keys.
pub(super) fn compare(before: Vec<RowId>, now: Vec<RowId>) -> Changes {
    let sorted = |mut rows: Vec<RowId>| {
        rows.sort_unstable_by_key(|row| row.id);
        rows
    };
    let (before, now) = (sorted(before), sorted(now));
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    let mut changes = Changes::default();
    loop {
        match (before.peek(), now.peek()) {
            (None, None) => return changes,
            (Some(old), Some(new)) if old.id == new.id => {
                changes.changed += u64::from(old.content != new.content);
                before.next();
                now.next();
            }
            (Some(old), new) if new.is_none_or(|new| old.id < new.id) => {
                changes.removed += 1;
                before.next();
            }
            _ => {
                changes.added += 1;
                now.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_whatever_the_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.bin");
        let rows = |pairs: &[(u64, u64)]| {
            pairs.iter().map(|(id, content)| RowId { id: *id, content: *content }).collect::<Vec<_>>()
        };
        let old = rows(&[(5, 1), (3, 1), (9, 1), (1, 1)]);
        write(&path, old.clone().into_iter()).unwrap();
        assert_eq!(read(&path).unwrap().collect::<io::Result<Vec<_>>>().unwrap(), old);
        let now = rows(&[(1, 1), (10, 1), (3, 2), (2, 1), (5, 1)]);
        let expected = Changes { added: 2, removed: 1, changed: 1 };
        assert_eq!(changes(&path, now.into_iter()).unwrap(), expected);
        assert_eq!(changes(&path, old.into_iter().rev()).unwrap(), Changes::default());
    }

    #[test]
    fn a_row_that_is_cut_off_is_an_error() {
        let bytes = [7; 32];
        for length in [1, 7, 8, 9, 15, 17, 31] {
            assert!(read_from(&bytes[..length]).any(|row| row.is_err()), "{length} bytes");
        }
        assert_eq!(read_from(&bytes[..]).flatten().count(), 2);
    }
}
