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
pub const NOBODY: &str = "";

/// `root`, of which every setting can be given in the environment, too.
#[must_use]
pub fn with_environment(root: Command, sections: &Sections) -> Command {
    let default = sections.first().map(|words| words.join(".")).unwrap_or_default();
    settings(&root, sections).into_iter().fold(root, |root, setting| {
        let change = |arg: Arg| {
            // Names that follow from the rule need not stand in the help.
            let hidden = arg.get_env().is_none();
            let arg = arg.env(setting.variable.clone()).hide_env(hidden);
            if setting.is_switch() { arg.value_parser(BoolishValueParser::new()) } else { arg }
        };
        let changed = change_in(root, &words(&setting, sections), setting.id(), &change);
        if setting.section == default { change_in(changed, &[], setting.id(), &change) } else { changed }
    })
}

/// `root` with what `file` says as defaults, where `matches`, parsed from the same command line without them, has
/// nothing typed that excludes it; and whether anything of the file is in force. `replaces` names options that make others of the same command pointless: with `--provider` typed, the
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
) -> Result<(Command, bool)> {
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
        let excluded = excluded(root, sections, setting, &all);
        let pointless = all.iter().filter(|other| {
            let by = |(by, those): &(&str, &[&str])| *by == other.id() && those.contains(&setting.id());
            other.section == setting.section && replaces.iter().any(by)
        });
        let rivals: Vec<&Setting> = excluded.iter().copied().chain(pointless).collect();
        let at = if setting.section.is_empty() || words.is_empty() { Vec::new() } else { words.clone() };
        let typed = |rival: &&Setting| given(rival) == Some(ValueSource::CommandLine);
        if !typed(&setting) && rivals.iter().any(typed) {
            // Typed options win, also over what stands in the environment.
            changed = change_in(changed, &at, setting.id(), &|arg| arg.env(NOBODY));
            continue;
        }
        let Some((file, entry)) = file.and_then(|file| Some((file, file.entry(setting)?))) else { continue };
        if given(setting).is_some() || rivals.iter().any(|rival| given(rival).is_some()) {
            continue;
        }
        let earlier = used.iter().find(|(used, _)| excluded.iter().any(|other| other.id() == used.id()));
        if let Some((other, earlier)) = earlier {
            let (path, line) = (file.path.display(), entry.line);
            let (one, other) = (setting.name(), other.name());
            let message =
                format!("{path}:{line}: `{one}` and `{other}` in line {} exclude each other", earlier.line);
            return Err(Failure::usage(message));
        }
        used.push((setting, entry));
        changed = change_in(changed, &at, setting.id(), &|arg| arg.default_values(entry.values.clone()));
    }
    Ok((changed, !used.is_empty()))
}

/// Settings that clap takes only without this one.
fn excluded<'a>(
    root: &Command,
    sections: &Sections,
    setting: &Setting,
    all: &'a [Setting],
) -> Vec<&'a Setting> {
    let Some(own) = command(root, &words(setting, sections)) else { return Vec::new() };
    let excludes = |one: &Arg, other: &Arg| {
        own.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    all.iter()
        .filter(|other| other.section == setting.section && other.id() != setting.id())
        .filter(|other| excludes(&setting.arg, &other.arg) || excludes(&other.arg, &setting.arg))
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

/// Changes one option and leaves the order of options and commands as it is, which `mut_arg` and `mut_subcommand` do not.
fn change_in(root: Command, words: &[&str], id: &str, change: &dyn Fn(Arg) -> Arg) -> Command {
    match words.split_first() {
        None => root.mut_args(|arg| if arg.get_id() == id { change(arg) } else { arg }),
        Some((word, rest)) => root.mut_subcommands(|inner| {
            if inner.get_name() == *word { change_in(inner, rest, id, change) } else { inner }
        }),
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
