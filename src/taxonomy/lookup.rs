//! Lookups: values a column contains or spells out, such as the currency in `MIO EUR` or `US Dollars`.
//!
//! Owns the search for an entry and the guard against codes that are common words (`ALL`, `TOP`, `TRY`).
//! The entries themselves are data of the taxonomy.

use std::collections::{BTreeSet, HashMap, HashSet};

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::spec::LookupSpec;
use super::text::{Case, Column, assemble};
use crate::domain::indicator::Indicator;

/// A lookup, ready to search. Cheap to clone next to what it costs to build.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    columns: Vec<(Column, bool)>,
    ignore: Option<Regex>,
    finder: Regex,
    codes: HashSet<String>,
    guarded: HashSet<String>,
    companions: HashSet<String>,
    words: HashMap<String, Value>,
}

impl Lookup {
    /// Compiles what the file says; the error is for a person and does not name the lookup.
    pub(super) fn new(spec: &LookupSpec, extra_columns: &[String]) -> Result<Self, String> {
        if spec.columns.is_empty() {
            return Err("no columns to search".into());
        }
        let columns = spec.columns.iter().map(|entry| {
            Column::find(&entry.column, extra_columns)
                .map(|column| (column, entry.any_case))
                .ok_or_else(|| format!("`{}` is no column (known: {})", entry.column, Column::names()))
        });
        let codes: HashSet<String> = spec.codes.iter().cloned().collect();
        let guarded: HashSet<String> = spec.guarded.iter().cloned().collect();
        if let Some(code) = codes.iter().chain(&guarded).find(|code| code.to_uppercase() != **code) {
            return Err(format!("code `{code}` is not in upper case; put it under words"));
        }
        if codes.is_empty() && guarded.is_empty() && spec.words.is_empty() {
            return Err("no entries".into());
        }
        let words = spec.words.iter().map(|(word, value)| (word.to_lowercase(), Value::from(value.as_str())));
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            ignore: spec.ignore.as_deref().map(ignored).transpose()?,
            finder: finder(spec)?,
            codes,
            guarded,
            companions: spec.companions.iter().map(|word| word.to_lowercase()).collect(),
            words: words.collect(),
        })
    }

    /// Every value it can yield, for the check against the field it is used for.
    pub(super) fn values(&self) -> impl Iterator<Item = Value> {
        let codes = self.codes.iter().chain(&self.guarded).map(|code| Value::from(code.as_str()));
        codes.chain(self.words.values().cloned())
    }

    /// The first entry in the first column that has one.
    pub(super) fn find(&self, row: &Indicator) -> Option<Value> {
        self.columns.iter().find_map(|(column, any_case)| {
            let case = if *any_case { Case::Upper } else { Case::Keep };
            let text = assemble(std::slice::from_ref(column), row, case)?;
            match &self.ignore {
                Some(ignore) if ignore.is_match(text.as_bytes()) => {
                    self.find_in(&ignore.replace_all(text.as_bytes(), &b" | "[..]))
                }
                _ => self.find_in(text.as_bytes()),
            }
        })
    }

    fn find_in(&self, text: &[u8]) -> Option<Value> {
        self.finder.find_iter(text).find_map(|found| {
            let entry = std::str::from_utf8(found.as_bytes()).ok()?;
            if self.codes.contains(entry) {
                return Some(Value::from(entry));
            }
            if self.guarded.contains(entry) {
                let clear =
                    self.stands_alone(&text[..found.start()]) && self.stands_alone(&text[found.end()..]);
                return clear.then(|| Value::from(entry));
            }
            self.words.get(&entry.to_lowercase()).cloned()
        })
    }

    /// Whether all words of `rest` say no more than a scale or another code does.
    fn stands_alone(&self, rest: &[u8]) -> bool {
        String::from_utf8_lossy(rest).split(|letter: char| !letter.is_alphanumeric()).all(|word| {
            word.is_empty()
                || self.companions.contains(&word.to_lowercase())
                || self.codes.contains(word)
                || self.guarded.contains(word)
        })
    }
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).unicode(false).build().map_err(|error| error.to_string())
}

fn ignored(pattern: &str) -> Result<Regex, String> {
    build(&format!("(?i:{pattern})")).map_err(|error| format!("ignore: {error}"))
}

/// One pattern for all entries. The longest come first, because the first alternative that matches wins.
fn finder(spec: &LookupSpec) -> Result<Regex, String> {
    let alternatives = |entries: BTreeSet<&str>| {
        let mut entries: Vec<&str> = entries.into_iter().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.len()));
        entries.into_iter().map(bounded).collect::<Vec<_>>().join("|")
    };
    let words = alternatives(spec.words.keys().map(String::as_str).collect());
    let codes = alternatives(spec.codes.iter().chain(&spec.guarded).map(String::as_str).collect());
    build(&match (words.is_empty(), codes.is_empty()) {
        (false, false) => format!("(?i:{words})|{codes}"),
        (false, true) => format!("(?i:{words})"),
        (true, _) => codes,
    })
}

/// A word ends where letters end; a symbol such as `€` may touch the figure next to it.
fn bounded(entry: &str) -> String {
    let edge =
        |letter: Option<char>| if letter.is_some_and(|c| c.is_ascii_alphanumeric()) { r"\b" } else { "" };
    format!("{}{}{}", edge(entry.chars().next()), regex::escape(entry), edge(entry.chars().next_back()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(text: &str) -> Lookup {
        Lookup::new(&toml::from_str(text).unwrap(), &[]).unwrap()
    }

    fn sizes() -> Lookup {
        lookup(
            "columns = [{ column = 'scale', any_case = true }, { column = 'units' }, { column = 'name' }]
             ignore = 'one size|xl[- ]rated'
             codes = ['XL', 'XXL']\nguarded = ['S', 'ALL']\ncompanions = ['size', 'fit']
             words = { 'extra large' = 'XL', 'large' = 'L', '§' = 'P' }",
        )
    }

    fn found(name: &str, units: Option<&str>, scale: Option<&str>) -> Option<Value> {
        let [units, scale] = [units, scale].map(|text| text.map(str::to_owned));
        sizes().find(&Indicator { name: name.into(), units, scale, ..Indicator::default() })
    }

    #[test]
    fn codes_are_whole_words_in_upper_case() {
        assert_eq!(found("Shirt XL", None, None), Some("XL".into()));
        assert_eq!(found("Shirt_XXL", None, None), Some("XXL".into()));
        for name in ["Shirt xl", "XLarge", "AXL", "Shirt"] {
            assert_eq!(found(name, None, None), None, "{name}");
        }
        assert_eq!(found("Shirt", None, Some("xl")), Some("XL".into()), "any_case");
    }

    #[test]
    fn guarded_codes_need_a_column_to_themselves() {
        assert_eq!(found("ALL", None, None), Some("ALL".into()));
        assert_eq!(found("Size: S (fit)", None, None), Some("S".into()));
        assert_eq!(found("ALL shirts", None, None), None);
        assert_eq!(found("S shirts in XL", None, None), Some("XL".into()), "the search goes on");
    }

    #[test]
    fn words_take_any_case_and_the_longest_wins() {
        assert_eq!(found("EXTRA Large shirt", None, None), Some("XL".into()));
        assert_eq!(found("a large shirt", None, None), Some("L".into()));
        assert_eq!(found("enlarged", None, None), None);
        assert_eq!(found("12§", None, None), Some("P".into()));
    }

    #[test]
    fn columns_go_in_order_and_ignored_phrases_vanish() {
        assert_eq!(found("XL", Some("large"), None), Some("L".into()));
        assert_eq!(found("XL-rated XXL", None, None), Some("XXL".into()));
        assert_eq!(found("xl rated", None, Some("one size")), None);
    }

    #[test]
    fn a_lookup_that_cannot_work_is_refused() {
        for (text, problem) in [
            ("columns = []\ncodes = ['A']", "no columns"),
            ("columns = [{ column = 'nmae' }]\ncodes = ['A']", "`nmae` is no column"),
            ("columns = [{ column = 'name' }]", "no entries"),
            ("columns = [{ column = 'name' }]\ncodes = ['Usd']", "code `Usd` is not in upper case"),
            ("columns = [{ column = 'name' }]\ncodes = ['A']\nignore = '('", "ignore: regex parse error"),
        ] {
            let error = Lookup::new(&toml::from_str(text).unwrap(), &[]).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
