//! The guard at the ports of nodes that listen at sockets: passes on what programs of the same user ask, and refuses the rest.
//!
//! It sees each request, not each connection: a browser uses one for requests of several pages.

mod rules;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nix::unistd::geteuid;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::{Failure, Result};
use crate::listener::{self, Peers, Place, UnderWay};
use crate::restate::address::Address;
use crate::sockets;

/// Connections at a port. The user's own programs have a few.
const MOST_CONNECTIONS: usize = 256;
/// How long a connection may take to ask for something, and the head of a request to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 connection is asked whether its other end is there, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The user who may do everything on a machine.
const ROOT: u32 = 0;
/// Headers of one connection, which are not those of the next.
const OF_A_CONNECTION: [&str; 3] = ["keep-alive", "proxy-connection", "te"];

/// A port, and what is behind it.
#[derive(Debug, Clone)]
pub struct Door {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// Where requests go.
    pub behind: Address,
}

/// Guards `doors`, for ever.
///
/// # Errors
/// When a port is taken. Then none is open.
pub async fn serve(doors: Vec<Door>) -> Result<()> {
    let mut guards = JoinSet::new();
    let mut opened = Vec::new();
    for door in doors {
        let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, door.port);
        let listener = TcpListener::bind(at)
            .await
            .map_err(|error| Failure::unreachable(format!("cannot listen at {at}: {error}")))?;
        opened.push((listener, Passage::to(&door.behind)?));
    }
    for (listener, passage) in opened {
        guards.spawn(async move {
            let peers = Peers::new(MOST_CONNECTIONS);
            listener::accept(&listener, &peers, HEAD_TIMEOUT, |stream, place| {
                connection(passage.clone(), stream, place)
            })
            .await;
        });
    }
    guards.join_next().await;
    Err(Failure::unexpected("a guard ended"))
}

async fn connection(passage: Passage, stream: TcpStream, place: Arc<Place>) {
    let stranger = stranger(&stream);
    // The end of an answer is a small segment that would wait for an acknowledgement.
    let _slower = stream.set_nodelay(true);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (passage, under_way) = (passage.clone(), place.begin());
        let refused = stranger
            .clone()
            .or_else(|| rules::refusal(request.uri(), request.headers()).map(|refusal| refusal.to_string()));
        async move {
            match refused {
                Some(why) => Ok(refusal(&why)),
                None => passage.pass(request, under_way).await,
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Who is at the other end, in words, if it is neither our user nor root.
fn stranger(stream: &TcpStream) -> Option<String> {
    if !cfg!(target_os = "linux") {
        // Nothing tells.
        return None;
    }
    let ends = (stream.peer_addr().ok(), stream.local_addr().ok());
    let (Some(SocketAddr::V4(peer)), Some(SocketAddr::V4(local))) = ends else {
        return Some("who asks cannot be known".to_owned());
    };
    match sockets::user_of(peer, local) {
        Some(user) if user == geteuid().as_raw() || user == ROOT => None,
        Some(user) => Some(format!("user {user} asked, and these nodes are user {}'s", geteuid())),
        None => Some("who asks cannot be known".to_owned()),
    }
}

fn refusal(why: &str) -> Response<Answer> {
    tracing::debug!("refused: {why}");
    said(StatusCode::FORBIDDEN, format!("{why}\ndocs/security.md of classify says who may ask here\n"))
}

fn said(status: StatusCode, text: String) -> Response<Answer> {
    let mut response = Response::new(Answer { body: text.into(), _under_way: None });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The way from a port to a node.
#[derive(Debug, Clone)]
struct Passage {
    url: String,
    http: reqwest::Client,
}

impl Passage {
    fn to(behind: &Address) -> Result<Self> {
        let client =
            behind.client().http2_prior_knowledge().redirect(reqwest::redirect::Policy::none()).build();
        let http =
            client.map_err(|error| Failure::unexpected(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { url: behind.url().to_owned(), http })
    }

    async fn pass(
        &self,
        request: Request<Incoming>,
        under_way: UnderWay,
    ) -> reqwest::Result<Response<Answer>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = self
            .http
            .request(head.method, format!("{}{path}", self.url))
            .headers(without_connection(head.headers))
            .body(reqwest::Body::wrap(body));
        let response = match request.send().await {
            Ok(response) => Response::from(response),
            Err(error) if error.is_connect() => {
                return Ok(said(StatusCode::BAD_GATEWAY, "the node does not run\n".to_owned()));
            }
            // What was sent may have arrived: the caller's connection breaks as the one to the node did.
            Err(error) => return Err(error),
        };
        let (mut head, body) = response.into_parts();
        head.headers = without_connection(head.headers);
        Ok(Response::from_parts(head, Answer { body, _under_way: Some(under_way) }))
    }
}

/// Headers without those that belong to one connection (RFC 9110, section 7.6.1). gRPC wants `te: trailers`.
fn without_connection(mut headers: HeaderMap) -> HeaderMap {
    let trailers = headers.get("te").is_some_and(|te| te == "trailers");
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [CONNECTION, TRANSFER_ENCODING, UPGRADE, EXPECT, HOST];
    for name in named.into_iter().chain(always).chain(OF_A_CONNECTION.map(HeaderName::from_static)) {
        headers.remove(name);
    }
    if trailers {
        headers.insert("te", HeaderValue::from_static("trailers"));
    }
    headers
}

/// An answer on its way.
struct Answer {
    body: reqwest::Body,
    _under_way: Option<UnderWay>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<reqwest::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
