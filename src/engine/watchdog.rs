//! Notices that a run stands still, and says why.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::clock::Clock;
use super::courier::Pulse;
use super::diagnosis::{conclude, examine};
use super::pool::Pool;
use crate::domain::event::{RunEvent, Trouble};

/// A standstill this long is looked into. With the 6 s an examination may take, the user knows within 11 s.
const SUSPICIOUS: Duration = Duration::from_secs(4);
/// A standstill this long is told even where nothing seems wrong, when it is next looked into.
const STUCK: Duration = Duration::from_secs(15);
/// How often we look.
const INTERVAL: Duration = Duration::from_millis(500);

/// Watches until it is dropped; tells when the reason for a standstill changes.
pub(super) async fn watch(pool: Arc<Pool>, pulse: Arc<Pulse>, events: mpsc::Sender<RunEvent>, clock: Clock) {
    let mut known = None;
    // A slow model is no trouble, and asking all nodes is no trifle: where all was well, the next look waits as long as the first.
    let mut look_again = Duration::ZERO;
    for round in 0_u64.. {
        sleep(INTERVAL).await;
        let standstill = pulse.standstill(clock.elapsed()).unwrap_or_default();
        if standstill >= SUSPICIOUS && clock.elapsed() < look_again {
            continue;
        }
        let trouble = if standstill >= SUSPICIOUS {
            let nodes = pool.nodes().iter().map(|node| &node.ingress);
            let found = conclude(&examine(nodes, &format!("watchdog-{round}")).await);
            if found.is_none() {
                look_again = clock.elapsed() + SUSPICIOUS;
            }
            found.or_else(|| (standstill >= STUCK).then_some(Trouble::WorkStuck))
        } else {
            None
        };
        if trouble != known {
            known = trouble;
            if events.send(RunEvent::Trouble(trouble)).await.is_err() {
                return;
            }
        }
    }
}
