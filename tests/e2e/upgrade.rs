//! The service is replaced in the middle of batches by one whose compressor makes other bytes of the same answers.
//!
//! The old service is the real one behind a proxy that compresses its answers anew, at another level, and never lets the end of an invocation
//! through: so the cluster keeps an answer that the new service would not make, of an invocation that the new one has to end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::note;
use crate::world::{Guarded, World, http, wait_for};

/// The level of the old service's compressor; the new one's is 1.
const LEVEL: i32 = 19;
/// With what a text begins that was compressed.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A message with the answer of a handler, and the length of any message's head.
const OUTPUT: [u8; 2] = [0x04, 0x01];
const HEAD: usize = 8;
/// Batches, each long enough to be compressed, and how many of them get no further than the answer of the rules.
const BATCHES: usize = 8;
const AT_THE_RULES: usize = 4;

pub(crate) fn another_compressor_in_mid_batch_costs_no_row(world: &mut World) {
    world.end_service(Signal::SIGKILL);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let old = Guarded(world.spawn_service(port, "old.log", "audit.jsonl", |_| {}));
    wait_for("the old service", Duration::from_secs(30), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let proxy = Proxy::start(world.service_port(), port);
    world.register();

    let table = world.table(BATCHES * 50);
    let mut run = world.begin(&["--mode", "max", "--batch-size", "50", "-o", "upgraded.jsonl", &table]);
    // Every batch is held where an answer stands in its journal, and nothing says that it has ended.
    let mut seen = (0, 0);
    wait_for("answers that were compressed by the old service", Duration::from_mins(1), || {
        let now = (proxy.held.load(Ordering::Relaxed), answers_in_journals(world));
        if now != seen {
            note(&format!("upgrade: {} batches held, {} answers in journals", now.0, now.1));
            seen = now;
        }
        now.0 >= BATCHES && now.1 >= BATCHES
    });
    drop(proxy);
    drop(old);
    world.start_service();

    wait_for("the run to end with the new service", Duration::from_mins(1), || {
        assert_eq!(refused(world), None, "a replay was refused");
        run.has_ended()
    });
    run.finish().expect_code(0);
    world.expect_each_once(&table, "upgraded.jsonl");
}

/// Answers of unfinished invocations that are in their journals.
fn answers_in_journals(world: &World) -> usize {
    let unfinished = "SELECT COUNT(*) AS n FROM sys_journal AS entry JOIN sys_invocation AS one ON entry.id = one.id \
                      WHERE entry.entry_type LIKE '%Output%' AND one.status <> 'completed'";
    let rows = query(world, unfinished);
    usize::try_from(rows[0]["n"].as_u64().unwrap()).unwrap()
}

/// What the nodes were told by a service that cannot go on with a journal.
fn refused(world: &World) -> Option<String> {
    let rows = query(world, "SELECT last_failure FROM sys_invocation WHERE last_failure LIKE '%mismatch%'");
    rows[0]["last_failure"].as_str().map(str::to_owned)
}

fn query(world: &World, query: &str) -> Value {
    http("POST", &format!("{}/query", world.admin_url()), &json!({ "query": query }))["rows"].clone()
}

/// Stands between the nodes and a service. Dropped, it hangs up on both.
struct Proxy {
    held: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Proxy {
    fn start(port: u16, service: u16) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
        let (held, rules) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = Counts { held: Arc::clone(&held), rules };
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(stream, service, counts.clone()));
            }
        });
        Self { held, runtime: Some(runtime) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

#[derive(Clone)]
struct Counts {
    /// Invocations that were held.
    held: Arc<AtomicUsize>,
    /// Calls of the rules.
    rules: Arc<AtomicUsize>,
}

/// One connection of a node, and one to the service for it.
async fn connection(stream: TcpStream, service: u16, counts: Counts) {
    let to = TcpStream::connect(("127.0.0.1", service)).await.unwrap();
    let (sender, connection) =
        client::handshake::<_, _, Incoming>(TokioExecutor::new(), TokioIo::new(to)).await.unwrap();
    tokio::spawn(connection);
    let pass = service_fn(move |request: Request<Incoming>| {
        let (mut sender, counts) = (sender.clone(), counts.clone());
        async move {
            let path = request.uri().path().to_owned();
            let holds = path.ends_with("/ClassifyBatch/run")
                || path.ends_with("/Classifier/rules")
                    && counts.rules.fetch_add(1, Ordering::Relaxed) < AT_THE_RULES;
            let rewrites = holds || path.ends_with("/Classifier/rules");
            let answer = sender.send_request(request).await.unwrap();
            let held = holds.then_some(counts.held);
            let answer: Response<Passed> = answer.map(|body| Passed {
                body,
                rewrites,
                held,
                is_held: false,
                read: Vec::new(),
                frames: VecDeque::new(),
            });
            Ok::<_, Infallible>(answer)
        }
    });
    // Ends with an error when the test is over.
    let _ended =
        server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), pass).await;
}

/// What a handler says, on its way to the node.
struct Passed {
    body: Incoming,
    /// The answer is compressed anew.
    rewrites: bool,
    /// Behind the answer nothing is passed on; counted here.
    held: Option<Arc<AtomicUsize>>,
    is_held: bool,
    /// Of a message that has not arrived as a whole.
    read: Vec<u8>,
    frames: VecDeque<Bytes>,
}

impl Passed {
    /// Takes over what came, message by message.
    fn take(&mut self, data: &[u8]) {
        self.read.extend_from_slice(data);
        while !self.is_held && self.read.len() >= HEAD {
            let length = u32::from_be_bytes(self.read[4..HEAD].try_into().unwrap());
            let end = HEAD + usize::try_from(length).unwrap();
            if self.read.len() < end {
                return;
            }
            let message: Vec<u8> = self.read.drain(..end).collect();
            if message[..2] != OUTPUT {
                self.frames.push_back(message.into());
                continue;
            }
            self.frames.push_back(compressed_anew(&message).into());
            if let Some(held) = &self.held {
                held.fetch_add(1, Ordering::Relaxed);
                self.is_held = true;
            }
        }
    }
}

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            if self.is_held {
                return Poll::Pending;
            }
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            if !self.rewrites {
                return Poll::Ready(frame);
            }
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.take(&data),
                Some(Ok(Err(_trailers))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The message with an answer, as another compressor would have made it.
fn compressed_anew(message: &[u8]) -> Vec<u8> {
    // Fields 14 and in it 1, each with its length, are all there is of a value; what is compressed goes to the end.
    let at = message.windows(4).position(|bytes| bytes == MAGIC).expect("an answer that is compressed");
    let text = zstd::bulk::decompress(&message[at..], 1 << 20).unwrap();
    let anew = zstd::bulk::compress(&text, LEVEL).unwrap();
    assert!(anew != message[at..], "the other compressor makes the same of it");
    let content = [&[0x0a][..], &varint(anew.len()), &anew].concat();
    let value = [&[0x72][..], &varint(content.len()), &content].concat();
    [&message[..4], &u32::try_from(value.len()).unwrap().to_be_bytes(), &value].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
