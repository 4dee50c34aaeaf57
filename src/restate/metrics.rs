//! The metrics of one node, served on its fabric port in Prometheus' text format.

use std::time::Duration;

use super::address::Address;
use super::http::{Error, LONGEST_OUTPUT, body, status_error, transport};

const LEADERS: &str = "restate_num_active_partition_leaders";
const PROCESSORS: &str = "restate_num_active_partitions";
/// How many nodes its gossip takes to be in each state.
const PEERS: &str = "restate_failure_detector_nodes_total";
const ALIVE: &str = "state=\"alive\"";
const SUSPECT: &str = "state=\"suspect\"";
/// The oldest of the snapshots this node knows of; the other quantiles are younger.
const OLDEST_SNAPSHOT: &str = "restate_partition_snapshot_age_seconds";
const OLDEST: &str = "quantile=\"1.0\"";

/// What a node does in the cluster and thinks of its peers. All of it changes while partitions change hands; what the node does not say
/// is `None`. The first two figures are as old as the cluster controller's last look at the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Partitions it leads.
    pub leads: Option<u64>,
    /// Partitions it has a copy of and follows or leads.
    pub processes: Option<u64>,
    /// Nodes it takes to be alive, itself included.
    pub alive: Option<u64>,
    /// Nodes that came back and are not trusted with a partition yet.
    pub suspect: Option<u64>,
}

fn standing_in(text: &str) -> Standing {
    Standing {
        leads: gauge(text, LEADERS, ""),
        processes: gauge(text, PROCESSORS, ""),
        alive: gauge(text, PEERS, ALIVE),
        suspect: gauge(text, PEERS, SUSPECT),
    }
}

/// Client for the metrics of one node. Questions one after the other use one connection.
#[derive(Debug, Clone)]
pub struct Metrics {
    http: reqwest::Client,
    url: String,
}

impl Metrics {
    /// A client of the node whose port for other nodes is `fabric`; connects to nothing yet.
    ///
    /// # Errors
    /// When no client can be built for this address.
    pub fn new(fabric: &Address) -> Result<Self, Error> {
        let url = format!("{}/metrics", fabric.url());
        let http = fabric.client().build();
        Ok(Self { http: http.map_err(|source| transport(&url, Duration::ZERO, source))?, url })
    }

    /// How many partitions the node leads; `None` while it does not say.
    ///
    /// # Errors
    /// When the node gave no answer.
    pub async fn partitions_led(&self, timeout: Duration) -> Result<Option<u64>, Error> {
        Ok(gauge(&self.scrape(timeout).await?, LEADERS, ""))
    }

    /// What the node says of itself and its peers.
    ///
    /// # Errors
    /// When the node gave no answer.
    pub async fn standing(&self, timeout: Duration) -> Result<Standing, Error> {
        Ok(standing_in(&self.scrape(timeout).await?))
    }

    /// Seconds since the oldest of the last snapshots that the node knows of; `None` before the first.
    ///
    /// # Errors
    /// When the node gave no answer.
    pub async fn oldest_snapshot_s(&self, timeout: Duration) -> Result<Option<u64>, Error> {
        // `NaN` before the first snapshot: no number of seconds.
        Ok(gauge(&self.scrape(timeout).await?, OLDEST_SNAPSHOT, OLDEST))
    }

    async fn scrape(&self, timeout: Duration) -> Result<String, Error> {
        let failed = |source| transport(&self.url, timeout, source);
        let response = self.http.get(&self.url).timeout(timeout).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(status_error(&self.url, response).await);
        }
        let text = body(&self.url, response, LONGEST_OUTPUT, timeout).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Value of the first series of a gauge that has `label`.
fn gauge(text: &str, name: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) || !rest.contains(label) {
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
        assert_eq!(gauge(text, "led", ""), Some(2));
        assert_eq!(gauge("led 3\n", "led", ""), Some(3));
        assert_eq!(gauge("# TYPE led gauge\n", "led", ""), None);
    }

    #[test]
    fn the_oldest_snapshot_is_the_last_quantile() {
        let text = "# HELP restate_partition_snapshot_age_seconds Current quantiles\n\
                    restate_partition_snapshot_age_seconds{node_name=\"restate-1\",quantile=\"0.5\"} 6\n\
                    restate_partition_snapshot_age_seconds{node_name=\"restate-1\",quantile=\"1.0\"} 21\n";
        let oldest = |text: &str| gauge(text, OLDEST_SNAPSHOT, OLDEST);
        assert_eq!(oldest(text), Some(21));
        assert_eq!(oldest(&text.replace("} 21", "} NaN")), None);
        assert_eq!(oldest(""), None);
    }

    #[test]
    fn a_node_that_just_came_back_suspects_its_peers() {
        let text = "restate_failure_detector_nodes_total{node_name=\"restate-2\",state=\"suspect\"} 2\n\
                    restate_failure_detector_nodes_total{node_name=\"restate-2\",state=\"alive\"} 1\n\
                    restate_num_active_partition_leaders{node_name=\"restate-2\"} 0\n";
        let expected = Standing { leads: Some(0), processes: None, alive: Some(1), suspect: Some(2) };
        assert_eq!(standing_in(text), expected);
    }
}
