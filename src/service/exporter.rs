//! `GET /metrics` over HTTP/1.1, on an address of its own: the service's own port speaks HTTP/2 to Restate only.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::metrics::Metrics;
use crate::listener::{self, Peers};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a request may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take: one that does not read the answer is closed.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Connections at once. Prometheus has one; what is beyond takes the place of the oldest.
const MOST_CONNECTIONS: usize = 64;

/// Answers scrapes on `listener` for as long as it is polled.
pub async fn export(listener: TcpListener, metrics: Arc<Metrics>) {
    let peers = Peers::new(MOST_CONNECTIONS);
    // No request counts as under way: an answer is there at once.
    listener::accept(&listener, &peers, TIMEOUT, |stream, _place| {
        let metrics = Arc::clone(&metrics);
        let answering = service_fn(move |request: Request<Incoming>| {
            let response = answer(request.method(), request.uri().path(), &metrics);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            // A scrape is every few seconds, and a connection costs nothing.
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), answering);
        // Prometheus sees for itself that a connection broke.
        async move { drop(connection.await) }
    })
    .await;
}

fn answer(method: &Method, path: &str, metrics: &Metrics) -> Response<String> {
    let (status, kind, body) = match (path, method) {
        ("/metrics", &Method::GET | &Method::HEAD) => (StatusCode::OK, OPEN_METRICS, metrics.render()),
        ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "see /metrics\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::domain::outcome::{Failed, FailureClass, Outcome};
    use crate::restate::names::ServiceInfo;

    fn metrics() -> Metrics {
        Metrics::new(&ServiceInfo {
            version: "1.2.3".into(),
            taxonomy: "economic@1".into(),
            taxonomy_digest: "d".into(),
            providers: vec![],
            secret: None,
        })
    }

    fn failed(class: FailureClass) -> Outcome {
        Outcome::Failed(Failed::new(class, "", 1, ""))
    }

    #[tokio::test]
    async fn a_scrape_tells_what_was_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let metrics = Arc::new(metrics());
        let exporting = tokio::spawn(export(listener, Arc::clone(&metrics)));

        metrics.classifying().answered(&failed(FailureClass::Timeout));
        metrics.classifying().answered(&failed(FailureClass::Timeout));
        metrics.batch_finished();
        drop(metrics.classifying());
        let waiting = metrics.classifying();
        let http = crate::tls::client().no_proxy().build().unwrap();
        let response = http.get(&url).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], OPEN_METRICS);
        let text = response.text().await.unwrap();
        for line in [
            "classify_classifications_total{outcome=\"timeout\"} 2",
            "classify_classifications_total{outcome=\"classified\"} 0",
            "classify_classifications_in_flight 1",
            "classify_batches_total 1",
            "classify_classification_duration_seconds_count 2",
            "classify_build_info{version=\"1.2.3\",taxonomy=\"economic@1\"} 1",
            "# TYPE classify_classification_duration_seconds histogram",
        ] {
            assert!(text.lines().any(|said| said == line), "no `{line}` in\n{text}");
        }
        let started = text.lines().find_map(|line| line.strip_prefix("process_start_time_seconds ")).unwrap();
        assert!(started.parse::<f64>().unwrap() > 1.7e9, "{started}");
        drop(waiting);
        let text = http.get(&url).send().await.unwrap().text().await.unwrap();
        assert!(text.contains("\nclassify_classifications_in_flight 0\n"), "{text}");

        let elsewhere = http.get(url.replace("/metrics", "/")).send().await.unwrap();
        assert_eq!(elsewhere.status(), 404);
        assert_eq!(http.post(&url).send().await.unwrap().status(), 405);
        exporting.abort();
    }

    /// Heads that never end, as many as there may be connections, and more.
    #[tokio::test]
    async fn slow_heads_keep_no_scrape_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let exporting = tokio::spawn(export(listener, Arc::new(metrics())));
        let mut slow = Vec::new();
        for _ in 0..2 * MOST_CONNECTIONS {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\n").await.unwrap();
            slow.push(stream);
        }
        let http = crate::tls::client().no_proxy().timeout(HEADER_TIMEOUT / 2).build().unwrap();
        assert_eq!(http.get(format!("http://{address}/metrics")).send().await.unwrap().status(), 200);
        let mut rest = Vec::new();
        let closed = tokio::io::AsyncReadExt::read_to_end(&mut slow[0], &mut rest);
        assert!(timeout(HEADER_TIMEOUT / 2, closed).await.is_ok(), "the oldest has to go");
        exporting.abort();
    }
}
