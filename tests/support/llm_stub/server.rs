//! The server itself: one task per connection, one entry in the log per request.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::dialect::{Asked, Count, Dialect, Refused};
use super::fault::{Fault, RetryAfter, Takes};
use super::{Log, Seen, Shared, answer, tokens};

type Body = BoxBody<Bytes, io::Error>;

/// By OpenAI's account, tokens of two messages and of what primes the answer.
const FRAME: u64 = 2 * 3 + 3;
/// Headers in which one provider or another wants its key.
const CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// A request that waits for its answer, or for its client to hang up.
struct Open(Arc<Shared>);

impl Open {
    fn count(shared: &Arc<Shared>) -> Self {
        let mut log = shared.log();
        log.open += 1;
        log.most_open = log.most_open.max(log.open);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.log().open -= 1;
    }
}

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| serve(request, Arc::clone(&shared)));
                    // A client that hangs up is no concern of ours.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if parts.method == hyper::Method::GET && path.ends_with("/models") {
        return Ok(models(&shared));
    }
    let dialect = Dialect::at(&path);
    let header = |name: &str| parts.headers.get(name)?.to_str().ok();
    let asked = dialect.ok_or_else(|| (404, "no such path".to_owned())).and_then(|dialect| {
        dialect.authorize(header)?;
        let body: Value = serde_json::from_slice(&body).map_err(|error| (400, error.to_string()))?;
        let asked = dialect.read(&body, shared.plan.takes())?;
        let items = answer::items(&asked.user).map_err(|problem| (400, problem))?;
        Ok((asked, items))
    });
    let dialect = dialect.unwrap_or(Dialect::OpenAi);
    let credentials =
        CREDENTIALS.into_iter().filter_map(|name| Some(format!("{name}: {}", header(name)?))).collect();
    let _open = Open::count(&shared);
    let todo = enter(&shared, dialect, path, credentials, asked);
    tokio::time::sleep(shared.plan.latency()).await;
    let mut held = shared.held.subscribe();
    // The sender lives as long as the stub, and what it lends must not live across the next wait.
    drop(held.wait_for(|held| !held).await);
    Ok(respond(todo).await)
}

/// The list of models, which says whose they are.
fn models(shared: &Shared) -> Response<Body> {
    let owner = if shared.plan.takes() == Takes::Bounded { "llamacpp" } else { "stub" };
    let list = serde_json::json!({ "object": "list", "data": [{ "id": "stub-1", "object": "model", "owned_by": owner }] });
    let body = Full::new(Bytes::from(list.to_string())).map_err(|never| match never {}).boxed();
    Response::builder().header("content-type", "application/json").body(body).expect("a response")
}

/// What to answer.
enum Todo {
    Say { status: u16, body: String, retry_after: RetryAfter },
    Trickle { body: String, pause: Duration },
    BreakOff { body: String },
    Hang,
}

/// Decides what becomes of a request and writes it into the log, in one step: the order of the log is the order of
/// arrival.
fn enter(
    shared: &Shared,
    dialect: Dialect,
    path: String,
    credentials: Vec<String>,
    asked: Result<(Asked, Vec<Value>), Refused>,
) -> Todo {
    let mut log = shared.log();
    let mut seen = Seen {
        at: Instant::now(),
        path,
        credentials,
        model: String::new(),
        ids: Vec::new(),
        system: Arc::default(),
        user: String::new(),
        input_tokens: 0,
        cached_tokens: 0,
        written_tokens: 0,
        shared_tokens: 0,
        room: 0,
        form: "",
        output_tokens: 0,
        billed: false,
        what: "served",
        complaint: None,
    };
    let (asked, items) = match asked {
        Ok(asked) => asked,
        Err((status, problem)) => {
            let body = dialect.error(status, &problem).to_string();
            (seen.what, seen.complaint) = ("rejected", Some(problem));
            log.seen.push(seen);
            return Todo::Say { status, body, retry_after: RetryAfter::Silent };
        }
    };
    let id = |item: &Value| item["id"].as_str().unwrap_or_default().to_owned();
    let schema = asked.schema.to_string();
    let (system, of_prompt) = log.known(&asked.system);
    let prefix = of_prompt + log.known(&schema).1;
    seen.input_tokens = prefix + tokens(&asked.user) + FRAME;
    (seen.model, seen.system, seen.user) = (asked.model.clone(), system, asked.user.clone());
    (seen.room, seen.form, seen.shared_tokens) = (asked.room, asked.form, prefix);
    seen.ids = items.iter().map(id).collect();
    let fault = fault(shared, &log, &mut seen);
    if fault.is_none() {
        seen.output_tokens = shared.plan.thinks() * items.len() as u64;
    }
    let todo = todo(&mut log, dialect, &asked, &items, prefix, fault, &mut seen);
    log.seen.push(seen);
    todo
}

/// What goes wrong with a request: the limit's doing, or the plan's.
fn fault(shared: &Shared, log: &Log, seen: &mut Seen) -> Option<Fault> {
    if let Some(limit) = shared.plan.limit() {
        let recent = log.seen.iter().rev().take_while(|earlier| seen.at - earlier.at < limit.window);
        if recent.filter(|earlier| earlier.what != "limited").count() >= limit.requests {
            seen.what = "limited";
            return Some(Fault::RateLimited(RetryAfter::Seconds(limit.window.as_secs_f64())));
        }
    }
    if let Some(about) = shared.plan.rows() {
        let is_asked = |seen: &Seen, id: &String| seen.ids.contains(id);
        let goes_wrong = |id: &&String| {
            id.starts_with(about.ids)
                && log.seen.iter().filter(|seen| is_asked(seen, id)).count() < about.times
        };
        if seen.ids.iter().any(|id| goes_wrong(&id)) {
            seen.what = about.fault.name();
            return Some(about.fault);
        }
    }
    let fault = shared.plan.fault(log.seen.len())?;
    seen.what = fault.name();
    Some(fault)
}

/// What to answer to a good request whose static beginning has `prefix` tokens.
fn todo(
    log: &mut Log,
    dialect: Dialect,
    asked: &Asked,
    items: &[Value],
    prefix: u64,
    fault: Option<Fault>,
    seen: &mut Seen,
) -> Todo {
    let error = |status: u16, message: &str, retry_after| {
        let body = dialect.error(status, message).to_string();
        Todo::Say { status, body, retry_after }
    };
    let said = |body: String| Todo::Say { status: 200, body, retry_after: RetryAfter::Silent };
    match fault {
        Some(Fault::RateLimited(after)) => return error(429, "Rate limit reached", after),
        Some(Fault::Overloaded) => return error(529, "Overloaded", RetryAfter::Silent),
        Some(Fault::Status(status)) => return error(status, "Scripted", RetryAfter::Silent),
        Some(Fault::Error(status, body)) => {
            return Todo::Say { status, body: body.to_owned(), retry_after: RetryAfter::Silent };
        }
        Some(Fault::Hang) => return Todo::Hang,
        Some(Fault::MalformedJson) => return said("{\"choices\": [".into()),
        _ => {}
    }
    let text = answer::text(&asked.schema, items, fault);
    let (cached, written) = log.cache.look(dialect, asked, prefix, seen.input_tokens, seen.at);
    (seen.cached_tokens, seen.written_tokens) = (cached, written);
    let output = tokens(&text).saturating_add(seen.output_tokens).min(asked.room);
    let count = Count { input: seen.input_tokens, cached, written, output };
    let body = dialect.reply(asked, &text, count, fault).to_string();
    seen.output_tokens = count.output;
    seen.billed = fault != Some(Fault::Disconnect);
    match fault {
        Some(Fault::SlowBody(pause)) => Todo::Trickle { body, pause },
        Some(Fault::Disconnect) => Todo::BreakOff { body },
        _ => said(body),
    }
}

async fn respond(todo: Todo) -> Response<Body> {
    let response = Response::builder().header("content-type", "application/json");
    match todo {
        Todo::Say { status, body, retry_after } => {
            let response = match retry_after {
                RetryAfter::Silent => response,
                RetryAfter::Seconds(seconds) => response.header("retry-after", seconds.to_string()),
                RetryAfter::Date(seconds) => response.header("retry-after", http_date(seconds)),
            };
            let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
            response.status(status).body(body).expect("a response")
        }
        Todo::Hang => std::future::pending().await,
        Todo::Trickle { body, pause } => {
            let size = body.len().div_ceil(10);
            let parts: Vec<Bytes> = body.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            let stream = stream::unfold(parts.into_iter(), move |mut parts| async move {
                tokio::time::sleep(pause).await;
                Some((Ok(Frame::data(parts.next()?)), parts))
            });
            response.body(BodyExt::boxed(StreamBody::new(stream))).expect("a response")
        }
        Todo::BreakOff { body } => {
            let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
            let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            let stream = stream::iter([Ok(Frame::data(half)), broken]);
            response.body(BodyExt::boxed(StreamBody::new(stream))).expect("a response")
        }
    }
}

fn http_date(seconds: i64) -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).expect("a date")
}
