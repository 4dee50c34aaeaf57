//! Calls of models that are under way or have just ended, by invocation.
//!
//! Restate starts an invocation anew when its partition gets another leader: when a node dies, and again when it is back. The
//! attempt before is cut off, its call of the model is not: the new attempt joins it. And a leader may be one no more without knowing
//! it yet: it starts invocations that its successor has brought to their end meanwhile, so an outcome outlives the moment in which it
//! is safe in a journal. What is left to make a call be paid for twice is this process's own end, and a leader that lags behind 10,000 outcomes.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restate_sdk::errors::HandlerError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::outcome::Outcome;

/// An outcome that nobody came for is kept this long. Its invocation was cancelled or went to another process; otherwise it
/// is started anew within seconds once there is a quorum.
const KEPT: Duration = Duration::from_hours(1);
/// How often those are looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// So many outcomes are kept after they came into a journal, about 1 kB each: those of two minutes at 5,000 a minute.
const JOURNALED: usize = 10_000;

/// What is under way in this process.
#[derive(Debug, Default)]
pub(super) struct Ongoing {
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    by_invocation: HashMap<String, Call>,
    /// Invocations whose outcome is in a journal, in that order.
    journaled: VecDeque<String>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Call {
    outcome: watch::Receiver<Option<Outcome>>,
    since: Instant,
    journaled: bool,
}

impl Ongoing {
    /// The outcome of the call that `begin` makes, or of the one that an earlier attempt of `invocation` has made.
    ///
    /// # Errors
    /// What `begin` said, and when the call broke off. Both are for Restate to retry.
    pub(super) async fn outcome<C>(
        &self,
        invocation: &str,
        begin: impl FnOnce() -> Result<C, HandlerError>,
    ) -> Result<Outcome, HandlerError>
    where
        C: Future<Output = Outcome> + Send + 'static,
    {
        let mut outcome = self.join(invocation, begin)?;
        let known = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        known.ok_or_else(|| {
            self.lock().by_invocation.remove(invocation);
            io::Error::other("the call of the model broke off").into()
        })
    }

    fn join<C>(
        &self,
        invocation: &str,
        begin: impl FnOnce() -> Result<C, HandlerError>,
    ) -> Result<watch::Receiver<Option<Outcome>>, HandlerError>
    where
        C: Future<Output = Outcome> + Send + 'static,
    {
        let mut calls = self.lock();
        if let Some(call) = calls.by_invocation.get(invocation) {
            return Ok(call.outcome.clone());
        }
        let call = begin()?;
        let (tell, outcome) = watch::channel(None);
        // A task of its own: it outlives the attempt.
        tokio::spawn(async move { tell.send_replace(Some(call.await)) });
        let since = Instant::now();
        calls.sweep(since);
        let call = Call { outcome: outcome.clone(), since, journaled: false };
        calls.by_invocation.insert(invocation.to_owned(), call);
        Ok(outcome)
    }

    /// The outcome is in the journal: only an attempt of a leader that is none any more can still ask for it.
    pub(super) fn journaled(&self, invocation: &str) {
        self.lock().journaled(invocation);
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn journaled(&mut self, invocation: &str) {
        let Some(call) = self.by_invocation.get_mut(invocation) else { return };
        if std::mem::replace(&mut call.journaled, true) {
            return;
        }
        self.journaled.push_back(invocation.to_owned());
        if self.journaled.len() > JOURNALED
            && let Some(oldest) = self.journaled.pop_front()
        {
            self.by_invocation.remove(&oldest);
        }
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now - swept >= SWEEP_EVERY) {
            self.swept = Some(now);
            self.by_invocation.retain(|_, call| {
                call.journaled || call.outcome.borrow().is_none() || now - call.since < KEPT
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;
    use crate::domain::outcome::{Failed, FailureClass};

    /// A call that takes a second and is counted.
    fn call(made: &Arc<AtomicUsize>) -> impl FnOnce() -> Result<Answer, HandlerError> {
        let made = Arc::clone(made);
        move || {
            let number = made.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Box::pin(async move {
                sleep(Duration::from_secs(1)).await;
                Outcome::Failed(Failed::new(FailureClass::Provider, number.to_string(), 1, ""))
            }))
        }
    }

    type Answer = std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn number(outcome: Result<Outcome, HandlerError>) -> String {
        match outcome.unwrap() {
            Outcome::Failed(failed) => failed.message,
            Outcome::Classified(_) => panic!("not what was answered"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_started_anew_joins_the_call_of_the_one_that_was_cut_off() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        let cut_off = ongoing.outcome("inv_1", call(&made));
        assert!(tokio::time::timeout(Duration::from_millis(500), cut_off).await.is_err());
        let (second, third, other) = tokio::join!(
            ongoing.outcome("inv_1", call(&made)),
            ongoing.outcome("inv_1", call(&made)),
            ongoing.outcome("inv_2", call(&made)),
        );
        assert_eq!([number(second), number(third), number(other)], ["1", "1", "2"]);
        // Answered, and cut off before that was in the journal.
        assert_eq!(number(ongoing.outcome("inv_1", call(&made)).await), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_of_a_leader_that_is_none_any_more_asks_nobody() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        assert_eq!(number(ongoing.outcome("inv_1", call(&made)).await), "1");
        for _ in 0..2 {
            ongoing.journaled("inv_1");
            assert_eq!(number(ongoing.outcome("inv_1", call(&made)).await), "1");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_what_is_in_a_journal_only_the_latest_is_kept() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        for number in 0..=JOURNALED {
            let invocation = format!("inv_{number}");
            ongoing.outcome(&invocation, call(&made)).await.unwrap();
            ongoing.journaled(&invocation);
        }
        let calls = ongoing.lock();
        assert_eq!((calls.by_invocation.len(), calls.journaled.len()), (JOURNALED, JOURNALED));
        assert!(!calls.by_invocation.contains_key("inv_0"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_begin_or_breaks_off_is_begun_again() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        let refused = || -> Result<Answer, HandlerError> { Err(io::Error::other("no audit log").into()) };
        assert!(ongoing.outcome("inv_1", refused).await.is_err());
        let broken = || -> Result<Answer, HandlerError> { Ok(Box::pin(async { panic!("of this test") })) };
        assert!(ongoing.outcome("inv_1", broken).await.is_err());
        assert_eq!(number(ongoing.outcome("inv_1", call(&made)).await), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_nobody_comes_for_is_not_kept_for_ever() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        ongoing.outcome("inv_1", call(&made)).await.unwrap();
        advance(KEPT).await;
        ongoing.outcome("inv_2", call(&made)).await.unwrap();
        assert_eq!(ongoing.lock().by_invocation.keys().collect::<Vec<_>>(), ["inv_2"]);
    }
}
