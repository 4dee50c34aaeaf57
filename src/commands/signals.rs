//! Signals to levels: Ctrl-C and SIGTERM ask once to drain, then to stop. So does the end of the terminal for what is no command of a person's.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Failure, Result};
use crate::shutdown::{self, Shutdown};

/// A shutdown level that Ctrl-C and SIGTERM raise, from now on.
pub(super) fn listen() -> Result<Shutdown> {
    listen_to(&[SignalKind::interrupt(), SignalKind::terminate()])
}

/// As [`listen`], for a process that serves others: SIGHUP, which comes when its terminal closes, must not cut them off. Who started it with
/// `nohup` wants it to stay.
pub(super) fn listen_as_service() -> Result<Shutdown> {
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    if is_hangup_ignored() {
        listen_to(&[interrupt, terminate])
    } else {
        listen_to(&[interrupt, terminate, SignalKind::hangup()])
    }
}

fn listen_to(kinds: &[SignalKind]) -> Result<Shutdown> {
    let register = |kind: &SignalKind| -> Result<Signal> {
        signal(*kind).map_err(|error| Failure::unexpected(format!("cannot listen for signals: {error}")))
    };
    // Registered before the tasks run, so that no signal falls in between.
    let signals = kinds.iter().map(register).collect::<Result<Vec<_>>>()?;
    let (raise, shutdown) = shutdown::channel();
    for mut signal in signals {
        let raise = raise.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                raise.next();
            }
        });
    }
    Ok(shutdown)
}

/// As Linux tells it; elsewhere nobody is asked.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
