//! What a person may do to invocations: to which, in which words, and what the server's replies mean for it.

use crate::restate::admin::{Reply, Verb};
use crate::restate::queue::State;

/// Something to do to invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Cancel,
    Kill,
    Retry,
    Purge,
}

/// What became of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Became {
    /// The server did it.
    Done,
    /// The server will do it.
    Accepted,
    /// It had ended, or was gone, before.
    Over,
    /// It was told to end, and did.
    Ended,
    /// It was told to end, and does when the call that a service is at has its answer.
    Left,
    /// The server did not do it, in its words.
    Refused(String),
}

impl Action {
    /// The command's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cancel | Self::Kill => "cancel",
            Self::Retry => "retry",
            Self::Purge => "purge",
        }
    }

    /// What is done, as a question begins.
    pub(super) fn imperative(self) -> &'static str {
        match self {
            Self::Cancel => "Cancel",
            Self::Kill => "Kill",
            Self::Retry => "Retry",
            Self::Purge => "Purge",
        }
    }

    /// What was done.
    pub(super) fn participle(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Kill => "killed",
            Self::Retry => "retried",
            Self::Purge => "purged",
        }
    }

    pub(super) fn verb(self) -> Verb {
        match self {
            Self::Cancel => Verb::Cancel,
            Self::Kill => Verb::Kill,
            Self::Retry => Verb::Resume,
            Self::Purge => Verb::Purge,
        }
    }

    /// Whether there is something to do in this state.
    pub(super) fn fits(self, state: State) -> bool {
        let ended = matches!(state, State::Succeeded | State::Failed);
        match self {
            Self::Cancel | Self::Kill => !ended,
            // The server takes `resume` of what runs, too, and nothing comes of it.
            Self::Retry => matches!(state, State::Retrying | State::Paused),
            Self::Purge => ended,
        }
    }

    /// The states it is for, in words.
    pub(super) fn states(self) -> String {
        let fitting = State::ALL.into_iter().filter(|state| self.fits(*state));
        fitting.map(State::name).collect::<Vec<_>>().join(", ")
    }

    /// States that are meant where none is named. An answer that succeeded was paid for, and is forgotten only on demand.
    pub(super) fn default_states(self) -> Vec<State> {
        let fitting = State::ALL.into_iter().filter(|state| self.fits(*state));
        fitting.filter(|state| self != Self::Purge || *state != State::Succeeded).collect()
    }

    /// What else helps those it is not for. Restate keeps no input of what has ended, so that cannot begin again: a
    /// workflow never, our calls because their journal goes with their end.
    pub(super) fn hint(self) -> Option<&'static str> {
        (self == Self::Retry)
            .then_some("what has ended cannot be tried again; rows that failed can: `classify runs retry`")
    }

    /// What the server's reply means.
    pub(super) fn judge(self, reply: Reply) -> Became {
        match (self, reply) {
            (_, Reply::Done) => Became::Done,
            (_, Reply::Accepted) => Became::Accepted,
            (Self::Cancel | Self::Kill, Reply::NotNow(_))
            | (Self::Cancel | Self::Kill | Self::Purge, Reply::Unknown) => Became::Over,
            (Self::Retry, Reply::Unknown) => Became::Refused("it is not there any more".into()),
            (Self::Retry | Self::Purge, Reply::NotNow(message)) => Became::Refused(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paid_answers_are_forgotten_only_on_demand() {
        assert_eq!(Action::Purge.default_states(), [State::Failed]);
        assert_eq!(Action::Purge.states(), "succeeded, failed");
        assert_eq!(Action::Retry.default_states(), [State::Retrying, State::Paused]);
        assert_eq!(Action::Kill.states(), "waiting, running, suspended, retrying, paused");
    }

    #[test]
    fn only_what_cannot_have_the_wanted_end_is_refused() {
        let not_now = || Reply::NotNow("is not yet completed".into());
        assert_eq!(Action::Cancel.judge(not_now()), Became::Over);
        assert_eq!(Action::Purge.judge(Reply::Unknown), Became::Over);
        assert_eq!(Action::Purge.judge(not_now()), Became::Refused("is not yet completed".into()));
        assert!(matches!(Action::Retry.judge(Reply::Unknown), Became::Refused(_)));
        assert_eq!(Action::Retry.judge(Reply::Accepted), Became::Accepted);
    }
}
