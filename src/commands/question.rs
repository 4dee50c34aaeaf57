//! The question before something that cannot be undone.

use std::io::IsTerminal as _;

use crate::error::{Failure, Result};
use crate::ui::is_capable;

/// Whether somebody is there to answer.
pub(super) fn can_be_asked() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && is_capable()
}

/// Asks, and takes anything but a yes for a no.
pub(super) fn confirmed(question: &str) -> Result<bool> {
    dialoguer::Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()
        .map_err(|error| Failure::unexpected(format!("cannot ask: {error}")))
}
