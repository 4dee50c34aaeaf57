//! A round of every fault. More rounds: `cargo run --release --example chaos -- --rounds 50`.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use libtest_mimic::{Completion, Failed};

use crate::chaos::{Fault, NotRun, Round, Session, table};
use crate::note;
use crate::world::Program;

/// Enough that a run is still going on when a fault is over.
const ROWS: usize = 400;

/// The faults' own cluster, started by the first fault that is asked for.
///
/// It has a thread of its own: network and mounts of a thread are its own, and it does not leave them again.
pub(crate) struct Rounds {
    seed: u64,
    line: Mutex<(Option<Sender<Fault>>, Receiver<Round>)>,
    thread: Option<JoinHandle<()>>,
}

impl Rounds {
    pub(crate) fn new(program: Program, seed: u64) -> Self {
        let (ask, asked) = channel();
        let (answer, answers) = channel();
        let thread = std::thread::spawn(move || {
            let mut session = None;
            for fault in asked {
                let session = session.get_or_insert_with(|| Session::start(program.clone()));
                if answer.send(session.round(fault, seed, ROWS)).is_err() {
                    return;
                }
            }
        });
        Self { seed, line: Mutex::new((Some(ask), answers)), thread: Some(thread) }
    }

    /// A round of `fault`. One that cannot be had here is ignored, and in CI a failure.
    pub(crate) fn run(&self, fault: Fault) -> Result<Completion, Failed> {
        let round = self.round(fault)?;
        note(&table::told(&round));
        let rounds = std::slice::from_ref(&round);
        let wrong = [table::violations(rounds), table::too_slow(rounds)].concat();
        match round.result {
            Err(NotRun(reason)) if std::env::var_os("CLASSIFY_TEST_STRICT").is_some() => {
                Err(format!("cannot be had here: {reason}").into())
            }
            Err(NotRun(reason)) => Ok(Completion::ignored_with(format!("not run: {reason}"))),
            Ok(_) if wrong.is_empty() => Ok(Completion::Completed),
            Ok(_) => Err(wrong.join("\n").into()),
        }
    }

    fn round(&self, fault: Fault) -> Result<Round, Failed> {
        let line = self.line.lock().map_err(|_| "an earlier round broke off")?;
        let asked = line.0.as_ref().is_some_and(|ask| ask.send(fault).is_ok());
        let answer = line.1.recv().ok().filter(|_| asked);
        answer.ok_or_else(|| format!("the cluster for faults (seed {}) did not start", self.seed).into())
    }
}

impl Drop for Rounds {
    /// Waits until the cluster is gone.
    fn drop(&mut self) {
        if let Ok(line) = self.line.get_mut() {
            line.0 = None;
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
