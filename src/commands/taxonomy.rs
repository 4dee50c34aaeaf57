//! `classify taxonomy …`: the label set as a person, a checker and a model see it.

use std::fmt::Write as _;

use super::{load_taxonomy, print};
use crate::cli::taxonomy::TaxonomyCommand;
use crate::error::{ExitStatus, Result};
use crate::llm::Prompt;
use crate::taxonomy::{Kind, Rules, Taxonomy};
use crate::ui::Ui;

pub(super) fn run(command: TaxonomyCommand, ui: Ui) -> Result<ExitStatus> {
    let text = match command {
        TaxonomyCommand::Show(args) => show(&*load_taxonomy(args.file.as_deref())?),
        TaxonomyCommand::Check(args) => {
            let taxonomy = load_taxonomy(args.file.as_deref())?;
            Rules::compile(&taxonomy)?;
            let fields = taxonomy.fields().len();
            ui.note(&format!("{} ({}) can be used: {fields} fields", taxonomy.id(), taxonomy.digest()));
            return Ok(ExitStatus::Success);
        }
        TaxonomyCommand::Schema(args) => {
            let prompt = Prompt::new(&*load_taxonomy(args.file.as_deref())?, args.items_per_call);
            serde_json::to_string_pretty(prompt.schema().value()).map_err(anyhow::Error::from)?
        }
        TaxonomyCommand::Prompt(args) => {
            Prompt::new(&*load_taxonomy(args.file.as_deref())?, args.items_per_call).system().to_owned()
        }
    };
    print(text.trim_end(), ui)?;
    Ok(ExitStatus::Success)
}

fn show(taxonomy: &Taxonomy) -> String {
    let mut out = format!("{} ({})\n", taxonomy.id(), taxonomy.digest());
    // Writing to a String cannot fail.
    for field in taxonomy.fields() {
        let kind = match &field.kind {
            Kind::Enum(_) => "one of",
            Kind::Boolean => "true or false",
            Kind::Number { .. } => "a number",
            Kind::String { .. } => "a text",
        };
        let _ = writeln!(out, "\n{} ({kind}): {}", field.name, field.description);
        if let Kind::Enum(choices) = &field.kind {
            let width = choices.iter().map(|choice| choice.value.len()).max().unwrap_or_default();
            for choice in choices {
                let _ = writeln!(out, "  {:<width$}  {}", choice.value, choice.description);
            }
        }
    }
    out
}
