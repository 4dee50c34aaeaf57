//! `classify taxonomy …`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::run::items;

/// Arguments of `taxonomy`.
#[derive(Debug, Args)]
pub struct TaxonomyArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: TaxonomyCommand,
}

/// The verbs of `taxonomy`.
#[derive(Debug, Subcommand)]
pub enum TaxonomyCommand {
    /// The fields, their values and what each means
    Show(FileArgs),
    /// Whether a label set can be used
    Check(FileArgs),
    /// The JSON schema that answers of a model must fit
    Schema(PromptArgs),
    /// What a model reads before the indicator
    Prompt(PromptArgs),
}

/// Which label set.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The label set [default: the built-in `economic`]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Which label set, and how it is asked about.
#[derive(Debug, Args)]
pub struct PromptArgs {
    /// The label set [default: the built-in `economic`]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// As for so many indicators in one request
    #[arg(long, value_name = "N", value_parser = items, default_value = "1")]
    pub items_per_call: NonZeroUsize,
}
