//! `classify cluster render`

use crate::cli::cluster::RenderArgs;
use crate::cluster::compose::{self, Layout};
use crate::commands::print;
use crate::error::{ExitStatus, Result};
use crate::ui::Ui;

pub(super) fn run(args: &RenderArgs, ui: Ui) -> Result<ExitStatus> {
    let layout = Layout::choose(args.ports.into(), args.nodes)?;
    match &args.dir {
        None => print(compose::render(&layout).trim_end(), ui)?,
        Some(dir) => {
            for path in compose::write_set(dir, &layout, args.force)? {
                ui.note(&format!("wrote      {}", path.display()));
            }
            let file = dir.join(compose::FILE);
            ui.note(&format!("next       docker compose -f {} up -d --wait", file.display()));
        }
    }
    Ok(ExitStatus::Success)
}
