//! Every setting, its value and where it came from.

use serde::Serialize;

use super::file::File;
use super::setting::Setting;
use crate::llm::variables;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file, as `path:line`.
    File(String),
    /// A variable of the environment.
    Environment(String),
    /// The command line.
    Flag(String),
}

/// Where a value may stand, beside the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Places {
    /// In every file.
    AnyFile,
    /// In a file that the user named, or in his folder for configuration; not in one that is found in the current folder.
    OwnFile,
    /// In no file.
    NoFile,
}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// `run.mode`.
    pub name: String,
    /// Its value; null where there is none. Of a key, only whether it is set.
    pub value: Option<String>,
    /// Where that came from.
    pub origin: Origin,
    /// Where it may stand.
    pub places: Places,
}

/// All of `settings` as they are with `file` and `variable`, which gives the environment's value of a name; `typed` does the same for options of
/// every command.
pub fn list(
    settings: &[Setting],
    file: Option<&File>,
    typed: impl Fn(&Setting) -> Option<String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<Shown> {
    let shown = |setting: &Setting| {
        let name = setting.name();
        let places = if setting.is_for_any_folder() { Places::AnyFile } else { Places::OwnFile };
        if let Some(value) = typed(setting) {
            let flag = format!("--{}", setting.arg.get_long().unwrap_or_default());
            return Shown { name, value: Some(value), origin: Origin::Flag(flag), places };
        }
        if let Some(value) = variable(&setting.variable) {
            let origin = Origin::Environment(setting.variable.clone());
            return Shown { name, value: Some(value), origin, places };
        }
        if let Some((file, entry)) = file.and_then(|file| Some((file, file.entry(setting)?))) {
            let at = format!("{}:{}", file.path.display(), entry.line);
            return Shown { name, value: Some(entry.values.join(",")), origin: Origin::File(at), places };
        }
        Shown { name, value: setting.default(), origin: Origin::Default, places }
    };
    let secret = |name: &&'static str| {
        let origin =
            if variable(name).is_some() { Origin::Environment((*name).to_owned()) } else { Origin::Default };
        // Whether there is one is all that is told: a URL may have a password in it.
        let value = if variable(name).is_some() { "set" } else { "not set" };
        Shown { name: (*name).to_owned(), value: Some(value.to_owned()), origin, places: Places::NoFile }
    };
    settings.iter().map(shown).chain(variables().iter().map(secret)).collect()
}
