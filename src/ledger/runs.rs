//! All runs of a home folder: how one is made and found.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ulid::Ulid;

use super::damaged::Damaged;
use super::folder::{Opened, RunFolder, cannot, draft, put};
use super::spec::Spec;
use crate::disk::{self, private};
use crate::domain::stats::RunStats;
use crate::error::{Failure, Result};
use crate::lock::{self, Lock};

/// What stands for the youngest run.
const LATEST: &str = "latest";

/// Age from which a folder without a run is nobody's work in progress.
const ABANDONED: Duration = Duration::from_mins(1);

/// All runs below one home folder.
#[derive(Debug, Clone)]
pub struct Runs {
    root: PathBuf,
}

/// Whether this may be the identity of a run, spelled as [`Runs::new_id`] spells it.
pub fn is_id(text: &str) -> bool {
    Ulid::from_string(text).is_ok_and(|id| id.to_string() == text)
}

impl Runs {
    /// The runs below `home`.
    pub fn new(home: &Path) -> Self {
        Self { root: home.join("runs") }
    }

    /// Where the run of this id is, or will be.
    pub fn path(&self, run_id: &str) -> PathBuf {
        self.root.join(run_id)
    }

    /// A new identity for a run. It sorts by time, and behind all there are: a run that was made while the clock was wrong does not stay
    /// the youngest.
    pub fn new_id(&self) -> String {
        let id = Ulid::generate();
        let youngest = self.ids().ok().and_then(|mut ids| Ulid::from_string(&ids.pop()?).ok());
        let behind = youngest
            .filter(|youngest| *youngest >= id)
            .map_or(id, |youngest| Ulid::from_parts(youngest.timestamp_ms().saturating_add(1), id.random()));
        behind.to_string()
    }

    /// Makes a run and claims it. `fill` puts what belongs to it into its folder, which need not be synced; the run exists when all of it is
    /// on disk.
    ///
    /// # Errors
    /// When the disk fails. Nothing is left then that would be taken for a run.
    pub fn create(
        &self,
        spec: Spec,
        fill: impl FnOnce(&Path) -> io::Result<()>,
        stats: &mut RunStats,
    ) -> Result<Opened> {
        self.sweep();
        let path = self.path(&spec.run_id);
        let make = || -> io::Result<Option<Lock>> {
            disk::create_folders(&path)?;
            let lock = Lock::try_take(&path.join("lock"))?;
            fill(&path)?;
            // Its name, too, shall survive.
            private::create(&path.join("journal.jsonl"))?;
            let run = draft(&path, &spec)?;
            // All at once: what is written by then shares one commit of the file system.
            sync_files(&path)?;
            put(run, &path.join("run.json"))?;
            Ok(lock)
        };
        match make() {
            Ok(Some(lock)) => RunFolder { path, spec }.read_on(lock, stats),
            Ok(None) => Err(Failure::unexpected(format!("the new run {} is taken", spec.run_id))),
            Err(error) => {
                let _nothing_to_remove = fs::remove_dir_all(&path);
                Err(cannot("write", &path, &error).hint("choose another folder with `--home DIR`"))
            }
        }
    }

    /// Removes what processes left that died before their run existed.
    fn sweep(&self) {
        let is_old = |path: &Path| {
            let made = fs::metadata(path).and_then(|found| found.modified());
            made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > ABANDONED))
        };
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_run = path.join("run.json").exists() || lock::is_held(&path.join("lock"));
            if entry.file_name().to_str().is_some_and(is_id) && !is_run && is_old(&path) {
                let _of_no_use_and_no_harm = fs::remove_dir_all(path);
            }
        }
    }

    /// The run of this id; `latest` is the youngest.
    ///
    /// # Errors
    /// When there is no such run, or it cannot be read.
    pub fn find(&self, id: &str) -> Result<RunFolder> {
        let list = || "see which there are: `classify runs list`";
        if id == LATEST {
            let youngest = self.ids()?.pop();
            let id = youngest
                .ok_or_else(|| Failure::usage(format!("no run in {}", self.root.display())).hint(list()))?;
            return RunFolder::load(self.path(&id));
        }
        let known = is_id(id) && self.path(id).join("run.json").exists();
        if !known {
            return Err(Failure::usage(format!("no run `{id}` in {}", self.root.display())).hint(list()));
        }
        RunFolder::load(self.path(id))
    }

    /// What is left of the run of this id, where its `run.json` is damaged.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn damaged(&self, id: &str) -> Result<Option<Damaged>> {
        if is_id(id) { Damaged::find(self.path(id), id) } else { Ok(None) }
    }

    /// Every run, or why it cannot be read, youngest last.
    ///
    /// # Errors
    /// When the folder of all runs cannot be read.
    pub fn each(&self) -> Result<Vec<Result<RunFolder>>> {
        Ok(self.ids()?.iter().map(|id| RunFolder::load(self.path(id))).collect())
    }

    /// Every run that can be read, youngest last.
    ///
    /// # Errors
    /// When the folder of all runs cannot be read.
    pub fn all(&self) -> Result<Vec<RunFolder>> {
        Ok(self.each()?.into_iter().filter_map(Result::ok).collect())
    }

    /// Ids of all runs, youngest last.
    fn ids(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot("read", &self.root, &error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_run = |name: &String| is_id(name) && self.path(name).join("run.json").exists();
        let mut ids: Vec<String> = names.filter(is_run).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

/// Syncs every file in `folder`.
fn sync_files(folder: &Path) -> io::Result<()> {
    fs::read_dir(folder)?.try_for_each(|entry| File::open(entry?.path())?.sync_all())
}

#[cfg(test)]
mod tests;
