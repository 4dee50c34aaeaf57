//! The admin API of one node: version, deployments, SQL, and what may be done to an invocation.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::address::Address;
use super::http::{Error, LONGEST_ANSWER, authorization, body, status_error, transport};
use super::id::InvocationId;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Client for one node's admin API. Cloning shares the connection pool.
#[derive(Debug, Clone)]
pub struct Admin {
    url: String,
    http: Client,
}

/// A registered service endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deployment {
    /// Restate's id, `dp_…`.
    pub id: String,
    /// Where the nodes reach the endpoint; absent for what is no HTTP endpoint.
    #[serde(default)]
    pub uri: Option<String>,
    /// Services it offers.
    #[serde(default)]
    pub services: Vec<ServiceRevision>,
}

/// One service of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServiceRevision {
    /// Its name.
    pub name: String,
    /// Counts registrations of the service.
    pub revision: u64,
}

/// What may be done to an invocation. Each may be asked for again, through any node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Ends it, and what it called, once its service hears of it.
    Cancel,
    /// Ends it, and what it called, at once and without its service.
    Kill,
    /// Forgets one that has ended.
    Purge,
    /// Tries one now that backs off or is paused.
    Resume,
}

impl Verb {
    fn path(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Kill => "kill",
            Self::Purge => "purge",
            Self::Resume => "resume",
        }
    }
}

/// What the server answered to a [`Verb`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200: it is done.
    Done,
    /// 202: it will be done.
    Accepted,
    /// 404: there is no such invocation.
    Unknown,
    /// 409 or 425: not in the state it is in; in the server's words.
    NotNow(String),
}

impl Admin {
    /// A client for the admin API at `address`, or at that of a proxy before it.
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
        let http = address
            .client()
            .default_headers(authorization(token))
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|source| transport(&url, CONNECT_TIMEOUT, source))?;
        Ok(Self { url, http })
    }

    /// Where the node listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Version of the server.
    ///
    /// # Errors
    /// When the node gave no answer.
    pub async fn version(&self, timeout: Duration) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let answer: Version = self.json(Method::GET, "/version", timeout, |request| request).await?;
        Ok(answer.version)
    }

    /// All registered deployments.
    ///
    /// # Errors
    /// When the node gave no answer.
    pub async fn deployments(&self, timeout: Duration) -> Result<Vec<Deployment>, Error> {
        #[derive(Deserialize)]
        struct Deployments {
            deployments: Vec<Deployment>,
        }
        let answer: Deployments = self.json(Method::GET, "/deployments", timeout, |request| request).await?;
        Ok(answer.deployments)
    }

    /// Registers the endpoint at `uri`, as the nodes reach it. Registering the same one again is harmless.
    ///
    /// # Errors
    /// When the node gave no answer, cannot reach the endpoint, or has no metadata quorum.
    pub async fn register(&self, uri: &str, timeout: Duration) -> Result<Deployment, Error> {
        // `force`: an endpoint whose service definitions changed (an upgrade) replaces the old one at that URI;
        // invocations in flight go on there, and our handlers keep their journal shape between patch versions.
        let body = serde_json::json!({ "uri": uri, "force": true });
        self.json(Method::POST, "/deployments", timeout, |request| request.json(&body)).await
    }

    /// Runs a query over Restate's introspection tables (`sys_*`, `state`) and returns its rows.
    ///
    /// # Errors
    /// When the node gave no answer, or refused the query.
    pub async fn query<T: DeserializeOwned>(&self, sql: &str, timeout: Duration) -> Result<Vec<T>, Error> {
        #[derive(Deserialize)]
        struct Rows<T> {
            rows: Vec<T>,
        }
        let body = serde_json::json!({ "query": sql });
        // Without this header the answer is Arrow.
        let answer: Rows<T> = self
            .json(Method::POST, "/query", timeout, |request| {
                request.header("accept", "application/json").json(&body)
            })
            .await?;
        Ok(answer.rows)
    }

    /// Does `verb` to an invocation.
    ///
    /// # Errors
    /// When the node gave no answer, or one that does not tell what became of it. It may have been done all the same.
    pub async fn change(&self, id: &InvocationId, verb: Verb, timeout: Duration) -> Result<Reply, Error> {
        let path = format!("/invocations/{id}/{}", verb.path());
        match self.exchange(Method::PATCH, &path, timeout, |request| request).await {
            Ok(response) if response.status() == StatusCode::ACCEPTED => Ok(Reply::Accepted),
            Ok(_) => Ok(Reply::Done),
            Err(Error::Status { status: StatusCode::NOT_FOUND, .. }) => Ok(Reply::Unknown),
            Err(Error::Status { status: StatusCode::CONFLICT | StatusCode::TOO_EARLY, message, .. }) => {
                Ok(Reply::NotNow(message))
            }
            Err(error) => Err(error),
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        timeout: Duration,
        prepare: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, Error> {
        let response = self.exchange(method, path, timeout, prepare).await?;
        let url = response.url().to_string();
        let body = body(&url, response, LONGEST_ANSWER, timeout).await?;
        serde_json::from_slice(&body).map_err(|error| Error::Malformed { url, message: error.to_string() })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        timeout: Duration,
        prepare: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Error> {
        let url = format!("{}{path}", self.url);
        let response = prepare(self.http.request(method, &url).timeout(timeout))
            .send()
            .await
            .map_err(|source| transport(&url, timeout, source))?;
        if response.status().is_success() { Ok(response) } else { Err(status_error(&url, response).await) }
    }
}
