//! Where a cluster keeps its files. Owns names and paths; looks at symbolic links and at nothing else.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::{Failure, Result};

const NAME_MAX: usize = 32;
/// The folder of what containers mount. They run as other users, who must be able to read it.
pub const MOUNTED: &str = "compose";

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
        // A process is recognised by its command line, which carries this path: it must be readable, and there must be one
        // spelling of it, whatever links and dots are on the way.
        let home = canonical(home).map_err(|error| Failure::usage(format!("{}: {error}", home.display())))?;
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

    /// The folder for all local state, in which it is.
    pub(super) fn home(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(&self.path)
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

    /// What node `name` keeps while it runs, and nobody needs afterwards.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.path.join("tmp").join(name)
    }

    /// What a node (or `service`) said.
    pub fn log(&self, process: &str) -> PathBuf {
        self.path.join("logs").join(format!("{process}.log"))
    }

    /// The compose file of a cluster in containers, and all it mounts.
    pub(super) fn compose(&self) -> PathBuf {
        self.path.join(MOUNTED)
    }

    /// What clients sign their calls with.
    pub(super) fn secret_file(&self) -> PathBuf {
        self.path.join("secret")
    }

    /// The private key that the nodes sign their requests to the service with.
    pub(super) fn identity_file(&self) -> PathBuf {
        self.path.join("identity.pem")
    }

    /// Its public part.
    pub(super) fn identity_key_file(&self) -> PathBuf {
        self.path.join("identity.pub")
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

/// The one spelling of a path: absolute, without dots and symbolic links. What is not there yet has none behind it.
///
/// # Errors
/// When the path is empty, or it is relative and there is no current folder.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        let Ok(mut known) = there.canonicalize() else { continue };
        let Ok(rest) = path.strip_prefix(there) else { continue };
        let mut is_other = false;
        for part in rest.components() {
            if part == Component::ParentDir {
                is_other = known.pop();
            } else {
                known.push(part);
            }
        }
        // Behind the dots there may be links again.
        return if is_other { canonical(&known) } else { Ok(known) };
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("real/home")).unwrap();
        std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
        let wanted = Folder::new(&dir.join("real/home"), "x").unwrap();
        for spelling in ["link/home", "real/../link/./home", "missing/../link/home", "real/home/new/.."] {
            assert_eq!(Folder::new(&dir.join(spelling), "x").unwrap(), wanted, "{spelling}");
        }
        let new = Folder::new(&dir.join("link/new"), "x").unwrap();
        assert_eq!(new.path(), dir.join("real/new/cluster/x"), "before it is made");
        std::fs::create_dir_all(new.path()).unwrap();
        assert_eq!(Folder::new(&dir.join("link/new"), "x").unwrap(), new, "and afterwards");
    }

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
