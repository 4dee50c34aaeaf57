//! Calls of models that are under way or have just ended, by invocation.
//!
//! Restate starts an invocation anew when its partition gets another leader: when a node dies, and again when it is back. The
//! attempt before is cut off, its call of the model is not: the new attempt joins it. And a leader may be one no more without knowing
//! it yet: it starts invocations that its successor has brought to their end meanwhile, so an outcome outlives the moment in which it
//! is safe in a journal. What is left to make a call be paid for twice is this process's own end, and a leader that lags behind 10,000 outcomes.
//!
//! A call whose attempt is gone was killed, or will be joined soon: it does not leave for the provider meanwhile. One whose invocation is
//! cancelled does not leave at all.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restate_sdk::errors::HandlerError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{self, Wish};
use crate::domain::outcome::Outcome;

/// An outcome that nobody came for is kept this long. Its invocation was cancelled or went to another process; otherwise it
/// is started anew within seconds once there is a quorum.
const KEPT: Duration = Duration::from_hours(1);
/// An attempt that was cut off is followed by the next one within this: Restate's longest pause is 5 s. Who stops waits no longer for it.
const RETURNS: Duration = Duration::from_secs(6);
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
    state: Arc<call::Call>,
    outcome: watch::Receiver<Option<Outcome>>,
    since: Instant,
    journaled: bool,
    /// Attempts that wait for it.
    attempts: usize,
    /// When the last of them was cut off.
    alone_since: Instant,
}

/// An attempt that waits for a call.
struct Attempt<'a> {
    ongoing: &'a Ongoing,
    invocation: &'a str,
    state: Arc<call::Call>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut calls = self.ongoing.lock();
        if let Some(call) = calls.by_invocation.get_mut(self.invocation) {
            call.attempts -= 1;
            if call.attempts == 0 {
                call.alone_since = Instant::now();
                call.state.wish(Wish::Aside);
            }
        }
    }
}

impl Ongoing {
    /// The outcome of the call that `begin` makes, or of the one that an earlier attempt of `invocation` has made. What has not left when
    /// `cancelled` comes does not leave.
    ///
    /// # Errors
    /// What `begin` said, and when the call broke off. Both are for Restate to retry.
    pub(super) async fn outcome<C>(
        &self,
        invocation: &str,
        cancelled: &CancellationToken,
        begin: impl FnOnce(Arc<call::Call>) -> Result<C, HandlerError>,
    ) -> Result<Outcome, HandlerError>
    where
        C: Future<Output = Outcome> + Send + 'static,
    {
        let attempt = self.join(invocation, begin)?;
        let mut outcome = attempt.outcome.clone();
        let ended =
            async { outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone()) };
        let mut ended = pin!(ended);
        let known = tokio::select! {
            biased;
            known = &mut ended => known,
            () = cancelled.cancelled() => {
                attempt.state.wish(Wish::Cancelled);
                ended.await
            }
        };
        drop(attempt);
        known.ok_or_else(|| {
            self.lock().by_invocation.remove(invocation);
            io::Error::other("the call of the model broke off").into()
        })
    }

    fn join<'a, C>(
        &'a self,
        invocation: &'a str,
        begin: impl FnOnce(Arc<call::Call>) -> Result<C, HandlerError>,
    ) -> Result<Attempt<'a>, HandlerError>
    where
        C: Future<Output = Outcome> + Send + 'static,
    {
        let mut calls = self.lock();
        if let Some(call) = calls.by_invocation.get_mut(invocation) {
            call.attempts += 1;
            call.state.wish(Wish::Wanted);
            let (state, outcome) = (Arc::clone(&call.state), call.outcome.clone());
            return Ok(Attempt { ongoing: self, invocation, state, outcome });
        }
        let state: Arc<call::Call> = Arc::default();
        let call = begin(Arc::clone(&state))?;
        let (tell, outcome) = watch::channel(None);
        // A task of its own: it outlives the attempt.
        tokio::spawn(async move { tell.send_replace(Some(call.await)) });
        let since = Instant::now();
        calls.sweep(since);
        let call = Call {
            state: Arc::clone(&state),
            outcome: outcome.clone(),
            since,
            journaled: false,
            attempts: 1,
            alone_since: since,
        };
        calls.by_invocation.insert(invocation.to_owned(), call);
        Ok(Attempt { ongoing: self, invocation, state, outcome })
    }

    /// Whether an earlier attempt of `invocation` has begun here.
    pub(super) fn knows(&self, invocation: &str) -> bool {
        self.lock().by_invocation.contains_key(invocation)
    }

    /// The process ends: see [`call::Call::give_back`].
    pub(super) fn give_back(&self) {
        for call in self.lock().by_invocation.values() {
            call.state.give_back();
        }
    }

    /// How many attempts wait for calls that have not left; `None` as long as a call is at the provider, or an answer on its way into a journal.
    pub(super) fn at_rest(&self) -> Option<usize> {
        let now = Instant::now();
        self.lock().by_invocation.values().filter(|call| !call.journaled).try_fold(0, |waiting, call| {
            let waits = call.outcome.borrow().is_none() && !call.state.has_left();
            if waits {
                return Some(waiting + call.attempts);
            }
            let is_left = call.attempts == 0 && now - call.alone_since >= RETURNS;
            is_left.then_some(waiting)
        })
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
                if call.journaled || now - call.since < KEPT {
                    return true;
                }
                if call.outcome.borrow().is_some() {
                    return false;
                }
                // Nobody came for an hour: it was killed, or goes on in another process.
                let is_left = call.attempts == 0 && now - call.alone_since >= KEPT;
                if is_left {
                    call.state.wish(Wish::Cancelled);
                }
                !is_left
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;
    use crate::domain::outcome::{Failed, FailureClass};

    /// A call that takes a second and is counted.
    fn call(made: &Arc<AtomicUsize>) -> impl FnOnce(Arc<call::Call>) -> Result<Answer, HandlerError> {
        let made = Arc::clone(made);
        move |_| {
            let number = made.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Box::pin(async move {
                sleep(Duration::from_secs(1)).await;
                Outcome::Failed(Failed::new(FailureClass::Provider, number.to_string(), 1, ""))
            }))
        }
    }

    async fn asked(
        ongoing: &Ongoing,
        invocation: &str,
        begin: impl FnOnce(Arc<call::Call>) -> Result<Answer, HandlerError>,
    ) -> Result<Outcome, HandlerError> {
        ongoing.outcome(invocation, &CancellationToken::new(), begin).await
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
        let cut_off = asked(&ongoing, "inv_1", call(&made));
        assert!(tokio::time::timeout(Duration::from_millis(500), cut_off).await.is_err());
        let (second, third, other) = tokio::join!(
            asked(&ongoing, "inv_1", call(&made)),
            asked(&ongoing, "inv_1", call(&made)),
            asked(&ongoing, "inv_2", call(&made)),
        );
        assert_eq!([number(second), number(third), number(other)], ["1", "1", "2"]);
        // Answered, and cut off before that was in the journal.
        assert_eq!(number(asked(&ongoing, "inv_1", call(&made)).await), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_of_a_leader_that_is_none_any_more_asks_nobody() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        assert_eq!(number(asked(&ongoing, "inv_1", call(&made)).await), "1");
        for _ in 0..2 {
            ongoing.journaled("inv_1");
            assert_eq!(number(asked(&ongoing, "inv_1", call(&made)).await), "1");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_what_is_in_a_journal_only_the_latest_is_kept() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        for number in 0..=JOURNALED {
            let invocation = format!("inv_{number}");
            asked(&ongoing, &invocation, call(&made)).await.unwrap();
            ongoing.journaled(&invocation);
        }
        let calls = ongoing.lock();
        assert_eq!((calls.by_invocation.len(), calls.journaled.len()), (JOURNALED, JOURNALED));
        assert!(!calls.by_invocation.contains_key("inv_0"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_begin_or_breaks_off_is_begun_again() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        let refused = |_| -> Result<Answer, HandlerError> { Err(io::Error::other("no audit log").into()) };
        assert!(asked(&ongoing, "inv_1", refused).await.is_err());
        let broken = |_| -> Result<Answer, HandlerError> { Ok(Box::pin(async { panic!("of this test") })) };
        assert!(asked(&ongoing, "inv_1", broken).await.is_err());
        assert_eq!(number(asked(&ongoing, "inv_1", call(&made)).await), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_nobody_comes_for_is_not_kept_for_ever() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        asked(&ongoing, "inv_1", call(&made)).await.unwrap();
        advance(KEPT).await;
        asked(&ongoing, "inv_2", call(&made)).await.unwrap();
        assert_eq!(ongoing.lock().by_invocation.keys().collect::<Vec<_>>(), ["inv_2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waits_for_what_has_left_and_for_nothing_else() {
        let (ongoing, made) = (Ongoing::default(), Arc::default());
        let state: Arc<Mutex<Arc<call::Call>>> = Arc::default();
        let kept = Arc::clone(&state);
        let begin = call(&made);
        let keep = move |call: Arc<call::Call>| {
            *kept.lock().unwrap() = Arc::clone(&call);
            begin(call)
        };
        assert_eq!(ongoing.at_rest(), Some(0));
        {
            let mut waits = Box::pin(asked(&ongoing, "inv_1", keep));
            assert!(tokio::time::timeout(Duration::from_millis(1), &mut waits).await.is_err());
            assert_eq!(ongoing.at_rest(), Some(1), "it has not left");
            let departure = call::Departure::of(vec![Arc::clone(&state.lock().unwrap())]);
            departure.leaves();
            assert_eq!(ongoing.at_rest(), None, "it is at the provider");
            departure.is_back();
            waits.await.unwrap();
        }
        assert_eq!(ongoing.at_rest(), None, "its answer is on its way into the journal");
        ongoing.journaled("inv_1");
        assert_eq!(ongoing.at_rest(), Some(0));
        asked(&ongoing, "inv_2", call(&made)).await.unwrap();
        assert_eq!(ongoing.at_rest(), None);
        advance(RETURNS).await;
        assert_eq!(ongoing.at_rest(), Some(0), "nobody comes for it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_wanted_while_an_attempt_waits_and_not_once_it_is_cancelled() {
        let ongoing = Ongoing::default();
        let until_cancelled = |call: Arc<call::Call>| -> Result<Answer, HandlerError> {
            Ok(Box::pin(async move {
                let departure = call::Departure::of(vec![Arc::clone(&call)]);
                while departure.unless_unwanted(std::future::pending::<()>()).await.is_none() {
                    if call.is_cancelled() {
                        break;
                    }
                    departure.changed().await;
                }
                Outcome::Failed(Failed::new(FailureClass::Cancelled, "cancelled", 0, ""))
            }))
        };
        let patience = Duration::from_secs(1);
        for _ in 0..2 {
            let cut_off = asked(&ongoing, "inv_1", until_cancelled);
            assert!(tokio::time::timeout(patience, cut_off).await.is_err());
        }
        let cancelled = CancellationToken::new();
        let (outcome, ()) = tokio::join!(ongoing.outcome("inv_1", &cancelled, until_cancelled), async {
            sleep(patience).await;
            cancelled.cancel();
        });
        assert_eq!(number(outcome), "cancelled");
    }
}
