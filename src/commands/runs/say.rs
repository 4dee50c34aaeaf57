//! Where a run of the cluster is, in one line.

use crate::domain::detached::Progress;
use crate::text::grouped;
use crate::ui::Ui;

/// Where a run of the cluster is.
pub(super) fn say(what: &str, id: &str, progress: &Progress, ui: Ui) {
    ui.note(&format!(
        "{what:<10} {id}: {} classified, {} failed, {} pending of {}, {} of them in flight",
        grouped(progress.tally.succeeded),
        grouped(progress.tally.failures()),
        grouped(progress.pending()),
        grouped(progress.plan.indicators),
        grouped(progress.in_flight())
    ));
}
