//! Where local state is.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use crate::cli::Global;
use crate::cluster::canonical;
use crate::error::{Failure, Result};

/// The folder for all local state: as given, else `classify` in the XDG state folder. In its one spelling, whatever links lead there.
pub(super) fn folder(global: &Global) -> Result<PathBuf> {
    let home = named(global)?;
    canonical(&home).map_err(|error| Failure::usage(format!("{}: {error}", home.display())))
}

fn named(global: &Global) -> Result<PathBuf> {
    if let Some(home) = &global.home {
        return Ok(home.clone());
    }
    // XDG on macOS as well: these are files for people who live in a terminal.
    etcetera::base_strategy::Xdg::new()
        .ok()
        .and_then(|xdg| xdg.state_dir())
        .map(|state| state.join("classify"))
        .ok_or_else(|| {
            Failure::usage("no home folder, so nowhere to keep state").hint("name a folder with `--home DIR`")
        })
}
