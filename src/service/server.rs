//! The HTTP/2 server that the nodes talk to, and what it knows of each invocation that handlers cannot see.
//!
//! It serves as long as it is polled, and says no goodbye: on a connection that was told to go away (GOAWAY), a node that wants to begin one
//! more invocation cuts off all that go on there (seen, Restate 1.7), and their answers do not get into a journal.
//!
//! A handler within `ctx.run` hears nothing from Restate: the SDK reads no message meanwhile. So the server looks at the messages on their way
//! to it, for the signal that cancels the invocation.

use std::convert::Infallible;
use std::future::poll_fn;
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
use hyper_util::rt::{TokioExecutor, TokioIo};
use restate_sdk::endpoint::{Endpoint, HandleOptions, ProtocolMode, ResponseBody};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::restate::names::{CLASSIFIER, CLASSIFIER_CLASSIFY};

/// After a failed accept (no file descriptor left, say).
const PAUSE: Duration = Duration::from_millis(100);
/// Length of the head of a message: two bytes of its type, two of flags, four of its length.
const HEAD: usize = 8;
/// Pieces of messages that are looked at before the handler reads them. Few come while it waits for a model.
const UNREAD: usize = 256;
/// A message that brings a signal. `Classifier` waits for none but the one that cancels.
const SIGNAL: [u8; 2] = [0xfb, 0xff];

tokio::task_local! {
    static CANCELLED: CancellationToken;
}

/// Cancelled when the invocation is for which the handler runs that asks.
pub(super) fn cancelled() -> CancellationToken {
    CANCELLED.try_with(CancellationToken::clone).unwrap_or_default()
}

/// Answers the nodes.
pub(super) struct Server {
    endpoint: Endpoint,
    /// Invocations of `Classifier` that go on.
    calls: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, calls: Arc::default() }
    }

    /// Attempts of `Classifier` that nodes wait for, the end of each included.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Serves on `listener`. Dropped, it hangs up on everybody.
    pub(super) async fn serve(&self, listener: &TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let (endpoint, calls) = (self.endpoint.clone(), Arc::clone(&self.calls));
            let answer = service_fn(move |request| {
                let response = answer(&endpoint, &calls, request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!("a connection of a node ended: {error}");
                }
            });
            while connections.try_join_next().is_some() {}
        }
    }
}

fn answer(endpoint: &Endpoint, calls: &Arc<AtomicUsize>, request: Request<Incoming>) -> Response<Invocation> {
    let options = || HandleOptions { protocol_mode: ProtocolMode::BidiStream };
    let (service, handler) = target(request.uri().path());
    let call = (service == CLASSIFIER).then(|| Count::one(calls));
    if call.is_none() || handler != CLASSIFIER_CLASSIFY {
        let cancelled = CancellationToken::new();
        let response = endpoint.handle_with_options(request, options());
        return response.map(|body| Invocation { body, cancelled, _call: call });
    }
    let cancelled = CancellationToken::new();
    let request = request.map(|body| heard(body, cancelled.clone()));
    let response = endpoint.handle_with_options(request, options());
    response.map(|body| Invocation { body, cancelled, _call: call })
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
    cancelled: CancellationToken,
    _call: Option<Count>,
}

impl Body for Invocation {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, cancelled, .. } = &mut *self;
        CANCELLED.sync_scope(cancelled.clone(), || Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a node sends to an invocation, after it was looked at.
struct Heard<E>(mpsc::Receiver<Result<Frame<Bytes>, E>>);

impl<E> Body for Heard<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.0.poll_recv(cx)
    }
}

/// `body`, which is read as it comes; `cancelled` is once it says so. Ends with the first error: a connection that broke says the same for
/// ever.
fn heard<B>(mut body: B, cancelled: CancellationToken) -> Heard<B::Error>
where
    B: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static,
{
    let (send, frames) = mpsc::channel(UNREAD);
    tokio::spawn(async move {
        let mut messages = Messages::default();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let data = frame.as_ref().ok().and_then(Frame::data_ref);
            if data.is_some_and(|data| messages.have_a_signal(data)) {
                cancelled.cancel();
            }
            let is_last = frame.is_err();
            if send.send(frame).await.is_err() || is_last {
                return;
            }
        }
    });
    Heard(frames)
}

/// Messages of Restate's service protocol, as they arrive in pieces.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; HEAD],
    read: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Messages {
    /// Whether a signal begins in `piece`.
    fn have_a_signal(&mut self, mut piece: &[u8]) -> bool {
        let mut found = false;
        while !piece.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(piece.len());
                self.left -= passed;
                piece = &piece[passed..];
                continue;
            }
            let taken = (HEAD - self.read).min(piece.len());
            self.head[self.read..self.read + taken].copy_from_slice(&piece[..taken]);
            self.read += taken;
            piece = &piece[taken..];
            if self.read == HEAD {
                let [kind_high, kind_low, _, _, length @ ..] = self.head;
                found |= [kind_high, kind_low] == SIGNAL;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.read = 0;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, length: u8) -> Vec<u8> {
        let mut message = kind.to_be_bytes().to_vec();
        message.extend([0, 0, 0, 0, 0, length]);
        // What would be a signal's head if it were one.
        message.extend([0xfb, 0xff].iter().cycle().take(length.into()));
        message
    }

    #[test]
    fn a_signal_is_found_wherever_its_message_is_cut() {
        let (start, completion, signal) = (message(0x0000, 40), message(0x8011, 9), message(0xfbff, 4));
        let without = [start.clone(), completion.clone(), message(0xfffe, 0), completion.clone()].concat();
        let with = [start, completion.clone(), signal, completion].concat();
        for size in 1..=with.len() {
            let found = |all: &[u8]| {
                let mut messages = Messages::default();
                all.chunks(size).filter(|piece| messages.have_a_signal(piece)).count()
            };
            assert_eq!((found(&without), found(&with)), (0, 1), "in pieces of {size}");
        }
    }

    /// What is left of a request when its connection broke: the same error, as often as one asks.
    struct Broken;

    impl Body for Broken {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(Some(Err("the connection broke")))
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_says_so_once() {
        let mut heard = heard(Broken, CancellationToken::new());
        let mut next =
            async || poll_fn(|cx| Pin::new(&mut heard).poll_frame(cx)).await.map(|frame| frame.is_err());
        assert_eq!((next().await, next().await), (Some(true), None));
    }

    #[test]
    fn a_path_ends_in_what_is_invoked() {
        assert_eq!(target("/some/where/invoke/Classifier/classify"), ("Classifier", "classify"));
        assert_eq!(target("/health"), ("", "health"));
        assert_eq!(target(""), ("", ""));
    }

    #[tokio::test]
    async fn outside_of_a_server_nothing_is_cancelled() {
        assert!(!cancelled().is_cancelled());
    }
}
