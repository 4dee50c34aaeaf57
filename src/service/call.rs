//! A call of a model between those who want its answer and the provider: whether it is wanted, and whether it has left.
//!
//! A call that nobody wants any more does not leave. One that has left is waited for, with the requests that repeat it: its answer is paid for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::watch;

/// Who wants the answer of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Wish {
    /// An attempt of its invocation.
    #[default]
    Wanted,
    /// Nobody: the attempt was cut off. Another one may come, unless the invocation was killed.
    Aside,
    /// Nobody any more.
    Cancelled,
    /// Nobody here: the process ends.
    Elsewhere,
}

/// One call.
#[derive(Debug, Default)]
pub(super) struct Call {
    wish: watch::Sender<Wish>,
    left: AtomicBool,
    ends_here: AtomicBool,
}

impl Call {
    /// No other process can make it: that this one has begun is in the journal.
    pub(super) fn must_end_here(&self) {
        self.ends_here.store(true, Ordering::Relaxed);
    }

    /// The process ends: what has to end here does so, without being asked.
    pub(super) fn give_back(&self) {
        if self.ends_here.load(Ordering::Relaxed) {
            self.wish(Wish::Elsewhere);
        }
    }

    /// Says who wants it. What is over stays so.
    pub(super) fn wish(&self, wish: Wish) {
        self.wish.send_if_modified(|now| {
            let changes = *now != wish && !matches!(*now, Wish::Cancelled | Wish::Elsewhere);
            if changes {
                *now = wish;
            }
            changes
        });
    }

    pub(super) fn is_cancelled(&self) -> bool {
        *self.wish.borrow() == Wish::Cancelled
    }

    /// Whether nobody will want it here any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(*self.wish.borrow(), Wish::Cancelled | Wish::Elsewhere)
    }

    fn is_wanted(&self) -> bool {
        *self.wish.borrow() == Wish::Wanted
    }

    /// Whether a request of it is at the provider, or was served.
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    async fn until(&self, wanted: impl Fn(Wish) -> bool) {
        let mut wish = self.wish.subscribe();
        // The sender is ours and cannot be gone. What is lent must not live across the next wait.
        drop(wish.wait_for(|wish| wanted(*wish)).await);
    }
}

tokio::task_local! {
    static DEPARTURE: Arc<Departure>;
}

/// Calls that leave together, in one request.
#[derive(Debug)]
pub(super) struct Departure {
    calls: Vec<Arc<Call>>,
    /// Requests that are at the provider.
    under_way: AtomicUsize,
    /// One of them was served.
    served: AtomicBool,
}

impl Departure {
    pub(super) fn of(calls: Vec<Arc<Call>>) -> Arc<Self> {
        Arc::new(Self { calls, under_way: AtomicUsize::new(0), served: AtomicBool::new(false) })
    }

    /// That of the task that asks, which is for the limiter to know.
    pub(super) fn current() -> Option<Arc<Self>> {
        DEPARTURE.try_with(Arc::clone).ok()
    }

    /// What `asking` comes to; `None` where nobody wanted it and nothing had left.
    pub(super) async fn unless_unwanted<F: Future>(self: &Arc<Self>, asking: F) -> Option<F::Output> {
        let mut asking = pin!(DEPARTURE.scope(Arc::clone(self), asking));
        let mut unwanted = pin!(self.unwanted());
        // Looked at before, for what is not wanted must not leave; and after, for what was under way may have ended without an answer.
        poll_fn(|cx| {
            if unwanted.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(asked) = asking.as_mut().poll(cx) {
                return Poll::Ready(Some(asked));
            }
            unwanted.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// A request leaves.
    pub(super) fn leaves(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.tell(true);
    }

    /// It was served.
    pub(super) fn is_served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// It ended.
    pub(super) fn is_back(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.tell(self.has_left());
    }

    /// Whether a request is at the provider, or was served: what comes after that belongs to what is paid for.
    pub(super) fn has_left(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0 || self.served.load(Ordering::Relaxed)
    }

    fn tell(&self, left: bool) {
        for call in &self.calls {
            call.left.store(left, Ordering::Relaxed);
        }
    }

    fn is_wanted(&self) -> bool {
        self.calls.iter().any(|call| call.is_wanted())
    }

    /// Resolves when nobody wants any of the calls, and nothing is under way.
    async fn unwanted(&self) {
        loop {
            for call in &self.calls {
                call.until(|wish| wish != Wish::Wanted).await;
            }
            // What is under way is asked for by the same task, which looks here whenever something happens to it.
            poll_fn(|_| if self.is_wanted() || !self.has_left() { Poll::Ready(()) } else { Poll::Pending })
                .await;
            if !self.is_wanted() {
                return;
            }
        }
    }

    /// Resolves when somebody wants one of the calls again, or it was cancelled.
    pub(super) async fn changed(&self) {
        let waiting = self.calls.iter().map(|call| Box::pin(call.until(|wish| wish != Wish::Aside)));
        futures_util::future::select_all(waiting).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn group(size: usize) -> (Vec<Arc<Call>>, Arc<Departure>) {
        let calls: Vec<Arc<Call>> = (0..size).map(|_| Arc::default()).collect();
        (calls.clone(), Departure::of(calls))
    }

    /// Waits a second for its turn, is a second at the provider, and ends as `served` says.
    async fn ask(served: bool) {
        sleep(Duration::from_secs(1)).await;
        let departure = Departure::current().unwrap();
        departure.leaves();
        sleep(Duration::from_secs(1)).await;
        if served {
            departure.is_served();
        }
        departure.is_back();
        // To be asked again.
        sleep(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wants_does_not_leave_and_what_has_left_ends() {
        for (cancelled_after, served, ended_after) in [
            // Before it leaves: at once.
            (500, true, Err(500)),
            // At the provider: it ends with its answer, and whatever has to be asked about that.
            (1_500, true, Ok(3_000)),
            // At the provider, which refused it: it is not repeated.
            (1_500, false, Err(2_000)),
            (2_500, false, Err(2_500)),
        ] {
            let (calls, departure) = group(1);
            let begun = Instant::now();
            tokio::spawn(async move {
                sleep(Duration::from_millis(cancelled_after)).await;
                calls[0].wish(Wish::Cancelled);
            });
            let asked = departure.unless_unwanted(ask(served)).await.is_some();
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
            let took = if asked { Ok(took) } else { Err(took) };
            assert_eq!(took, ended_after, "cancelled after {cancelled_after} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_leaves_as_long_as_somebody_wants_it() {
        let (calls, departure) = group(2);
        calls[0].wish(Wish::Cancelled);
        assert!(departure.unless_unwanted(ask(true)).await.is_some());
        assert!(calls.iter().all(|call| call.has_left()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_put_aside_is_wanted_again_and_a_cancelled_one_never() {
        let (calls, departure) = group(2);
        for call in &calls {
            call.wish(Wish::Aside);
        }
        assert!(departure.unless_unwanted(ask(true)).await.is_none());
        let back = Arc::clone(&calls[1]);
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            back.wish(Wish::Wanted);
        });
        let begun = Instant::now();
        departure.changed().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        assert!(departure.unless_unwanted(ask(true)).await.is_some());
        calls[0].wish(Wish::Cancelled);
        calls[0].wish(Wish::Wanted);
        assert!(calls[0].is_cancelled() && calls[0].is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_other_process_can_make_is_given_back() {
        let (calls, departure) = group(2);
        calls[0].must_end_here();
        for call in &calls {
            call.give_back();
        }
        assert_eq!([calls[0].is_over(), calls[1].is_over()], [true, false]);
        calls[1].wish(Wish::Aside);
        assert!(departure.unless_unwanted(ask(true)).await.is_none());
        assert!(!calls[0].is_cancelled(), "nobody has cancelled it");
    }
}
