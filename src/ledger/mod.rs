//! Runs on disk: what was asked, how far it got, and which process is at it, so that another one can go on.
//!
//! Owns the folder `runs/<run_id>` below the home folder and every file in it. Knows no cluster: what a batch's state in
//! Restate means is the engine's business. Nothing here is needed to keep answers, which Restate does.
//!
//! | file | content |
//! |---|---|
//! | `run.json` | [`Spec`]; written once, last: a folder without it is no run |
//! | `journal.jsonl` | [`Line`]s, appended |
//! | `rows.bin` | two hashes of 8 bytes, little-endian, for each row in input order: of its id, of its content |
//! | `input-N.FORMAT` | what came through standard input or a pipe; until the run is complete or given up |
//! | `retry.jsonl`, `kept.jsonl` | rows of an earlier run's failures: to classify again, to take over |
//! | `report.json` | the report, as of the last orderly end |
//! | `lock` | held while a process is at the run; its pid |

mod carried;
mod damaged;
mod folder;
#[cfg(fuzzing)]
pub mod fuzzing;
mod journal;
mod past;
mod rows;
mod runs;
mod spec;

pub use carried::{Failures, rows as retried_rows, split_failures};
pub use damaged::{ClaimedRest, Damaged};
pub use folder::{Claimed, Opened, RunFolder, input_file, now};
pub use journal::{Journal, Line, Unreadable};
pub use past::{Past, Standing};
pub use rows::{Changes, changes, read as read_rows, write as write_rows};
pub use runs::{Runs, is_id};
pub use spec::{Counts, Labels, Limits, Output, Retried, Rows, Spec, Speed, Tables, Target, VERSION};
