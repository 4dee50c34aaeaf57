//! The classification service: what Restate calls to get work done.
//!
//! Owns the two Restate services (`ClassifyBatch`, `Classifier`), their retention and retry settings, the
//! HTTP endpoint and the counts for Prometheus. What it is given (a bound listener, a stop signal, a taxonomy) it does not look for itself, so
//! tests can run it without signals or fixed ports.

mod audit;
mod batch;
mod classifier;
mod exporter;
mod metrics;

use std::future::Future;
use std::sync::Arc;

use restate_sdk::endpoint::Endpoint;
use restate_sdk::http_server::HttpServer;
use tokio::net::TcpListener;

pub use audit::AuditLog;
pub use exporter::export;
pub use metrics::Metrics;

use crate::error::{Failure, Result};
use crate::restate::names::ServiceInfo;
use crate::taxonomy::{Rules, Taxonomy};

/// Name of the built-in provider.
pub const RULES_PROVIDER: &str = "rules";

/// What the handlers share: read-only but for counters, so no handler can see another's work.
#[derive(Debug)]
pub struct Shared {
    info: ServiceInfo,
    rules: Rules,
    audit: Option<AuditLog>,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// The service for `taxonomy`. With an audit log, every classification really executed is recorded there.
    pub fn new(taxonomy: &Taxonomy, rules: Rules, audit: Option<AuditLog>) -> Self {
        let info = ServiceInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taxonomy: taxonomy.id(),
            taxonomy_digest: taxonomy.digest().to_owned(),
            providers: vec![RULES_PROVIDER.to_owned()],
        };
        let metrics = Arc::new(Metrics::new(&info));
        Self { info, rules, audit, metrics }
    }

    /// What the service counts, for [`export`].
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }
}

/// The endpoint with both services. With identity keys (`publickeyv1_…`, as the nodes log them), it answers only requests that
/// one of them signed; anything else, `GET /health` included, gets 401.
///
/// # Errors
/// When a key is none.
pub fn endpoint(shared: Shared, identity_keys: &[String]) -> Result<Endpoint> {
    let batches = batch::ClassifyBatch { metrics: shared.metrics() };
    let services = Endpoint::builder().bind(batches).bind(classifier::Classifier::new(shared));
    let signed = identity_keys.iter().try_fold(services, |services, key| {
        services.identity_key(key).map_err(|error| {
            Failure::usage(format!("`{key}` is no identity key: {error}")).hint(
                "each node logs its public key when it starts: `classify cluster logs | grep -o 'publickeyv1_[[:alnum:]]*'`",
            )
        })
    })?;
    Ok(signed.build())
}

/// Serves on `listener` until `stop` completes, then lets running handlers finish (at most 10 s). Answers
/// `GET /health` over HTTP/2, the protocol Restate speaks to services.
pub async fn serve(listener: TcpListener, endpoint: Endpoint, stop: impl Future<Output = ()>) {
    HttpServer::new(endpoint).serve_with_cancel(listener, stop).await;
}
