//! Puts finished batches on disk, on a thread of its own; a batch counts once its rows are synced and its line stands in
//! the journal.

use std::io;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::clock::Clock;
use super::end::End;
use super::feed::Prepared;
use super::purse::Charge;
use crate::domain::event::{Reception, Recorded, RunEvent};
use crate::input::InvalidRow;
use crate::ledger::{Journal, Line};
use crate::output::{Entries, Sink};

/// Most deliveries that share one sync. Bounds how much a crash can make us fetch again.
const GROUP: usize = 64;
/// No two syncs follow each other more closely: what arrives meanwhile shares one, for the nodes sync their logs to disks as well, and
/// often to the same.
const SYNC_PAUSE: Duration = Duration::from_millis(20);

/// What a batch holds of the rows that may be in flight, where it still does, and of the memory.
pub(super) type Held = Box<(Option<OwnedSemaphorePermit>, OwnedSemaphorePermit)>;

/// Something for the disk.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A batch that a node accepted.
    Sent { batch: u64, node: usize, reception: Reception, indicators: u64, paid_again: u64, at: Duration },
    /// A finished batch, what it gives back once it is on disk, and what it may have cost where that has an account of its own.
    Batch { batch: Prepared, node: usize, end: End, took: Duration, held: Held, charge: Option<Charge> },
    /// A row that is no indicator.
    Rejected(InvalidRow),
}

/// Where everything goes that must survive.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) sink: Sink,
    /// Those of one batch after the other.
    pub(super) entries: Entries,
    pub(super) journal: Journal,
    /// Names of the nodes.
    pub(super) nodes: Vec<String>,
    /// Rows on disk that are no indicators.
    pub(super) rejected: u64,
    pub(super) clock: Clock,
}

/// Writes until all senders are gone; returns the book for its last rites. Whatever is waiting already shares one
/// sync, so a slow disk makes larger groups, not a longer queue. What the batches of a group held goes to `done` behind the group's events.
pub(super) fn record(
    mut book: Book,
    mut deliveries: mpsc::Receiver<Delivery>,
    events: &mpsc::Sender<RunEvent>,
    done: &mpsc::Sender<Vec<Held>>,
) -> (Book, io::Result<()>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut synced: Option<Instant> = None;
    while deliveries.blocking_recv_many(&mut group, GROUP) > 0 {
        if let Some(left) = synced.and_then(|synced| SYNC_PAUSE.checked_sub(synced.elapsed())) {
            pause(left);
            while group.len() < GROUP
                && let Ok(delivery) = deliveries.try_recv()
            {
                group.push(delivery);
            }
        }
        synced = Some(Instant::now());
        if let Err(error) = book.write(&mut group, events, done) {
            // A disk that fails twice leaves rows that were not counted; the first error is the one to tell.
            let _failed_again = book.sink.roll_back();
            return (book, Err(error));
        }
    }
    (book, Ok(()))
}

#[expect(clippy::disallowed_methods, reason = "time is the condition, on a thread of our own that may block")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Book {
    fn write(
        &mut self,
        group: &mut Vec<Delivery>,
        events: &mpsc::Sender<RunEvent>,
        done: &mpsc::Sender<Vec<Held>>,
    ) -> io::Result<()> {
        let mut happened = Vec::with_capacity(group.len());
        let mut occupied = Vec::with_capacity(group.len());
        let mut lines = Vec::with_capacity(group.len() + 1);
        let (now, mut any_rows) = (self.clock.elapsed(), false);
        for delivery in group.drain(..) {
            match delivery {
                Delivery::Sent { batch, node, reception, indicators, paid_again, at } => {
                    let name = self.nodes[node].clone().into();
                    lines.push(Line::Sent { batch, node: name, indicators, t: seconds(at) });
                    if paid_again > 0 {
                        lines.push(Line::PaidAgain { rows: paid_again });
                    }
                    happened.push(RunEvent::Submitted { node, reception, indicators, at });
                }
                Delivery::Batch { batch, node, end, took, held, charge } => {
                    occupied.push(held);
                    any_rows = true;
                    let name = self.nodes[node].clone();
                    let tally = end.fill(&mut self.entries, &batch, &name);
                    self.sink.write(&self.entries)?;
                    if let Some(charge) = charge {
                        charge.settle(&tally);
                    }
                    let recorded = Recorded::new(node, tally, took);
                    lines.push(Line::Done {
                        batch: batch.key.index,
                        node: name.into(),
                        recorded: recorded.clone(),
                        t: seconds(now),
                    });
                    happened.push(RunEvent::Recorded(recorded));
                }
                Delivery::Rejected(row) => {
                    self.sink.reject(&row.raw, &row.origin, &row.message)?;
                    any_rows = true;
                    self.rejected += 1;
                    lines.push(Line::Rejected { rows: self.rejected, t: seconds(now) });
                    happened.push(RunEvent::Rejected);
                }
            }
        }
        if any_rows {
            self.sink.sync()?;
            lines.push(Line::Mark(self.sink.mark()?));
        }
        self.journal.append(lines)?;
        self.sink.count();
        for event in happened {
            // The owner of the counts outlives this thread, unless it is unwinding.
            let _unwinding = events.blocking_send(event);
        }
        if !occupied.is_empty() {
            let _unwinding = done.blocking_send(occupied);
        }
        Ok(())
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
