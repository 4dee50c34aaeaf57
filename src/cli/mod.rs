//! The command line: what can be typed. Owns names, help texts and defaults; does nothing.

pub mod cluster;
pub mod completions;
pub mod limits;
pub mod queue;
pub mod run;
pub mod serve;
pub mod usage;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use strsim::damerau_levenshtein;

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
}

const GLOBAL: &str = "Global options";

impl Cli {
    /// Parses `args`, of which the first is the program's own name.
    ///
    /// # Errors
    /// What is wrong with them, or the text of `--help` and `--version`.
    pub fn parse_from_os(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
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
    /// Look at the work the cluster holds
    Queue(queue::QueueArgs),
    /// Show or change what a model may be asked
    Limits(limits::LimitsArgs),
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
