//! Where a cluster keeps its files. Owns names and paths; reads and writes nothing.

use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};

const NAME_MAX: usize = 32;

/// A cluster's folder, `<home>/cluster/<name>/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    name: String,
    path: PathBuf,
}

impl Folder {
    /// The folder of cluster `name` below `home`.
    ///
    /// # Errors
    /// When the name is not 1 to 32 of `a-z`, `0-9` and `-`, or `home` cannot be written on a command line.
    pub fn new(home: &Path, name: &str) -> Result<Self> {
        let fits = (1..=NAME_MAX).contains(&name.len());
        if !fits || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Failure::usage(format!("`{name}` cannot name a cluster"))
                .hint("a name has 1 to 32 characters out of a-z, 0-9 and `-`"));
        }
        // A process is recognised by its command line, which carries this path: it must be absolute and readable.
        let home = std::path::absolute(home)
            .map_err(|error| Failure::usage(format!("{}: {error}", home.display())))?;
        if home.to_str().is_none() {
            return Err(Failure::usage(format!("{}: the path is not UTF-8", home.display()))
                .hint("choose another folder with `--home DIR`"));
        }
        Ok(Self { name: name.to_owned(), path: home.join("cluster").join(name) })
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of the cluster, see [`super::State`].
    pub fn state_file(&self) -> PathBuf {
        self.path.join("cluster.json")
    }

    /// Configuration shared by the nodes.
    pub fn config_file(&self) -> PathBuf {
        self.path.join("restate.toml")
    }

    /// The nodes' data; each has a folder of its own name in it.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// What a node (or `service`) said.
    pub fn log(&self, process: &str) -> PathBuf {
        self.path.join("logs").join(format!("{process}.log"))
    }

    /// The compose file of a cluster in containers, and all it mounts.
    pub(super) fn compose(&self) -> PathBuf {
        self.path.join("compose")
    }

    /// Held by the command that acts on the cluster.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// `classify cluster VERB`, with the name where it is not the default one. For hints.
    pub fn command(&self, verb: &str) -> String {
        if self.name == super::DEFAULT_NAME {
            format!("classify cluster {verb}")
        } else {
            format!("classify cluster {verb} --name {}", self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder() {
        let longest = "a".repeat(32);
        for good in ["default", "a", "x-1", &longest] {
            assert!(Folder::new(Path::new("/h"), good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(33);
        for bad in ["", ".", "..", "a/b", "A", "a b", "ä", "a_b", &too_long] {
            assert!(Folder::new(Path::new("/h"), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_absolute_and_hints_carry_the_name() {
        let folder = Folder::new(Path::new("rel"), "x").unwrap();
        assert!(folder.path().is_absolute());
        assert!(folder.path().ends_with("rel/cluster/x"));
        assert_eq!(folder.command("stop"), "classify cluster stop --name x");
        assert_eq!(Folder::new(Path::new("/h"), "default").unwrap().command("stop"), "classify cluster stop");
    }
}
