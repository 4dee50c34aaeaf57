//! The classification service: what Restate calls to get work done.
//!
//! Owns the Restate services (`ClassifyBatch`, `Classifier`, `ModelLimits`), their retention and retry settings, and the
//! HTTP endpoint. What it is given (a bound listener, a stop signal, a taxonomy) it does not look for itself, so
//! tests can run it without signals or fixed ports.

mod audit;
mod batch;
mod classifier;
mod limiter;
mod limits;
mod models;

use std::future::Future;
use std::sync::Arc;

use restate_sdk::endpoint::Endpoint;
use restate_sdk::http_server::HttpServer;
use tokio::net::TcpListener;

pub use audit::AuditLog;
pub use models::ModelSettings;

use crate::domain::method::{HYBRID, RULES};
use crate::restate::names::ServiceInfo;
use crate::taxonomy::{Rules, Taxonomy};
use models::Models;

/// What the handlers share.
#[derive(Debug)]
pub struct Shared {
    info: ServiceInfo,
    rules: Rules,
    models: Models,
    audit: Option<AuditLog>,
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
        Self { info, rules, models, audit }
    }
}

/// Serves on `listener` until `stop` completes, then lets running handlers finish (at most 10 s). Answers
/// `GET /health` over HTTP/2, the protocol Restate speaks to services.
pub async fn serve(listener: TcpListener, shared: Shared, stop: impl Future<Output = ()>) {
    let endpoint = Endpoint::builder()
        .bind(batch::ClassifyBatch)
        .bind(classifier::Classifier::new(Arc::new(shared)))
        .bind(limits::ModelLimits)
        .build();
    HttpServer::new(endpoint).serve_with_cancel(listener, stop).await;
}
