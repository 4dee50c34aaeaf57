//! The ingress of one node: submit a batch, ask for its output, prove that the way through works.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::AsciiSet;
use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::http::{Error, LONGEST_OUTPUT, Origin, authorization, body, status_error, transport};
use super::names::{BATCH_RUN, BATCH_WORKFLOW, CLASSIFIER, CLASSIFIER_INFO, ServiceInfo};
use super::secret::{Call, SIGNATURE, Secret};
use crate::domain::batch::BatchKey;
use crate::domain::fingerprint::{GENERATIONS, generation};
use crate::domain::payload;

/// A connection either comes at once or the node is not there; loopback and one data centre are meant.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an idle connection is tested, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Restate's status for "exists and has not completed".
const NOT_READY: u16 = 470;

/// Client for one node's ingress. Cloning shares the connection.
#[derive(Debug, Clone)]
pub struct Ingress {
    url: String,
    http: Client,
    /// What calls are signed with, where the cluster has a secret.
    secret: Option<Arc<Secret>>,
}

/// Whether the answer to a call is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    Call,
    Send,
}

/// Characters of a key that stand in a URL as they are.
const KEPT: &AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// The body of a call.
#[derive(Debug)]
pub(super) enum Body {
    None,
    Json(Bytes),
    Bytes(Bytes),
}

impl Body {
    pub(super) fn json(value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value);
        Self::Json(json.unwrap_or_else(|error| unreachable!("plain data is JSON: {error}")).into())
    }
}

/// A batch that a node took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its invocation.
    pub invocation_id: String,
    /// Whether the cluster did not know the batch before.
    pub new: bool,
}

/// What a poll for an output found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Not finished.
    Pending,
    /// Finished; the raw body.
    Ready(Bytes),
    /// Ended in an error of its own: cancelled, killed or failed for good.
    Ended {
        /// Status the invocation ended with; 409 for cancelled and killed.
        code: u16,
        /// Its message.
        message: String,
    },
    /// The cluster knows no such invocation (never sent, or its retention is over).
    Unknown,
}

impl Ingress {
    /// A client for the node at `address`, or for a proxy with TLS before it.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(address: impl Into<Address>) -> Result<Self, Error> {
        Self::with_token(address, None)
    }

    /// As [`Self::new`]; each request has `token` as its `authorization`, for a proxy that asks for it.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn with_token(address: impl Into<Address>, token: Option<&HeaderValue>) -> Result<Self, Error> {
        let address = address.into();
        let url = address.url().to_owned();
        let client = address.client().default_headers(authorization(token));
        // One connection carries all polls. The ingress has no upgrade to HTTP/2; with TLS the two agree on it.
        let client = if url.starts_with("https:") { client } else { client.http2_prior_knowledge() };
        let http = client
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // A peer that vanished without a word must not keep the one connection.
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .build()
            .map_err(|source| transport(&url, CONNECT_TIMEOUT, source))?;
        Ok(Self { url, http, secret: None })
    }

    /// The same client, which signs its calls from now on.
    #[must_use]
    pub fn with_secret(self, secret: Option<Arc<Secret>>) -> Self {
        Self { secret, ..self }
    }

    /// What its calls are signed with.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_deref()
    }

    /// A signed call, and its URL.
    pub(super) fn request(&self, mode: Mode, call: Call<'_>, body: Body) -> (String, RequestBuilder) {
        let Call { service, key, handler } = call;
        let mode = match mode {
            Mode::Call => "call",
            Mode::Send => "send",
        };
        // Models are called things like `meta-llama/Llama-3.1-8B`, and a key is one segment of the path.
        let segment = percent_encoding::utf8_percent_encode(key, KEPT);
        let slash = if key.is_empty() { "" } else { "/" };
        let url = format!("{}/restate/{mode}/{service}/{segment}{slash}{handler}", self.url);
        let mut request = self.http.post(&url);
        let (kind, bytes) = match body {
            Body::None => (None, Bytes::new()),
            Body::Json(bytes) => (Some("application/json"), bytes),
            Body::Bytes(bytes) => (Some("application/octet-stream"), bytes),
        };
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, secret.sign(call, &bytes));
        }
        if let Some(kind) = kind {
            request = request.header("content-type", kind).body(bytes);
        }
        (url, request)
    }

    /// Where the node listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Submits a batch. Sending the same key again, to any node, is harmless:
    /// Restate answers `PreviouslyAccepted` with the same id.
    ///
    /// # Errors
    /// When the node gave no answer; the batch may or may not have been accepted.
    pub async fn send(&self, key: &BatchKey, body: Bytes, timeout: Duration) -> Result<Accepted, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            invocation_id: String,
            status: String,
        }
        let key = key.to_string();
        let call = Call { service: BATCH_WORKFLOW, key: &key, handler: BATCH_RUN };
        let (url, request) = self.request(Mode::Send, call, Body::Bytes(body));
        let response = exchange(&url, request, timeout).await?;
        if !response.status().is_success() {
            return Err(status_error(&url, response).await);
        }
        let answer: Answer = decode(&url, read(&url, response, timeout).await?.as_ref())?;
        Ok(Accepted { invocation_id: answer.invocation_id, new: answer.status == "Accepted" })
    }

    /// Asks what came of a batch, by its key.
    ///
    /// # Errors
    /// When the node gave no answer.
    pub async fn batch_output(&self, key: &BatchKey, timeout: Duration) -> Result<Output, Error> {
        let target = serde_json::json!({
            "target": "workflow", "workflowName": BATCH_WORKFLOW, "workflowKey": key.to_string(),
        });
        let (url, request) = self.question("output", &target);
        self.read_output(&url, request, timeout).await
    }

    /// The invocation of a batch, whether it ever arrived or not: computed, not looked for.
    ///
    /// # Errors
    /// When the node gave no answer, or one that names no invocation.
    pub async fn batch_id(&self, key: &BatchKey, timeout: Duration) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            invocation_id: String,
        }
        let target = serde_json::json!({
            "target": "workflow", "workflowName": BATCH_WORKFLOW, "workflowKey": key.to_string(),
        });
        let (url, request) = self.question("lookup", &target);
        let answer: Answer = self.call(&url, request, timeout).await?;
        Ok(answer.invocation_id)
    }

    /// Asks for an output: a read at the partition's leader that writes nothing to the log.
    ///
    /// # Errors
    /// When the node gave no answer.
    pub async fn output(&self, invocation_id: &str, timeout: Duration) -> Result<Output, Error> {
        let url = format!("{}/restate/output/{invocation_id}", self.url);
        self.read_output(&url, self.http.get(&url), timeout).await
    }

    async fn read_output(
        &self,
        url: &str,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<Output, Error> {
        let response = exchange(url, request, timeout).await?;
        match response.status() {
            StatusCode::OK => Ok(Output::Ready(read(url, response, timeout).await?)),
            status if status.as_u16() == NOT_READY => Ok(Output::Pending),
            _ => match status_error(url, response).await {
                Error::Status { status, origin: Origin::Invocation, message, .. } => {
                    Ok(Output::Ended { code: status.as_u16(), message })
                }
                Error::Status { status: StatusCode::NOT_FOUND, .. } => Ok(Output::Unknown),
                other => Err(other),
            },
        }
    }

    /// Calls the service: proves node, quorum and service at once.
    ///
    /// # Errors
    /// [`Error::is_unknown_service`] where nothing is registered; a timeout where quorum or service is missing.
    pub async fn service_info(&self, timeout: Duration) -> Result<ServiceInfo, Error> {
        let call = Call { service: CLASSIFIER, key: "", handler: CLASSIFIER_INFO };
        let (url, request) = self.request(Mode::Call, call, Body::None);
        // Repeated questions share one invocation: while the service is down each would otherwise stay and be retried.
        self.call(&url, request.header("idempotency-key", "info"), timeout).await
    }

    /// Whether the answer of this handler of the classifier to this fingerprint is known: reads that start nothing. A failure that is
    /// remembered is no answer; whoever asks passes over it (see [`generation`]).
    ///
    /// # Errors
    /// When the node gave no answer, or one that is no outcome.
    pub async fn has_answer(
        &self,
        handler: &str,
        fingerprint: &str,
        timeout: Duration,
    ) -> Result<bool, Error> {
        for number in 0..=GENERATIONS {
            let target = serde_json::json!({
                "target": "idempotentInvocation", "service": CLASSIFIER, "handler": handler,
                "idempotencyKey": generation(fingerprint, number),
            });
            let (url, request) = self.question("output", &target);
            match self.read_output(&url, request, timeout).await? {
                Output::Pending | Output::Unknown => return Ok(false),
                Output::Ready(body) if is_answer(&url, &body)? => return Ok(true),
                Output::Ready(_) | Output::Ended { .. } => {}
            }
        }
        Ok(false)
    }

    /// Asks Restate something about an invocation: `what` is a word of its API.
    pub(super) fn question(&self, what: &str, target: &serde_json::Value) -> (String, RequestBuilder) {
        let url = format!("{}/restate/{what}", self.url);
        let request = self.http.post(&url).json(target);
        (url, request)
    }

    /// Calls a handler that answers with nothing.
    pub(super) async fn tell(
        &self,
        url: &str,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<(), Error> {
        let response = exchange(url, request, timeout).await?;
        if response.status().is_success() { Ok(()) } else { Err(status_error(url, response).await) }
    }

    /// Calls a handler and reads its answer.
    pub(super) async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<T, Error> {
        let response = exchange(url, request, timeout).await?;
        if !response.status().is_success() {
            return Err(status_error(url, response).await);
        }
        decode(url, read(url, response, timeout).await?.as_ref())
    }

    /// Proves that this node can write to the log of the partition that owns `probe`, without needing a service:
    /// attaching to a workflow that never existed is answered "not found" by the partition's state machine, after
    /// the command went through the log. Without quorum it hangs. Health URLs prove nothing of the kind.
    ///
    /// # Errors
    /// A timeout where there is no quorum, `Unreachable` where there is no node.
    pub async fn probe_log(&self, probe: &str, timeout: Duration) -> Result<(), Error> {
        let target = serde_json::json!({
            "target": "workflow", "workflowName": BATCH_WORKFLOW, "workflowKey": format!("probe.{probe}"),
        });
        let (url, request) = self.question("attach", &target);
        let response = exchange(&url, request, timeout).await?;
        match status_error(&url, response).await {
            Error::Status { status: StatusCode::NOT_FOUND, origin: Origin::Invocation, .. } => Ok(()),
            other => Err(other),
        }
    }

    /// Whether the process behind the URL answers at all. Stays true without quorum.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn alive(&self, timeout: Duration) -> Result<(), Error> {
        let url = format!("{}/restate/health", self.url);
        self.tell(&url, self.http.get(&url), timeout).await
    }
}

/// Whether a call of the classifier ended with labels: those of one row, or those of all rows of a batch.
fn is_answer(url: &str, body: &[u8]) -> Result<bool, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Outcome {
        Classified(IgnoredAny),
        Failed(IgnoredAny),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        One(Outcome),
        Each(Vec<Option<Outcome>>),
    }
    let failed = |outcome: &Outcome| match outcome {
        Outcome::Classified(IgnoredAny) => false,
        Outcome::Failed(IgnoredAny) => true,
    };
    let said = payload::decode(body)
        .map_err(|error| Error::Malformed { url: url.to_owned(), message: error.to_string() })?;
    Ok(match said {
        Said::One(outcome) => !failed(&outcome),
        Said::Each(outcomes) => !outcomes.iter().flatten().any(failed),
    })
}

async fn exchange(url: &str, request: RequestBuilder, timeout: Duration) -> Result<Response, Error> {
    request.timeout(timeout).send().await.map_err(|source| transport(url, timeout, source))
}

async fn read(url: &str, response: Response, timeout: Duration) -> Result<Bytes, Error> {
    body(url, response, LONGEST_OUTPUT, timeout).await
}

fn decode<T: for<'de> Deserialize<'de>>(url: &str, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Malformed { url: url.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_is_remembered_is_no_answer() {
        let failed = r#"{"failed":{"class":"schema","message":"no","attempts":2,"origin":"R.0"}}"#;
        assert!(!is_answer("", failed.as_bytes()).unwrap());
        assert!(!is_answer("", format!("[null,{failed}]").as_bytes()).unwrap());
        assert!(is_answer("", b"[null]").unwrap(), "a model is asked under a key of its own");
        let labels = r#"{"classified":{"labels":{"a":"b"},"confidence":1.0,"provider":"rules",
            "taxonomy":"t@1","classified_at":"2026-11-27T20:00:00Z","origin":"R.0"}}"#;
        assert!(is_answer("", labels.as_bytes()).unwrap());
        assert!(is_answer("", format!("[{labels},null]").as_bytes()).unwrap());
        assert!(is_answer("", b"nonsense").is_err());
    }
}
