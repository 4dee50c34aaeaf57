//! When results reached the disk: a thread looks at their file all the time.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Watch {
    /// Dropped to end it.
    going_on: Option<Sender<()>>,
    thread: Option<JoinHandle<Vec<Instant>>>,
}

impl Watch {
    /// Watches results that will be at `path`, and in front of that in its partial file.
    pub(super) fn begin(path: PathBuf) -> Self {
        let (going_on, until) = channel();
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            let partial = classify::output::partial_path(&path);
            let (mut size, mut marks) = (0, vec![began]);
            while until.recv_timeout(INTERVAL) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let now = length(&partial).or_else(|| length(&path)).unwrap_or(0);
                if now != size && now > 0 {
                    marks.push(Instant::now());
                }
                size = now;
            }
            marks
        });
        Self { going_on: Some(going_on), thread: Some(thread) }
    }

    /// Ends it; returns when it began, and when the results grew.
    pub(super) fn end(mut self) -> Vec<Instant> {
        drop(self.going_on.take());
        self.thread.take().map(|thread| thread.join().expect("a thread that watches")).unwrap_or_default()
    }
}

fn length(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|found| found.len())
}
