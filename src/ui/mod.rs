//! The only place that writes to the terminal. stdout carries data, everything else goes to stderr.
//!
//! Owns streams, quietness and how a failure looks. Decides nothing about what is worth saying.

pub mod attached;
pub mod log;
pub mod progress;

use std::io::{self, IsTerminal, Write};

use crate::error::Failure;
use crate::text::printable;

/// Handle to the user's terminal.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    quiet: bool,
    stderr_is_terminal: bool,
}

impl Ui {
    /// A handle on the process's own streams. `quiet` drops notes; warnings and failures stay.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, stderr_is_terminal: io::stderr().is_terminal() }
    }

    /// Whether a person watches stderr: progress bars and questions make sense.
    pub fn is_interactive(&self) -> bool {
        self.stderr_is_terminal && !self.quiet
    }

    /// Whether notes are dropped.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Writes data somebody may pipe, followed by a line break.
    ///
    /// # Errors
    /// When stdout is closed or full. A reader that went away is the caller's to judge.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }

    /// Says something useful to a person watching.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }

    /// Says that something is not as it should be, and that we go on.
    pub fn warn(&self, line: &str) {
        say(&format!("warning: {}", printable(line)));
    }

    /// Shows a failure: what, details, hints.
    pub fn failure(&self, failure: &Failure) {
        say(&format!("error: {}", printable(failure.message())));
        for line in failure.details() {
            say(&format!("  {}", printable(line)));
        }
        for line in failure.hints() {
            say(&format!("hint: {}", printable(line)));
        }
    }
}

/// Writes one line to stderr. A closed stderr leaves nobody to tell.
fn say(line: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{line}");
}
