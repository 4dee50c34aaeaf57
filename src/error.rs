//! The one error a user sees: what failed, where, what to type next, and the exit code that goes with it.
//!
//! Owns the table of exit codes and the shape of a failure. Does not print (that is `ui`) and knows no
//! particular failure: each module turns its own errors into this one, next to where they are defined.

use std::fmt;

/// How the program ends. The numbers are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: all classified, or the command did what it was asked to.
    Success,
    /// 1: a bug, or the operating system failed us.
    Unexpected,
    /// 2: usage, configuration or input error.
    Usage,
    /// 3: finished, and some indicators failed.
    SomeFailed,
    /// 4: cluster or service not reachable, or quorum lost.
    Unreachable,
    /// 130: interrupted by the user.
    Interrupted,
    /// 141: whoever read stdout went away before the end, as a shell says it of a process that SIGPIPE ended.
    ReaderGone,
}

impl ExitStatus {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::SomeFailed => 3,
            Self::Unreachable => 4,
            Self::Interrupted => 130,
            Self::ReaderGone => 141,
        }
    }
}

/// An error with its details, its hints and the exit status it leads to.
#[derive(Debug)]
pub struct Failure {
    status: ExitStatus,
    message: String,
    details: Vec<String>,
    hints: Vec<String>,
}

/// Result of everything a command does.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with this status. `message` is lower case, without a full stop, and names what failed and where.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), details: Vec::new(), hints: Vec::new() }
    }

    /// Usage, configuration or input error: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    /// Cluster or service not reachable: exit code 4.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Unreachable, message)
    }

    /// A bug or a failing machine: exit code 1.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Unexpected, message)
    }

    /// Adds an indented line below the message.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Adds what to type next.
    #[must_use]
    pub fn hint(mut self, line: impl Into<String>) -> Self {
        self.hints.push(line.into());
        self
    }

    /// The exit status it leads to.
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// What failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Lines that belong below the message.
    pub fn details(&self) -> &[String] {
        &self.details
    }

    /// What to type next.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::unexpected(format!("{error:#}"))
    }
}
