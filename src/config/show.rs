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

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// `run.mode`.
    pub name: String,
    /// Its value; null where there is none. Of a key, only whether it is set.
    pub value: Option<String>,
    /// Where that came from.
    pub origin: Origin,
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
        if let Some(value) = typed(setting) {
            let flag = format!("--{}", setting.arg.get_long().unwrap_or_default());
            return Shown { name, value: Some(value), origin: Origin::Flag(flag) };
        }
        if let Some(value) = variable(&setting.variable) {
            return Shown { name, value: Some(value), origin: Origin::Environment(setting.variable.clone()) };
        }
        if let Some((file, entry)) = file.and_then(|file| Some((file, file.entry(setting)?))) {
            let at = format!("{}:{}", file.path.display(), entry.line);
            return Shown { name, value: Some(entry.values.join(",")), origin: Origin::File(at) };
        }
        Shown { name, value: setting.default(), origin: Origin::Default }
    };
    let secret = |name: &&'static str| {
        let origin =
            if variable(name).is_some() { Origin::Environment((*name).to_owned()) } else { Origin::Default };
        // Whether there is one is all that is told: a URL may have a password in it.
        let value = if variable(name).is_some() { "set" } else { "not set" };
        Shown { name: (*name).to_owned(), value: Some(value.to_owned()), origin }
    };
    settings.iter().map(shown).chain(variables().iter().map(secret)).collect()
}
