//! When a failed request is repeated: exponential back-off with full jitter, within a budget. Pure.

use std::num::NonZeroU32;
use std::time::Duration;

/// How patient a request is. Full jitter (a wait drawn evenly from zero to the exponential bound) keeps requests that
/// failed together from coming back together: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Bound of the first wait; it doubles with every attempt.
    pub base: Duration,
    /// Bound no wait passes, unless the provider asks for more.
    pub cap: Duration,
    /// Most attempts, the first included.
    pub attempts: NonZeroU32,
    /// Most time spent on attempts and waits before another attempt starts.
    pub patience: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            attempts: NonZeroU32::MIN.saturating_add(7),
            patience: Duration::from_mins(5),
        }
    }
}

impl Backoff {
    /// How long to wait after the failure of attempt `made` (from 1) when `spent` has gone into attempts and waits; `None`:
    /// give up. What the provider asks for wins over our own wait. `jitter` is drawn evenly from 0 to 1.
    pub fn wait(
        &self,
        made: u32,
        spent: Duration,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        if made >= self.attempts.get() {
            return None;
        }
        let factor = 2_u32.saturating_pow(made.saturating_sub(1));
        let bound = self.base.saturating_mul(factor).min(self.cap);
        let drawn = bound.as_secs_f64() * jitter.clamp(0.0, 1.0);
        let wait = retry_after.unwrap_or_else(|| Duration::try_from_secs_f64(drawn).unwrap_or(bound));
        (spent.saturating_add(wait) <= self.patience).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_secs(1),
        cap: Duration::from_secs(5),
        attempts: NonZeroU32::new(6).unwrap(),
        patience: Duration::from_mins(1),
    };

    #[test]
    fn waits_double_up_to_the_cap_and_end_with_the_attempts() {
        let waits: Vec<_> = (1..=6).map(|made| BACKOFF.wait(made, Duration::ZERO, None, 1.0)).collect();
        let seconds = [Some(1), Some(2), Some(4), Some(5), Some(5), None];
        assert_eq!(waits, seconds.map(|wait| wait.map(Duration::from_secs)));
    }

    #[test]
    fn jitter_is_full() {
        let wait = |jitter| BACKOFF.wait(3, Duration::ZERO, None, jitter);
        assert_eq!(wait(0.0), Some(Duration::ZERO));
        assert_eq!(wait(0.25), Some(Duration::from_secs(1)));
        assert_eq!(wait(f64::INFINITY), Some(Duration::from_secs(4)));
    }

    #[test]
    fn the_provider_knows_better() {
        let wait = |seconds| BACKOFF.wait(1, Duration::ZERO, Some(Duration::from_secs(seconds)), 0.0);
        assert_eq!(wait(40), Some(Duration::from_secs(40)));
        assert_eq!(wait(61), None, "longer than we are willing to wait");
    }

    #[test]
    fn patience_ends() {
        let wait = |spent| BACKOFF.wait(1, Duration::from_secs(spent), None, 1.0);
        assert_eq!(wait(59), Some(Duration::from_secs(1)));
        assert_eq!(wait(60), None);
    }

    #[test]
    fn no_number_overflows() {
        let vast = Backoff { base: Duration::MAX, cap: Duration::MAX, patience: Duration::MAX, ..BACKOFF };
        assert_eq!(vast.wait(5, Duration::MAX, None, 1.0), Some(Duration::MAX));
    }
}
