//! The classification service: what Restate calls to get work done.
//!
//! Owns the Restate services (`ClassifyBatch`, `Classifier`, `ModelLimits`, `DetachedRun`, `BatchPage`, `BatchReports`), their retention and retry settings, the
//! HTTP endpoint and the counts for Prometheus. What it is given (a bound listener, a stop signal, a taxonomy) it does not look for itself, so
//! tests can run it without signals or fixed ports.

mod audit;
mod batch;
mod classifier;
mod clock;
mod detached;
mod exporter;
mod limiter;
mod limits;
mod metrics;
mod models;
mod ongoing;
mod pages;
mod payload;
mod reports;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use restate_sdk::endpoint::Endpoint;
use restate_sdk::http_server::HttpServer;
use tokio::net::{TcpListener, TcpSocket};

pub use audit::AuditLog;
#[cfg(fuzzing)]
pub use detached::fuzzing;
pub use exporter::export;
pub use metrics::Metrics;
pub use models::ModelSettings;

use crate::domain::method::{HYBRID, RULES};
use crate::error::{Failure, Result};
use crate::restate::names::ServiceInfo;
use crate::taxonomy::{Rules, Taxonomy};
use models::Models;
use ongoing::Ongoing;

/// Connections that may wait to be accepted: many nodes come back at once when a service starts again.
const BACKLOG: u32 = 1024;

/// What the handlers share.
#[derive(Debug)]
pub struct Shared {
    info: ServiceInfo,
    /// Tells this process from every other.
    process: String,
    rules: Rules,
    models: Models,
    ongoing: Ongoing,
    audit: Option<AuditLog>,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// The service for `taxonomy`. With an audit log, every classification really executed is recorded there.
    pub fn new(taxonomy: &Taxonomy, rules: Rules, models: ModelSettings, audit: Option<AuditLog>) -> Self {
        let models = Models::new(models, taxonomy.clone());
        let mut providers: Vec<String> = models.providers().collect();
        if !providers.is_empty() {
            providers.push(HYBRID.to_owned());
        }
        providers.insert(0, RULES.to_owned());
        let info = ServiceInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taxonomy: taxonomy.id(),
            taxonomy_digest: taxonomy.digest().to_owned(),
            providers,
        };
        let metrics = Arc::new(Metrics::new(&info));
        let process = ulid::Ulid::generate().to_string();
        Self { info, process, rules, models, ongoing: Ongoing::default(), audit, metrics }
    }

    /// What the service counts, for [`export`].
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }
}

/// The endpoint with all services. With identity keys (`publickeyv1_…`, as the nodes log them), it answers only requests that
/// one of them signed; anything else, `GET /health` included, gets 401.
///
/// # Errors
/// When a key is none.
pub fn endpoint(shared: Shared, identity_keys: &[String]) -> Result<Endpoint> {
    let own = shared.models.limits();
    let batches = batch::ClassifyBatch { metrics: shared.metrics() };
    let services = Endpoint::builder()
        .bind(batches)
        .bind(classifier::Classifier::new(Arc::new(shared)))
        .bind(limits::ModelLimits { own })
        .bind(detached::DetachedRun)
        .bind(pages::BatchPage)
        .bind(reports::BatchReports);
    let signed = identity_keys.iter().try_fold(services, |services, key| {
        services.identity_key(key).map_err(|error| {
            Failure::usage(format!("`{key}` is no identity key: {error}")).hint(
                "each node logs its public key when it starts: `classify cluster logs | grep -o 'publickeyv1_[[:alnum:]]*'`",
            )
        })
    })?;
    Ok(signed.build())
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

/// Serves on `listener` (see [`listen`]) until `stop` completes, then lets running handlers finish (at most 10 s). Answers
/// `GET /health` over HTTP/2, the protocol Restate speaks to services.
pub async fn serve(listener: TcpListener, endpoint: Endpoint, stop: impl Future<Output = ()>) {
    HttpServer::new(endpoint).serve_with_cancel(listener, stop).await;
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
