//! `classify config …`: the settings in force, and a file to write others into.

use super::print;
use crate::cli::config::{ConfigArgs, ConfigCommand};
use crate::cli::{Cli, SECTIONS};
use crate::config::{Origin, Shown, example, settings};
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
    let width = |of: &dyn Fn(&Shown) -> usize| list.iter().map(of).max().unwrap_or_default();
    let names = width(&|shown| shown.name.len());
    let values = width(&|shown| value(shown).chars().count()).min(40);
    let line = |shown: &Shown| {
        let origin = match &shown.origin {
            Origin::Default => "default",
            Origin::File(at) => at,
            Origin::Environment(name) => name,
            Origin::Flag(flag) => flag,
        };
        format!("{:<names$}  {:<values$}  {origin}", shown.name, value(shown))
    };
    list.iter().map(line).collect::<Vec<_>>().join("\n")
}
