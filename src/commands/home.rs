//! Where local state is, and that it is nobody else's to read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::cli::Global;
use crate::cluster::{MOUNTED, canonical};
use crate::disk::private;
use crate::error::{Failure, Result};

/// What is ours in a home folder.
const OURS: [&str; 3] = ["runs", "cluster", "cache"];
/// A folder that is there for everybody.
const STICKY: u32 = 0o1000;

/// The folder for all local state: as given, else `classify` in the XDG state folder. In its one spelling, whatever links lead there.
pub(super) fn folder(global: &Global) -> Result<PathBuf> {
    let home = named(global)?;
    let home = canonical(&home).map_err(|error| Failure::usage(format!("{}: {error}", home.display())))?;
    // A disk that keeps no modes has none to set.
    let _as_it_was = keep_private(&home);
    Ok(home)
}

/// Takes away from others what an older version left open to them. A home folder with other things in it is somebody's folder for more
/// than this: it stays as it is, and so do `runs` and `cluster` in it. Single runs and clusters are ours wherever they are.
fn keep_private(home: &Path) -> io::Result<()> {
    let is_ours = |name: &std::ffi::OsStr| OURS.iter().any(|ours| name == *ours);
    let all_ours = fs::read_dir(home)?.flatten().all(|entry| is_ours(&entry.file_name()));
    let alone = all_ours && !is_sticky(home);
    if alone {
        private::narrow(home)?;
    }
    for (folder, record) in [("runs", "run.json"), ("cluster", "cluster.json")] {
        let folder = home.join(folder);
        // Where that was closed already, so is everything below.
        if alone && !private::narrow(&folder)? {
            continue;
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.join(record).exists() && private::narrow(&path)? {
                private::narrow_all(&path, MOUNTED)?;
            }
        }
    }
    Ok(())
}

fn is_sticky(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(folder).is_ok_and(|found| found.mode() & STICKY != 0)
}

fn named(global: &Global) -> Result<PathBuf> {
    if let Some(home) = &global.home {
        return Ok(home.clone());
    }
    // XDG on macOS as well: these are files for people who live in a terminal.
    etcetera::base_strategy::Xdg::new()
        .ok()
        .and_then(|xdg| xdg.state_dir())
        .map(|state| state.join("classify"))
        .ok_or_else(|| {
            Failure::usage("no home folder, so nowhere to keep state").hint("name a folder with `--home DIR`")
        })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    const FOLDERS: [&str; 6] = ["", "runs", "runs/A", "cluster", "cluster/x", "cluster/x/data"];
    const FILES: [&str; 3] = ["runs/A/run.json", "runs/A/input-0.jsonl", "cluster/x/cluster.json"];

    /// A home as an older version made it, under a umask of 022.
    fn older() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for folder in FOLDERS.iter().chain(&["cluster/x/compose", "runs/mine"]) {
            fs::create_dir_all(at(folder)).unwrap();
            fs::set_permissions(at(folder), Permissions::from_mode(0o755)).unwrap();
        }
        for file in FILES.iter().chain(&["cluster/x/compose/haproxy.cfg"]) {
            fs::write(at(file), "{}").unwrap();
            fs::set_permissions(at(file), Permissions::from_mode(0o644)).unwrap();
        }
        home
    }

    fn open_to_others(home: &Path, names: &[&'static str]) -> Vec<&'static str> {
        let is_open = |name: &&str| fs::metadata(home.join(name)).unwrap().mode() & 0o077 != 0;
        names.iter().copied().filter(is_open).collect()
    }

    #[test]
    fn what_an_older_version_left_open_is_closed() {
        let home = older();
        keep_private(home.path()).unwrap();
        assert_eq!(open_to_others(home.path(), &[&FOLDERS[..], &FILES].concat()), [""; 0]);
        // Containers that run as somebody else read it; nobody else gets as far.
        assert_eq!(open_to_others(home.path(), &["cluster/x/compose/haproxy.cfg"]).len(), 1);
    }

    #[test]
    fn a_folder_that_is_there_for_more_stays_open_and_what_is_ours_in_it_is_closed() {
        let home = older();
        fs::write(home.path().join("thesis.txt"), "").unwrap();
        keep_private(home.path()).unwrap();
        let open = open_to_others(home.path(), &[&FOLDERS[..], &FILES, &["runs/mine"]].concat());
        assert_eq!(open, ["", "runs", "cluster", "runs/mine"]);

        let home = older();
        fs::set_permissions(home.path(), Permissions::from_mode(0o1777)).unwrap();
        keep_private(home.path()).unwrap();
        assert_eq!(open_to_others(home.path(), &["", "runs/A"]), [""]);
    }
}
