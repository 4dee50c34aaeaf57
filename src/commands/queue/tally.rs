//! What became of the invocations that something was done to. Says no more than the server answered.

use super::action::{Action, Became};
use crate::error::{ExitStatus, Failure};
use crate::restate::id::InvocationId;
use crate::text::{count, grouped};

/// Refusals told one by one.
const SHOWN: usize = 5;

/// Counts of one action.
#[derive(Debug)]
pub(super) struct Tally {
    action: Action,
    asked_for: u64,
    done: u64,
    accepted: u64,
    over: u64,
    ended: u64,
    left: u64,
    refused: Vec<(InvocationId, String)>,
    /// Why the first one without an answer has none.
    silence: Option<String>,
    interrupted: bool,
}

impl Tally {
    pub(super) fn new(action: Action, asked_for: u64) -> Self {
        let (done, accepted, over, ended, left) = (0, 0, 0, 0, 0);
        Self {
            action,
            asked_for,
            done,
            accepted,
            over,
            ended,
            left,
            refused: Vec::new(),
            silence: None,
            interrupted: false,
        }
    }

    pub(super) fn action(&self) -> Action {
        self.action
    }

    pub(super) fn add(&mut self, id: &InvocationId, became: Became) {
        match became {
            Became::Done => self.done += 1,
            Became::Accepted => self.accepted += 1,
            Became::Over => self.over += 1,
            Became::Ended => self.ended += 1,
            Became::Left => self.left += 1,
            Became::Refused(why) => self.refused.push((id.clone(), why)),
        }
    }

    pub(super) fn no_answer(&mut self, why: String) {
        self.silence.get_or_insert(why);
    }

    pub(super) fn interrupted(&mut self) {
        self.interrupted = true;
    }

    fn unanswered(&self) -> u64 {
        let known = self.done + self.accepted + self.over + self.ended + self.left;
        self.asked_for - known - self.refused.len() as u64
    }

    /// All of it in one line.
    pub(super) fn summary(&self) -> String {
        let accepted = match self.action {
            Action::Cancel => {
                "told to end: what is at a model's provider ends with its answer, the rest when the service reads it"
            }
            _ => "accepted, and not done yet",
        };
        let over = if self.action == Action::Purge { "gone before" } else { "ended before" };
        let parts = [
            (self.done, self.action.participle()),
            (self.accepted, accepted),
            (self.over, over),
            (self.ended, "ended when told to"),
            (self.left, "left to end with an answer that a model is giving, which is kept"),
            (self.refused.len() as u64, "refused"),
            (self.unanswered(), "without an answer"),
        ];
        let mut parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let Some((number, words)) = parts.next() else {
            return format!("nothing to {}: no invocation fits", self.action.name());
        };
        parts.fold(format!("{} {words}", count(number, "invocation")), |line, (number, words)| {
            format!("{line}; {} {words}", grouped(number))
        })
    }

    /// What a script must know, if not all was done.
    pub(super) fn failure(&self) -> Option<Failure> {
        let (action, unanswered) = (self.action, self.unanswered());
        if unanswered > 0 {
            let status = if self.interrupted { ExitStatus::Interrupted } else { ExitStatus::Unreachable };
            let what = if self.interrupted { "interrupted; " } else { "" };
            let all = count(self.asked_for, "invocation");
            let message = format!("{what}no node told what became of {} of {all}", grouped(unanswered));
            let failure = Failure::new(status, message)
                .hint(format!("see `classify cluster status`; to {} again does no harm", action.name()));
            return Some(self.silence.iter().fold(failure, |failure, why| failure.detail(why.as_str())));
        }
        if self.refused.is_empty() {
            return None;
        }
        let refused = count(self.refused.len() as u64, "invocation");
        let message = format!("{refused} could not be {}", action.participle());
        let shown = self.refused.iter().take(SHOWN);
        let mut failure = shown.fold(Failure::new(ExitStatus::SomeFailed, message), |failure, (id, why)| {
            failure.detail(format!("{id}: {why}"))
        });
        if self.refused.len() > SHOWN {
            failure = failure.detail(format!("and {} more", self.refused.len() - SHOWN));
        }
        Some(action.hint().into_iter().fold(failure, Failure::hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(action: Action, asked_for: u64, all: &[Became]) -> Tally {
        let mut tally = Tally::new(action, asked_for);
        for (index, became) in all.iter().enumerate() {
            tally.add(&format!("inv_{index}").parse().unwrap(), became.clone());
        }
        tally
    }

    #[test]
    fn nothing_is_claimed_that_was_not_answered() {
        let mut silent = tally(Action::Cancel, 5, &[Became::Done, Became::Accepted, Became::Over]);
        silent.no_answer("http://a: connection refused".into());
        silent.no_answer("http://b: connection refused".into());
        assert_eq!(
            silent.summary(),
            "1 invocation cancelled; 1 told to end: what is at a model's provider ends with its answer, the rest \
             when the service reads it; 1 ended before; 2 without an answer"
        );
        let failure = silent.failure().unwrap();
        assert_eq!(failure.status(), ExitStatus::Unreachable);
        assert_eq!(failure.message(), "no node told what became of 2 of 5 invocations");
        assert_eq!(failure.details(), ["http://a: connection refused"]);
        silent.interrupted();
        assert_eq!(silent.failure().unwrap().status(), ExitStatus::Interrupted);
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let running = Became::Refused("it is running".into());
        let refused = tally(Action::Purge, 8, &[&[Became::Done][..], &vec![running; 7]].concat());
        assert_eq!(refused.summary(), "1 invocation purged; 7 refused");
        let failure = refused.failure().unwrap();
        assert_eq!(failure.status(), ExitStatus::SomeFailed);
        assert_eq!((failure.details().len(), failure.details()[5].as_str()), (6, "and 2 more"));
        let over = tally(Action::Purge, 1, &[Became::Over]);
        assert!(over.failure().is_none());
        assert_eq!(over.summary(), "1 invocation gone before");
        assert_eq!(tally(Action::Kill, 0, &[]).summary(), "nothing to cancel: no invocation fits");
        let killed =
            tally(Action::Kill, 6, &[vec![Became::Done; 3], vec![Became::Ended, Became::Left]].concat());
        assert_eq!(
            killed.summary(),
            "3 invocations killed; 1 ended when told to; 1 left to end with an answer that a model is giving, \
             which is kept; 1 without an answer"
        );
    }
}
