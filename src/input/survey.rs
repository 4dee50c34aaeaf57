//! Reading every row once, on several threads. One of them follows the text and cuts rows out of it, and reads some itself when the others
//! have enough to do; reading them is most of the work. Rows are found in any order: each has its ordinal.

use std::mem;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::bad::BadRows;
use super::broken::Broken;
use super::cut::{Cut, Piece};
use super::duplicates::{Keys, Seen};
use super::row::Parsed;
use super::walk::Walk;
use crate::error::Result;

/// Bytes of rows that one thread reads at once.
const TEXT: usize = 64 * 1024;
/// Most threads beside the one that cuts: the SHA-256 over the same text, on a thread of its own, is reckoned to take a third of what reading
/// rows takes where the processor has instructions for it, so three keep up with it.
const READERS: usize = 2;

/// What there is to say about rows.
#[derive(Debug)]
pub(super) struct Findings {
    /// Those that can be used.
    pub(super) seen: Seen,
    /// Those that cannot.
    pub(super) bad: BadRows,
    /// The first one behind which nothing can be trusted.
    broken: Option<(u64, Broken)>,
}

/// Rows that were cut out and not read yet.
#[derive(Debug, Default)]
struct Chunk {
    text: Vec<u8>,
    rows: Vec<(u64, Piece)>,
}

/// Walks to the end.
///
/// # Errors
/// When a source cannot be read to its end.
pub(super) fn survey(walk: &mut Walk, keys: Keys) -> Result<Findings> {
    let all = Mutex::new(Findings::new(keys));
    let (sender, queue) = sync_channel(READERS);
    let queue = Mutex::new(queue);
    let walked = thread::scope(|scope| {
        let (mut own, mut chunk) = (Findings::new(keys), Chunk::default());
        let mut alone = true;
        let walked = loop {
            match walk.cut(&mut chunk.text) {
                Ok(Some((ordinal, Cut::Piece(piece)))) => chunk.rows.push((ordinal, piece)),
                Ok(Some((ordinal, Cut::Parsed(parsed)))) => own.add(ordinal, Ok(parsed)),
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            }
            if own.broken.is_some() {
                break Ok(());
            }
            if chunk.text.len() < TEXT {
                continue;
            }
            // A table that is no longer than that is not worth a thread.
            if mem::take(&mut alone) {
                for _ in 1..threads() {
                    let reader = thread::Builder::new().name("rows".to_owned());
                    // Without a thread there is only less help.
                    let _help = reader.spawn_scoped(scope, || take_and_read(&queue, &all, keys));
                }
            }
            let full = mem::replace(&mut chunk, Chunk { text: Vec::with_capacity(TEXT), rows: Vec::new() });
            if let Err(TrySendError::Full(full) | TrySendError::Disconnected(full)) = sender.try_send(full) {
                let found = full.read(keys);
                lock(&all).merge(found);
            }
            if lock(&all).broken.is_some() {
                break Ok(());
            }
        };
        drop(sender);
        own.merge(chunk.read(keys));
        lock(&all).merge(own);
        take_and_read(&queue, &all, keys);
        walked
    });
    let findings = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    match findings.broken {
        // It stands before whatever ended the walk.
        Some((ordinal, broken)) => Err(walk.failure(ordinal, broken)),
        None => walked.map(|()| findings),
    }
}

/// How many are worth it, with the one that cuts.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(1 + READERS)
}

/// Reads what comes until nothing comes any more.
fn take_and_read(queue: &Mutex<Receiver<Chunk>>, all: &Mutex<Findings>, keys: Keys) {
    // Whoever waits for a chunk holds the lock: others who want one wait for that.
    while let Ok(chunk) = { lock(queue).recv() } {
        let found = chunk.read(keys);
        lock(all).merge(found);
    }
}

/// A thread that panicked ends the program once the others are done; until then what it left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chunk {
    /// Reads its rows, up to one behind which nothing can be trusted.
    fn read(&self, keys: Keys) -> Findings {
        let mut findings = Findings::new(keys);
        for (ordinal, piece) in &self.rows {
            findings.add(*ordinal, piece.read(&self.text));
            if findings.broken.is_some() {
                break;
            }
        }
        findings
    }
}

impl Findings {
    fn new(keys: Keys) -> Self {
        Self { seen: Seen::new(keys), bad: BadRows::default(), broken: None }
    }

    fn add(&mut self, ordinal: u64, row: std::result::Result<Parsed, Broken>) {
        let broken = match row {
            Ok(Parsed { line, row: Ok(indicator) }) => {
                if self.seen.add(&indicator, ordinal, line) {
                    return;
                }
                Broken::whole(format!("the input has more than {} rows", u32::MAX))
            }
            Ok(Parsed { line, row: Err(row) }) => return self.bad.add(ordinal, line, &row),
            Err(broken) => broken,
        };
        self.broken = Some((ordinal, broken));
    }

    fn merge(&mut self, other: Self) {
        self.seen.merge(other.seen);
        self.bad.merge(other.bad);
        let broken = self.broken.take().into_iter().chain(other.broken);
        self.broken = broken.min_by_key(|(ordinal, _)| *ordinal);
    }
}
