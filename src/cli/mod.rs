//! The command line: what can be typed. Owns names, help texts and defaults; does nothing.

pub mod cluster;
pub mod completions;
pub mod config;
pub mod guard;
pub mod limits;
pub mod queue;
pub mod run;
pub mod runs;
pub mod serve;
pub mod taxonomy;
pub mod usage;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use strsim::damerau_levenshtein;

use crate::config::{File, NOBODY, Sections, Setting, apply, list, settings, with_environment};
use crate::error::Failure;

/// Label a large table through a Restate cluster without losing, repeating or overpaying for a call
#[derive(Debug, Parser)]
#[command(name = "classify", version, subcommand_negates_reqs = true, max_term_width = 110)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The main job, which needs no name.
    #[command(flatten)]
    pub run: run::RunArgs,
    /// The file of settings, where one is in force.
    #[arg(skip)]
    pub settings: Option<PathBuf>,
}

const GLOBAL: &str = "Global options";

/// Commands whose options are settings.
pub const SECTIONS: &Sections = &[&["run"], &["serve"], &["cluster", "start"], &["queue", "status"]];
/// Typed options that make others pointless wherever those come from: another provider has other models.
const REPLACES: &[(&str, &[&str])] =
    &[("provider", &["model", "threshold", "items_per_call", "reasoning_effort"])];

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Unparsed {
    /// What is wrong with the command line, or the text of `--help` and `--version`.
    Typed(clap::Error),
    /// What is wrong with the settings.
    Settings(Failure),
}

impl From<clap::Error> for Unparsed {
    fn from(error: clap::Error) -> Self {
        Self::Typed(error)
    }
}

impl Cli {
    /// All that can be typed or set.
    pub fn definition() -> clap::Command {
        with_environment(Self::command(), SECTIONS)
    }

    /// Parses `args`, of which the first is the program's own name, with the settings of the file they or the environment name, or that is in
    /// its place.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn parse_with_settings(args: impl IntoIterator<Item = OsString>) -> Result<Self, Unparsed> {
        let args: Vec<OsString> = args.into_iter().collect();
        // What is wrong is found the second time; this is to see what was typed.
        let typed =
            without_empty_variables(Self::definition()).ignore_errors(true).try_get_matches_from(&args)?;
        let given = typed.get_one::<PathBuf>("config");
        let settings = settings(&Self::definition(), SECTIONS);
        let file = File::find(given.map(PathBuf::as_path)).map_err(Unparsed::Settings)?;
        if let Some(file) = &file {
            file.check(&settings).map_err(Unparsed::Settings)?;
        }
        let (command, is_used) = apply(&Self::definition(), &typed, file.as_ref(), SECTIONS, REPLACES)
            .map_err(Unparsed::Settings)?;
        let mut cli = Self::parse(command, args)?;
        cli.settings = file.as_ref().filter(|_| is_used).map(|file| file.path.clone());
        if let Some(Command::Config(config)) = &mut cli.command {
            config.list = list(&settings, file.as_ref(), |setting| flag(&typed, setting), variable);
        }
        Ok(cli)
    }

    /// Parses `args` alone.
    ///
    /// # Errors
    /// As [`Cli::parse_with_settings`].
    pub fn parse_from_os(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::parse(Self::definition(), args)
    }

    fn parse(command: clap::Command, args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = without_empty_variables(command);
        let matches = command.try_get_matches_from_mut(args)?;
        // clap could refuse this itself, but then it refuses `classify --quiet cluster stop` too.
        if let Some(name) = matches.subcommand_name()
            && let Some(stray) = options_of_run(&command, &matches)
        {
            let message = format!("`{stray}` belongs to `run`, and stands before `{name}`");
            return Err(command.error(ErrorKind::ArgumentConflict, message));
        }
        Self::from_arg_matches(&matches)
    }
}

/// The value of an option of every command, if it was typed.
fn flag(typed: &ArgMatches, setting: &Setting) -> Option<String> {
    let id = setting.arg.get_id().as_str();
    if !setting.section.is_empty() || typed.value_source(id) != Some(ValueSource::CommandLine) {
        return None;
    }
    let raw = typed.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned());
    Some(raw.collect::<Vec<_>>().join(",")).filter(|text| !text.is_empty()).or_else(|| Some("true".into()))
}

/// The command line without variables that are set to nothing: compose files and CI pass on what is not set in this way.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(NOBODY).hide_env(true) } else { arg })
        .mut_subcommands(without_empty_variables)
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "to tell where a setting comes from")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// An option of the default command that was typed, if any.
fn options_of_run(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    let typed = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        !arg.is_global_set() && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    command.get_arguments().find(typed).map(ToString::to_string)
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Folder for all local state [default: the XDG state folder, ~/.local/state/classify]
    #[arg(long, global = true, value_name = "DIR", env = "CLASSIFY_HOME", help_heading = GLOBAL)]
    pub home: Option<PathBuf>,
    /// Settings to use [default: ./classify.toml, else classify/classify.toml in the XDG configuration folder]
    #[arg(long, global = true, value_name = "FILE", env = "CLASSIFY_CONFIG", help_heading = GLOBAL)]
    pub config: Option<PathBuf>,
    /// Say only what went wrong
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// Log what is done, -vv for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Classify tables (the default command)
    Run(run::RunArgs),
    /// Start, stop and inspect the Restate cluster
    Cluster(cluster::ClusterArgs),
    /// Run the classification service in the foreground
    Serve(serve::ServeArgs),
    /// Look at past and present runs, and go on with them
    Runs(runs::RunsArgs),
    /// Look at the work the cluster holds; cancel it, try it again, forget it
    Queue(queue::QueueArgs),
    /// Show or change what a model may be asked
    Limits(limits::LimitsArgs),
    /// Look at the label set
    Taxonomy(taxonomy::TaxonomyArgs),
    /// Look at the settings
    Config(config::ConfigArgs),
    /// Guard the ports of the nodes; `cluster start` starts this
    #[command(hide = true)]
    Guard(guard::GuardArgs),
    /// Write a script for shell completion to stdout
    Completions(completions::CompletionsArgs),
}

/// The command that was probably meant by a word that was taken for an input.
pub fn command_meant_by(word: &str) -> Option<String> {
    let meant = Cli::command();
    let mut names = meant.get_subcommands().map(|command| command.get_name().to_owned());
    names.find(|name| damerau_levenshtein(word, name) <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(
        not(debug_assertions),
        ignore = "clap checks itself in debug builds only: .ci/slow runs this test"
    )]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistyped_command_is_recognised_and_a_table_is_not() {
        assert_eq!(command_meant_by("clutser").as_deref(), Some("cluster"));
        assert_eq!(command_meant_by("serv").as_deref(), Some("serve"));
        assert_eq!(command_meant_by("a.csv"), None);
    }

    fn parse(line: &str) -> Result<Cli, String> {
        let args = line.split(' ').map(OsString::from);
        Cli::parse_from_os(args).map_err(|error| error.to_string())
    }

    #[test]
    fn options_of_every_command_may_stand_anywhere() {
        for line in [
            "classify -q cluster stop",
            "classify cluster stop -q",
            "classify --home /x queue status",
            "classify -q x.csv",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
        assert!(parse("classify -q cluster stop").is_ok_and(|cli| cli.global.quiet));
    }

    #[test]
    fn options_of_run_belong_behind_it() {
        let error = parse("classify --mode fast cluster start").err().unwrap_or_default();
        assert!(error.contains("`--mode <MODE>` belongs to `run`, and stands before `cluster`"), "{error}");
        assert!(parse("classify run --mode fast x.csv").is_ok());
    }
}
