//! Whether partitions still change hands between nodes.
//!
//! Owns how that is seen from what nodes say of themselves. Whether they serve is the business of `ready`: a partition that
//! moves serves before and after, and what it is asked just then may get no answer at all.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::ready::{self, Clients, NotReady, PROBE_TIMEOUT};
use crate::restate::metrics::Standing;

/// For how long nothing must have changed: as long as the cluster controller takes for five looks at the nodes
/// (`admin.heartbeat-interval` in `restate.toml`). It moves partitions only then. The longest pause seen between two moves lasted two.
const STEADY: Duration = Duration::from_millis(2_500);
/// For how long nodes must have served: two looks. What a node says of itself is as old as the last one, and while it did not serve it
/// may have said the same for long.
const SERVED: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until all nodes, some of which were started just now, serve and go on doing so; the version of the first.
///
/// A node that comes up is trusted by the others 2 s later (`gossip-suspect-interval` in `restate.toml`). Then it gets copies of partitions,
/// and then it leads some of them. No figure says that this is over: of four nodes one may well lead nothing for good.
///
/// # Errors
/// The nodes that do not serve at `deadline`.
pub(super) async fn wait_until_settled(
    nodes: &[Clients],
    deadline: Instant,
) -> std::result::Result<String, Vec<NotReady>> {
    let mut watch = Watch { said: Vec::new(), since: Instant::now() };
    let mut ready = pin!(ready::wait_until_ready(nodes, deadline));
    // A partition may move and its node serve only later: that time counts.
    loop {
        tokio::select! {
            all = &mut ready => {
                all?;
                break;
            }
            said = look(nodes) => watch.take(said, Instant::now()),
        }
    }
    let served = Instant::now();
    while !watch.is_steady(served, Instant::now()) && Instant::now() < deadline {
        watch.take(look(nodes).await, Instant::now());
    }
    ready::wait_until_ready(nodes, deadline).await
}

/// What each node says a moment later. One that serves and keeps its figures to itself is not waited for.
async fn look(nodes: &[Clients]) -> Vec<Option<Standing>> {
    sleep(PAUSE).await;
    let answers = join_all(nodes.iter().map(|node| node.metrics.standing(PROBE_TIMEOUT))).await;
    answers.into_iter().map(std::result::Result::ok).collect()
}

/// What all nodes said last, and since when they have said it.
struct Watch {
    said: Vec<Option<Standing>>,
    since: Instant,
}

impl Watch {
    fn take(&mut self, said: Vec<Option<Standing>>, now: Instant) {
        if said != self.said {
            *self = Self { said, since: now };
        }
    }

    /// Whether it is over at `now`, when all nodes have served since `served`.
    fn is_steady(&self, served: Instant, now: Instant) -> bool {
        let trusted = self.said.iter().flatten().all(|standing| standing.suspect.is_none_or(|n| n == 0));
        trusted && now.duration_since(self.since) >= STEADY && now.duration_since(served) >= SERVED
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
    fn the_times_are_looks_of_the_controller() {
        let config: toml::Table = include_str!("../../restate.toml").parse().unwrap();
        let look: jiff::Span = config["admin"]["heartbeat-interval"].as_str().unwrap().parse().unwrap();
        let look = Duration::try_from(look).unwrap();
        assert_eq!((look * 5, look * 2), (STEADY, SERVED));
    }

    /// When a watch that sees each picture for so many seconds finds them steady, in seconds; all nodes serve from the beginning.
    fn steady_at(pictures: &[(u64, Vec<Option<Standing>>)]) -> Option<f64> {
        let begun = Instant::now();
        let mut watch = Watch { said: Vec::new(), since: begun };
        let mut now = begun;
        for (seconds, picture) in pictures {
            let end = now + Duration::from_secs(*seconds);
            while now < end {
                watch.take(picture.clone(), now);
                if watch.is_steady(begun, now) {
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
    fn what_nodes_said_before_they_served_may_be_old() {
        let begun = Instant::now();
        let watch = Watch { said: leading([0, 0, 0]), since: begun };
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(!watch.is_steady(at(60), at(60)));
        assert!(watch.is_steady(at(60), at(61)));
        assert!(!watch.is_steady(at(1), at(2)));
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
