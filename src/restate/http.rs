//! One HTTP exchange with a node: errors that name the URL and tell a node's fault from the invocation's.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// Header by which Restate (1.7.4 and later) tells whether the ingress or the invocation failed.
const ERROR_SOURCE: &str = "x-restate-error-source";

/// Who an error status comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The node could not or would not pass the request on. Another try may succeed.
    Node,
    /// The invocation itself ended so. It will end so for ever.
    Invocation,
}

/// Why an exchange with a node gave no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke.
    #[error("{url}: {}", self.reason())]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the HTTP client saw.
        source: reqwest::Error,
    },
    /// Connected, and no answer within the time we wait. So answers a cluster without quorum.
    #[error("{url}: {}", self.reason())]
    Timeout {
        /// What was asked.
        url: String,
        /// How long we waited.
        after: Duration,
    },
    /// An error status.
    #[error("{url}: {}", self.reason())]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// Who it comes from.
        origin: Origin,
        /// What the body said.
        message: String,
    },
    /// An answer that is not what the API promises.
    #[error("{url}: {}", self.reason())]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// What happened, for those who name the node themselves.
    pub fn reason(&self) -> String {
        match self {
            Self::Unreachable { source, .. } => root_cause(source),
            Self::Timeout { after, .. } => format!("no answer within {} s", after.as_secs_f32()),
            Self::Status { status, message, .. } => format!("{status}: {message}"),
            Self::Malformed { message, .. } => format!("unexpected answer: {message}"),
        }
    }

    /// Whether this is `404 service … not found`: the node does not know the service (yet).
    pub fn is_unknown_service(&self) -> bool {
        matches!(self, Self::Status { status, origin: Origin::Node, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether the object that was asked does not know the run.
    pub fn is_unknown_run(&self) -> bool {
        self.is_of_invocation(StatusCode::NOT_FOUND)
    }

    /// Whether the object that was asked will not do that, ever.
    pub fn is_conflict(&self) -> bool {
        self.is_of_invocation(StatusCode::CONFLICT)
    }

    fn is_of_invocation(&self, expected: StatusCode) -> bool {
        matches!(self, Self::Status { status, origin: Origin::Invocation, .. } if *status == expected)
    }
}

/// The innermost error: "connection refused" is what helps, not the three layers around it.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        _ => cause.to_string(),
    }
}

/// Turns a transport error into ours.
pub(super) fn transport(url: &str, after: Duration, source: reqwest::Error) -> Error {
    if source.is_timeout() && !source.is_connect() {
        Error::Timeout { url: url.into(), after }
    } else {
        Error::Unreachable { url: url.into(), source: source.without_url() }
    }
}

/// Reads the body of an error status.
pub(super) async fn status_error(url: &str, response: Response) -> Error {
    #[derive(Deserialize)]
    struct Body {
        message: String,
    }
    let status = response.status();
    let from_invocation = response.headers().get(ERROR_SOURCE).is_some_and(|source| source == "invocation");
    let origin = if from_invocation { Origin::Invocation } else { Origin::Node };
    let text = response.text().await.unwrap_or_default();
    let message = serde_json::from_str::<Body>(&text).map_or(text, |body| body.message);
    Error::Status { url: url.into(), status, origin, message }
}
