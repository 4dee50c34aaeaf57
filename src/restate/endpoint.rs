//! A service endpoint as a node sees it: prior-knowledge HTTP/2, no TLS on loopback.

use std::time::Duration;

use reqwest::StatusCode;

use super::http::{Error, status_error, transport};
use crate::tls;

/// Asks the endpoint at `uri` whether it is up. One that answers only the nodes (401: we do not sign) is.
///
/// # Errors
/// When it does not answer, or not with success.
pub async fn health(uri: &str, timeout: Duration) -> Result<(), Error> {
    let url = format!("{}/health", uri.trim_end_matches('/'));
    let failed = |source| transport(&url, timeout, source);
    let http = tls::node_client(&url).http2_prior_knowledge().build().map_err(failed)?;
    let response = http.get(&url).timeout(timeout).send().await.map_err(failed)?;
    let status = response.status();
    if status.is_success() || status == StatusCode::UNAUTHORIZED {
        Ok(())
    } else {
        Err(status_error(&url, response).await)
    }
}
