//! What can be wrong with a taxonomy file, said so that its author can find the place.
//!
//! Owns the error of this module and its translation for a user. Decides nothing about what is right: that is
//! `validate` and the parts that compile patterns.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::Failure;

/// Why a taxonomy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read taxonomy {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The text is not TOML, or not the TOML of a taxonomy.
    #[error("{origin}{}: {message}", at(*line))]
    Syntax {
        /// File, or `taxonomy` where the text came from no file.
        origin: String,
        /// Line, counted from 1, where known.
        line: Option<usize>,
        /// What is wrong, in the parser's words.
        message: String,
    },
    /// The text is a taxonomy that contradicts itself.
    #[error("{origin}{}: {place}: {problem}", at(*line))]
    Invalid {
        /// File, or `taxonomy` where the text came from no file.
        origin: String,
        /// Line of the part, counted from 1, where known.
        line: Option<usize>,
        /// The part: a field, a rule, a lookup.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn at(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(":{line}"))
}

impl Error {
    /// An error of the parser, with the line its span begins in.
    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_of(text, &span));
        Self::Syntax { origin: UNNAMED.into(), line, message: error.message().into() }
    }

    /// A contradiction in `place`.
    pub(super) fn invalid(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { origin: UNNAMED.into(), line: None, place: place.into(), problem: problem.into() }
    }

    /// Adds the line a part begins in; one that is known already was nearer to the fault and stays.
    pub(super) fn on_line(mut self, text: &str, span: &Range<usize>) -> Self {
        if let Self::Invalid { line: line @ None, .. } = &mut self {
            *line = Some(line_of(text, span));
        }
        self
    }

    /// Names the file the text came from.
    pub(super) fn in_file(mut self, path: &Path) -> Self {
        if let Self::Syntax { origin, .. } | Self::Invalid { origin, .. } = &mut self {
            *origin = path.display().to_string();
        }
        self
    }
}

const UNNAMED: &str = "taxonomy";

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|&&byte| byte == b'\n').count() + 1
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::usage(error.to_string());
        match &error {
            Error::Read { source, .. } => failure
                .detail(source.to_string())
                .hint("check the path given with --taxonomy, or leave the option out to use the built-in `economic`"),
            Error::Syntax { .. } | Error::Invalid { .. } => failure
                .hint("correct the file; the header of the built-in taxonomy describes every key a file may have"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExitStatus;

    #[test]
    fn a_failure_is_a_usage_error_with_place_and_hint() {
        let error = Error::invalid("rule `x`", "no such field `y`").in_file(Path::new("shop.toml"));
        let failure = Failure::from(error);
        assert_eq!(failure.status(), ExitStatus::Usage);
        assert_eq!(failure.message(), "shop.toml: rule `x`: no such field `y`");
        assert_eq!(failure.hints().len(), 1);
    }

    #[test]
    fn the_nearest_line_wins() {
        let text = "a\nb\nc\n";
        let error = Error::invalid("p", "q").on_line(text, &(2..3)).on_line(text, &(0..1));
        assert_eq!(error.to_string(), "taxonomy:2: p: q");
    }
}
