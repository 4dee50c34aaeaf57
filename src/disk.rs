//! What survives a loss of power: a name in a folder does once the folder is synced. And who may read what: [`private`].
//!
//! Syncing what stands in a file is the business of whoever writes it.

pub mod private;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Makes the names in `folder` durable: of new files, of those that were renamed and of those that were removed.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(folder.to_owned()));
    File::open(folder)?.sync_all()
}

/// Makes the name of the file at `path` durable.
///
/// # Errors
/// When its folder cannot be opened or synced.
pub fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(&folder_of(path))
}

/// Replaces the file at `path`, whole or not at all, and for good. It is its owner's alone.
///
/// # Errors
/// When it cannot be written, synced or renamed. Then what was there is there still.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(folder_of(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_name(path)
}

/// The folder in which `path` is a name.
pub fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new(".")).to_owned()
}

/// Makes `folder` and those above it that are missing, for good and for their owner alone.
///
/// # Errors
/// When one cannot be made or synced.
pub fn create_folders(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.is_dir()).collect();
    private::create_folders(folder)?;
    // From the outside in: what is inside of a folder without a name is lost with it.
    missing.into_iter().rev().try_for_each(sync_name)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// Folders that this thread has synced.
        pub(crate) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    /// Folders that `work` syncs, in order.
    pub(crate) fn synced_by(work: impl FnOnce()) -> Vec<PathBuf> {
        SYNCED.take();
        work();
        SYNCED.take()
    }

    #[test]
    fn new_folders_are_durable_from_the_outside_in() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        assert_eq!(synced_by(|| create_folders(&at("a/b/c")).unwrap()), [at(""), at("a"), at("a/b")]);
        assert!(at("a/b/c").is_dir());
        assert!(synced_by(|| create_folders(&at("a/b/c")).unwrap()).is_empty());
        assert_eq!(folder_of(Path::new("x")), Path::new("."));
    }
}
