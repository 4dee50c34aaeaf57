//! Usage errors in the product's own form: what is wrong, and what was probably meant.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::{ExitStatus, Failure};
use crate::ui::Ui;

/// Shows what clap has to say (help and version included) and returns the exit code for it.
pub fn report(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // `--help` and `--version`; a reader that closed the pipe has seen enough.
        let _closed = error.print();
        return ExitCode::from(ExitStatus::Success.code());
    }
    Ui::new(false).failure(&failure(error));
    ExitCode::from(ExitStatus::Usage.code())
}

fn failure(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::InvalidValue
        && let Some(value) = text(error, ContextKind::InvalidValue).filter(|value| !value.is_empty())
        && let Some(argument) = text(error, ContextKind::InvalidArg)
    {
        let bare = argument.trim_start_matches(['-', '<']);
        let noun = bare.split([' ', '=', '>']).next().unwrap_or_default().to_lowercase();
        let known = list(error, ContextKind::ValidValue).join(", ");
        let near = text(error, ContextKind::SuggestedValue);
        return Failure::usage(format!("unknown {noun} `{value}`")).hint(match near {
            Some(near) => format!("did you mean `{near}`? ({known})"),
            None => format!("use one of: {known}"),
        });
    }
    // clap's own wording without its decoration: "error: …", a blank line, then tips and the usage line.
    let rendered = error.render().to_string();
    let mut lines = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    lines.fold(Failure::usage(message), |failure, line| match line.strip_prefix("tip: ") {
        Some(tip) => failure.hint(tip),
        None if line.starts_with("For more information") => failure.hint("see `classify --help`"),
        None => failure.detail(line),
    })
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    list(error, kind).into_iter().next()
}

fn list(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
