//! What a person is told before the first batch leaves.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::input::Summary;
use crate::text::{count, duration, grouped, printable};
use crate::throttle::Pace;
use crate::ui::Ui;

/// Says what was read.
pub(super) fn input(inputs: &[PathBuf], summary: &Summary, ui: Ui) {
    summary.warnings.iter().for_each(|warning| ui.warn(warning));
    let names: Vec<String> = inputs.iter().map(|path| path.display().to_string()).collect();
    let mut line = format!(
        "input      {}: {}",
        printable(&names.join(", ")),
        count(summary.distinct_rows(), "indicator")
    );
    if summary.duplicates > 0 {
        let _infallible = write!(line, ", {} merged", count(summary.duplicates, "duplicate"));
    }
    if summary.invalid > 0 {
        let _infallible = write!(line, ", {} invalid", grouped(summary.invalid));
    }
    ui.note(&line);
}

/// Says how fast it will be done.
pub(super) fn plan(pace: &Pace, provider: &str, indicators: u64, ui: Ui) {
    let speed = match (pace.total, pace.per_node) {
        (Some(total), Some(node)) => format!("{total:.0}/min ({node:.0} a node)"),
        _ => "no rate limit".to_owned(),
    };
    let time =
        pace.duration(indicators).map(|time| format!(", about {}", duration(time))).unwrap_or_default();
    ui.note(&format!("plan       {speed}, batches of {}, provider {provider}{time}", pace.batch_size));
}
