//! Changes of many invocations: said to one node after the other, some at a time, until all are done or a person has enough.

use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::action::Action;
use super::tally::Tally;
use crate::commands::signals;
use crate::error::Result;
use crate::restate::Error;
use crate::restate::admin::{Admin, Reply};
use crate::restate::id::InvocationId;
use crate::restate::queue::Invocation;
use crate::shutdown::{Level, Shutdown};

/// Requests under way at a time.
const AT_ONCE: usize = 32;
/// Patience with one node and one invocation. Takes milliseconds when all is well.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is said to the nodes, until none answers or a person has enough of it.
pub(super) struct Orders<'a> {
    nodes: &'a [Admin],
    /// The node that answered last.
    first: AtomicUsize,
    halt: AtomicBool,
    pub(super) stop: Shutdown,
}

impl<'a> Orders<'a> {
    /// None yet, to `nodes`; a person may stop them.
    pub(super) fn to(nodes: &'a [Admin]) -> Result<Self> {
        Ok(Self { nodes, first: AtomicUsize::new(0), halt: AtomicBool::new(false), stop: signals::listen()? })
    }

    pub(super) fn nodes(&self) -> &'a [Admin] {
        self.nodes
    }

    /// Whether nothing more is said.
    pub(super) fn are_over(&self) -> bool {
        self.halt.load(Ordering::Relaxed) || self.stop.level() > Level::Run
    }

    /// Does `action` to each of `group`, and tells `tally` what came of it.
    pub(super) async fn give<'i>(
        &self,
        action: Action,
        group: impl IntoIterator<Item = &'i Invocation>,
        tally: &mut Tally,
    ) {
        let done = |tally: &mut Tally, id: &InvocationId, reply| tally.add(id, action.judge(reply));
        self.each(action, group, tally, done).await;
    }

    /// Tells each of `group` to end. What comes of that is seen later.
    pub(super) async fn tell_to_end<'i>(
        &self,
        group: impl IntoIterator<Item = &'i Invocation>,
        tally: &mut Tally,
    ) {
        self.each(Action::Cancel, group, tally, |_, _, _| {}).await;
    }

    async fn each<'i>(
        &self,
        action: Action,
        group: impl IntoIterator<Item = &'i Invocation>,
        tally: &mut Tally,
        mut done: impl FnMut(&mut Tally, &InvocationId, Reply),
    ) {
        let mut replies = stream::iter(group)
            .take_while(|_| ready(!self.are_over()))
            .map(async |one: &Invocation| (&one.id, change(self.nodes, &self.first, action, &one.id).await))
            .buffer_unordered(AT_ONCE);
        loop {
            let reply = tokio::select! {
                reply = replies.next() => reply,
                // What is under way may be done all the same, and is not claimed.
                () = self.stop.at_least(Level::Stop) => None,
            };
            match reply {
                Some((id, Ok(reply))) => done(tally, id, reply),
                Some((_, Err(error))) => {
                    // What no node answers for one, none will for the next.
                    self.halt.store(true, Ordering::Relaxed);
                    tally.no_answer(error.to_string());
                }
                None => return,
            }
        }
    }
}

/// Asks one node after the other, beginning with the one that answered last, until one answers.
async fn change(
    nodes: &[Admin],
    first: &AtomicUsize,
    action: Action,
    id: &InvocationId,
) -> std::result::Result<Reply, Error> {
    let begin = first.load(Ordering::Relaxed);
    let mut tried = 0;
    loop {
        let at = (begin + tried) % nodes.len();
        match nodes[at].change(id, action.verb(), CHANGE_TIMEOUT).await {
            Ok(reply) => {
                first.store(at, Ordering::Relaxed);
                return Ok(reply);
            }
            Err(error) => {
                tried += 1;
                if tried >= nodes.len() {
                    return Err(error);
                }
            }
        }
    }
}
