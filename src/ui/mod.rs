//! The only place that writes to the terminal. stdout carries data, everything else goes to stderr.
//!
//! Owns streams, quietness and how a failure looks. Decides nothing about what is worth saying.

pub mod attached;
pub mod context;
pub mod log;
pub mod progress;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};

use self::context::in_context;
use crate::error::Failure;
use crate::text::{printable, printable_lines};

/// Handle to the user's terminal.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    quiet: bool,
    stderr_is_terminal: bool,
}

impl Ui {
    /// A handle on the process's own streams. `quiet` drops notes; warnings and failures stay.
    pub fn new(quiet: bool) -> Self {
        let stderr_is_terminal = io::stderr().is_terminal() && is_capable();
        Self { quiet, stderr_is_terminal }
    }

    /// Whether a person watches stderr: progress bars and questions make sense.
    pub fn is_interactive(&self) -> bool {
        self.stderr_is_terminal && !self.quiet
    }

    /// Whether notes are dropped.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Writes data somebody may pipe, followed by a line break. A terminal gets no control characters of it.
    ///
    /// # Errors
    /// When stdout is closed or full. A reader that went away is the caller's to judge.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let text = if stdout.is_terminal() { Cow::Owned(printable_lines(text)) } else { Cow::Borrowed(text) };
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

/// Whether the terminal can do more than show one line after the other: otherwise it is as good as none.
pub fn is_capable() -> bool {
    can_redraw(std::env::var_os("TERM").as_deref())
}

fn can_redraw(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Writes one line to stderr, which has no control characters whatever it was made of. A closed stderr leaves nobody to tell.
fn say(line: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{}", printable_lines(&in_context(line)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_name_or_capabilities_gets_lines() {
        for (term, capable) in
            [(None, false), (Some(""), false), (Some("dumb"), false), (Some("xterm"), true)]
        {
            assert_eq!(can_redraw(term.map(OsStr::new)), capable, "{term:?}");
        }
    }
}
