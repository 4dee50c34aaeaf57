//! The folder of one run: how it is claimed by a process, read and written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use super::journal::{self, Journal, Line, Unreadable};
use super::past::{Past, Standing};
use super::spec::{Spec, VERSION};
use crate::disk;
use crate::domain::stats::RunStats;
use crate::error::{Failure, Result};
use crate::input::Format;
use crate::lock::{self, Lock};

/// One run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    pub(super) path: PathBuf,
    /// What it was asked to do.
    pub spec: Spec,
}

/// A run that this process, and no other, is at.
#[derive(Debug)]
pub struct Opened {
    /// The run.
    pub folder: RunFolder,
    /// What was done before.
    pub past: Past,
    /// Where to write what is done now.
    pub journal: Journal,
    /// Held while this process is at it.
    pub lock: Lock,
}

/// The time, RFC 3339 in UTC, as runs write it.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A run that this process, and no other, is at, whatever its journal says.
#[derive(Debug)]
pub struct Claimed {
    folder: RunFolder,
    _lock: Lock,
}

impl Claimed {
    /// Deletes the run: whatever it has written elsewhere stays.
    ///
    /// # Errors
    /// When the disk fails. What is left is no run any more.
    pub fn delete(self) -> Result<()> {
        let path = &self.folder.path;
        let delete = || -> io::Result<()> {
            // Without that it is no run, however far the rest gets.
            fs::remove_file(path.join("run.json"))?;
            disk::sync_folder(path)?;
            fs::remove_dir_all(path)?;
            disk::sync_name(path)
        };
        delete().map_err(|error| cannot("delete", path, &error))
    }

    /// Removes the copies of rows, which nobody will read again.
    pub fn tidy(self) {
        self.folder.tidy();
    }
}

impl Opened {
    /// Takes back a run of which nothing was submitted.
    pub fn discard(self) {
        // One that stays is a run that can be resumed or cancelled.
        let _harmless = fs::remove_dir_all(&self.folder.path);
    }
}

impl RunFolder {
    pub(super) fn load(path: PathBuf) -> Result<Self> {
        let file = path.join("run.json");
        let text = fs::read(&file).map_err(|error| cannot("read", &file, &error))?;
        let spec = understand(&text, &file).map_err(|why| why.told(&path))?;
        Ok(Self { path, spec })
    }

    /// Claims the run for this process, and repairs its journal.
    ///
    /// # Errors
    /// When another process is at it, or the disk fails.
    pub fn open(self, stats: &mut RunStats) -> Result<Opened> {
        let lock = self.lock()?;
        self.read_on(lock, stats)
    }

    /// Claims the run for this process without reading its journal.
    ///
    /// # Errors
    /// When another process is at it, or the disk fails.
    pub fn claim(self) -> Result<Claimed> {
        let lock = self.lock()?;
        Ok(Claimed { folder: self, _lock: lock })
    }

    fn lock(&self) -> Result<Lock> {
        take_lock(&self.lock_file(), &self.spec.run_id)
    }

    pub(super) fn read_on(self, lock: Lock, stats: &mut RunStats) -> Result<Opened> {
        let file = self.journal_file();
        let mut past = Past::default();
        let mut journal =
            Journal::open(&file, |line| past.learn(line, stats)).map_err(|error| self.unreadable(error))?;
        let opened = Line::Opened { at: now(), pid: std::process::id() };
        journal.append([opened]).map_err(|error| cannot("write", &file, &error))?;
        past.learn(Line::Opened { at: String::new(), pid: 0 }, stats).map_err(Failure::unexpected)?;
        Ok(Opened { folder: self, past, journal, lock })
    }

    /// What was done so far, without claiming the run.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn look(&self, stats: &mut RunStats) -> Result<Past> {
        let path = self.journal_file();
        let mut past = Past::default();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(past),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        journal::read(file, |line| past.learn(line, stats)).map_err(|error| self.unreadable(error))?;
        Ok(past)
    }

    /// The process that is at it, if one is.
    pub fn holder(&self) -> Option<u32> {
        lock::is_held(&self.lock_file()).then(|| lock::holder(&self.lock_file())).flatten()
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hashes of its rows.
    pub fn rows_file(&self) -> PathBuf {
        self.path.join("rows.bin")
    }

    /// Rows of an earlier run to classify again.
    pub fn retry_file(&self) -> PathBuf {
        self.path.join("retry.jsonl")
    }

    /// Failures of an earlier run that stay.
    pub fn kept_file(&self) -> PathBuf {
        self.path.join("kept.jsonl")
    }

    /// The run that this one follows, if it follows one that is still there.
    pub fn parent(&self) -> Option<Self> {
        Self::load(self.path.with_file_name(self.spec.parent.as_deref()?)).ok()
    }

    /// Writes down that nobody shall go on with it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn cancel(&self) -> Result<()> {
        self.note(Line::Cancelled { at: now(), collected: false })
    }

    /// Writes down that the cluster has all of it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn handed_over(&self) -> Result<()> {
        self.note(Line::HandedOver { at: now() })
    }

    /// Writes down that another run has taken its files over.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn supersede(&self, by: &str) -> Result<()> {
        self.note(Line::Superseded { by: by.to_owned() })
    }

    fn note(&self, line: Line<'_>) -> Result<()> {
        let file = self.journal_file();
        let mut journal = Journal::open(&file, |_| Ok(())).map_err(|error| self.unreadable(error))?;
        journal.append([line]).map_err(|error| cannot("write", &file, &error))
    }

    /// What is said of a journal that cannot be read. Which of its lines count is for a person to decide.
    fn unreadable(&self, error: Unreadable) -> Failure {
        let file = self.journal_file();
        let number = match error {
            Unreadable::Disk(error) => return cannot("read", &file, &error),
            Unreadable::Line { number, .. } => number,
        };
        Failure::unexpected(format!("{} is damaged: {error}", file.display())).hint(format!(
            "what stands before that line can be saved: `sed -i '{number},$d' {}`; then `classify runs resume {}` \
             collects the rest again",
            file.display(),
            self.spec.run_id
        ))
    }

    /// Keeps the report as of an orderly end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn save_report(&self, report: &impl Serialize) -> Result<()> {
        let file = self.report_file();
        let text = json(report).and_then(|text| disk::replace(&file, &text));
        text.map_err(|error| cannot("write", &file, &error))
    }

    /// The report as of the last orderly end, if there was one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn report(&self) -> Result<Option<Vec<u8>>> {
        match fs::read(self.report_file()) {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &self.report_file(), &error)),
        }
    }

    /// Removes what is of no use once nobody can go on with the run: copies of what was read.
    pub fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("input-") || name == "retry.jsonl" || name == "kept.jsonl" {
                let _already_gone = fs::remove_file(entry.path());
            }
        }
        // A run over a changed input reads the copies of the run that it has taken over.
        let is_ours = |parent: &Self| {
            let past = parent.look(&mut RunStats::new(parent.spec.indicators(), Vec::new()));
            past.is_ok_and(|past| past.standing == Standing::Superseded(self.spec.run_id.clone()))
        };
        if let Some(parent) = self.parent().filter(is_ours) {
            parent.tidy();
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn journal_file(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    fn report_file(&self) -> PathBuf {
        self.path.join("report.json")
    }
}

/// Takes the lock of the run with this id.
pub(super) fn take_lock(file: &Path, id: &str) -> Result<Lock> {
    match Lock::try_take(file) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => {
            let pid = lock::holder(file).map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            Err(Failure::usage(format!("another `classify`{pid} is at the run {id}"))
                .hint("wait for it, or end it with Ctrl-C; what it has done is kept"))
        }
        Err(error) => Err(cannot("lock", file, &error)),
    }
}

/// Why a `run.json` says nothing.
#[derive(Debug)]
pub(super) enum Illegible {
    /// A newer version made it, and can go on.
    Newer(Failure),
    /// Nobody can.
    Damaged(Failure),
}

impl Illegible {
    /// What is said of it when the run in this folder is asked for.
    pub(super) fn told(self, folder: &Path) -> Failure {
        let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Newer(failure) => failure,
            Self::Damaged(failure) => failure.hint(format!(
                "nothing can go on with it; what is left goes out of the ledger with `classify runs delete {id}`"
            )),
        }
    }
}

/// Reads the content of `file`, a `run.json`.
pub(super) fn understand(text: &[u8], file: &Path) -> std::result::Result<Spec, Illegible> {
    /// What every version has.
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let broken = |why: &dyn std::fmt::Display| {
        Illegible::Damaged(Failure::unexpected(format!("{} cannot be understood: {why}", file.display())))
    };
    let Versioned { version } = serde_json::from_slice(text).map_err(|error| broken(&error))?;
    if version > VERSION {
        return Err(Illegible::Newer(
            Failure::usage(format!("{} was made by a newer version of classify", file.display()))
                .hint("go on with that version"),
        ));
    }
    let spec: Spec = serde_json::from_slice(text).map_err(|error| broken(&error))?;
    spec.check().map_err(|why| broken(&why))?;
    Ok(spec)
}

/// Where what came through standard input is kept, `number` being its place among the sources.
pub fn input_file(folder: &Path, number: usize, format: Format) -> PathBuf {
    folder.join(format!("input-{number}.{format}"))
}

/// A file without its name yet.
pub(super) fn draft(folder: &Path, content: &impl Serialize) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&json(content)?)?;
    Ok(file)
}

fn json(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    Ok(text)
}

/// Gives a synced file its name, for good.
pub(super) fn put(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.persist(path)?;
    disk::sync_name(path)
}

pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::unexpected(format!("cannot {what} {}: {error}", path.display()))
}
