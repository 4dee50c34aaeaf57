//! How far a command shall stop, as one ordered level. Whoever waits takes it as an argument; only `lib.rs` and
//! `commands` know that it comes from signals.

use tokio::sync::watch;

/// How much is to stop. Levels only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Run,
    /// Take on nothing new; finish what was begun.
    Drain,
    /// Stop now.
    Stop,
}

/// Receiving end.
#[derive(Debug, Clone)]
pub struct Shutdown {
    level: watch::Receiver<Level>,
}

/// Sending end.
#[derive(Debug, Clone)]
pub struct Raise {
    level: watch::Sender<Level>,
}

/// A pair at [`Level::Run`].
pub fn channel() -> (Raise, Shutdown) {
    let (sender, receiver) = watch::channel(Level::Run);
    (Raise { level: sender }, Shutdown { level: receiver })
}

impl Raise {
    /// Raises to `level`; a lower level than the present one changes nothing.
    pub fn to(&self, level: Level) {
        self.level.send_if_modified(|now| {
            let higher = level > *now;
            *now = level.max(*now);
            higher
        });
    }

    /// Raises by one.
    pub fn next(&self) {
        let next = if *self.level.borrow() == Level::Run { Level::Drain } else { Level::Stop };
        self.to(next);
    }
}

impl Shutdown {
    /// The present level.
    pub fn level(&self) -> Level {
        *self.level.borrow()
    }

    /// Completes once the level is at least `level`.
    pub async fn at_least(&self, level: Level) {
        let mut receiver = self.level.clone();
        if receiver.wait_for(|now| *now >= level).await.is_err() {
            // Nobody is left who could raise it.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn levels_only_rise() {
        let (raise, shutdown) = channel();
        assert_eq!(shutdown.level(), Level::Run);
        raise.next();
        assert_eq!(shutdown.level(), Level::Drain);
        raise.next();
        raise.to(Level::Drain);
        assert_eq!(shutdown.level(), Level::Stop);
        shutdown.at_least(Level::Drain).await;
    }
}
