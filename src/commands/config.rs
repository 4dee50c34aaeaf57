//! `classify config …`: the settings in force, and a file to write others into.

use super::print;
use crate::cli::config::{ConfigArgs, ConfigCommand};
use crate::cli::{Cli, SECTIONS};
use crate::config::{Origin, Places, Shown, example, settings};
use crate::error::{ExitStatus, Result};
use crate::ui::Ui;

pub(super) fn run(args: &ConfigArgs, ui: Ui) -> Result<ExitStatus> {
    let text = match &args.command {
        ConfigCommand::Show(show) if show.json => {
            serde_json::to_string_pretty(&args.list).map_err(anyhow::Error::from)?
        }
        ConfigCommand::Show(_) => table(&args.list),
        ConfigCommand::Example => example(&settings(&Cli::definition(), SECTIONS)).trim_end().to_owned(),
    };
    print(&text, ui)?;
    Ok(ExitStatus::Success)
}

fn table(list: &[Shown]) -> String {
    let value = |shown: &Shown| shown.value.clone().unwrap_or_else(|| "-".into());
    let origin = |shown: &Shown| match &shown.origin {
        Origin::Default => "default".to_owned(),
        Origin::File(origin) | Origin::Environment(origin) | Origin::Flag(origin) => origin.clone(),
    };
    let width = |of: &dyn Fn(&Shown) -> usize| list.iter().map(of).max().unwrap_or_default().min(40);
    let names = width(&|shown| shown.name.len());
    let values = width(&|shown| value(shown).chars().count());
    let origins = width(&|shown| origin(shown).chars().count());
    let line = |shown: &Shown| {
        let places = match shown.places {
            Places::AnyFile => "any file",
            Places::OwnFile => "own file",
            Places::NoFile => "environment only",
        };
        format!("{:<names$}  {:<values$}  {:<origins$}  {places}", shown.name, value(shown), origin(shown))
    };
    list.iter().map(line).collect::<Vec<_>>().join("\n")
}
