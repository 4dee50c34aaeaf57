//! Signals to levels: Ctrl-C and SIGTERM ask once to drain, then to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Failure, Result};
use crate::shutdown::{self, Shutdown};

/// A shutdown level that Ctrl-C and SIGTERM raise, from now on.
pub(super) fn listen() -> Result<Shutdown> {
    let register = |kind: SignalKind| -> Result<Signal> {
        signal(kind).map_err(|error| Failure::unexpected(format!("cannot listen for signals: {error}")))
    };
    // Registered before the task runs, so that no signal falls in between.
    let (mut interrupt, mut terminate) =
        (register(SignalKind::interrupt())?, register(SignalKind::terminate())?);
    let (raise, shutdown) = shutdown::channel();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            raise.next();
        }
    });
    Ok(shutdown)
}
