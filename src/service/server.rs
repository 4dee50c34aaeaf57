//! The HTTP/2 server that the nodes talk to.
//!
//! It serves as long as it is polled, and says no goodbye: on a connection that was told to go away (GOAWAY), a node that wants to begin one
//! more invocation cuts off all that go on there (seen, Restate 1.7), and their answers do not get into a journal.
//!
//! It looks at the messages on their way to the handlers: see [`attempt`](super::attempt).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use restate_sdk::endpoint::{Endpoint, HandleOptions, ProtocolMode, ResponseBody};
use sysinfo::System;
use tokio::net::{TcpListener, TcpStream};

use super::attempt::{Attempt, Watched, heard};
use crate::listener::{self, Peers, Place, UnderWay};
use crate::restate::names::{CLASSIFIER, CLASSIFIER_CLASSIFY};

/// Most connections. Each node has a few; half of the file descriptors are for other things.
const MOST_CONNECTIONS: usize = 1024;
/// A connection without a request by then is nobody's that has one.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether there is somebody (HTTP/2 PING), and how long the answer may take. A node answers while
/// it waits for a model; one that has not answered for so long was left by the cluster long ago.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests of one connection at once, and bytes of a request's head: what a node was always told.
const MOST_REQUESTS: u32 = 200;
const LONGEST_HEAD: u32 = 16 * 1024;

/// Answers the nodes.
pub(super) struct Server {
    endpoint: Endpoint,
    /// Invocations of `Classifier` that go on.
    calls: Arc<AtomicUsize>,
    peers: Peers,
    first_request: Duration,
}

impl Server {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let descriptors = System::open_files_limit().unwrap_or(MOST_CONNECTIONS);
        let peers = Peers::new((descriptors / 2).clamp(1, MOST_CONNECTIONS));
        Self { endpoint, calls: Arc::default(), peers, first_request: FIRST_REQUEST }
    }

    /// Attempts of `Classifier` that nodes wait for, the end of each included.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Serves on `listener`. Dropped, it hangs up on everybody.
    pub(super) async fn serve(&self, listener: &TcpListener) {
        listener::accept(listener, &self.peers, self.first_request, |stream, place| {
            self.connection(stream, place)
        })
        .await;
    }

    /// Serves one connection to its end.
    fn connection(&self, stream: TcpStream, place: Arc<Place>) -> impl Future<Output = ()> + use<> {
        let (endpoint, calls) = (self.endpoint.clone(), Arc::clone(&self.calls));
        let answer = service_fn(move |request| {
            let response = answer(&endpoint, &calls, place.begin(), request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .max_concurrent_streams(MOST_REQUESTS)
            .max_header_list_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(stream), answer);
        async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection of a node ended: {error}");
            }
        }
    }
}

fn answer(
    endpoint: &Endpoint,
    calls: &Arc<AtomicUsize>,
    under_way: UnderWay,
    request: Request<Incoming>,
) -> Response<Invocation> {
    let options = || HandleOptions { protocol_mode: ProtocolMode::BidiStream };
    let (service, handler) = target(request.uri().path());
    let call = (service == CLASSIFIER).then(|| Count::one(calls));
    let attempt = Arc::new(Attempt::default());
    let response = if call.is_some() && handler == CLASSIFIER_CLASSIFY {
        let request = request.map(|body| heard(body, Arc::clone(&attempt)));
        endpoint.handle_with_options(request, options())
    } else {
        let request = request.map(|body| Watched::new(body, Arc::clone(&attempt)));
        endpoint.handle_with_options(request, options())
    };
    response.map(|body| Invocation { body, attempt, _call: call, _under_way: under_way })
}

/// The service and handler in a path that ends in `/invoke/{service}/{handler}`.
fn target(path: &str) -> (&str, &str) {
    let mut parts = path.rsplit('/');
    let handler = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), handler)
}

/// One that goes on, until it is dropped.
struct Count(Arc<AtomicUsize>);

impl Count {
    fn one(calls: &Arc<AtomicUsize>) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer to an invocation. Its handler runs as this is polled.
struct Invocation {
    body: ResponseBody,
    attempt: Arc<Attempt>,
    _call: Option<Count>,
    _under_way: UnderWay,
}

impl Body for Invocation {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, attempt, .. } = &mut *self;
        attempt.scope(|| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn a_path_ends_in_what_is_invoked() {
        assert_eq!(target("/some/where/invoke/Classifier/classify"), ("Classifier", "classify"));
        assert_eq!(target("/health"), ("", "health"));
        assert_eq!(target(""), ("", ""));
    }

    async fn serving(most: usize, first_request: Duration) -> (std::net::SocketAddr, JoinSet<()>) {
        let endpoint = Endpoint::builder().build();
        let server = Server { endpoint, calls: Arc::default(), peers: Peers::new(most), first_request };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.serve(&listener).await });
        (address, tasks)
    }

    /// Whether the other end has closed it.
    async fn is_closed(stream: &mut TcpStream) -> bool {
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(stream, &mut rest);
        tokio::time::timeout(Duration::from_secs(10), read).await.is_ok()
    }

    async fn health(address: std::net::SocketAddr) -> reqwest::Result<reqwest::Response> {
        let client = crate::tls::node_client("http://").http2_prior_knowledge().build().unwrap();
        client.get(format!("http://{address}/health")).timeout(Duration::from_secs(10)).send().await
    }

    #[tokio::test]
    async fn who_connects_and_asks_nothing_is_sent_away() {
        let (address, _tasks) = serving(10, Duration::from_millis(100)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut preface = TcpStream::connect(address).await.unwrap();
        let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        tokio::io::AsyncWriteExt::write_all(&mut preface, hello).await.unwrap();
        assert!(is_closed(&mut silent).await && is_closed(&mut preface).await);
    }

    #[tokio::test]
    async fn silent_connections_keep_nobody_out() {
        let (address, _tasks) = serving(3, Duration::from_hours(1)).await;
        let mut silent = Vec::new();
        for _ in 0..9 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(health(address).await.unwrap().status(), 200);
        assert!(is_closed(&mut silent[0]).await, "the first that came has to go");
    }
}
