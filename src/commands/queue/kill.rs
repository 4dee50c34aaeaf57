//! `classify queue cancel --kill`: ends what does not react, and pays for nothing twice.
//!
//! Restate kills the calls of a batch with it, wherever they are, and the answer of a call that was at a model's provider is lost. So what a
//! service is at is told to end: what has not left for a provider ends by that, what has left ends with its answer. The rest is killed.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::action::{Action, Became};
use super::orders::Orders;
use super::tally::Tally;
use super::{TIMEOUT, any};
use crate::error::Result;
use crate::restate::id::InvocationId;
use crate::restate::names::{BATCH_WORKFLOW, CLASSIFIER};
use crate::restate::queue::{Invocation, Selection, State, at_work};

/// How long a service may take to end what it is told to end. It takes milliseconds where it lives.
const REACTS: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// Kills what of `found` nobody is at, and tells the rest to end.
pub(super) async fn kill(orders: &Orders<'_>, found: &[Invocation], tally: &mut Tally) -> Result<()> {
    let of = |service: &'static str| found.iter().filter(move |one| one.service == service);
    let batches: Vec<&Invocation> = of(BATCH_WORKFLOW).collect();
    let calls: Vec<&Invocation> = of(CLASSIFIER).collect();
    let others = found.iter().filter(|one| ![BATCH_WORKFLOW, CLASSIFIER].contains(&one.service.as_str()));
    orders.give(Action::Kill, others, tally).await;

    let reacts = |one: &&&Invocation| matches!(one.state, State::Running | State::Suspended);
    let told: Vec<&Invocation> = batches.iter().filter(reacts).chain(&calls).copied().collect();
    orders.tell_to_end(told.iter().copied(), tally).await;
    let told: HashSet<&InvocationId> = told.iter().map(|one| &one.id).collect();

    let deadline = Instant::now() + REACTS;
    let (open, busy) = loop {
        let open = open(orders, BATCH_WORKFLOW).await?;
        let busy = any(orders.nodes(), async |node| at_work(node, TIMEOUT).await).await?;
        let reacted = |one: &&Invocation| {
            !told.contains(&one.id) || busy.contains(&one.id) || !open.iter().any(|left| left.id == one.id)
        };
        if batches.iter().all(reacted) || Instant::now() >= deadline || orders.are_over() {
            break (ids(&open), busy);
        }
        sleep(PAUSE).await;
    };
    let (mut killed, mut late) = (Vec::new(), Vec::new());
    for one in batches {
        match (open.contains(&one.id), busy.contains(&one.id)) {
            (false, _) => tally.add(&one.id, Became::Ended),
            (true, true) if told.contains(&one.id) => tally.add(&one.id, Became::Left),
            (true, true) => late.push(one),
            (true, false) => killed.push(one),
        }
    }
    orders.tell_to_end(late.iter().copied(), tally).await;
    for one in late {
        tally.add(&one.id, Became::Left);
    }
    orders.give(Action::Kill, killed, tally).await;

    // A call of a batch that goes on would be asked for again.
    let alive = ids(&self::open(orders, BATCH_WORKFLOW).await?);
    let open = self::open(orders, CLASSIFIER).await?;
    let mut killed = Vec::new();
    for one in calls {
        match open.iter().find(|left| left.id == one.id) {
            None => tally.add(&one.id, Became::Ended),
            Some(left) if left.state == State::Running => tally.add(&one.id, Became::Left),
            Some(left) if left.invoked_by.as_ref().is_some_and(|batch| alive.contains(batch)) => {
                tally.add(&one.id, Became::Left);
            }
            Some(_) => killed.push(one),
        }
    }
    orders.give(Action::Kill, killed, tally).await;
    Ok(())
}

fn ids(invocations: &[Invocation]) -> HashSet<InvocationId> {
    invocations.iter().map(|one| one.id.clone()).collect()
}

/// What of `service` has not ended.
async fn open(orders: &Orders<'_>, service: &'static str) -> Result<Vec<Invocation>> {
    let states = Action::Kill.default_states();
    let selection = Selection { service: Some(service), states: Some(states), ..Selection::default() };
    any(orders.nodes(), async |node| selection.fetch(node, None, TIMEOUT).await).await
}
