//! The least that can drive the service: what `classify --mode max` is measured against (`benches/paired.sh`).
//!
//! It reads JSON Lines, sends the same batches to the same service over the same nodes and polls for their output. While its clock runs
//! it checks nothing, reads no answer, writes nothing, keeps no count, and has no answer to any fault: it ends at the first one.

#![expect(clippy::print_stdout, reason = "the time it took is what it is for")]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use classify::domain::batch::{BatchRequest, BatchResponse, RunOptions};
use classify::domain::indicator::Indicator;
use classify::domain::method::Method;
use classify::domain::outcome::Outcome;
use classify::domain::payload;
use classify::restate::names::{BATCH_RUN, BATCH_WORKFLOW};
use classify::restate::secret::{Call, SECRET_VARIABLE, SIGNATURE, Secret};
use classify::taxonomy::Taxonomy;
use classify::throttle::{Answerer, Pace, Rate};
use classify::tls;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[derive(Parser)]
struct Args {
    /// Indicators as JSON Lines.
    input: PathBuf,
    /// Ingress of each node.
    #[arg(long, required = true)]
    ingress: Vec<String>,
    /// Indicators per batch, as many as `classify` takes by default.
    #[arg(long, default_value_t = defaults().batch_size.get() as usize)]
    batch_size: usize,
    /// Most unfinished indicators at once, likewise.
    #[arg(long, default_value_t = defaults().max_in_flight.get() as usize)]
    max_in_flight: usize,
    /// Pause between two polls of a batch.
    #[arg(long, default_value_t = 100)]
    poll_ms: u64,
    /// Connections to each node.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// HTTP/1.1, as many connections as it likes, instead of HTTP/2.
    #[arg(long)]
    http1: bool,
}

fn defaults() -> Pace {
    Pace::new(Rate::Unlimited, NonZeroU32::MIN, Answerer::Rules, None, None)
}

type Outcomes = anyhow::Result<Vec<u8>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let start = Instant::now();
    let args = Args::parse();
    let run = ulid::Ulid::generate().to_string();
    let options = RunOptions {
        method: Method::rules(),
        taxonomy: Taxonomy::economic().digest().to_owned(),
        reads: None,
        nonce: Some(run.clone()),
        detached: false,
    };
    // Each batch takes the next one: all nodes in turn, and the connections of each.
    let nodes: Vec<(Client, &str)> = (0..args.connections)
        .flat_map(|_| &args.ingress)
        .map(|url| Ok((client(url, args.http1)?, url.as_str())))
        .collect::<Result<_, reqwest::Error>>()?;
    let secret = std::env::var_os(SECRET_VARIABLE).and_then(|text| Secret::read(&text.to_string_lossy()));
    let mut lines = BufReader::new(File::open(args.input)?).lines();
    let room = Arc::new(Semaphore::new(args.max_in_flight / args.batch_size));
    let mut batches: JoinSet<Outcomes> = JoinSet::new();
    let mut rows = 0;
    for index in 0.. {
        let indicators: Vec<Indicator> = lines
            .by_ref()
            .take(args.batch_size)
            .map(|line| Ok(serde_json::from_str(&line?)?))
            .collect::<anyhow::Result<_>>()?;
        if indicators.is_empty() {
            break;
        }
        rows += indicators.len();
        let place = Arc::clone(&room).acquire_owned().await?;
        let request = BatchRequest { options: options.clone(), indicators };
        let body = payload::encode(&request)?;
        let (client, url) = &nodes[index % nodes.len()];
        let key = format!("{run}.{index}");
        let call = Call { service: BATCH_WORKFLOW, key: &key, handler: BATCH_RUN };
        let signature = secret.as_ref().map(|secret| secret.sign(call, &body)).unwrap_or_default();
        let batch = carry(client.clone(), (*url).to_owned(), key, (body, signature), args.poll_ms);
        batches.spawn(async move {
            let outcomes = batch.await;
            drop(place);
            outcomes
        });
    }
    let bodies: Vec<Vec<u8>> = batches.join_all().await.into_iter().collect::<Result<_, _>>()?;
    let elapsed = start.elapsed();

    let mut classified = 0;
    for body in bodies {
        let response: BatchResponse = payload::decode(&body)?;
        classified +=
            response.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Classified(_))).count();
    }
    assert_eq!(classified, rows, "not all were classified");
    println!("{:.3}", elapsed.as_secs_f64());
    Ok(())
}

fn client(url: &str, http1: bool) -> reqwest::Result<Client> {
    let client = tls::node_client(url).tcp_nodelay(true);
    if http1 { client.http1_only().build() } else { client.http2_prior_knowledge().build() }
}

/// Submits a batch and polls until its output is there.
async fn carry(
    client: Client,
    url: String,
    key: String,
    (body, signature): (Vec<u8>, String),
    poll_ms: u64,
) -> Outcomes {
    let submit = format!("{url}/restate/send/{BATCH_WORKFLOW}/{key}/{BATCH_RUN}");
    let submit = client.post(submit).header("content-type", "application/octet-stream");
    let answer = submit.header(SIGNATURE, signature).body(body).send().await?;
    let accepted: Value = answer.error_for_status()?.json().await?;
    let output = format!("{url}/restate/output/{}", accepted["invocationId"].as_str().unwrap_or_default());
    loop {
        tokio::time::sleep(Duration::from_millis(poll_ms)).await;
        let response = client.get(&output).send().await?;
        match response.status() {
            StatusCode::OK => return Ok(response.bytes().await?.to_vec()),
            status if status.as_u16() == 470 => {} // Not ready.
            status => anyhow::bail!("{output}: {status}"),
        }
    }
}
