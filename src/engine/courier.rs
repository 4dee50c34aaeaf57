//! Carries one batch: submit it, poll for its output, go to another node when one fails.
//!
//! Restate makes this simple: `send` with the batch's key may be repeated to any node, and runs once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep};

use super::clock::Clock;
use super::end::End;
use super::feed::Prepared;
use super::polling::Polling;
use super::pool::{Pool, Verdict, verdict};
use super::pulse::Pulse;
use super::purse::{Charge, NotPaid, Purse};
use super::record::Delivery;
use super::withdraw::UnderWay;
use crate::domain::batch::BatchKey;
use crate::domain::event::{Reception, RunEvent};
use crate::domain::outcome::FailureClass;
use crate::ledger::Past;
use crate::restate::Error;
use crate::restate::ingress::{Accepted, Output};
use crate::shutdown::{Level, Shutdown};

/// Patience with a submission. It takes milliseconds when all is well; without quorum it never ends.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Patience with a poll. One that is on its way to a partition's leader when that is replaced gets no answer, the next one does.
const POLL_TIMEOUT: Duration = Duration::from_millis(1_500);
/// So many polls of a batch in a row may get no answer before the node is at fault.
const SILENT_POLLS: u32 = 3;
/// Slowest link on which a large batch and its answer, which is no larger, shall still get through.
const BYTES_PER_SECOND: usize = 1024 * 1024;
/// Status of an invocation that was cancelled or killed.
const ABORTED: u16 = 409;

/// What all couriers of a run share.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) pool: Arc<Pool>,
    pub(super) events: mpsc::Sender<RunEvent>,
    pub(super) finished: mpsc::Sender<Delivery>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) polling: Polling,
    pub(super) shutdown: Shutdown,
    pub(super) clock: Clock,
    pub(super) past: Arc<Past>,
    /// What the cluster is at, and whether it is taken back.
    pub(super) under_way: Arc<UnderWay>,
    /// An answer costs money.
    pub(super) asks_model: bool,
    /// Money that is reserved holds batches back.
    pub(super) holds: AtomicBool,
    /// Of a run that was handed over: what the cluster has forgotten of it is paid for from this.
    pub(super) collects: Option<Arc<Purse>>,
}

/// A batch on its way, and the places it takes up.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) batch: Prepared,
    pub(super) places: Places,
    /// What it may cost; of a run that was handed over, the courier finds out.
    pub(super) charge: Option<Charge>,
}

/// What a batch takes up of the rows that may be in flight and of the memory. The memory is given back when its rows are on disk. The rows
/// are given back when the cluster is done with them, so that it need not wait for our disk; where a model is asked, when they are on disk
/// as well, because what a batch says may be a reason to ask no more.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) rows: Option<OwnedSemaphorePermit>,
    pub(super) kib: OwnedSemaphorePermit,
}

impl Courier {
    /// Carries `parcel`, beginning at `node`, until its outcomes are handed over or the run stops. What is not
    /// handed over is pending.
    pub(super) async fn carry(&self, parcel: Parcel, node: usize) {
        if self.pulse.under_way.fetch_add(1, Ordering::Relaxed) == 0 {
            self.pulse.beat(self.clock.elapsed());
        }
        tokio::select! {
            () = self.shutdown.at_least(Level::Stop) => {}
            () = self.deliver(parcel, node) => {}
        }
        self.pulse.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    async fn deliver(&self, parcel: Parcel, node: usize) {
        let Parcel { batch, mut places, charge } = parcel;
        let sent = Instant::now();
        let mut node = node;
        let (charge, paid_again) = match &self.collects {
            None => (charge, 0),
            Some(purse) => match self.admit(&batch, &mut node, purse).await {
                Ok(charge) => {
                    let rows = charge.as_ref().map_or(0, Charge::rows);
                    (charge, rows)
                }
                Err(NotPaid) => return,
            },
        };
        let Some((node, end)) = self.end(&batch, node, paid_again).await else { return };
        if !self.asks_model {
            places.rows = None;
        }
        self.pulse.beat(self.clock.elapsed());
        let held = Box::new((places.rows, places.kib));
        let finished = Delivery::Batch { batch, node, end, took: sent.elapsed(), held, charge };
        // A closed channel means that results cannot be written any more; the run says so itself.
        let _stopped = self.finished.send(finished).await;
    }

    /// How the batch ended, and at which node. `None` if the run drains before it is submitted.
    async fn end(&self, batch: &Prepared, mut node: usize, paid_again: u64) -> Option<(usize, End)> {
        let mut sent = 0;
        let mut key = batch.key.clone();
        loop {
            if sent > 0 {
                // Restate has no such invocation any more (its state was deleted); sending again is safe, at the run's rate.
                node = self.turn(batch).await?;
            }
            let (at, accepted) = match self.submit(&key, batch, &mut node).await? {
                Ok(accepted) => accepted,
                Err(error) => {
                    return Some((node, End::failed(batch, FailureClass::Provider, &error.to_string())));
                }
            };
            let again = key != batch.key;
            let reception = match accepted.new {
                false => Reception::Known,
                true if sent > 0 || self.past.is_sent(batch.key.index) => Reception::Forgotten,
                true => Reception::New,
            };
            if sent == 0 || (accepted.new && !again) {
                let (batch, indicators) = (batch.key.index, u64::from(batch.len().get()));
                let paid_again = if sent == 0 { paid_again } else { 0 };
                let sent = Delivery::Sent { batch, node, reception, indicators, paid_again, at };
                // A closed channel means that nothing can be written any more; the run says so itself.
                let _stopped = self.finished.send(sent).await;
            }
            sent += 1;
            self.under_way.begins(batch.key.index, &accepted.invocation_id);
            if self.under_way.is_withdrawn() {
                Box::pin(self.under_way.withdraw()).await;
            }
            let Some(end) = self.collect(batch, &accepted.invocation_id, &mut node).await else { continue };
            self.under_way.ends(batch.key.index);
            if self.collects.is_some() || !end.is_cancelled() {
                return Some((node, end));
            }
            // Rows that this run took back are pending, now or when it stopped before.
            if self.under_way.is_withdrawn() {
                self.tell(RunEvent::Spent(end.spent(batch))).await;
                return None;
            }
            if reception != Reception::Known {
                return Some((node, end));
            }
            key = BatchKey { run_id: batch.key.to_string(), index: key_after(&key, &batch.key) };
        }
    }

    /// The next node whose gate lets the batch pass; `None` if the run drains before.
    pub(super) async fn turn(&self, batch: &Prepared) -> Option<usize> {
        tokio::select! {
            next = self.pool.turn(batch.len()) => Some(next),
            () = self.shutdown.at_least(Level::Drain) => None,
        }
    }

    /// Sends until a node accepts; returns when it was let through.
    async fn submit(
        &self,
        key: &BatchKey,
        batch: &Prepared,
        node: &mut usize,
    ) -> Option<Result<(Duration, Accepted), Error>> {
        let mut unsure = false;
        let timeout = TIMEOUT + crossing(batch);
        loop {
            let at = self.clock.elapsed();
            match self.pool.nodes()[*node].ingress.send(key, batch.body.clone(), timeout).await {
                Ok(mut accepted) => {
                    // An attempt without an answer may have got through: then it was this process that sent it.
                    accepted.new |= unsure;
                    return Some(Ok((at, accepted)));
                }
                Err(error) if verdict(&error) == Verdict::Hopeless => return Some(Err(error)),
                Err(error) => {
                    unsure = true;
                    self.fault(*node, &error).await;
                }
            }
            // Another node has its own gate: a failing one must not mean more load for the others.
            *node = self.turn(batch).await?;
        }
    }

    /// Polls until the batch has ended. `None` if no node knows it.
    async fn collect(&self, batch: &Prepared, id: &str, node: &mut usize) -> Option<End> {
        let accepted = Instant::now();
        let timeout = POLL_TIMEOUT + crossing(batch);
        let (mut pause, mut by_first, mut silent) = (self.polling.first(), true, 0);
        loop {
            sleep(pause).await;
            pause = Polling::next(accepted.elapsed());
            match self.pool.nodes()[*node].ingress.output(id, timeout).await {
                Ok(Output::Pending) => silent = 0,
                Ok(Output::Ready(body)) => {
                    self.polling.finished(accepted.elapsed(), by_first);
                    return Some(End::Output(body));
                }
                Ok(Output::Ended { code, message }) => {
                    let class =
                        if code == ABORTED { FailureClass::Cancelled } else { FailureClass::Provider };
                    return Some(End::failed(batch, class, &message));
                }
                Ok(Output::Unknown) => return None,
                Err(error) if verdict(&error) == Verdict::Hopeless => {
                    return Some(End::failed(batch, FailureClass::Provider, &error.to_string()));
                }
                Err(Error::Timeout { .. }) if silent + 1 < SILENT_POLLS => {
                    silent += 1;
                    *node = self.pool.any_up().await;
                    pause = Duration::ZERO;
                }
                Err(error) => {
                    self.fault(*node, &error).await;
                    silent = 0;
                    *node = self.pool.any_up().await;
                    pause = self.polling.first();
                }
            }
            by_first = false;
        }
    }

    pub(super) async fn fault(&self, node: usize, error: &Error) {
        let error = error.to_string();
        tracing::debug!(node, error, "exchange failed");
        if self.pool.take_out(node) {
            self.tell(RunEvent::NodeDown { node, reason: error.clone() }).await;
        }
        self.tell(RunEvent::NodeFault { node, error }).await;
    }

    pub(super) async fn tell(&self, event: RunEvent) {
        // The owner of the counts outlives every courier, unless it is unwinding.
        let _unwinding = self.events.send(event).await;
    }
}

/// The number of the key under which a batch is sent again whose rows were taken back: `{run_id}.{index}.1` and so on.
fn key_after(key: &BatchKey, first: &BatchKey) -> u64 {
    if key == first { 1 } else { key.index + 1 }
}

/// How long a batch may be on a slow link.
fn crossing(batch: &Prepared) -> Duration {
    Duration::from_secs((batch.body.len() / BYTES_PER_SECOND) as u64)
}
