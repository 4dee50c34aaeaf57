//! What a run was asked to do: everything that must be the same when another process goes on with it.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::batch::RunOptions;
use crate::domain::max_failures::MaxFailures;
use crate::domain::money::{Allowance, PerMillion};
use crate::input::{self, Keys};
use crate::output::{self, Extent};
use crate::text;
use crate::throttle::Rate;

/// Version of the folder's format. A reader refuses what is newer than itself.
pub const VERSION: u32 = 1;
/// Batches for which the money of `--max-cost` shall be enough.
const BATCHES_PAID: f64 = 30.0;
/// Most rows of a run: those of an input can be counted in 32 bits.
const MOST_ROWS: u64 = u32::MAX as u64;

/// Content of `run.json`. Written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Format of the folder.
    pub version: u32,
    /// Identity of the run, a ULID: sorts by age, and is the prefix of every batch key.
    pub run_id: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// The run whose failures it retries, or whose changed input it goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Where its rows come from.
    pub rows: Rows,
    /// What every batch carries.
    pub options: RunOptions,
    /// The label set.
    pub taxonomy: Labels,
    /// How fast.
    pub pace: Speed,
    /// What ends it early.
    pub limits: Limits,
    /// Where it submits.
    pub target: Target,
    /// Where results and failures go.
    pub output: Output,
}

/// Where a run's rows come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Tables, as typed.
    Tables(Tables),
    /// Failures of an earlier run, kept in the folder.
    Failures(Retried),
}

impl Rows {
    /// Every row but merged duplicates; nothing where the numbers contradict each other.
    fn indicators(&self) -> Option<u64> {
        match self {
            Self::Tables(Tables { rows, invalid, duplicates, .. }) => {
                rows.checked_sub(*duplicates).filter(|rows| invalid <= rows)
            }
            Self::Failures(Retried { rows, succeeded, failed, .. }) => failed
                .values()
                .try_fold(rows.checked_add(*succeeded)?, |sum, number| sum.checked_add(*number)),
        }
    }
}

/// Tables, and what was found in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tables {
    /// Absolute paths; what came through standard input or a pipe is kept in the run's folder.
    #[serde(with = "text::paths::list")]
    pub sources: Vec<PathBuf>,
    /// As typed, for people.
    pub names: Vec<String>,
    /// How they are read.
    pub options: input::Options,
    /// SHA-256 over all bytes.
    pub digest: String,
    /// Keys of the hashes in [`super::RunFolder::rows_file`].
    pub keys: Keys,
    /// Sources read.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Rows set aside.
    pub invalid: u64,
    /// Rows left out.
    pub duplicates: u64,
}

/// Rows to classify again, and what is taken over of the run they failed in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retried {
    /// Rows to classify.
    pub rows: u64,
    /// The earlier results, all of which are taken over. The default where an earlier version began the retry: the journal of the run
    /// before it has them.
    #[serde(default)]
    pub results: Extent,
    /// Rows in them.
    pub succeeded: u64,
    /// Failures that are not retried, by class.
    pub failed: std::collections::BTreeMap<crate::domain::outcome::FailureClass, u64>,
    /// What was read for the first run of all.
    pub input: Counts,
}

/// What was read, as in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sources.
    pub files: usize,
    /// Rows.
    pub rows: u64,
    /// Rows set aside.
    pub invalid: u64,
    /// Rows left out.
    pub duplicates: u64,
}

/// The label set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// `name@version`; its digest is in the options.
    pub id: String,
    /// Its fields, the columns of a CSV.
    pub fields: Vec<String>,
}

/// How fast, as typed; what follows from it depends on the nodes there are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Indicators per minute.
    pub rate: Rate,
    /// Indicators per batch. Decides which rows a batch has, so it is settled once.
    pub batch_size: NonZeroU32,
    /// Most unfinished indicators.
    pub max_in_flight: NonZeroU32,
}

/// What ends a run early.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Most failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<MaxFailures>,
    /// Most US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// The most that an indicator can cost, in US dollars; 0 where no price is known.
    #[serde(default)]
    pub expected_cost_usd: f64,
    /// What the model's tokens cost, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PerMillion>,
}

impl Limits {
    /// What an indicator may cost, where money is limited.
    pub fn allowance(&self) -> Option<Allowance> {
        self.max_cost_usd?;
        Some(Allowance { usd: self.expected_cost_usd, price: self.price? })
    }

    /// Indicators per batch, at most `size`, such that the money is enough for many batches, whatever their rows turn out to cost.
    pub fn affordable(&self, size: NonZeroU32) -> NonZeroU32 {
        let Some(most) = self.max_cost_usd.filter(|_| self.expected_cost_usd > 0.0) else { return size };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
        let rows = (most / BATCHES_PAID / self.expected_cost_usd) as u32;
        NonZeroU32::new(rows).unwrap_or(NonZeroU32::MIN).min(size)
    }
}

/// Where a run submits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Name of the cluster.
    pub cluster: String,
    /// Ingress URLs, where they were typed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<String>,
}

/// Where results and failures go. Absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The results; absent for stdout.
    #[serde(default, with = "text::paths::optional", skip_serializing_if = "Option::is_none")]
    pub results: Option<PathBuf>,
    /// Their format.
    pub format: output::Format,
    /// The failures.
    #[serde(with = "text::paths")]
    pub failures: PathBuf,
    /// Where results shall stand in the order of the input: keys of the hashes of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_by: Option<Keys>,
}

impl Spec {
    /// Rows the run has to account for: every row but merged duplicates.
    pub fn indicators(&self) -> u64 {
        self.rows.indicators().unwrap_or_default()
    }

    /// Whether its numbers can be: all else relies on them.
    ///
    /// # Errors
    /// When they cannot.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.rows.indicators() {
            Some(0..=MOST_ROWS) => Ok(()),
            _ => Err("numbers of rows that cannot be"),
        }
    }

    /// What was read.
    pub fn counts(&self) -> Counts {
        match &self.rows {
            Rows::Tables(tables) => Counts {
                files: tables.files,
                rows: tables.rows,
                invalid: tables.invalid,
                duplicates: tables.duplicates,
            },
            Rows::Failures(retried) => retried.input,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(rows: u64, invalid: u64, duplicates: u64) -> Rows {
        Rows::Tables(Tables {
            sources: Vec::new(),
            names: Vec::new(),
            options: input::Options::default(),
            digest: String::new(),
            keys: Keys::random(),
            files: 1,
            rows,
            invalid,
            duplicates,
        })
    }

    #[test]
    fn numbers_that_contradict_each_other_are_none() {
        assert_eq!(tables(10, 2, 3).indicators(), Some(7));
        assert_eq!(tables(3, 0, 4).indicators(), None);
        assert_eq!(tables(3, 3, 1).indicators(), None);
        let input = Counts { files: 1, rows: 1, invalid: 0, duplicates: 0 };
        let retried = |rows| {
            let failed = [(crate::domain::outcome::FailureClass::Schema, 2)].into();
            Rows::Failures(Retried { rows, results: Extent::default(), succeeded: 1, failed, input })
        };
        assert_eq!(retried(4).indicators(), Some(7));
        assert_eq!(retried(u64::MAX).indicators(), None);
    }

    #[test]
    fn a_retry_of_an_earlier_version_is_read_and_names_are_kept_byte_by_byte() {
        let old = r#"{"rows":3,"results_bytes":7,"succeeded":1,"failed":{},"input":{"files":1,"rows":4,"invalid":0,"duplicates":0}}"#;
        let retried: Retried = serde_json::from_str(old).unwrap();
        assert_eq!((retried.rows, retried.results), (3, Extent::default()));

        let name = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/caf\xe9"));
        let output = Output {
            results: Some(name.clone()),
            format: output::Format::Jsonl,
            failures: name.clone(),
            ordered_by: None,
        };
        let text = serde_json::to_string(&output).unwrap();
        assert_eq!(serde_json::from_str::<Output>(&text).unwrap(), output);
        let Rows::Tables(tables) = tables(1, 0, 0) else { panic!() };
        let tables = Tables { sources: vec!["/a.csv".into(), name], ..tables };
        let text = serde_json::to_string(&tables).unwrap();
        assert_eq!(serde_json::from_str::<Tables>(&text).unwrap(), tables);
    }
}
