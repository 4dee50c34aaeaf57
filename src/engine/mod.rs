//! The run: rows in, outcomes on disk, and one stream of events about it.
//!
//! Owns the tasks of a run and how they end. Four kinds of them share nothing but channels: the feeder (blocking,
//! reads), the dispatcher (paces and rotates), the couriers (one per batch in flight), the recorder (blocking,
//! writes). [`Engine::run`] itself is the single owner of the counts. Knows no terminal and no flag.

pub mod attach;
mod brakes;
mod clock;
mod courier;
pub mod diagnosis;
mod end;
mod feed;
pub mod handover;
pub mod orders;
mod payment;
mod polling;
mod pool;
mod pulse;
mod purse;
mod record;
mod room;
mod rotation;
mod turns;
mod watchdog;
pub mod withdraw;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::task::TaskTracker;

pub use brakes::Brakes;
pub use feed::{LARGEST_BODY, rehearse};

use crate::domain::batch::RunOptions;
use crate::domain::detached::Progress;
use crate::domain::event::RunEvent;
use crate::domain::stats::{NodeStats, RunStats};
use crate::error::{ExitStatus, Failure, Result};
use crate::input::Row;
use crate::ledger::{Journal, Past};
use crate::output::{Entries, Sink, is_spoiled};
use crate::restate::ingress::Ingress;
use crate::shutdown::{self, Level, Raise, Shutdown};
use crate::throttle::Pace;
use clock::Clock;
use courier::{Courier, Parcel};
use feed::Work;
use polling::Polling;
use pool::Pool;
use pulse::Pulse;
use purse::Purse;
use record::{Book, Delivery, Held};
use room::Room;
use withdraw::UnderWay;

/// Batches read ahead: enough that the dispatcher never waits for a disk, few enough not to matter.
const READ_AHEAD: usize = 4;
/// Events and deliveries under way between tasks.
const QUEUE: usize = 256;
/// How long an order to stop waits for the last writes.
const LAST_WRITES: Duration = Duration::from_secs(3);
/// How often observers may refresh what depends on time alone.
const TICK: Duration = Duration::from_millis(200);

/// Someone who watches a run. Called from one task, in the order things happened.
pub trait Observer {
    /// Something happened; `stats` includes it.
    fn observe(&mut self, event: &RunEvent, stats: &RunStats, elapsed: Duration);
    /// Time passed.
    fn tick(&mut self, stats: &RunStats, elapsed: Duration);
    /// The run was asked to stop submitting; what is in flight is waited for.
    fn draining(&mut self, stats: &RunStats);
}

/// What shall be run.
#[derive(Debug)]
pub struct Engine {
    /// Prefix of every batch key.
    pub run_id: String,
    /// Settings every batch carries.
    pub options: RunOptions,
    /// How fast.
    pub pace: Pace,
    /// How long to wait for what is in flight after the first interruption.
    pub grace: Duration,
    /// What ends it early.
    pub brakes: Brakes,
    /// Where it stands, if it was handed over and its results are collected now.
    pub collects: Option<Progress>,
}

/// What is on disk of a run, and how it gets there.
#[derive(Debug)]
pub struct Record {
    /// Results and failures.
    pub sink: Sink,
    /// What survives this process.
    pub journal: Journal,
    /// What earlier processes have done: batches that are done are passed over.
    pub past: Past,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The counts.
    pub stats: RunStats,
    /// Time of work, from the first batch read to the last one on disk.
    pub elapsed: Duration,
    /// The results, to be put in their place or left as they are.
    pub sink: Sink,
    /// What survives this process.
    pub journal: Journal,
    /// Why the run could not go on, if it could not.
    pub failure: Option<Failure>,
}

/// Counts of a run over `indicators` that has not begun.
pub fn counts(indicators: u64, nodes: &[(String, Ingress)]) -> RunStats {
    let nodes = nodes.iter().map(|(name, ingress)| NodeStats::new(name.clone(), ingress.url().to_owned()));
    RunStats::new(indicators, nodes.collect())
}

/// Why results could not be written, and what to do about it; those of a run that the cluster has are collected again.
fn cannot_write(error: &std::io::Error, collects: bool) -> Failure {
    let next = match error.kind() {
        ErrorKind::BrokenPipe => return reader_gone(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => "make room",
        _ if is_spoiled(error) => "let no other program write that file",
        _ => "put that right",
    };
    let go_on = if collects { "attach" } else { "resume" };
    Failure::unexpected(format!("cannot write the results: {error}"))
        .hint(format!("{next}, then go on: `classify runs {go_on}`"))
}

/// Nobody reads what goes to stdout any more.
pub fn reader_gone() -> Failure {
    Failure::new(ExitStatus::ReaderGone, "whoever read the results went away")
}

impl Engine {
    /// Runs `rows` over `nodes` (name and ingress of each) to their end, or until `stop` or a failure of input or disk
    /// ends it earlier. `stats` count what was done before. Whatever happens, the counts say what is on disk.
    ///
    /// # Errors
    /// Only when a task of the run dies.
    pub async fn run(
        self,
        nodes: Vec<(String, Ingress)>,
        rows: impl Iterator<Item = Result<Row>> + Send + 'static,
        record: Record,
        stats: RunStats,
        observer: &mut dyn Observer,
        stop: Shutdown,
    ) -> Result<Finished> {
        let clock = Clock::start(record.past.elapsed);
        let (raise, shutdown) = shutdown::channel();
        let (events, inbox) = mpsc::channel(QUEUE);
        let purse = Arc::new(match &self.collects {
            Some(progress) => Purse::collecting(&self.brakes, progress, record.past.paid_again),
            None => Purse::new(&self.brakes, &stats),
        });
        let under_way = UnderWay::of(&nodes);
        let shared = (Arc::clone(&purse), Arc::clone(&under_way));
        let mut tasks = self.start(nodes, rows, record, shared, events, shutdown, clock);

        let collects = self.collects.is_some();
        let mut owner =
            Owner { stats, observer, clock, brakes: self.brakes, purse, failure: None, under_way };
        let (book, written) = owner.follow(inbox, &mut tasks, &raise, stop, self.grace).await?;
        if let Err(error) = written {
            owner.failure = Some(cannot_write(&error, collects));
        }
        let failure = owner.failure.or_else(|| owner.purse.failure());
        let Book { sink, journal, .. } = book;
        Ok(Finished { elapsed: clock.elapsed(), stats: owner.stats, sink, journal, failure })
    }

    #[expect(clippy::too_many_arguments, reason = "what the tasks of a run share; each takes some of it")]
    fn start(
        &self,
        nodes: Vec<(String, Ingress)>,
        rows: impl Iterator<Item = Result<Row>> + Send + 'static,
        record: Record,
        (money, under_way): (Arc<Purse>, Arc<UnderWay>),
        events: mpsc::Sender<RunEvent>,
        shutdown: Shutdown,
        clock: Clock,
    ) -> Tasks {
        let Record { sink, journal, past } = record;
        let past = Arc::new(past);
        let pool = Arc::new(Pool::new(nodes, &self.pace));
        let pulse = Arc::new(Pulse::default());
        let mut background = JoinSet::new();
        background.spawn(watchdog::watch(
            Arc::clone(&pool),
            Arc::clone(&pulse),
            self.options.clone(),
            events.clone(),
            clock,
        ));
        for node in 0..pool.nodes().len() {
            background.spawn(watchdog::announce_returns(Arc::clone(&pool), node, events.clone()));
        }

        let (work, to_dispatch) = mpsc::channel(READ_AHEAD);
        let (run_id, options, size) = (self.run_id.clone(), self.options.clone(), self.pace.batch_size);
        let done = Arc::clone(&past);
        let feeder = spawn_blocking(move || feed::feed(rows, &run_id, &options, size, &done, &work));

        let (finished, deliveries) = mpsc::channel(QUEUE);
        let recorder_events = events.clone();
        let names = pool.nodes().iter().map(|node| node.name.clone()).collect();
        let entries = Entries::new(sink.layout().clone());
        let book = Book { sink, entries, journal, nodes: names, rejected: past.rejected, clock };
        let (done, held) = mpsc::channel(1);
        let recorder = spawn_blocking(move || record::record(book, deliveries, &recorder_events, &done));

        let courier = Arc::new(Courier {
            pool,
            events,
            finished,
            pulse,
            polling: Polling::default(),
            shutdown,
            clock,
            past,
            under_way,
            asks_model: self.options.method.model.is_some(),
            holds: AtomicBool::new(false),
            collects: self.collects.is_some().then(|| Arc::clone(&money)),
        });
        background.spawn(dispatch(to_dispatch, courier, Room::new(self.pace.max_in_flight.get()), money));
        Tasks { feeder: Some(feeder), recorder, held, _background: background }
    }
}

/// Tasks the owner waits for. The others end when it is dropped.
struct Tasks {
    feeder: Option<JoinHandle<Result<()>>>,
    recorder: JoinHandle<(Book, std::io::Result<()>)>,
    held: mpsc::Receiver<Vec<Held>>,
    _background: JoinSet<()>,
}

/// Takes batches in order, waits for room, for money and for a node's turn, and sends a courier off with each.
async fn dispatch(mut work: mpsc::Receiver<Work>, courier: Arc<Courier>, room: Room, purse: Arc<Purse>) {
    let couriers = TaskTracker::new();
    let drain = courier.shutdown.clone();
    let next = async {
        while let Some(work) = work.recv().await {
            let batch = match work {
                Work::Batch(batch) => batch,
                Work::Rejected(row) => {
                    let _stopped = courier.finished.send(Delivery::Rejected(row)).await;
                    continue;
                }
            };
            let Some(places) = room.places(&batch).await else { return };
            let (node, charge) = if courier.collects.is_some() {
                (courier.pool.place_of(batch.key.index).await, None)
            } else {
                let Ok(charge) = courier.pay(&batch, &purse).await else { return };
                (courier.pool.turn_of(batch.key.index, batch.len()).await, Some(charge))
            };
            let courier = Arc::clone(&courier);
            couriers.spawn(async move { courier.carry(Parcel { batch, places, charge }, node).await });
        }
    };
    tokio::select! {
        biased;
        () = drain.at_least(Level::Drain) => {}
        () = next => {}
    }
    couriers.close();
    couriers.wait().await;
}

/// The single owner of the counts.
struct Owner<'a> {
    stats: RunStats,
    observer: &'a mut dyn Observer,
    clock: Clock,
    brakes: Brakes,
    purse: Arc<Purse>,
    failure: Option<Failure>,
    under_way: Arc<UnderWay>,
}

impl Owner<'_> {
    /// Applies events until the recorder is done; passes the wish to stop on, and turns it into an order when the
    /// grace time is over.
    async fn follow(
        &mut self,
        mut inbox: mpsc::Receiver<RunEvent>,
        tasks: &mut Tasks,
        raise: &Raise,
        stop: Shutdown,
        grace: Duration,
    ) -> Result<(Book, std::io::Result<()>)> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut asked = Level::Run;
        let mut patience_ends: Option<Instant> = None;
        let mut give_up: Option<Instant> = None;
        let ended = loop {
            let wanted = if asked == Level::Run { Level::Drain } else { Level::Stop };
            tokio::select! {
                Some(event) = inbox.recv() => self.apply(&event, raise),
                Some(held) = tasks.held.recv() => self.give_back(held, &mut inbox, raise),
                ended = &mut tasks.recorder => break ended,
                fed = join(&mut tasks.feeder) => self.input_ended(fed, raise),
                _ = tick.tick() => self.observer.tick(&self.stats, self.clock.elapsed()),
                () = stop.at_least(wanted), if asked < Level::Stop => {
                    asked = wanted.max(stop.level());
                    raise.to(asked);
                    if asked == Level::Drain {
                        patience_ends = Some(Instant::now() + grace);
                        self.observer.draining(&self.stats);
                    } else {
                        patience_ends = None;
                        give_up = Some(Instant::now() + LAST_WRITES);
                    }
                }
                () = sleep_until(patience_ends.unwrap_or_else(Instant::now)), if patience_ends.is_some() => {
                    patience_ends = None;
                    asked = Level::Stop;
                    raise.to(Level::Stop);
                    give_up = Some(Instant::now() + LAST_WRITES);
                }
                () = sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => {
                    return Err(Failure::new(ExitStatus::Interrupted, "interrupted while results were being written")
                        .detail("the disk, or whoever reads stdout, does not take them"));
                }
            }
        };
        while let Ok(event) = inbox.try_recv() {
            self.apply(&event, raise);
        }
        // A recorder that failed leaves couriers behind that nobody waits for.
        raise.to(Level::Stop);
        if asked == Level::Stop {
            Box::pin(self.under_way.withdraw()).await;
        }
        ended
            .map_err(|error| Failure::unexpected(format!("the thread that writes the results died: {error}")))
    }

    fn apply(&mut self, event: &RunEvent, raise: &Raise) {
        self.stats.apply(event);
        self.observer.observe(event, &self.stats, self.clock.elapsed());
        if self.failure.is_none()
            && let Some(reason) = self.brakes.check(event, &self.stats)
        {
            self.failure = Some(reason);
            self.under_way.take_back();
            raise.to(Level::Drain);
        }
    }

    /// Lets others have what batches held, once it is known what became of these: that may be a reason to send no more.
    fn give_back(&mut self, held: Vec<Held>, inbox: &mut mpsc::Receiver<RunEvent>, raise: &Raise) {
        while let Ok(event) = inbox.try_recv() {
            self.apply(&event, raise);
        }
        drop(held);
    }

    /// Input that cannot be read to its end: what was submitted is waited for, and the failure is told.
    fn input_ended(&mut self, fed: Result<()>, raise: &Raise) {
        if let Err(failure) = fed {
            self.failure = Some(failure);
            raise.to(Level::Drain);
        }
    }
}

/// Waits for the feeder, once.
async fn join(feeder: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    let Some(handle) = feeder else { return std::future::pending().await };
    let ended = handle.await;
    *feeder = None;
    ended.unwrap_or_else(|error| {
        Err(Failure::unexpected(format!("the thread that reads the input died: {error}")))
    })
}
