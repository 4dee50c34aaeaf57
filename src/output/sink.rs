//! Where finished batches go: results to one file, failures to another, both synced before a batch counts.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::file::PartialFile;
use super::row::{self, Provenance};
use super::{Destination, Format};
use crate::domain::event::Recorded;
use crate::domain::indicator::Indicator;
use crate::domain::outcome::{Failed, FailureClass, Outcome, Usage};
use crate::error::Result;

/// A batch whose output is in hand.
#[derive(Debug)]
pub struct FinishedBatch {
    /// Its place in the run.
    pub index: u64,
    /// Its key, to tell answers of its own from reused ones.
    pub key: String,
    /// What was asked, in order.
    pub indicators: Vec<Indicator>,
    /// What was answered, in the same order.
    pub outcomes: Vec<Outcome>,
    /// Node that delivered the output.
    pub node: usize,
    /// Its name.
    pub node_name: String,
    /// From submission to the output in hand.
    pub took: Duration,
}

/// Open results and failures.
#[derive(Debug)]
pub struct Sink {
    results: Results,
    format: Format,
    failures_path: Option<PathBuf>,
    failures: Option<PartialFile>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Results {
    /// With what goes in front of the first row.
    Stdout(Vec<u8>),
    File(PartialFile),
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
    /// Opens the results, before anything is submitted. `fields` are the taxonomy's, for the CSV header;
    /// `failures` is created with the first failure.
    ///
    /// # Errors
    /// A usage error where a file cannot be written.
    pub fn create(
        to: &Destination,
        format: Format,
        fields: &[String],
        failures: Option<PathBuf>,
    ) -> Result<Self> {
        let results = match to {
            Destination::Stdout => Results::Stdout(Vec::new()),
            Destination::File(path) => Results::File(PartialFile::create(path, "--output")?),
        };
        // Tried now, so that a place that cannot be written is not found out by the first failure.
        let failures_file = failures.as_deref().map(|path| PartialFile::create(path, "--failures"));
        let failures_file = failures_file.transpose()?;
        let mut sink =
            Self { results, format, failures_path: failures, failures: failures_file, buffer: Vec::new() };
        if format == Format::Csv {
            row::csv_header(&mut sink.buffer, fields);
            match &mut sink.results {
                Results::Stdout(header) => sink.buffer.clone_into(header),
                Results::File(file) => file.set_header(&sink.buffer),
            }
        }
        Ok(sink)
    }

    /// Appends a batch; it counts once [`Self::sync`] returned.
    ///
    /// # Errors
    /// When the disk is full or fails, or stdout was closed.
    pub fn write(&mut self, batch: &FinishedBatch) -> io::Result<Recorded> {
        let mut recorded = Recorded {
            node: batch.node,
            succeeded: 0,
            reused: 0,
            failed: BTreeMap::new(),
            usage: Usage::default(),
            took: batch.took,
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let from = Provenance { batch: batch.index, node: &batch.node_name };
        for (indicator, outcome) in batch.indicators.iter().zip(&batch.outcomes) {
            match outcome {
                Outcome::Classified(classification) => {
                    row::result(&mut buffer, self.format, from, indicator, classification)?;
                    recorded.succeeded += 1;
                    if classification.origin != batch.key {
                        recorded.reused += 1;
                    } else if let Some(usage) = &classification.usage {
                        recorded.usage.add(usage);
                    }
                }
                Outcome::Failed(failed) => {
                    self.write_failure(indicator, failed, None)?;
                    *recorded.failed.entry(failed.class).or_default() += 1;
                }
            }
        }
        self.write_results(&buffer)?;
        self.buffer = buffer;
        Ok(recorded)
    }

    /// Appends a row that is no indicator. `input` is what could be read of it, `origin` where it stood.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn reject<T: Serialize>(&mut self, input: &T, origin: &str, message: &str) -> io::Result<()> {
        let failed = Failed {
            class: FailureClass::InvalidInput,
            message: message.to_owned(),
            attempts: 0,
            origin: String::new(),
        };
        self.write_failure(input, &failed, Some(origin))
    }

    fn write_failure<T: Serialize>(
        &mut self,
        input: &T,
        failed: &Failed,
        origin: Option<&str>,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        row::failure(&mut line, input, failed, origin)?;
        match &mut self.failures {
            Some(file) => file.write(&line),
            None => Err(io::Error::other("no place for failures")),
        }
    }

    fn write_results(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.results {
            Results::Stdout(header) => {
                let mut stdout = io::stdout().lock();
                if !bytes.is_empty() {
                    stdout.write_all(&std::mem::take(header))?;
                }
                stdout.write_all(bytes)
            }
            Results::File(file) => file.write(bytes),
        }
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the disk fails, or stdout was closed.
    pub fn sync(&self) -> io::Result<()> {
        if let Some(file) = &self.failures {
            file.sync()?;
        }
        match &self.results {
            Results::Stdout(_) => io::stdout().lock().flush(),
            Results::File(file) => file.sync(),
        }
    }

    /// Where the rows are while the run is not finished; `None` for stdout, and where there are none.
    pub fn partial(&self) -> Option<&Path> {
        match &self.results {
            Results::Stdout(_) => None,
            Results::File(file) => file.partial(),
        }
    }

    /// Ends a complete run: puts the files in their places. Without failures, a failures file of an earlier run at
    /// that place goes: it would speak of rows that are classified now.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(self, any_failures: bool) -> io::Result<FinishedFiles> {
        let results = match self.results {
            // Not empty where not a single row was written.
            Results::Stdout(header) => {
                io::stdout().lock().write_all(&header)?;
                None
            }
            Results::File(file) => Some(file.finish()?),
        };
        let failures = match self.failures {
            Some(file) if any_failures => Some(file.finish()?),
            Some(_empty) => {
                if let Some(stale) = self.failures_path.filter(|path| path.exists()) {
                    std::fs::remove_file(stale)?;
                }
                None
            }
            None => None,
        };
        Ok(FinishedFiles { results, failures })
    }

    /// Ends an incomplete run: what is there stays in the partial files, which are named.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn abandon(self, any_failures: bool) -> io::Result<FinishedFiles> {
        self.sync()?;
        let results = self.partial().map(Path::to_owned);
        let failures = match self.failures {
            Some(file) if any_failures => file.partial().map(Path::to_owned),
            _ => None,
        };
        Ok(FinishedFiles { results, failures })
    }
}
