//! Rows to batches, on a blocking thread: the only part of a run that reads the input.

use std::mem;
use std::num::NonZeroU32;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::domain::batch::{BatchKey, RunOptions};
use crate::domain::bounds::MOST_VALUES;
use crate::domain::heading::{Heading, Headings};
use crate::domain::indicator::Indicator;
use crate::domain::payload;
use crate::domain::rows::values;
use crate::error::{Failure, Result};
use crate::input::{InvalidRow, Row};
use crate::ledger::Past;

/// Largest body of a batch: what a node accepts (`ingress.request-size-limit`, and the journal's limit for one entry), less room for
/// what the service adds when it hands all rows on to the rules.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024 - 64 * 1024;

/// Room for the JSON of a batch that is kept for the next one; by default a batch takes a fraction of it.
const JSON_KEPT: usize = 1024 * 1024;

/// Something to be done with the input.
#[derive(Debug)]
pub(super) enum Work {
    /// To submit.
    Batch(Prepared),
    /// To put into the failures file.
    Rejected(InvalidRow),
}

/// A batch with its request body, encoded once however often it is sent.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) key: BatchKey,
    pub(super) rows: Headings,
    /// Length of the request as plain JSON.
    pub(super) bytes: usize,
    pub(super) body: Bytes,
}

impl Prepared {
    pub(super) fn len(&self) -> NonZeroU32 {
        u32::try_from(self.rows.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    }
}

/// Writes rows into the bodies of batches as they come, and passes over batches that are done.
#[derive(Debug)]
struct Packer<'a> {
    run_id: &'a str,
    size: usize,
    past: &'a Past,
    /// With what the JSON of every batch begins: a [`BatchRequest`](crate::domain::batch::BatchRequest) up to its first row.
    head: Vec<u8>,
    /// The next batch: its place, whether it is to be done, its rows so far.
    index: u64,
    wanted: bool,
    rows: Headings,
    /// Values in them that the service counts.
    values: usize,
    /// Their JSON, of one batch after the other in the same memory.
    json: Vec<u8>,
}

impl<'a> Packer<'a> {
    fn new(run_id: &'a str, options: &RunOptions, size: NonZeroU32, past: &'a Past) -> Result<Self> {
        let options = serde_json::to_string(options).map_err(anyhow::Error::from)?;
        let head = format!(r#"{{"options":{options},"indicators":["#).into_bytes();
        let (rows, json) = (Headings::default(), Vec::new());
        Ok(Self {
            run_id,
            size: size.get() as usize,
            past,
            head,
            index: 0,
            wanted: false,
            rows,
            values: 0,
            json,
        })
    }

    /// Adds a row; returns the batch it completes.
    fn push(&mut self, row: &Indicator) -> Result<Option<Prepared>> {
        if self.rows.is_empty() {
            self.wanted = !self.past.is_done(self.index);
            self.json.clear();
            self.values = 0;
            // What once held a giant must not keep its size for the rest of the run.
            self.json.shrink_to(JSON_KEPT);
        }
        if self.wanted {
            let before: &[u8] = if self.rows.is_empty() { &self.head } else { b"," };
            self.json.extend_from_slice(before);
            serde_json::to_writer(&mut self.json, row)
                .map_err(|error| Failure::unexpected(format!("cannot encode row `{}`: {error}", row.id)))?;
        }
        self.values += values(row);
        self.rows.push(row);
        if self.rows.len() < self.size { Ok(None) } else { self.flush() }
    }

    /// What is left, as a batch.
    fn flush(&mut self) -> Result<Option<Prepared>> {
        let (rows, index) = (mem::take(&mut self.rows), self.index);
        if rows.is_empty() {
            return Ok(None);
        }
        self.index += 1;
        if !self.wanted {
            return Ok(None);
        }
        self.json.extend_from_slice(b"]}");
        let bytes = self.json.len();
        if bytes > LARGEST_BODY {
            return Err(too_large(&rows, bytes));
        }
        if self.values > MOST_VALUES {
            return Err(too_wide(&rows, self.values));
        }
        let key = BatchKey { run_id: self.run_id.to_owned(), index };
        Ok(Some(Prepared { key, rows, bytes, body: payload::pack(&self.json).into() }))
    }
}

fn too_large(rows: &Headings, bytes: usize) -> Failure {
    let id = |row: Option<Heading<'_>>| row.map_or("", |row| row.id).to_owned();
    let (first, last) = (id(rows.iter().next()), id(rows.iter().last()));
    let (rows, mib) = (rows.len(), bytes.div_ceil(1024 * 1024));
    Failure::usage(format!("the batch of {rows} rows `{first}` to `{last}` has {mib} MiB"))
        .detail("the server takes at most 32 MiB in one request")
        .hint(format!("use smaller batches: `--batch-size {}`", (rows / (mib / 16).max(2)).max(1)))
}

fn too_wide(rows: &Headings, values: usize) -> Failure {
    let rows = rows.len();
    Failure::usage(format!("a batch of {rows} rows has {values} values"))
        .detail(format!("the service takes at most {MOST_VALUES} in one request"))
        .hint(format!("use smaller batches: `--batch-size {}`", (rows / (values / (MOST_VALUES / 2))).max(1)))
}

/// Sends every row of the input that is not done on its way. Returns early, without an error, when nobody takes them any more.
pub(super) fn feed(
    rows: impl Iterator<Item = Result<Row>>,
    run_id: &str,
    options: &RunOptions,
    size: NonZeroU32,
    past: &Past,
    out: &mpsc::Sender<Work>,
) -> Result<()> {
    let mut packer = Packer::new(run_id, options, size, past)?;
    let mut rejected = 0;
    for row in rows {
        let work = match row? {
            Row::Valid(indicator) => packer.push(&indicator)?.map(Work::Batch),
            Row::Invalid(row) => {
                rejected += 1;
                (rejected > past.rejected).then_some(Work::Rejected(row))
            }
        };
        if let Some(work) = work
            && out.blocking_send(work).is_err()
        {
            return Ok(());
        }
    }
    if let Some(last) = packer.flush()? {
        // A closed channel means that the run stops; what was not taken stays pending.
        let _stopped = out.blocking_send(Work::Batch(last));
    }
    Ok(())
}

/// Packs all rows as the run itself would and throws the batches away: finds one that is too large before anything is
/// submitted. Only worth its time where rows are large enough for that to happen.
///
/// # Errors
/// For the first batch over [`LARGEST_BODY`].
pub fn rehearse(
    rows: impl Iterator<Item = Result<Row>>,
    options: &RunOptions,
    size: NonZeroU32,
) -> Result<()> {
    let past = Past::default();
    let mut packer = Packer::new("", options, size, &past)?;
    for row in rows {
        if let Row::Valid(indicator) = row? {
            packer.push(&indicator)?;
        }
    }
    packer.flush().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::BatchRequest;

    fn options() -> RunOptions {
        RunOptions {
            method: crate::domain::method::Method::rules(),
            taxonomy: "d".into(),
            reads: None,
            nonce: None,
            detached: false,
        }
    }

    fn rows(number: usize, name_bytes: usize) -> impl Iterator<Item = Result<Row>> {
        (0..number).map(move |index| {
            let name = "x".repeat(name_bytes);
            Ok(Row::Valid(Indicator { id: index.to_string(), name, ..Indicator::default() }))
        })
    }

    #[test]
    fn batches_keep_the_order_and_carry_their_place() {
        let (out, mut work) = mpsc::channel(10);
        feed(rows(7, 3), "R", &options(), NonZeroU32::new(3).unwrap(), &Past::default(), &out).unwrap();
        drop(out);
        let mut seen = Vec::new();
        while let Some(Work::Batch(batch)) = work.blocking_recv() {
            let request: BatchRequest = payload::decode(&batch.body).unwrap();
            assert_eq!(request.indicators.iter().collect::<Headings>(), batch.rows);
            let ids: Vec<&str> = batch.rows.iter().map(|row| row.id).collect();
            seen.push((batch.key.to_string(), ids.join(" ")));
        }
        let expected = [("R.0", "0 1 2"), ("R.1", "3 4 5"), ("R.2", "6")];
        assert_eq!(seen, expected.map(|(key, ids)| (key.to_owned(), ids.to_owned())));
    }

    #[test]
    fn a_batch_over_the_server_s_limit_is_found_in_the_rehearsal() {
        let size = NonZeroU32::new(50).unwrap();
        rehearse(rows(50, 100_000), &options(), size).unwrap();
        let refused = rehearse(rows(50, 1_000_000), &options(), size).unwrap_err();
        assert_eq!(refused.message(), "the batch of 50 rows `0` to `49` has 48 MiB");
        assert_eq!(refused.hints(), ["use smaller batches: `--batch-size 16`"]);
    }
}
