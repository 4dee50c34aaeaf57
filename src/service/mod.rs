//! The classification service: what Restate calls to get work done.
//!
//! Owns the Restate services (`ClassifyBatch`, `Classifier`, `ModelLimits`, `DetachedRun`, `BatchPage`, `BatchReports`), their retention and retry settings, the
//! HTTP endpoint and the counts for Prometheus. What it is given (a bound listener, a stop signal, a taxonomy) it does not look for itself, so
//! tests can run it without signals or fixed ports.

mod attempt;
mod audit;
mod batch;
mod call;
mod callers;
mod classifier;
mod clock;
mod detached;
mod drain;
mod exporter;
mod limiter;
mod limits;
mod metrics;
mod models;
mod ongoing;
mod pages;
mod payload;
mod reports;
mod server;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use restate_sdk::endpoint::Endpoint;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{interval, sleep, timeout};

pub use audit::AuditLog;
#[cfg(fuzzing)]
pub use detached::fuzzing;
pub use exporter::export;
pub use metrics::Metrics;
pub use models::ModelSettings;

use crate::domain::method::{HYBRID, RULES};
use crate::error::{Failure, Result};
use crate::restate::names::ServiceInfo;
use crate::restate::secret::Secret;
use crate::shutdown::{Level, Shutdown};
use crate::taxonomy::{Rules, Taxonomy};
use callers::Callers;
use drain::Drain;
use models::Models;
use ongoing::Ongoing;
use server::Server;

/// Connections that may wait to be accepted: many nodes come back at once when a service starts again.
const BACKLOG: u32 = 1024;
/// How long calls that are under way may take when the process is asked to end; docs/durability.md promises it.
const GRACE: Duration = Duration::from_secs(10);
/// How long the cluster may take to hear that a process needs no more of its models' limits. Unheard, it is found out later.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the ends of the last answers may take from the handler to the socket: HTTP/2 does not say when they are there.
const SENT: Duration = Duration::from_millis(250);
/// How often it is looked whether all has ended.
const LOOK: Duration = Duration::from_millis(10);

/// What the handlers share.
#[derive(Debug)]
pub struct Shared {
    info: ServiceInfo,
    /// Tells this process from every other.
    process: String,
    callers: Callers,
    rules: Rules,
    models: Models,
    ongoing: Ongoing,
    drain: Drain,
    audit: Option<AuditLog>,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// The service for `taxonomy`. With an audit log, every classification really executed is recorded there. With a secret, it does only what
    /// clients ask that know it.
    pub fn new(
        taxonomy: &Taxonomy,
        rules: Rules,
        models: ModelSettings,
        audit: Option<AuditLog>,
        secret: Option<Arc<Secret>>,
    ) -> Self {
        let models = Models::new(models, taxonomy.clone());
        let mut providers: Vec<String> = models.providers().collect();
        if !providers.is_empty() {
            providers.push(HYBRID.to_owned());
        }
        providers.insert(0, RULES.to_owned());
        let callers = Callers::new(secret);
        let info = ServiceInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taxonomy: taxonomy.id(),
            taxonomy_digest: taxonomy.digest().to_owned(),
            providers,
            secret: callers.secret_name(),
        };
        let metrics = Arc::new(Metrics::new(&info));
        let process = ulid::Ulid::generate().to_string();
        let (ongoing, drain) = (Ongoing::default(), Drain::default());
        Self { info, process, callers, rules, models, ongoing, drain, audit, metrics }
    }

    /// Whether nothing has begun that has not come to its end, where nodes wait for so many attempts of calls.
    fn is_at_rest(&self, attempts: usize) -> bool {
        self.ongoing.at_rest().is_some_and(|waiting| attempts <= waiting + self.drain.late())
    }

    /// What the service counts, for [`export`].
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }
}

/// What [`serve`] serves.
pub struct Service {
    server: Server,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// The endpoint with all services. With identity keys (`publickeyv1_…`, as the nodes log them), it answers only requests that
/// one of them signed; anything else, `GET /health` included, gets 401.
///
/// # Errors
/// When a key is none.
pub fn endpoint(shared: Shared, identity_keys: &[String]) -> Result<Service> {
    let shared = Arc::new(shared);
    let own = shared.models.limits();
    let callers = || shared.callers.clone();
    let batches = batch::ClassifyBatch { metrics: shared.metrics(), callers: callers() };
    let services = Endpoint::builder()
        .bind(batches)
        .bind(classifier::Classifier::new(Arc::clone(&shared)))
        .bind(limits::ModelLimits { own, callers: callers() })
        .bind(detached::DetachedRun { callers: callers() })
        .bind(pages::BatchPage { callers: callers() })
        .bind(reports::BatchReports { callers: callers() });
    let signed = identity_keys.iter().try_fold(services, |services, key| {
        services.identity_key(key).map_err(|error| {
            Failure::usage(format!("`{key}` is no identity key: {error}")).hint(
                "each node logs its public key when it starts: `classify cluster logs | grep -o 'publickeyv1_[[:alnum:]]*'`",
            )
        })
    })?;
    Ok(Service { server: Server::new(signed.build()), shared })
}

/// A listener for the nodes at `address`. What it accepts sends at once (`TCP_NODELAY`, which accepted connections take over): the end of an
/// answer is a small segment that would wait until the node has acknowledged the one before, and for that a node takes its time, 40 ms.
///
/// # Errors
/// When the address is taken, or none of this machine's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves on `listener` (see [`listen`]) until it is asked to drain; then nothing new begins, and it ends when no call is at a provider any
/// more, each answer is in a journal, and the cluster knows that nothing of the models' limits is used here; after 10 s at the latest, or
/// when it is asked to stop. Answers `GET /health` over HTTP/2, the protocol Restate speaks to services.
pub async fn serve(listener: TcpListener, service: Service, stop: Shutdown) {
    let Service { server, shared } = service;
    tokio::select! {
        () = server.serve(&listener) => {}
        // What has begun needs the nodes, and they need the process, to its last moment.
        () = drained(&server, &shared, &stop) => {}
    }
}

async fn drained(server: &Server, shared: &Shared, stop: &Shutdown) {
    stop.at_least(Level::Drain).await;
    shared.drain.start();
    let rest = async {
        loop {
            let mut looks = interval(LOOK);
            while !shared.is_at_rest(server.calls()) {
                looks.tick().await;
            }
            sleep(SENT).await;
            if shared.is_at_rest(server.calls()) {
                return;
            }
        }
    };
    let ended = async {
        // The limiters first: from then on nothing leaves.
        let closed = async {
            let closed = shared.models.close();
            let mut closed = pin!(closed);
            let goodbye = poll_fn(|cx| Poll::Ready(closed.as_mut().poll(cx))).await;
            shared.ongoing.give_back();
            if goodbye.is_pending() {
                closed.await;
            }
        };
        match select(pin!(closed), pin!(rest)).await {
            Either::Left(((), rest)) => rest.await,
            Either::Right(((), goodbye)) => {
                let _unheard = timeout(GOODBYE, goodbye).await;
            }
        }
    };
    tokio::select! {
        () = ended => {}
        () = sleep(GRACE) => {}
        () = stop.at_least(Level::Stop) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn accepted_connections_send_at_once() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        assert!(accepted.unwrap().0.nodelay().unwrap());
    }
}
