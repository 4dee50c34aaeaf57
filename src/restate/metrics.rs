//! The metrics of one node, served on its fabric port in Prometheus' text format.

use std::time::Duration;

use super::http::{Error, status_error, transport};
use crate::tls;

const LEADERS: &str = "restate_num_active_partition_leaders";
/// The oldest of the snapshots this node knows of; the other quantiles are younger.
const OLDEST_SNAPSHOT: &str = "restate_partition_snapshot_age_seconds";
const OLDEST: &str = "quantile=\"1.0\"";

/// How many partitions the node at `fabric_url` leads; `None` while it does not say.
///
/// # Errors
/// When the node gave no answer.
pub async fn partitions_led(fabric_url: &str, timeout: Duration) -> Result<Option<u64>, Error> {
    Ok(gauge(&scrape(fabric_url, timeout).await?, LEADERS))
}

/// Seconds since the oldest of the last snapshots that the node at `fabric_url` knows of; `None` before the first.
///
/// # Errors
/// When the node gave no answer.
pub async fn oldest_snapshot_s(fabric_url: &str, timeout: Duration) -> Result<Option<u64>, Error> {
    Ok(oldest_snapshot(&scrape(fabric_url, timeout).await?))
}

fn oldest_snapshot(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(OLDEST_SNAPSHOT));
    // `NaN` before the first snapshot: no number of seconds.
    lines.find(|line| line.contains(OLDEST))?.rsplit(' ').next()?.parse().ok()
}

async fn scrape(fabric_url: &str, timeout: Duration) -> Result<String, Error> {
    let url = format!("{}/metrics", fabric_url.trim_end_matches('/'));
    let failed = |source| transport(&url, timeout, source);
    let http = tls::node_client(&url).build().map_err(failed)?;
    let response = http.get(&url).timeout(timeout).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(status_error(&url, response).await);
    }
    response.text().await.map_err(failed)
}

/// Value of a gauge that has one series.
fn gauge(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_is_told_from_its_help_and_its_neighbours() {
        let text = "# HELP led partitions\nled_total{a=\"b\"} 7\nled{cluster=\"c\",node=\"n 1\"} 2\n";
        assert_eq!(gauge(text, "led"), Some(2));
        assert_eq!(gauge("led 3\n", "led"), Some(3));
        assert_eq!(gauge("# TYPE led gauge\n", "led"), None);
    }

    #[test]
    fn the_oldest_snapshot_is_the_last_quantile() {
        let text = "# HELP restate_partition_snapshot_age_seconds Current quantiles\n\
                    restate_partition_snapshot_age_seconds{node_name=\"restate-1\",quantile=\"0.5\"} 6\n\
                    restate_partition_snapshot_age_seconds{node_name=\"restate-1\",quantile=\"1.0\"} 21\n";
        assert_eq!(oldest_snapshot(text), Some(21));
        assert_eq!(oldest_snapshot(&text.replace("} 21", "} NaN")), None);
        assert_eq!(oldest_snapshot(""), None);
    }
}
