//! `classify cluster restore`: lets a node that lost its data back into the cluster.

use super::super::{block_on, question};
use super::{interruptible, say};
use crate::cli::cluster::RestoreArgs;
use crate::cluster::Folder;
use crate::cluster::restore::{Lost, next};
use crate::error::{ExitStatus, Failure, Result};
use crate::ui::Ui;

pub(super) fn run(folder: &Folder, args: &RestoreArgs, ui: Ui) -> Result<ExitStatus> {
    // Before the question: what cannot be restored needs no asking.
    let lost = block_on(Lost::find(folder, &args.node))?;
    if !args.yes && !confirmed(folder, &lost)? {
        ui.note("nothing was changed");
        return Ok(ExitStatus::Success);
    }
    let again = folder.command(&format!("restore {}", lost.node));
    interruptible(
        lost.restore(folder, &say(ui)),
        format!("interrupted; {} is not let in yet: `{again}` goes on", lost.node),
    )?;
    ui.note(&format!("cluster    {} may begin anew; next: `{}`", lost.node, next(folder, &lost.node)?));
    Ok(ExitStatus::Success)
}

fn confirmed(folder: &Folder, lost: &Lost) -> Result<bool> {
    let Lost { node, is_begun, .. } = lost;
    if !question::can_be_asked() {
        return Err(Failure::usage(format!("{node} is left as it is: there is no terminal to ask on")).hint(
            format!(
                "to let it begin anew without a question: `{} --yes`",
                folder.command(&format!("restore {node}"))
            ),
        ));
    }
    let name = folder.name();
    question::confirmed(&if *is_begun {
        format!("Take away the old place of {node} among the metadata servers of the cluster `{name}`?")
    } else {
        format!(
            "Make snapshots of the cluster `{name}`, drop what its logs had on {node}, and let {node} begin anew \
             without its data?"
        )
    })
}
