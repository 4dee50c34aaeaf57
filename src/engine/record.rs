//! Puts finished batches on disk, on a thread of its own; a batch counts once it is synced.

use std::io;

use tokio::sync::mpsc;

use super::courier::Places;

use crate::domain::event::RunEvent;
use crate::input::InvalidRow;
use crate::output::{FinishedBatch, Sink};

/// Most batches that share one sync. Bounds how much a crash can make us fetch again.
const GROUP: usize = 64;

/// Something for the disk.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A finished batch, and the places in flight that it gives back once it is on disk.
    Batch { batch: FinishedBatch, places: Places },
    /// A row that is no indicator.
    Rejected(InvalidRow),
}

/// Writes until all senders are gone; returns the sink for its last rites. Whatever is waiting already shares one
/// sync, so a slow disk makes larger groups, not a longer queue.
pub(super) fn record(
    mut sink: Sink,
    mut deliveries: mpsc::Receiver<Delivery>,
    events: &mpsc::Sender<RunEvent>,
) -> (Sink, io::Result<()>) {
    let mut group = Vec::with_capacity(GROUP);
    while deliveries.blocking_recv_many(&mut group, GROUP) > 0 {
        if let Err(error) = write(&mut sink, &mut group, events) {
            // A disk that fails twice leaves rows that were not counted; the first error is the one to tell.
            let _failed_again = sink.roll_back();
            return (sink, Err(error));
        }
    }
    (sink, Ok(()))
}

fn write(sink: &mut Sink, group: &mut Vec<Delivery>, events: &mpsc::Sender<RunEvent>) -> io::Result<()> {
    let mut happened = Vec::with_capacity(group.len());
    let mut occupied = Vec::with_capacity(group.len());
    for delivery in group.drain(..) {
        happened.push(match delivery {
            Delivery::Batch { batch, places } => {
                occupied.push(places);
                RunEvent::Recorded(sink.write(&batch)?)
            }
            Delivery::Rejected(row) => {
                sink.reject(&row.raw, &row.origin, &row.message)?;
                RunEvent::Rejected
            }
        });
    }
    sink.sync()?;
    // Only now do the places in flight become free.
    drop(occupied);
    for event in happened {
        // The owner of the counts outlives this thread, unless it is unwinding.
        let _unwinding = events.blocking_send(event);
    }
    Ok(())
}
