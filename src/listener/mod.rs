//! Connections that come in: accepted whatever happens, bounded in number, closed where they say nothing.

mod peers;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub use peers::{Peers, Place, UnderWay};

/// After a failed accept (no file descriptor left, say) where no connection could be given up.
const PAUSE: Duration = Duration::from_millis(100);
/// After one for which connections were given up, so that they are closed.
const SHORT_PAUSE: Duration = Duration::from_millis(5);
/// How often a warning says that connections cannot be accepted.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Accepts connections on `listener` for as long as it is polled, and has each served by what `connection` returns. A connection without a
/// request after `first_request` is closed, and so is one whose place is needed. Dropped, it closes all of them.
pub async fn accept<F>(
    listener: &TcpListener,
    peers: &Peers,
    first_request: Duration,
    mut connection: impl FnMut(TcpStream, Arc<Place>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut told: Option<Instant> = None;
    loop {
        match listener.accept().await {
            // Where all others are at work it is closed at once: who wants it tries again.
            Ok((stream, _)) => {
                if let Some(place) = peers.admit() {
                    let serving = connection(stream, Arc::clone(&place));
                    connections.spawn(bounded(serving, place, first_request));
                }
            }
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() > TOLD_EVERY) {
                    tracing::warn!("cannot accept a connection: {error}");
                    told = Some(Instant::now());
                }
                sleep(if peers.are_too_many() { SHORT_PAUSE } else { PAUSE }).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn bounded(serving: impl Future<Output = ()>, place: Arc<Place>, first_request: Duration) {
    let silent = async {
        sleep(first_request).await;
        if place.has_asked() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = serving => {}
        () = place.unwanted() => tracing::debug!("a silent connection is closed: there are too many"),
        () = silent => tracing::debug!("a connection without a request is closed"),
    }
}
