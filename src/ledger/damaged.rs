//! A run whose `run.json` is damaged: nobody can go on with it, and what is left of it can be deleted.
//!
//! Nothing in the folder says whose it is any more. So it is a run's by its name, which is a run's id, and by what is in it: plain files with
//! the names that runs give. Where there is anything else, nothing is deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{Illegible, cannot, take_lock, understand};
use crate::disk;
use crate::error::{Failure, Result};
use crate::input::Format;
use crate::lock::Lock;
use crate::text::printable;

/// The files of a run, but for copies of its input.
const FILES: [&str; 7] =
    ["run.json", "journal.jsonl", "rows.bin", "retry.jsonl", "kept.jsonl", "report.json", LOCK];
const LOCK: &str = "lock";
/// With what the name of a file begins that did not get its own (`tempfile`), and how long such a name is.
const DRAFT: (&str, usize) = (".tmp", 10);

/// What is left of a run.
#[derive(Debug)]
pub struct Damaged {
    path: PathBuf,
    id: String,
}

/// The same, and no other process is at it.
#[derive(Debug)]
pub struct ClaimedRest {
    path: PathBuf,
    _lock: Lock,
}

impl Damaged {
    /// The folder at `path`, if there is a `run.json` in it that nobody can read.
    pub(super) fn find(path: PathBuf, id: &str) -> Result<Option<Self>> {
        let file = path.join("run.json");
        match fs::read(&file) {
            Ok(text) => {
                let is_damaged = matches!(understand(&text, &file), Err(Illegible::Damaged(_)));
                Ok(is_damaged.then(|| Self { path, id: id.to_owned() }))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(cannot("read", &file, &error)),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Claims it for this process, where it is a run's by what is in it.
    ///
    /// # Errors
    /// When another process is at it, it has something else in it, or the disk fails.
    pub fn claim(self) -> Result<ClaimedRest> {
        // Before the lock, which makes folders and a file.
        check(&self.path)?;
        let lock = take_lock(&self.path.join(LOCK), &self.id)?;
        Ok(ClaimedRest { path: self.path, _lock: lock })
    }
}

impl ClaimedRest {
    /// Deletes it, file by file, and nothing that is not a run's.
    ///
    /// # Errors
    /// When something else is in it by now, or the disk fails.
    pub fn delete(self) -> Result<()> {
        let path = &self.path;
        let delete = |files: Vec<PathBuf>| -> io::Result<()> {
            // Without that it is no run, however far the rest gets. The lock goes last.
            fs::remove_file(path.join("run.json"))?;
            disk::sync_folder(path)?;
            let is_left = |file: &&PathBuf| !file.ends_with("run.json") && !file.ends_with(LOCK);
            files.iter().filter(is_left).try_for_each(fs::remove_file)?;
            fs::remove_file(path.join(LOCK))?;
            fs::remove_dir(path)?;
            disk::sync_name(path)
        };
        delete(check(path)?).map_err(|error| cannot("delete", path, &error))
    }
}

/// The files in the folder at `path`, all of them a run's.
fn check(path: &Path) -> Result<Vec<PathBuf>> {
    let read = |error: io::Error| cannot("read", path, &error);
    // A link leads to somebody else's.
    if !fs::symlink_metadata(path).map_err(read)?.is_dir() {
        return Err(strange(path, "is no folder"));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(is_name) && entry.file_type().map_err(read)?.is_file();
        if !is_ours {
            let name = printable(&name.to_string_lossy());
            return Err(strange(path, &format!("has `{name}` in it, which is no file of a run")));
        }
        files.push(entry.path());
    }
    Ok(files)
}

fn strange(path: &Path, what: &str) -> Failure {
    Failure::usage(format!("nothing was deleted: {} {what}", path.display()))
        .detail("its run.json is damaged, so it is a run's only by what is in it")
        .hint("look at it, and move what is yours to another place")
}

/// Whether runs call a file so.
fn is_name(name: &str) -> bool {
    let (beginning, length) = DRAFT;
    let is_draft = name.starts_with(beginning) && name.len() == length;
    is_draft || FILES.contains(&name) || is_copy(name)
}

/// `input-N.FORMAT`
fn is_copy(name: &str) -> bool {
    let parts = name.strip_prefix("input-").and_then(|rest| rest.split_once('.'));
    parts.is_some_and(|(number, format)| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number && format.parse::<Format>().is_ok_and(|known| known.to_string() == format)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_call_their_files_is_known_and_nothing_else() {
        let copy = super::super::input_file(Path::new("/x"), 12, Format::Jsonl);
        let copy = copy.file_name().unwrap().to_str().unwrap();
        for name in ["run.json", "journal.jsonl", "lock", "input-0.csv", copy, ".tmpAb12Cd"] {
            assert!(is_name(name), "{name}");
        }
        for name in
            ["", "thesis.txt", "run.json.bak", "input-.csv", "input-0.txt", "input-0", ".tmp", ".tmpx.jsonl"]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
