//! Which options of the command line are settings.

use clap::{Arg, ArgAction, Command};

/// Options that say what one invocation shall do: as a setting they would surprise, or do harm.
const NO_SETTINGS: [&str; 12] = [
    "help", "version", "config", "yes", "force", "plan", "detach", "json", "watch", "failures", "output",
    "replace",
];

/// Options that a file in the current folder may set, whoever made that folder: they start nothing, load nothing, and send nothing anywhere. An
/// option that is not named here may stand in a file that the user chose, in the environment, and on the command line.
const FOLDER_SETTINGS: [&str; 22] = [
    "quiet",
    "verbose",
    "mode",
    "rpm",
    "rpm-per-node",
    "batch-size",
    "max-in-flight",
    "input-format",
    "skip-invalid",
    "output-format",
    "ordered",
    "threshold",
    "items-per-call",
    "reasoning-effort",
    "max-cost",
    "max-failures",
    "timeout",
    "interval",
    "llm-rpm",
    "llm-tpm",
    "llm-concurrency",
    "llm-timeout",
];

/// Commands that have settings, each as the words that lead to it. The first is the default command, whose options stand at the top
/// of the command line as well.
pub type Sections = [&'static [&'static str]];

/// One setting.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The table it stands in, `cluster.start`; empty for options of every command.
    pub section: String,
    /// Its name in the file.
    pub key: String,
    /// Its name in the environment.
    pub variable: String,
    /// The option it stands for.
    pub arg: Arg,
}

impl Setting {
    fn new(section: &str, arg: &Arg) -> Option<Self> {
        let long = arg.get_long().filter(|long| !NO_SETTINGS.contains(long))?;
        let key = long.replace('-', "_");
        let variable = match arg.get_env() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => format!("CLASSIFY_{}", key.to_uppercase()),
        };
        Some(Self { section: section.to_owned(), key, variable, arg: arg.clone() })
    }

    /// `run.mode`, or for an option of every command its key alone.
    pub fn name(&self) -> String {
        if self.section.is_empty() { self.key.clone() } else { format!("{}.{}", self.section, self.key) }
    }

    /// Whether a file in the current folder may set it.
    pub(super) fn is_for_any_folder(&self) -> bool {
        self.arg.get_long().is_some_and(|long| FOLDER_SETTINGS.contains(&long))
    }

    /// Name of the option among clap's.
    pub(super) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    pub(super) fn is_switch(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::SetTrue)
    }
}

/// All settings of `root`: first those of every command, then section by section.
pub fn settings(root: &Command, sections: &Sections) -> Vec<Setting> {
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    let mut all: Vec<Setting> = global.filter_map(|arg| Setting::new("", arg)).collect();
    for section in sections {
        let Some(command) = command(root, section) else { continue };
        let own = command.get_arguments().filter(|arg| !arg.is_global_set());
        all.extend(own.filter_map(|arg| Setting::new(&section.join("."), arg)));
    }
    all
}

/// The command that `words` lead to.
pub(super) fn command<'a>(root: &'a Command, words: &[&str]) -> Option<&'a Command> {
    words.iter().try_fold(root, |command, word| command.find_subcommand(word))
}
