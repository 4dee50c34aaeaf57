//! Where finished batches go: results to one file, failures to another, both synced before a batch counts.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::entries::Entries;
use super::extent::Extent;
use super::file::{self, PartialFile};
use super::row::Layout;
use super::{Destination, Format, order, row};
use crate::domain::outcome::{Failed, FailureClass};
use crate::error::Result;
use crate::text::printable_lines;

/// Open results and failures.
#[derive(Debug)]
pub struct Sink {
    results: Results,
    failures: PartialFile,
    layout: Layout,
}

#[derive(Debug)]
enum Results {
    /// With what goes in front of the first row.
    Stdout(Vec<u8>),
    File(Box<PartialFile>),
}

/// How much of both files counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Of the results; nothing for stdout.
    pub results: Extent,
    /// Of the failures.
    pub failures: Extent,
}

/// Where everything is after the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedFiles {
    /// The results; `None` for stdout.
    pub results: Option<PathBuf>,
    /// The failures; `None` where there are none.
    pub failures: Option<PathBuf>,
}

impl Sink {
    /// Opens both files, before anything is submitted: a place that cannot be written is not for the first failure to
    /// find out. `fields` are the taxonomy's, the columns of a CSV.
    ///
    /// # Errors
    /// A usage error where a file cannot be written.
    pub fn create(to: &Destination, format: Format, fields: Vec<String>, failures: &Path) -> Result<Self> {
        let mut results = match to {
            Destination::Stdout => Results::Stdout(Vec::new()),
            Destination::File(path) => Results::File(Box::new(PartialFile::create(path, "--output")?)),
        };
        let failures = PartialFile::create(failures, "--failures")?;
        if format == Format::Csv {
            let mut header = Vec::new();
            row::csv_header(&mut header, &fields);
            match &mut results {
                Results::Stdout(first) => *first = header,
                Results::File(file) => file.set_header(&header),
            }
        }
        Ok(Self { results, failures, layout: Layout { format, fields } })
    }

    /// How rows are written here.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Appends a batch; what goes to a terminal without its control characters. It counts once [`Self::sync`] returned.
    ///
    /// # Errors
    /// When the disk is full or fails, or stdout was closed.
    pub fn write(&mut self, batch: &Entries) -> io::Result<()> {
        self.failures.append(&batch.failures)?;
        self.write_results(&batch.results)
    }

    /// Appends a row that is no indicator. `input` is what could be read of it, `origin` where it stood.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn reject<T: Serialize>(&mut self, input: &T, origin: &str, message: &str) -> io::Result<()> {
        let failed = Failed::new(FailureClass::InvalidInput, message, 0, "");
        let mut line = Vec::new();
        row::failure(&mut line, input, &failed, Some(origin))?;
        self.failures.append(&line)
    }

    fn write_results(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.results {
            Results::Stdout(header) => {
                let mut stdout = io::stdout().lock();
                let shown = stdout.is_terminal().then(|| printable_lines(&String::from_utf8_lossy(bytes)));
                let bytes = shown.as_ref().map_or(bytes, |shown| shown.as_bytes());
                if !bytes.is_empty() {
                    stdout.write_all(&std::mem::take(header))?;
                }
                stdout.write_all(bytes)
            }
            Results::File(file) => file.append(bytes),
        }
    }

    /// Goes on behind the rows that an earlier process of the same run has counted. False where they are not there any
    /// more, and for stdout: nothing counts then.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn go_on(&mut self, mark: Mark) -> io::Result<bool> {
        let Results::File(results) = &mut self.results else { return Ok(false) };
        let (Some(held), Some(failed)) = (results.held(mark.results)?, self.failures.held(mark.failures)?)
        else {
            return Ok(false);
        };
        results.go_on(mark.results, held)?;
        self.failures.go_on(mark.failures, failed)?;
        Ok(true)
    }

    /// Begins with rows of an earlier run: its results, and some of its failures. False, and nothing is taken over, where the results are not
    /// those any more. Stdout takes none.
    ///
    /// # Errors
    /// When a file cannot be read to its end, or the disk fails.
    pub fn carry(&mut self, results: (&Path, Extent), failures: (&Path, u64)) -> io::Result<bool> {
        if let Results::File(file) = &mut self.results
            && !file.carry(results.0, results.1)?
        {
            return Ok(false);
        }
        self.failures.append_all(failures.0, failures.1)?;
        self.sync()?;
        Ok(true)
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the disk fails, or stdout was closed.
    pub fn sync(&mut self) -> io::Result<()> {
        self.failures.sync()?;
        match &mut self.results {
            Results::Stdout(_) => io::stdout().lock().flush(),
            Results::File(file) => file.sync(),
        }
    }

    /// All that was written so far.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn mark(&mut self) -> io::Result<Mark> {
        let results = match &mut self.results {
            Results::Stdout(_) => Extent::default(),
            Results::File(file) => file.extent()?,
        };
        Ok(Mark { results, failures: self.failures.extent()? })
    }

    /// All that was written so far counts.
    pub fn count(&mut self) {
        if let Results::File(file) = &mut self.results {
            file.count();
        }
        self.failures.count();
    }

    /// Whether another program changed a file in such a way that rows that were counted are not there any more.
    pub fn is_spoiled(&self) -> bool {
        let results = match &self.results {
            Results::Stdout(_) => false,
            Results::File(file) => file.is_spoiled(),
        };
        results || self.failures.is_spoiled()
    }

    /// Takes back what was written and not counted. What went to stdout cannot be taken back.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn roll_back(&mut self) -> io::Result<()> {
        if let Results::File(file) = &mut self.results {
            file.roll_back()?;
        }
        self.failures.roll_back()
    }

    /// Puts the rows of complete results into the order of the input. `ids` are hashes of the ids in that order, `hash` makes
    /// one. What went to stdout stays as it is.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn order(
        &mut self,
        ids: impl Iterator<Item = io::Result<u64>>,
        hash: impl Fn(&str) -> u64,
    ) -> io::Result<()> {
        let Results::File(file) = &mut self.results else { return Ok(()) };
        file.verify()?;
        let Some(rows) = file.rows() else { return Ok(()) };
        let places = order::places(rows, self.layout.format, ids, hash)?;
        file.rewrite(places.iter().map(|place| (place.start, place.bytes)))
    }

    /// Completes the files of a complete run where they are; [`SealedSink::finish`], or [`settle`] after a crash, puts them in their
    /// places. Without failures, a failures file of an earlier run at that place goes: it would speak of rows that are
    /// classified now.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn seal(mut self, any_failures: bool) -> io::Result<SealedSink> {
        let results = match &mut self.results {
            // Not empty where not a single row was written.
            Results::Stdout(header) => {
                io::stdout().lock().write_all(&std::mem::take(header))?;
                Extent::default()
            }
            Results::File(file) => file.seal()?,
        };
        let (failures, extent) = if any_failures {
            let extent = self.failures.seal()?;
            (Some(self.failures), extent)
        } else {
            self.failures.clear()?;
            (None, Extent::default())
        };
        let results_file = match self.results {
            Results::Stdout(_) => None,
            Results::File(file) => Some(*file),
        };
        Ok(SealedSink { results: results_file, failures, mark: Mark { results, failures: extent } })
    }

    /// Ends an incomplete run: what is there, and was synced, stays in the partial files, which are named.
    pub fn abandon(self) -> FinishedFiles {
        let results = match &self.results {
            Results::Stdout(_) => None,
            Results::File(file) => file.partial().map(Path::to_owned),
        };
        FinishedFiles { results, failures: self.failures.partial().map(Path::to_owned) }
    }
}

/// Complete results and failures that have their names yet to get.
#[derive(Debug)]
pub struct SealedSink {
    results: Option<PartialFile>,
    failures: Option<PartialFile>,
    /// Both files, whole.
    pub mark: Mark,
}

impl SealedSink {
    /// Puts the files in their places.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(self) -> io::Result<FinishedFiles> {
        Ok(FinishedFiles {
            results: self.results.map(PartialFile::finish).transpose()?,
            failures: self.failures.map(PartialFile::finish).transpose()?,
        })
    }
}

/// Ends what [`SealedSink::finish`] may have begun: false where a sealed file is nowhere any more.
///
/// # Errors
/// When the disk fails.
pub fn settle(results: Option<&Path>, failures: &Path, sealed: Mark) -> io::Result<bool> {
    let there = |path: &Path, extent: Extent| {
        if extent == Extent::default() { Ok(true) } else { file::settle(path, extent) }
    };
    Ok(results.map_or(Ok(true), |path| there(path, sealed.results))? && there(failures, sealed.failures)?)
}
