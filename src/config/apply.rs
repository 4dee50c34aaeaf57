//! Settings as defaults of a command line that is about to be parsed.

use std::ffi::OsStr;

use clap::builder::BoolishValueParser;
use clap::error::ContextKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::file::{Entry, File};
use super::setting::{Sections, Setting, command, settings};
use crate::error::{Failure, Result};

/// A variable that is never set: clap cannot take one back from an option.
const NOBODY: &str = "";

/// `root`, of which every setting can be given in the environment, too.
#[must_use]
pub fn with_environment(root: Command, sections: &Sections) -> Command {
    settings(&root, sections).into_iter().fold(root, |root, setting| {
        let change = |arg: Arg| {
            let arg = arg.env(setting.variable.clone());
            if setting.is_switch() { arg.value_parser(BoolishValueParser::new()) } else { arg }
        };
        change_in(root, &words(&setting, sections), setting.id(), change)
    })
}

/// `root` with what `file` says as defaults, where `matches`, parsed from the same command line without them, has
/// nothing typed that excludes it. `replaces` names options that make others of the same command pointless: with `--provider` typed, the
/// file's model is another provider's.
///
/// # Errors
/// When two settings of the file exclude each other.
pub fn apply(
    root: &Command,
    matches: &ArgMatches,
    file: Option<&File>,
    sections: &Sections,
    replaces: &[(&str, &[&str])],
) -> Result<Command> {
    let mut words = Vec::new();
    let mut deepest = matches;
    while let Some((word, inner)) = deepest.subcommand() {
        words.push(word);
        deepest = inner;
    }
    let active = if words.is_empty() {
        sections.first().map_or_else(String::new, |default| default.join("."))
    } else {
        words.join(".")
    };
    let of_active = |setting: &Setting| setting.section == active || setting.section.is_empty();
    let all: Vec<Setting> = settings(root, sections).into_iter().filter(of_active).collect();
    let given = |setting: &Setting| source(deepest, setting);

    let mut changed = root.clone();
    let mut used: Vec<(&Setting, &Entry)> = Vec::new();
    for setting in &all {
        let rivals = rivals(root, sections, setting, &all, replaces);
        let at = if setting.section.is_empty() || words.is_empty() { Vec::new() } else { words.clone() };
        let typed = |rival: &&Setting| given(rival) == Some(ValueSource::CommandLine);
        if given(setting) != Some(ValueSource::CommandLine) && rivals.iter().any(typed) {
            // Typed options win, also over what stands in the environment.
            changed = change_in(changed, &at, setting.id(), |arg| arg.env(NOBODY));
            continue;
        }
        let Some((file, entry)) = file.and_then(|file| Some((file, file.entry(setting)?))) else { continue };
        if given(setting).is_some() || rivals.iter().any(|rival| given(rival).is_some()) {
            continue;
        }
        if let Some((other, line)) = rivals.iter().find_map(|rival| {
            used.iter()
                .find(|(used, _)| used.id() == rival.id())
                .map(|(used, entry)| (used.name(), entry.line))
        }) {
            let at = format!("{}:{}", file.path.display(), entry.line);
            return Err(Failure::usage(format!(
                "{at}: `{}` and `{other}` in line {line} exclude each other",
                setting.name()
            )));
        }
        used.push((setting, entry));
        changed = change_in(changed, &at, setting.id(), |arg| arg.default_values(entry.values.clone()));
    }
    Ok(changed)
}

/// Settings that have no meaning beside this one.
fn rivals<'a>(
    root: &Command,
    sections: &Sections,
    setting: &Setting,
    all: &'a [Setting],
    replaces: &[(&str, &[&str])],
) -> Vec<&'a Setting> {
    let Some(own) = command(root, &words(setting, sections)) else { return Vec::new() };
    let excludes = |one: &Arg, other: &Arg| {
        own.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    all.iter()
        .filter(|other| other.section == setting.section && other.id() != setting.id())
        .filter(|other| excludes(&setting.arg, &other.arg) || excludes(&other.arg, &setting.arg))
        .chain(all.iter().filter(|other| {
            other.section == setting.section
                && replaces.iter().any(|(by, those)| *by == other.id() && those.contains(&setting.id()))
        }))
        .collect()
}

/// Where an option got its value from, if from outside its definition.
fn source(matches: &ArgMatches, setting: &Setting) -> Option<ValueSource> {
    matches.value_source(setting.id()).filter(|source| *source != ValueSource::DefaultValue)
}

/// The words that lead to the setting's command.
fn words(setting: &Setting, sections: &Sections) -> Vec<&'static str> {
    sections
        .iter()
        .find(|words| words.join(".") == setting.section)
        .map(|words| words.to_vec())
        .unwrap_or_default()
}

fn change_in(root: Command, words: &[&str], id: &str, change: impl FnOnce(Arg) -> Arg) -> Command {
    match words.split_first() {
        None => root.mut_arg(id, change),
        Some((word, rest)) => root.mut_subcommand(word, |inner| change_in(inner, rest, id, change)),
    }
}

impl Setting {
    /// Whether the option takes this; otherwise what it would take, as far as that can be said.
    pub(super) fn check(&self, entry: &Entry) -> std::result::Result<(), String> {
        if entry.boolean != self.is_switch() {
            return Err(if self.is_switch() {
                "true or false, without quotes".into()
            } else {
                String::new()
            });
        }
        if entry.values.len() != 1 && !matches!(self.arg.get_action(), ArgAction::Append) {
            return Err("it takes one value, not a list".into());
        }
        let value = Arg::new("value").long("value").action(ArgAction::Append).allow_hyphen_values(true);
        let value = match self.arg.get_action() {
            ArgAction::Count => value.value_parser(clap::value_parser!(u8)),
            _ => value.value_parser(self.arg.get_value_parser().clone()),
        };
        let probe = Command::new("probe").no_binary_name(true).arg(value);
        let texts = entry.values.iter().map(|value| format!("--value={value}"));
        let Err(error) = probe.try_get_matches_from(texts) else { return Ok(()) };
        let known = match error.get(ContextKind::ValidValue) {
            Some(clap::error::ContextValue::Strings(known)) => known.join(", "),
            _ => String::new(),
        };
        let near = error.get(ContextKind::SuggestedValue).map(ToString::to_string);
        Err(match (near, std::error::Error::source(&error)) {
            (Some(near), _) => format!("did you mean `{near}`? ({known})"),
            (None, Some(why)) => why.to_string(),
            (None, None) => format!("use one of: {known}"),
        })
    }

    /// The value the option has without anybody's doing.
    pub(super) fn default(&self) -> Option<String> {
        let values = self.arg.get_default_values();
        let texts: Vec<_> = values.iter().map(|value| OsStr::to_string_lossy(value)).collect();
        match self.arg.get_action() {
            ArgAction::SetTrue => Some("false".into()),
            ArgAction::Count => Some("0".into()),
            _ => (!texts.is_empty()).then(|| texts.join(",")),
        }
    }
}
