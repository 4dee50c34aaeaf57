//! Whether partitions still change hands between nodes.
//!
//! Owns how that is seen from what nodes say of themselves. Whether they serve is the business of `ready`: a partition that
//! moves serves before and after, and what it is asked just then may get no answer at all.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::ready::{self, Clients, NotReady, PROBE_TIMEOUT};
use crate::restate::metrics::{Standing, standing};

/// For how long nothing must have changed: as long as the cluster controller takes for five looks at the nodes
/// (`admin.heartbeat-interval` in `restate.toml`). It moves partitions only then, and what a node says of itself is as old as the last
/// look. The longest pause seen between two moves lasted two.
const STEADY: Duration = Duration::from_millis(2_500);
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until all nodes, some of which were started just now, serve and go on doing so; the version of the first.
///
/// # Errors
/// The nodes that do not serve at `deadline`.
pub(super) async fn wait_until_settled(
    nodes: &[Clients],
    deadline: Instant,
) -> std::result::Result<String, Vec<NotReady>> {
    ready::wait_until_ready(nodes, deadline).await?;
    wait_until_steady(nodes, deadline).await;
    ready::wait_until_ready(nodes, deadline).await
}

/// Waits until the nodes trust each other and no partition has changed hands for a while, or until `deadline`.
///
/// A node that comes up is trusted 2 s later (`gossip-suspect-interval` in `restate.toml`). Then it gets copies of partitions, and then
/// it leads some of them. No figure says that this is over: of four nodes one may well lead nothing for good.
async fn wait_until_steady(nodes: &[Clients], deadline: Instant) {
    let mut watch = Watch { said: Vec::new(), since: Instant::now() };
    loop {
        let answers = join_all(nodes.iter().map(|node| standing(&node.fabric_url, PROBE_TIMEOUT))).await;
        // A node that serves and keeps its figures to itself is not waited for.
        let said = answers.into_iter().map(std::result::Result::ok).collect();
        let now = Instant::now();
        if watch.is_steady(said, now) || now >= deadline {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// What all nodes said last, and since when they have said it.
struct Watch {
    said: Vec<Option<Standing>>,
    since: Instant,
}

impl Watch {
    fn is_steady(&mut self, said: Vec<Option<Standing>>, now: Instant) -> bool {
        if said != self.said {
            *self = Self { said, since: now };
        }
        let trusted = self.said.iter().flatten().all(|standing| standing.suspect.is_none_or(|n| n == 0));
        trusted && now.duration_since(self.since) >= STEADY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(leads: u64, suspect: u64) -> Standing {
        let [leads, processes, alive, suspect] = [leads, 4, 3 - suspect, suspect].map(Some);
        Standing { leads, processes, alive, suspect }
    }

    /// What three nodes that trust each other say.
    fn leading(leads: [u64; 3]) -> Vec<Option<Standing>> {
        leads.map(|leads| Some(node(leads, 0))).to_vec()
    }

    #[test]
    fn steady_is_what_the_controller_left_alone_five_times() {
        let config: toml::Table = include_str!("../../restate.toml").parse().unwrap();
        let look: jiff::Span = config["admin"]["heartbeat-interval"].as_str().unwrap().parse().unwrap();
        assert_eq!(Duration::try_from(look).unwrap() * 5, STEADY);
    }

    /// When a watch that sees each picture for so many seconds finds them steady, in seconds.
    fn steady_at(pictures: &[(u64, Vec<Option<Standing>>)]) -> Option<f64> {
        let begun = Instant::now();
        let mut watch = Watch { said: Vec::new(), since: begun };
        let mut now = begun;
        for (seconds, picture) in pictures {
            let end = now + Duration::from_secs(*seconds);
            while now < end {
                if watch.is_steady(picture.clone(), now) {
                    return Some((now - begun).as_secs_f64());
                }
                now += PAUSE;
            }
        }
        None
    }

    #[test]
    fn every_move_counts_from_the_start() {
        let first = leading([6, 0, 0]);
        let then = leading([1, 3, 2]);
        assert_eq!(steady_at(&[(9, first.clone())]), Some(2.5));
        assert_eq!(steady_at(&[(2, first.clone()), (9, then.clone())]), Some(4.5));
        assert_eq!(steady_at(&[(2, first), (2, then)]), None);
    }

    #[test]
    fn nothing_is_steady_while_a_node_is_not_trusted() {
        let distrusted = [3, 0, 3].map(|leads| Some(node(leads, 1))).to_vec();
        let trusted = leading([3, 0, 3]);
        assert_eq!(steady_at(&[(60, distrusted.clone())]), None);
        assert_eq!(steady_at(&[(5, distrusted), (9, trusted)]), Some(7.5));
    }

    #[test]
    fn a_node_without_figures_is_not_waited_for() {
        assert_eq!(steady_at(&[(9, vec![Some(node(6, 0)), None])]), Some(2.5));
        let silent = Standing { leads: None, processes: None, alive: None, suspect: None };
        assert_eq!(steady_at(&[(9, vec![Some(silent), Some(node(6, 0))])]), Some(2.5));
    }
}
