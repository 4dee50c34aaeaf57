//! A file that cannot be read on: where it broke and why. Becomes a [`Failure`] once the file's name is known.
//! Rows that are merely bad are not broken, see `row`.

use std::io;

use thiserror::Error;

use super::text::NotUtf8;
use crate::error::Failure;

/// Why a file cannot be read any further.
#[derive(Debug, Error)]
pub(super) enum Broken {
    /// Reading failed, or the bytes are no text ([`NotUtf8`] inside).
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The text is not what its format promises.
    #[error("{message}")]
    Content {
        /// Physical line and column, both from 1; the column where it helps.
        place: Option<(u64, Option<u64>)>,
        /// What is wrong.
        message: String,
        /// Lines below the message.
        details: Vec<String>,
        /// What to do about it.
        hints: Vec<String>,
    },
}

impl Broken {
    /// The file as a whole is wrong.
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self::Content { place: None, message: message.into(), details: Vec::new(), hints: Vec::new() }
    }

    /// One line is wrong, so that nothing after it can be trusted.
    pub(super) fn line(line: u64, message: impl Into<String>) -> Self {
        Self::whole(message).place(line, None)
    }

    /// As [`Self::line`], with the column.
    pub(super) fn at((line, column): (u64, u64), message: impl Into<String>) -> Self {
        Self::whole(message).place(line, Some(column))
    }

    fn place(mut self, line: u64, column: Option<u64>) -> Self {
        if let Self::Content { place, .. } = &mut self {
            *place = Some((line, column));
        }
        self
    }

    /// Adds a line below the message.
    pub(super) fn detail(mut self, line: impl Into<String>) -> Self {
        if let Self::Content { details, .. } = &mut self {
            details.push(line.into());
        }
        self
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, line: impl Into<String>) -> Self {
        if let Self::Content { hints, .. } = &mut self {
            hints.push(line.into());
        }
        self
    }

    /// Whether the content is to blame, rather than the disk.
    pub(super) fn is_content(&self) -> bool {
        match self {
            Self::Content { .. } => true,
            Self::Io(error) => not_utf8(error).is_some(),
        }
    }

    /// What the user is told.
    pub(super) fn into_failure(self, label: &str) -> Failure {
        match self {
            Self::Io(error) => match not_utf8(&error) {
                Some(bad) => {
                    let failure = Failure::usage(format!("{label}:{}: {bad}", bad.line));
                    failure.hint(bad.hint())
                }
                None => Failure::usage(format!("cannot read {label}: {error}")),
            },
            Self::Content { place, message, details, hints } => {
                let place = match place {
                    None => String::new(),
                    Some((line, None)) => format!("{line}:"),
                    Some((line, Some(column))) => format!("{line}:{column}:"),
                };
                let failure = Failure::usage(format!("{label}:{place} {message}"));
                let failure = details.into_iter().fold(failure, Failure::detail);
                hints.into_iter().fold(failure, Failure::hint)
            }
        }
    }
}

fn not_utf8(error: &io::Error) -> Option<&NotUtf8> {
    error.get_ref()?.downcast_ref()
}
