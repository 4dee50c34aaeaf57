//! The search for patterns: every pattern on one text in one pass over it.
//!
//! Owns how patterns are read and run. Does not know which rule a pattern belongs to.
//!
//! Texts come here in lower case and without accents; patterns work on bytes, where `\b` and `\w` are those of
//! ASCII. A Unicode `\b` would send every text with a letter beyond ASCII to an engine a hundred times slower.

use std::error::Error as _;

use regex::bytes::{RegexSet, RegexSetBuilder, SetMatches};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, BuildError, Compiler, WhichCaptures};
use regex_automata::util::syntax;

use super::text::{Case, Column, assemble, fold_pattern};
use crate::domain::indicator::Indicator;

/// Patterns searched in one pass. The states of an automaton multiply with its patterns: all of them in one would
/// be rebuilt all the time (measured on 159 patterns and real names: 88 µs a row, against 3 µs in parts).
const PATTERNS_A_PASS: usize = 32;

/// Largest compiled pattern; what the `regex` crate allows all patterns of a pass together.
const PATTERN_BYTES: usize = 10 << 20;

/// States of one automaton are kept up to this size, per thread.
const AUTOMATON_BYTES: usize = 8 << 20;

/// Columns read as one text, and the patterns searched in it.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) columns: Vec<Column>,
    pub(super) patterns: Vec<String>,
}

/// Judges one pattern alone, which gives a better message than the set does. It is not made ready to search: with all that
/// makes a search fast that takes ten times as long, and is done once, for the set.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let nfa = Compiler::new()
        .syntax(syntax::Config::new().unicode(false).utf8(false).case_insensitive(true))
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(WhichCaptures::None)
                .nfa_size_limit(Some(PATTERN_BYTES)),
        )
        .build(&fold_pattern(pattern))
        .map_err(|error| explained(&error))?;
    let matcher = PikeVM::new_from_nfa(nfa).map_err(|error| explained(&error))?;
    if matcher.is_match(&mut matcher.create_cache(), "") {
        return Err(format!("`{pattern}` matches every text"));
    }
    Ok(())
}

fn explained(error: &BuildError) -> String {
    if let Some(limit) = error.size_limit() {
        return format!("the compiled pattern exceeds the size limit of {limit} bytes");
    }
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if text.contains("Unicode not allowed") {
        return format!("{text}\nletters beyond ASCII cannot stand in [ ]; write (?:€|£) instead");
    }
    text
}

/// All texts with their patterns compiled.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    texts: Vec<(Vec<Column>, Vec<RegexSet>)>,
}

impl Scanner {
    pub(super) fn new(texts: &[Text]) -> Result<Self, String> {
        let compile = |patterns: &[String]| {
            RegexSetBuilder::new(patterns.iter().map(|pattern| fold_pattern(pattern)))
                .unicode(false)
                .case_insensitive(true)
                .dfa_size_limit(AUTOMATON_BYTES)
                .build()
                .map_err(|error| error.to_string())
        };
        let compile = |text: &Text| {
            let passes = text.patterns.chunks(PATTERNS_A_PASS).map(compile);
            Ok((text.columns.clone(), passes.collect::<Result<_, String>>()?))
        };
        Ok(Self { texts: texts.iter().map(compile).collect::<Result<_, String>>()? })
    }

    /// A view of one row. Nothing is searched before it is asked for.
    pub(super) fn row<'a>(&'a self, row: &'a Indicator) -> Scan<'a> {
        Scan { scanner: self, row, results: self.texts.iter().map(|_| Seen::Unread).collect() }
    }
}

/// One row, and what was found in it so far.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    scanner: &'a Scanner,
    row: &'a Indicator,
    results: Vec<Seen>,
}

#[derive(Debug)]
enum Seen {
    Unread,
    Absent,
    Found(Vec<SetMatches>),
}

impl Scan<'_> {
    /// Whether this pattern occurs in this text; a text that is absent contains nothing.
    pub(super) fn has(&mut self, text: usize, pattern: usize) -> bool {
        if matches!(self.results[text], Seen::Unread) {
            let (columns, passes) = &self.scanner.texts[text];
            self.results[text] = assemble(columns, self.row, Case::Lower).map_or(Seen::Absent, |content| {
                Seen::Found(passes.iter().map(|pass| pass.matches(content.as_bytes())).collect())
            });
        }
        match &self.results[text] {
            Seen::Found(found) => found[pattern / PATTERNS_A_PASS].matched(pattern % PATTERNS_A_PASS),
            Seen::Unread | Seen::Absent => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_ignore_case_and_accents() {
        let columns = vec![Column::find("name", &[]).unwrap()];
        let patterns = vec![r"\bíndice\b".to_owned(), "短観".to_owned(), r"\bgdp\b".to_owned()];
        let scanner = Scanner::new(&[Text { columns, patterns }]).unwrap();
        let found = |name: &str| {
            let row = Indicator { name: name.into(), ..Indicator::default() };
            let mut scan = scanner.row(&row);
            [0, 1, 2].map(|pattern| scan.has(0, pattern))
        };
        assert_eq!(found("ÍNDICE DE PRECIOS"), [true, false, false]);
        assert_eq!(found("日本 短観 GDP"), [false, true, true]);
        assert_eq!(found(""), [false, false, false]);
    }

    #[test]
    fn a_pattern_that_says_nothing_is_refused() {
        assert!(check("a|").unwrap_err().contains("matches every text"));
        assert!(check("(a").unwrap_err().contains("unclosed group"));
        assert!(check("[€£]").unwrap_err().ends_with("write (?:€|£) instead"));
        assert!(check("(a{1000}){1000}").unwrap_err().contains("size limit"));
        assert_eq!(check(r"índice|\d+%$"), Ok(()));
    }
}
