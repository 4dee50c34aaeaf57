//! Hands made-up batches over to a cluster and acts on them, for `benches/detach.sh`.
//!
//! ```text
//! handover pages RUN URL,URL,… BATCHES ROWS RPM            prints the seconds it took
//! handover delayed RUN URL,URL,… BATCHES ROWS RPM [later]  the same; `later`: nothing of it runs for an hour
//! handover show|pause|resume|cancel RUN URL,URL,…          prints the run's progress
//! ```
//!
//! `pages` is what the product does. `delayed` is what was compared with it: every batch sent at once, with its own delay.

use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use classify::domain::batch::{BatchRequest, RunOptions};
use classify::domain::detached::Changes;
use classify::domain::indicator::Indicator;
use classify::domain::method::Method;
use classify::engine::Brakes;
use classify::engine::handover::Handover;
use classify::input::Row;
use classify::restate::ingress::Ingress;
use classify::restate::names::{BATCH_RUN, BATCH_WORKFLOW, Order};
use classify::restate::secret::{Call, SECRET_VARIABLE, SIGNATURE, Secret};
use classify::shutdown;
use classify::taxonomy::Taxonomy;
use classify::throttle::{Answerer, Pace, Rate};
use classify::tls;
use futures_util::{TryStreamExt as _, stream};

/// Requests under way: as many as are worth having with three nodes on this machine.
const AT_ONCE: usize = 64;
/// How long the delayed batches wait besides, so that handing over is not measured together with the work.
const LATER: Duration = Duration::from_hours(1);
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what, run, urls, rest @ ..] = arguments.as_slice() else { bail!("see the top of this file") };
    let secret = std::env::var_os(SECRET_VARIABLE)
        .and_then(|text| Secret::read(&text.to_string_lossy()))
        .map(Arc::new);
    let node = |url| Ok(Ingress::new(url)?.with_secret(secret.clone()));
    let nodes = urls.split(',').map(node).collect::<Result<Vec<_>>>()?;
    let order = match *what {
        "show" => Order::Show,
        "pause" => Order::Pause,
        "resume" => Order::Resume(Changes::default()),
        "cancel" => Order::Cancel,
        _ => return hand_over(what, run, &nodes, rest).await,
    };
    let progress = nodes[0].detached_run(run, order, TIMEOUT).await?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&progress)?)?;
    Ok(())
}

async fn hand_over(what: &str, run: &str, nodes: &[Ingress], rest: &[&str]) -> Result<()> {
    let [batches, rows, rpm, later @ ..] = rest else { bail!("see the top of this file") };
    let (batches, rows): (u32, NonZeroU32) = (batches.parse()?, rows.parse()?);
    let pace = Pace::new(Rate::Total(rpm.parse()?), NonZeroU32::MIN, Answerer::Rules, Some(rows), None);
    let options = RunOptions {
        method: Method::rules(),
        taxonomy: Taxonomy::economic().digest().to_owned(),
        reads: None,
        nonce: Some(run.to_owned()),
        detached: false,
    };
    let began = Instant::now();
    match what {
        "pages" => {
            let (_raise, stop) = shutdown::channel();
            let handover = Handover { run_id: run.to_owned(), options, pace, brakes: Brakes::default() };
            let rows = (0..batches * rows.get()).map(|row| Ok(Row::Valid(indicator(row))));
            handover
                .run(nodes, rows, |_| {}, &stop)
                .await
                .map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        }
        "delayed" => {
            let later = if later.is_empty() { Duration::ZERO } else { LATER };
            let each = Duration::from_secs_f64(f64::from(rows.get()) * 60.0 / rpm.parse::<f64>()?);
            let http = tls::node_client(nodes[0].url()).http2_prior_knowledge().build()?;
            stream::iter((0..batches).map(Ok))
                .try_for_each_concurrent(AT_ONCE, |batch| {
                    let node = &nodes[batch as usize % nodes.len()];
                    let first = batch * rows.get();
                    let indicators = (first..first + rows.get()).map(indicator).collect();
                    let request = BatchRequest { options: options.clone(), indicators };
                    let due = began + later + each * batch;
                    let http = http.clone();
                    async move { send(&http, node, &format!("{run}.{batch}"), &request, due).await }
                })
                .await?;
        }
        _ => bail!("see the top of this file"),
    }
    writeln!(io::stdout(), "{:.1}", began.elapsed().as_secs_f64())?;
    Ok(())
}

/// The few lines that submitting with delays takes.
async fn send(
    http: &reqwest::Client,
    node: &Ingress,
    key: &str,
    batch: &BatchRequest,
    due: Instant,
) -> Result<()> {
    let delay = due.saturating_duration_since(Instant::now()).as_millis();
    let url = format!("{}/restate/send/{BATCH_WORKFLOW}/{key}/{BATCH_RUN}?delay={delay}ms", node.url());
    let body = serde_json::to_vec(batch)?;
    let call = Call { service: BATCH_WORKFLOW, key, handler: BATCH_RUN };
    let signature = node.secret().map(|secret| secret.sign(call, &body)).unwrap_or_default();
    let request = http.post(url).header("content-type", "application/json").header(SIGNATURE, signature);
    request.body(body).timeout(TIMEOUT).send().await?.error_for_status()?;
    Ok(())
}

/// As long as one of the first table, about 300 bytes.
fn indicator(row: u32) -> Indicator {
    Indicator {
        id: format!("R{row}"),
        name: format!("Exports of goods and services, series {row}"),
        units: Some("USD Million".into()),
        periodicity: Some("Monthly".into()),
        topic: Some("Trade: balance of payments".into()),
        definition: Some(format!(
            "Value of goods and services that residents sell to the rest of the world, series {row}."
        )),
        ..Indicator::default()
    }
}
