//! What each command does to a run in each of its states. Pure; `docs/runs.md` has the same as a table, and a test compares them.

use crate::domain::detached::{Phase, Progress};
use crate::error::{ExitStatus, Failure, Result};
use crate::ledger::{Past, Standing};

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// A process of this machine is at it.
    Running(u32),
    /// Nobody is, and it is not complete.
    Interrupted,
    /// Complete; results and failures are in their places.
    Finished,
    /// Given up, and nothing of it is to be collected.
    Cancelled,
    /// Another run has its files.
    TakenOver(String),
    /// It was to be handed over to the cluster, which has not all of it: it has not begun.
    NotHandedOver,
    /// The cluster has it; how it stands there was not asked.
    Detached,
    /// The cluster submits it.
    Going,
    /// It waits in the cluster until somebody lets it go on.
    Paused,
    /// As that, for a reason.
    Halted(String),
    /// All of it is done in the cluster, and nothing is collected.
    Over,
    /// Given up, and what was classified is to be collected.
    GivenUp,
}

/// What somebody wants of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Attach,
    Pause,
    Resume,
    Cancel,
    Retry,
    Report,
    Delete,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The command does that.
    Does(&'static str),
    /// It does nothing, and names what to do instead.
    Refuses(Next),
}

/// What to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    Attach,
    Resume,
    Cancel,
    Report,
    ShowOther,
    RetryOther,
    Again,
}

impl State {
    /// How a run of the ledger stands, as far as that can say: who is at it, what its journal says, and whether it was meant for the cluster.
    pub(super) fn listed(holder: Option<u32>, past: &Past, detached: bool) -> Self {
        if let Some(pid) = holder {
            return Self::Running(pid);
        }
        match &past.standing {
            Standing::Finished => Self::Finished,
            Standing::Superseded(by) => Self::TakenOver(by.clone()),
            Standing::Cancelled { collected: false } if detached => Self::GivenUp,
            Standing::Cancelled { .. } => Self::Cancelled,
            Standing::Open | Standing::Sealed(_) if !detached => Self::Interrupted,
            Standing::Open | Standing::Sealed(_) if past.handed_over == Some(false) => Self::NotHandedOver,
            Standing::Open | Standing::Sealed(_) => Self::Detached,
        }
    }

    /// How a run stands that the cluster has.
    pub(super) fn in_cluster(progress: &Progress) -> Self {
        match (progress.phase, &progress.halted) {
            (Phase::Cancelled, _) => Self::GivenUp,
            _ if progress.is_over() => Self::Over,
            (Phase::Running, _) => Self::Going,
            (Phase::Paused, Some(reason)) => Self::Halted(reason.clone()),
            (Phase::Paused, None) => Self::Paused,
        }
    }

    /// Whether the cluster has to be asked to know more.
    pub(super) fn is_of_cluster(&self) -> bool {
        matches!(self, Self::Detached | Self::NotHandedOver)
    }

    /// What `command` does to a run that stands like this.
    pub(super) fn answer(&self, command: Command) -> Answer {
        self.answers()[command as usize]
    }

    /// What each command does, in the order of [`Command`]: a row of the table.
    fn answers(&self) -> [Answer; 7] {
        use Answer::{Does, Refuses};
        use Next::{Again, Attach, Cancel, Report, Resume, RetryOther, ShowOther, Wait};
        let (report, deletes, gives_up) =
            (Does("tells what is on disk"), Does("deletes it"), Does("gives it up"));
        let (same, goes_on) = (Does("leaves it so"), Does("goes on with it"));
        let (tells, shows) = (Does("tells its report again"), Does("shows it, and collects at its end"));
        let collects = Does("collects what was classified");
        let (wait, again) = (Refuses(Wait), Refuses(Again));
        let (attach, resume, cancel) = (Refuses(Attach), Refuses(Resume), Refuses(Cancel));
        let (finished, other, retry_other) = (Refuses(Report), Refuses(ShowOther), Refuses(RetryOther));
        match self {
            Self::Running(_) => [wait, wait, wait, wait, wait, report, wait],
            Self::Interrupted => [resume, resume, goes_on, gives_up, resume, report, deletes],
            Self::Finished => {
                [tells, finished, tells, finished, Does("asks again about failed rows"), report, deletes]
            }
            Self::Cancelled => [tells, again, again, same, again, report, deletes],
            Self::TakenOver(_) => [other, other, other, other, retry_other, report, deletes],
            Self::NotHandedOver => [resume, resume, Does("hands it over"), gives_up, resume, report, cancel],
            Self::Detached | Self::Going => {
                [shows, Does("lets it wait"), Does("takes new limits"), gives_up, attach, report, cancel]
            }
            Self::Paused => [shows, same, goes_on, gives_up, attach, report, cancel],
            Self::Halted(_) => [resume, same, goes_on, gives_up, attach, report, cancel],
            Self::Over => [collects, attach, same, attach, attach, report, deletes],
            Self::GivenUp => [collects, attach, attach, same, attach, report, deletes],
        }
    }

    /// Lets `command` pass where it does something to the run `id`.
    pub(super) fn allow(&self, command: Command, id: &str) -> Result<()> {
        match self.answer(command) {
            Answer::Does(_) => Ok(()),
            Answer::Refuses(next) => Err(self.refusal(next, id)),
        }
    }

    /// Why nothing is done to the run `id`, and what to do instead.
    fn refusal(&self, next: Next, id: &str) -> Failure {
        let failure = match self {
            Self::Halted(reason) if next == Next::Resume => {
                Failure::new(ExitStatus::SomeFailed, format!("the run {id} has halted: {reason}"))
            }
            Self::TakenOver(by) if next == Next::RetryOther => {
                Failure::usage(format!("the run {id} was retried already, by {by}"))
            }
            _ => Failure::usage(self.said(id)),
        };
        let failure = failure.hint(self.hint(next, id));
        match self {
            Self::NotHandedOver if next == Next::Resume => {
                failure.hint(format!("give it up: `classify runs cancel {id}`"))
            }
            Self::GivenUp => failure.hint(format!("for the rest: {AGAIN}")),
            _ => failure,
        }
    }

    fn said(&self, id: &str) -> String {
        match self {
            Self::Running(pid) => format!("another `classify` (pid {pid}) is at the run {id}"),
            Self::Interrupted => format!("nobody is at the run {id}, and it is not finished"),
            Self::Finished => format!("the run {id} is finished"),
            Self::Cancelled | Self::GivenUp => format!("the run {id} was cancelled"),
            Self::TakenOver(by) => format!("the files of the run {id} belong to the run {by} now"),
            Self::NotHandedOver => format!("the run {id} was not handed over to its end: it has not begun"),
            Self::Detached | Self::Going | Self::Paused => format!("the cluster is at the run {id}"),
            Self::Halted(reason) => format!("the cluster is at the run {id}, which has halted: {reason}"),
            Self::Over => format!("the run {id} is over"),
        }
    }

    fn hint(&self, next: Next, id: &str) -> String {
        let other = if let Self::TakenOver(by) = self { by } else { id };
        match (next, self) {
            (Next::Wait, _) => "wait for it, or end it with Ctrl-C; what it has done is kept".into(),
            (Next::Attach, Self::GivenUp) => {
                format!("collect what was classified: `classify runs attach {id}`")
            }
            (Next::Attach, Self::Over) => format!("collect its results: `classify runs attach {id}`"),
            (Next::Attach, _) => format!("see it to its end first: `classify runs attach {id}`"),
            (Next::Resume, Self::NotHandedOver) => format!("hand it over again: `classify runs resume {id}`"),
            (Next::Resume, Self::Halted(_)) => {
                format!(
                    "when that is put right: `classify runs resume {id}`; `--max-cost` and `--max-failures` may be given anew"
                )
            }
            (Next::Resume, _) => format!("go on with it: `classify runs resume {id}`"),
            (Next::Cancel, _) => format!("give it up first: `classify runs cancel {id}`"),
            (Next::Report, _) => format!("see what became of it: `classify runs report {id}`"),
            (Next::ShowOther, _) => format!("see it: `classify runs show {other}`"),
            (Next::RetryOther, _) => format!("retry that one: `classify runs retry {other}`"),
            (Next::Again, _) => AGAIN.into(),
        }
    }
}

/// What is always possible.
pub(super) const AGAIN: &str =
    "run the command again: rows that are classified already are not paid for twice";

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: [(&str, Command); 7] = [
        ("attach", Command::Attach),
        ("pause", Command::Pause),
        ("resume", Command::Resume),
        ("cancel", Command::Cancel),
        ("retry", Command::Retry),
        ("report", Command::Report),
        ("delete", Command::Delete),
    ];

    fn states() -> [(&'static str, State); 11] {
        [
            ("running", State::Running(7)),
            ("interrupted", State::Interrupted),
            ("finished", State::Finished),
            ("cancelled", State::Cancelled),
            ("taken over", State::TakenOver("01B".into())),
            ("not handed over", State::NotHandedOver),
            ("detached, going", State::Going),
            ("detached, paused", State::Paused),
            ("detached, halted", State::Halted("the key".into())),
            ("detached, over", State::Over),
            ("detached, cancelled", State::GivenUp),
        ]
    }

    fn cell(answer: &Answer) -> String {
        match answer {
            Answer::Does(what) => (*what).to_owned(),
            Answer::Refuses(next) => {
                let next = match next {
                    Next::Wait => "wait",
                    Next::Attach => "`attach`",
                    Next::Resume => "`resume`",
                    Next::Cancel => "`cancel`",
                    Next::Report => "`report`",
                    Next::ShowOther => "`show` of the other",
                    Next::RetryOther => "`retry` of the other",
                    Next::Again => "the command again",
                };
                format!("→ {next}")
            }
        }
    }

    #[test]
    fn the_table_in_the_docs_is_what_the_commands_do() {
        let docs = include_str!("../../../docs/runs.md");
        let rows: Vec<Vec<&str>> = docs
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
            .map(|line| line.split(" | ").map(str::trim).collect())
            .filter(|cells: &Vec<&str>| cells.len() == COMMANDS.len() + 1)
            .collect();
        let head: Vec<&str> = rows[0][1..].to_vec();
        assert_eq!(head, COMMANDS.map(|(name, _)| format!("`{name}`")));
        let expected = states().map(|(name, state)| {
            let cells = COMMANDS.map(|(_, command)| cell(&state.answer(command)));
            [&[name.to_owned()][..], &cells].concat()
        });
        assert_eq!(rows[1..], expected, "docs/runs.md");
    }

    /// What a refusal names does something to the run, or leads on: nobody is sent round and round.
    #[test]
    fn every_refusal_leads_to_something_that_is_done() {
        for (name, state) in states() {
            for (typed, command) in COMMANDS {
                let mut next = command;
                let mut steps = 0;
                while let Answer::Refuses(way) = state.answer(next) {
                    steps += 1;
                    assert!(steps <= 2, "{name}: {typed} leads to nothing");
                    next = match way {
                        Next::Attach => Command::Attach,
                        Next::Resume => Command::Resume,
                        Next::Cancel => Command::Cancel,
                        // Or another run, another command, or later.
                        Next::Report | Next::Wait | Next::Again | Next::ShowOther | Next::RetryOther => {
                            Command::Report
                        }
                    };
                }
            }
        }
    }

    #[test]
    fn the_failure_names_the_next_command() {
        let failure = State::Halted("the key".into()).allow(Command::Attach, "01A").unwrap_err();
        assert_eq!(failure.message(), "the run 01A has halted: the key");
        assert!(failure.hints()[0].starts_with("when that is put right: `classify runs resume 01A`;"));
        let failure = State::TakenOver("01B".into()).allow(Command::Retry, "01A").unwrap_err();
        assert_eq!(failure.hints(), ["retry that one: `classify runs retry 01B`"]);
        let failure = State::NotHandedOver.allow(Command::Pause, "01A").unwrap_err();
        assert!(failure.hints()[0].contains("runs resume 01A") && failure.hints()[1].contains("runs cancel"));
    }
}
