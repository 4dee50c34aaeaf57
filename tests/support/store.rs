//! A store that speaks as much of S3's protocol as nodes need for their snapshots: objects in memory, whoever asks.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, RANGE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// When everything was written, for S3 always tells; nobody here compares it.
const DATE: (&str, &str) = ("Tue, 01 Dec 2026 12:00:00 GMT", "2026-12-01T12:00:00.000Z");

/// Ends with the test.
pub(crate) struct Store {
    pub(crate) url: String,
    _runtime: tokio::runtime::Runtime,
}

/// Content by path, `/bucket/key`, with its tag.
#[derive(Default)]
struct Objects {
    all: BTreeMap<String, (Bytes, String)>,
    /// Parts of objects that are not complete, by path and number.
    parts: BTreeMap<(String, u32), Bytes>,
    written: u64,
}

impl Store {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let objects = Arc::new(Mutex::new(Objects::default()));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let objects = Arc::clone(&objects);
                let answer = service_fn(move |request| answer(Arc::clone(&objects), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { url, _runtime: runtime }
    }
}

async fn answer(
    objects: Arc<Mutex<Objects>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    let query = head.uri.query().unwrap_or_default();
    let query: BTreeMap<&str, &str> =
        query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(objects.answer(&head.method, &path, &query, &head.headers, body.to_bytes()))
}

impl Objects {
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: &BTreeMap<&str, &str>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<Full<Bytes>> {
        let part = query.get("partNumber").and_then(|number| number.parse().ok());
        match (method.as_str(), part) {
            ("GET", _) if query.contains_key("list-type") => self.list(path, query),
            ("GET" | "HEAD", _) => self.get(path, headers, method == Method::HEAD),
            ("PUT", Some(number)) => {
                self.parts.insert((path.to_owned(), number), body);
                tagged(&format!("\"part-{number}\""), Bytes::new())
            }
            ("PUT", None) => self.put(path, headers, body),
            ("POST", _) if query.contains_key("uploads") => xml(format!(
                "<InitiateMultipartUploadResult><UploadId>{path}</UploadId></InitiateMultipartUploadResult>"
            )),
            ("POST", _) if query.contains_key("uploadId") => {
                let parts = self.parts.extract_if(.., |(of, _), _| of == path).map(|(_, part)| part);
                let whole = parts.collect::<Vec<_>>().concat();
                let written = self.put(path, headers, whole.into());
                let tag = written.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
                xml(format!(
                    "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
                ))
            }
            ("DELETE", _) => {
                self.all.remove(path);
                status(StatusCode::NO_CONTENT)
            }
            _ => status(StatusCode::NOT_IMPLEMENTED),
        }
    }

    fn put(&mut self, path: &str, headers: &HeaderMap, body: Bytes) -> Response<Full<Bytes>> {
        let there = self.all.get(path).map(|(_, tag)| tag.as_str());
        let is_other =
            headers.get(IF_MATCH).is_some_and(|tag| Some(tag.as_bytes()) != there.map(str::as_bytes));
        if is_other || headers.contains_key(IF_NONE_MATCH) && there.is_some() {
            return status(StatusCode::PRECONDITION_FAILED);
        }
        self.written += 1;
        let tag = format!("\"{}\"", self.written);
        self.all.insert(path.to_owned(), (body, tag.clone()));
        tagged(&tag, Bytes::new())
    }

    fn get(&self, path: &str, headers: &HeaderMap, is_head: bool) -> Response<Full<Bytes>> {
        let Some((body, tag)) = self.all.get(path) else { return status(StatusCode::NOT_FOUND) };
        let range =
            headers.get(RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = range.filter(|_| !is_head) else {
            let mut answer = tagged(tag, if is_head { Bytes::new() } else { body.clone() });
            answer.headers_mut().insert("content-length", body.len().into());
            return answer;
        };
        let first: usize = first.parse().unwrap_or_default();
        let end = last.parse::<usize>().map_or(body.len(), |last| body.len().min(last + 1));
        let mut answer = tagged(tag, body.slice(first.min(end)..end));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {first}-{}/{}", end.saturating_sub(1), body.len());
        answer.headers_mut().insert(CONTENT_RANGE, range.parse().expect("a range"));
        answer
    }

    fn list(&self, bucket: &str, query: &BTreeMap<&str, &str>) -> Response<Full<Bytes>> {
        let bucket = format!("{}/", bucket.trim_end_matches('/'));
        let prefix = query.get("prefix").copied().unwrap_or_default();
        let prefix = percent_encoding::percent_decode_str(prefix).decode_utf8_lossy();
        let mut text = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
        let keys = self.all.iter().filter_map(|(path, object)| Some((path.strip_prefix(&bucket)?, object)));
        for (key, (body, tag)) in keys.filter(|(key, _)| key.starts_with(&*prefix)) {
            let (size, date) = (body.len(), DATE.1);
            let _always_fits = write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>{date}</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
            );
        }
        xml(text + "</ListBucketResult>")
    }
}

fn tagged(tag: &str, body: Bytes) -> Response<Full<Bytes>> {
    let answer = Response::builder().header(ETAG, tag).header(LAST_MODIFIED, DATE.0);
    answer.body(Full::new(body)).expect("a response")
}

fn xml(text: String) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.into()))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).expect("a response")
}
