//! Signs of life of a run.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Signs of life: whether something is under way, and when anything last came of it. That a node accepts batches is none: the service
/// may be dead meanwhile.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pub(super) under_way: AtomicUsize,
    last_beat_ms: AtomicU64,
}

impl Pulse {
    pub(super) fn beat(&self, since_start: Duration) {
        let now = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX);
        self.last_beat_ms.fetch_max(now, Ordering::Relaxed);
    }

    /// How long nothing has come although something is under way.
    pub(super) fn standstill(&self, since_start: Duration) -> Option<Duration> {
        (self.under_way.load(Ordering::Relaxed) > 0).then(|| {
            since_start.saturating_sub(Duration::from_millis(self.last_beat_ms.load(Ordering::Relaxed)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_needs_something_under_way() {
        let pulse = Pulse::default();
        let now = Duration::from_secs(9);
        assert_eq!(pulse.standstill(now), None);
        pulse.under_way.fetch_add(1, Ordering::Relaxed);
        assert_eq!(pulse.standstill(now), Some(now));
        pulse.beat(Duration::from_secs(8));
        assert_eq!(pulse.standstill(now), Some(Duration::from_secs(1)));
    }
}
