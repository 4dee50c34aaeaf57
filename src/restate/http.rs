//! One HTTP exchange with a node: errors that name the URL and tell a node's fault from the invocation's.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// Header by which Restate (1.7.4 and later) tells whether the ingress or the invocation failed.
const ERROR_SOURCE: &str = "x-restate-error-source";

/// Bytes of an error that are read. A host that is no node of ours may say anything for any time.
const LONGEST_ERROR: usize = 64 * 1024;
/// Longest output of an invocation, and of what else the ingress answers: no node takes more.
pub(super) const LONGEST_OUTPUT: usize = 64 * 1024 * 1024;
/// Longest answer of the admin API: the rows of a query.
pub(super) const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

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

    /// Whether the node failed at what it was asked (500 and so on).
    pub fn is_of_server(&self) -> bool {
        matches!(self, Self::Status { status, .. } if status.is_server_error())
    }

    /// Whether this is `404 service … not found`: the node does not know the service (yet).
    pub fn is_unknown_service(&self) -> bool {
        matches!(self, Self::Status { status, origin: Origin::Node, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether the object that was asked does not know the run.
    pub fn is_unknown_run(&self) -> bool {
        self.is_of_invocation(StatusCode::NOT_FOUND)
    }

    /// Whether the call was not signed with the cluster's secret.
    pub fn is_unsigned(&self) -> bool {
        self.is_of_invocation(StatusCode::UNAUTHORIZED)
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

/// Headers of every request to a proxy that asks for a token.
pub(super) fn authorization(token: Option<&HeaderValue>) -> HeaderMap {
    token.map(|token| (AUTHORIZATION, token.clone())).into_iter().collect()
}

/// Turns a transport error into ours.
pub(super) fn transport(url: &str, after: Duration, source: reqwest::Error) -> Error {
    if source.is_timeout() && !source.is_connect() {
        Error::Timeout { url: url.into(), after }
    } else {
        Error::Unreachable { url: url.into(), source: source.without_url() }
    }
}

/// Reads a body of at most `most` bytes.
pub(super) async fn body(
    url: &str,
    mut response: Response,
    most: usize,
    after: Duration,
) -> Result<Bytes, Error> {
    let failed = |source| transport(url, after, source);
    let too_long = || Error::Malformed { url: url.into(), message: format!("more than {most} bytes") };
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_long());
    }
    let Some(first) = response.chunk().await.map_err(failed)? else { return Ok(Bytes::new()) };
    let mut all = BytesMut::new();
    while let Some(next) = response.chunk().await.map_err(failed)? {
        if all.is_empty() {
            // Most answers are one piece, which need not be copied.
            let length = response.content_length().and_then(|length| usize::try_from(length).ok());
            all.reserve(length.unwrap_or(first.len() + next.len()).min(most));
            all.extend_from_slice(&first);
        }
        if all.len() + next.len() > most {
            return Err(too_long());
        }
        all.extend_from_slice(&next);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The first `most` bytes of a body, as far as they come.
async fn beginning(mut response: Response, most: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        all.extend_from_slice(&piece[..piece.len().min(most - all.len())]);
        if all.len() == most {
            break;
        }
    }
    all
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
    let text = beginning(response, LONGEST_ERROR).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    let message = serde_json::from_str::<Body>(&text).map_or(text, |body| body.message);
    Error::Status { url: url.into(), status, origin, message }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What somebody answers who says `head`, and then goes on for ever.
    async fn endless(head: &'static str) -> Response {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The whole request: it is one piece.
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(head.as_bytes()).await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        });
        crate::tls::node_client(&url).build().unwrap().get(&url).send().await.unwrap()
    }

    #[tokio::test]
    async fn an_endless_error_is_read_in_part() {
        let error = status_error("u", endless("HTTP/1.1 500 No\r\n\r\n").await).await;
        let Error::Status { message, .. } = error else { panic!("{error}") };
        assert_eq!(message.len(), LONGEST_ERROR);
    }

    #[tokio::test]
    async fn an_endless_answer_is_none() {
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n"] {
            let error = body("u", endless(head).await, 100_000, Duration::ZERO).await.unwrap_err();
            assert_eq!(error.to_string(), "u: unexpected answer: more than 100000 bytes");
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_whole() {
        let text = "x".repeat(3_000_000);
        for text in ["", "short", &text] {
            let response = Response::from(http_response(text.to_owned()));
            assert_eq!(body("u", response, text.len(), Duration::ZERO).await.unwrap(), text);
        }
    }

    fn http_response(text: String) -> hyper::Response<String> {
        hyper::Response::new(text)
    }
}
