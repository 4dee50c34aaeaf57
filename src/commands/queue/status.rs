//! `classify queue status`: counts, and what is in trouble.

use std::time::Duration;

use super::{TIMEOUT, any, line, nodes};
use crate::cli::Global;
use crate::cli::queue::QueueStatusArgs;
use crate::commands::{is_read, signals};
use crate::error::{ExitStatus, Failure, Result};
use crate::restate::queue::{PausedModel, Queue, ServiceCounts};
use crate::shutdown::Level;
use crate::text::{duration, grouped, printable};
use crate::ui::Ui;

pub(super) async fn run(global: &Global, args: &QueueStatusArgs, ui: Ui) -> Result<ExitStatus> {
    let nodes = nodes(global, &args.nodes)?;
    let stop = signals::listen()?;
    let mut shown = false;
    loop {
        let queue = tokio::select! {
            queue = any(&nodes, async |node| Queue::look(node, TIMEOUT).await) => queue?,
            // A watch that has shown something ends this way.
            () = stop.at_least(Level::Drain) => return if shown {
                Ok(ExitStatus::Success)
            } else {
                Err(Failure::new(ExitStatus::Interrupted, "interrupted before a node answered"))
            },
        };
        let goes_on = show(&queue, args, ui)? && args.watch;
        shown = true;
        if !goes_on {
            return Ok(ExitStatus::Success);
        }
        tokio::select! {
            () = stop.at_least(Level::Drain) => return Ok(ExitStatus::Success),
            () = tokio::time::sleep(Duration::from_secs(args.interval)) => {}
        }
    }
}

/// False where nobody reads any more.
fn show(queue: &Queue, args: &QueueStatusArgs, ui: Ui) -> Result<bool> {
    let text = if args.json {
        serde_json::to_string(queue).map_err(anyhow::Error::from)?
    } else {
        table(queue, jiff::Timestamp::now())
    };
    is_read(&text, ui)
}

/// A column: its head, and the number it shows.
type Column = (&'static str, fn(&ServiceCounts) -> u64);

const COLUMNS: [Column; 7] = [
    ("waiting", |counts| counts.waiting),
    ("running", |counts| counts.running),
    ("suspended", |counts| counts.suspended),
    ("retrying", |counts| counts.retrying),
    ("paused", |counts| counts.paused),
    ("succeeded", |counts| counts.succeeded),
    ("failed", |counts| counts.failed),
];

fn table(queue: &Queue, now: jiff::Timestamp) -> String {
    let row = |name: &str, cells: Vec<String>| {
        cells.iter().fold(format!("{name:<14}"), |line, cell| format!("{line} {cell:>10}"))
    };
    let mut lines = vec![row("service", COLUMNS.iter().map(|(head, _)| (*head).to_owned()).collect())];
    for counts in &queue.services {
        lines.push(row(&counts.service, COLUMNS.iter().map(|(_, cell)| grouped(cell(counts))).collect()));
    }
    if let Some(oldest) = &queue.oldest_waiting {
        lines.push(format!("oldest waiting   {}", line(oldest, now)));
    }
    for (title, list) in [("retrying", &queue.retrying), ("paused", &queue.paused)] {
        lines.extend(list.iter().map(|one| format!("{title:<16} {}", line(one, now))));
    }
    lines.extend(queue.paused_models.iter().map(|PausedModel { model, seconds }| {
        let (model, left) = (printable(model), duration(Duration::from_secs(*seconds)));
        format!(
            "{:<16} {model} for {left} more, as its provider asked; `classify limits set {model} --reset` ends it",
            "paused"
        )
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restate::queue::{Invocation, State};

    #[test]
    fn the_table_shows_every_count_and_each_trouble_once() {
        let trouble = Invocation {
            id: "inv_1".parse().unwrap(),
            service: "Classifier".into(),
            target: "Classifier/classify".into(),
            state: State::Retrying,
            created_at: "2026-01-02T03:04:05Z".into(),
            retry_count: Some(7),
            error: Some("connection\u{1b}[2J refused".into()),
            error_code: None,
            next_retry_at: None,
            invoked_by: None,
        };
        let counts = ServiceCounts {
            service: "Classifier".into(),
            waiting: 1_200,
            failed: 3,
            ..ServiceCounts::default()
        };
        let queue = Queue {
            services: vec![counts],
            oldest_waiting: None,
            retrying: vec![trouble],
            paused: vec![],
            paused_models: vec![PausedModel { model: "openai/m".into(), seconds: 3_541 }],
        };
        let shown = table(&queue, "2026-01-02T03:05:05Z".parse().unwrap());
        let expected = "service           waiting    running  suspended   retrying     paused  succeeded     failed\n\
                        Classifier          1,200          0          0          0          0          0          3\n\
                        retrying         inv_1   Classifier/classify   1 min 0 s old   7 attempts   connection\u{fffd}[2J refused\n\
                        paused           openai/m for 59 min 1 s more, as its provider asked; `classify limits set openai/m --reset` ends it";
        assert_eq!(shown, expected);
    }
}
