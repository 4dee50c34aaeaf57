//! The file: found, read, and every entry with its line.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use strsim::damerau_levenshtein;
use toml::de::{DeTable, DeValue};

use super::setting::Setting;
use crate::error::{Failure, Result};
use crate::llm::looks_like_key;
use crate::text::line_at;

/// What the file is called, wherever it is looked for.
const NAME: &str = "classify.toml";
/// Parts of names that only a secret has.
const SECRET_NAMES: [&str; 6] = ["api_key", "api-key", "apikey", "secret", "password", "token"];

/// One setting as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The table, `cluster.start`; empty at the top.
    pub section: String,
    /// The key.
    pub key: String,
    /// Its value or values.
    pub values: Vec<String>,
    /// Whether it is written as true or false.
    pub boolean: bool,
    /// Line it stands in, from 1.
    pub line: usize,
}

/// Who chose a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The user, who named it or has it in his folder for configuration.
    User,
    /// Nobody: it was found in the current folder, which somebody else may have made.
    Folder,
}

/// A file and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Who chose it.
    pub trust: Trust,
    /// Its entries.
    pub entries: Vec<Entry>,
}

impl File {
    /// The file at `given`, else the one in the current folder, else the one in the user's folder for configuration.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has what looks like a key. A file that is merely looked for need not be there.
    pub fn find(given: Option<&Path>) -> Result<Option<Self>> {
        if let Some(path) = given {
            return Self::read(path, Trust::User)?.map(Some).ok_or_else(|| {
                Failure::usage(format!("cannot read {}: there is no such file", path.display()))
                    .hint("`--config FILE` or CLASSIFY_CONFIG names it")
            });
        }
        let user =
            etcetera::base_strategy::Xdg::new().ok().map(|xdg| xdg.config_dir().join("classify").join(NAME));
        if let Some(file) = Self::read(Path::new(NAME), Trust::Folder)? {
            return Ok(Some(file));
        }
        user.map_or(Ok(None), |path| Self::read(&path, Trust::User))
    }

    fn read(path: &Path, trust: Trust) -> Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, trust, &text).map(Some),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Failure::usage(format!(
                "cannot read settings from {}: {error}",
                path.display()
            ))
            .hint(
                "make it readable, or name another file with `--config FILE` (`--config /dev/null`: none)",
            )),
        }
    }

    /// Reads `text`, which stands at `path`.
    ///
    /// # Errors
    /// As [`File::find`].
    pub fn parse(path: &Path, trust: Trust, text: &str) -> Result<Self> {
        let fail = |span: Range<usize>, message: &str| {
            Failure::usage(format!("{}:{}: {message}", path.display(), line_at(text, span.start)))
        };
        let table =
            DeTable::parse(text).map_err(|error| fail(error.span().unwrap_or_default(), error.message()))?;
        let mut entries = Vec::new();
        let mut open = vec![(String::new(), table.get_ref())];
        while let Some((section, table)) = open.pop() {
            for (key, value) in table {
                let name = key.get_ref().as_ref();
                let lower = name.to_lowercase();
                if SECRET_NAMES.iter().any(|part| lower.contains(part)) {
                    return Err(secret(&fail(key.span(), &format!("`{name}` does not belong into a file"))));
                }
                if let DeValue::Table(inner) = value.get_ref() {
                    let section =
                        if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
                    open.push((section, inner));
                    continue;
                }
                let values = values(value.get_ref()).ok_or_else(|| {
                    fail(
                        value.span(),
                        &format!("`{name}` must be a text, a number, true, false, or a list of texts"),
                    )
                })?;
                if values.iter().any(|value| looks_like_key(value)) {
                    return Err(secret(&fail(
                        value.span(),
                        &format!("`{name}` looks like a key, which does not belong into a file"),
                    )));
                }
                entries.push(Entry {
                    section: section.clone(),
                    key: name.to_owned(),
                    values,
                    boolean: value.get_ref().is_bool(),
                    line: line_at(text, key.span().start),
                });
            }
        }
        entries.sort_by_key(|entry| entry.line);
        Ok(Self { path: path.to_owned(), trust, entries })
    }

    /// Checks that every entry is a setting that may stand in this file, with a value that its option takes.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, settings: &[Setting]) -> Result<()> {
        for entry in &self.entries {
            let at = format!("{}:{}", self.path.display(), entry.line);
            let of_section = || settings.iter().filter(|setting| setting.section == entry.section);
            if of_section().next().is_none() {
                let sections = settings.iter().map(|setting| setting.section.as_str());
                return Err(unknown(&at, &format!("[{}]", entry.section), &entry.section, sections));
            }
            let Some(setting) = of_section().find(|setting| setting.key == entry.key) else {
                let table =
                    if entry.section.is_empty() { String::new() } else { format!(" in [{}]", entry.section) };
                let what = format!("`{}`{table}", entry.key);
                return Err(unknown(
                    &at,
                    &what,
                    &entry.key,
                    of_section().map(|setting| setting.key.as_str()),
                ));
            };
            if self.trust == Trust::Folder && !setting.is_for_any_folder() {
                return Err(not_here(&at, setting));
            }
            setting.check(entry).map_err(|problem| {
                let value = entry.values.join(", ");
                let failure = Failure::usage(format!("{at}: `{value}` is no value for `{}`", setting.name()));
                if problem.is_empty() { failure } else { failure.hint(problem) }
            })?;
        }
        Ok(())
    }

    /// The entry for a setting.
    pub fn entry(&self, setting: &Setting) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.section == setting.section && entry.key == setting.key)
    }
}

fn not_here(at: &str, setting: &Setting) -> Failure {
    Failure::usage(format!("{at}: `{}` cannot be set by a file in the current folder", setting.name()))
        .detail("such a file is read unasked, and this setting decides what is started, read or sent where")
        .hint(format!(
            "if the file is yours, name it: `--config {NAME}` (or CLASSIFY_CONFIG); or set {} or the file in ~/.config/classify",
            setting.variable
        ))
}

/// Never shows the value.
fn secret(failure: &Failure) -> Failure {
    Failure::usage(failure.message())
        .hint("export it where `classify serve` runs: OPENAI_API_KEY, ANTHROPIC_API_KEY or CLASSIFY_COMPATIBLE_API_KEY")
}

fn unknown<'a>(at: &str, what: &str, word: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let near = known.filter(|name| !name.is_empty()).min_by_key(|name| damerau_levenshtein(word, name));
    let failure = Failure::usage(format!("{at}: there is no setting {what}"));
    let failure = match near.filter(|near| damerau_levenshtein(word, near) <= near.len().max(word.len()) / 2)
    {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    };
    failure.hint("`classify config show` lists all settings")
}

fn values(value: &DeValue<'_>) -> Option<Vec<String>> {
    let one = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Array(list) => return list.iter().map(|item| values(item.get_ref())?.pop()).collect(),
        _ => return None,
    };
    Some(vec![one])
}
