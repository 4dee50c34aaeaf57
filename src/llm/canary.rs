//! Notices that a provider takes nothing from us at all, where no single answer says so: the first calls that ended were
//! all refused with the same status.

use std::sync::{Mutex, PoisonError};

/// Refusals in a row, from the first call on, that are no accident.
const ENOUGH: u32 = 10;

/// The first calls to one model.
#[derive(Debug, Default)]
pub(super) struct Canary(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// Nothing has ended yet.
    #[default]
    Untried,
    /// All that has ended was refused with this status, so often.
    Refused(u16, u32),
    /// A call was answered, or refused in another way.
    Lives,
}

impl Canary {
    /// A call was answered.
    pub(super) fn lives(&self) {
        self.set(|_| State::Lives);
    }

    /// A call was refused with this status; true where every other will be.
    pub(super) fn dies(&self, status: u16) -> bool {
        let state = self.set(|state| match state {
            State::Untried => State::Refused(status, 1),
            State::Refused(same, times) if same == status => State::Refused(status, times.saturating_add(1)),
            State::Refused(..) | State::Lives => State::Lives,
        });
        matches!(state, State::Refused(_, times) if times >= ENOUGH)
    }

    fn set(&self, change: impl FnOnce(State) -> State) -> State {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = change(*state);
        *state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_of_the_first_ten_calls_stops_the_run() {
        let canary = Canary::default();
        for _ in 1..ENOUGH {
            assert!(!canary.dies(400));
        }
        assert!(canary.dies(400) && canary.dies(400));
    }

    #[test]
    fn one_answer_is_enough_to_go_on() {
        let canary = Canary::default();
        assert!(!canary.dies(400));
        canary.lives();
        assert!((0..50).all(|_| !canary.dies(400)));
        let canary = Canary::default();
        assert!(!canary.dies(400) && !canary.dies(422));
        assert!((0..50).all(|_| !canary.dies(422)), "they differ: each has its own reason");
    }
}
