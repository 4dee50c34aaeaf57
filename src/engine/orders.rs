//! Orders to a detached run, from any machine that reaches the cluster: each is carried out once, or withdrawn, or told apart.
//!
//! Owns nothing: the run lives in the cluster. An order that gets no answer would otherwise be carried out whenever there is somebody
//! to carry it out, which may be in a week.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use ulid::Ulid;

use super::attach::{explain, show, silence};
use super::pool::{Verdict, verdict};
use crate::domain::detached::{Plan, Progress};
use crate::error::{Failure, Result};
use crate::restate::Error;
use crate::restate::admin::{Admin, Reply, Verb};
use crate::restate::ingress::{Ingress, Output};
pub use crate::restate::names::Order;

/// Patience with one node.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long an order is given, through one node after the other. With what finding out why takes, the user knows within 15 s.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pause after all nodes have failed.
const PAUSE: Duration = Duration::from_millis(250);
/// Patience with a node that is asked what became of an order.
const LOOK: Duration = Duration::from_secs(1);
/// Patience with a node that gives a run up: it has thousands of pages to forget at most, and forgets them later.
const GIVING_UP: Duration = Duration::from_secs(5);

/// What became of an order that nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It will never be carried out.
    Withdrawn,
    /// The cluster has it, and has it carried out when it can.
    Stands,
    /// It may have been carried out, or may never have arrived.
    Unknown,
}

/// Orders something of a run that was just seen, through any node. `admins` can withdraw what nobody carries out.
///
/// # Errors
/// When the run is not one for which that makes sense, or nobody answers: then the failure says what became of the order.
pub async fn order(nodes: &[Ingress], admins: &[Admin], run_id: &str, order: Order) -> Result<Progress> {
    // One order, however many nodes it is sent through.
    let key = Ulid::generate().to_string();
    match send(nodes, run_id, order, &key).await {
        Ok(progress) => return Ok(progress),
        Err(error) if verdict(&error) == Verdict::Hopeless => return Err(explain(&error, run_id)),
        Err(error) => tracing::debug!(run_id, %error, "no answer to an order"),
    }
    let fate = withdraw(nodes, admins, run_id, order, &key).await;
    if fate == Fate::Unknown
        && let Ok(progress) = show(&nodes[0], run_id).await
        && order.is_done(&progress)
    {
        return Ok(progress);
    }
    let why = silence(nodes, run_id).await;
    Err(tell(why, fate, run_id, order))
}

/// Gives up a run that never began: the cluster forgets what it has of it.
///
/// # Errors
/// When no node answers. It may have been given up all the same, and nothing can begin it.
pub async fn give_up(nodes: &[Ingress], run_id: &str, plan: &Plan) -> Result<Progress> {
    let give_up = async |node: &Ingress| node.give_up_run(run_id, plan, GIVING_UP).await;
    match super::turns::on_any(nodes, 0, Duration::ZERO, give_up).await {
        Ok(progress) => Ok(progress),
        Err(error) if verdict(&error) == Verdict::Hopeless => Err(explain(&error, run_id)),
        Err(_) => {
            let said =
                "the order to give it up may be carried out all the same; saying it again does no harm";
            Err(silence(nodes, run_id).await.detail(said))
        }
    }
}

async fn send(
    nodes: &[Ingress],
    run_id: &str,
    order: Order,
    key: &str,
) -> std::result::Result<Progress, Error> {
    let begun = Instant::now();
    let mut attempt = 0;
    loop {
        let node = &nodes[attempt % nodes.len()];
        attempt += 1;
        match node.order_run(run_id, order, key, TIMEOUT).await {
            Err(error) if verdict(&error) == Verdict::OtherNode => {
                if begun.elapsed() >= PATIENCE {
                    return Err(error);
                }
                if attempt % nodes.len() == 0 {
                    sleep(PAUSE).await;
                }
            }
            answer => return answer,
        }
    }
}

/// Sees to it that the order is not carried out behind its user's back.
async fn withdraw(nodes: &[Ingress], admins: &[Admin], run_id: &str, order: Order, key: &str) -> Fate {
    for node in nodes {
        let Ok(id) = node.order_id(run_id, order, key, LOOK).await else { continue };
        for admin in admins {
            match admin.change(&id, Verb::Kill, LOOK).await {
                Ok(Reply::Done | Reply::Accepted) => return Fate::Withdrawn,
                // It ended just now, or never arrived.
                Ok(Reply::Unknown | Reply::NotNow(_)) => return Fate::Unknown,
                Err(error) => tracing::debug!(%error, "an order cannot be withdrawn here"),
            }
        }
        match node.output(&id.to_string(), LOOK).await {
            Ok(Output::Pending) => return Fate::Stands,
            Ok(_) => return Fate::Unknown,
            Err(_) => {}
        }
    }
    Fate::Unknown
}

/// The failure `why`, with what became of the order.
fn tell(why: Failure, fate: Fate, run_id: &str, order: Order) -> Failure {
    let order = order.handler();
    let said = match fate {
        Fate::Withdrawn => format!("the order to {order} was withdrawn: the run {run_id} is as it was"),
        Fate::Stands => {
            format!("the order to {order} stands: the cluster carries it out as soon as it can")
        }
        Fate::Unknown => format!("whether the order to {order} arrived is not known"),
    };
    let look = format!("how the run stands then: `classify runs attach {run_id}`");
    if fate == Fate::Withdrawn { why.detail(said) } else { why.detail(said).hint(look) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_an_order_is_told() {
        let told = |fate| tell(Failure::unreachable("no service"), fate, "R", Order::Pause);
        for (fate, said, hints) in [
            (Fate::Withdrawn, "the order to pause was withdrawn: the run R is as it was", 0),
            (Fate::Stands, "the order to pause stands: the cluster carries it out as soon as it can", 1),
            (Fate::Unknown, "whether the order to pause arrived is not known", 1),
        ] {
            let failure = told(fate);
            assert_eq!((failure.details(), failure.hints().len()), (&[said.to_owned()][..], hints));
        }
    }
}
