//! `classify queue …`: what the cluster holds, from any node that answers.

use std::time::Duration;

use super::{print, signals, target};
use crate::cli::Global;
use crate::cli::queue::{QueueArgs, QueueCommand, QueueStatusArgs};
use crate::error::{ExitStatus, Failure, Result};
use crate::restate::admin::Admin;
use crate::restate::queue::{Invocation, Queue, ServiceCounts};
use crate::shutdown::Level;
use crate::text::{duration, grouped, printable, shorten};
use crate::ui::Ui;

/// Patience with one node. A count reads every retained invocation, which takes a while on a full cluster.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(global: &Global, args: QueueArgs, ui: Ui) -> Result<ExitStatus> {
    let QueueCommand::Status(args) = args.command;
    let nodes = target::admin(global, &args.cluster, &args.admin)?;
    let stop = signals::listen()?;
    loop {
        let queue = tokio::select! {
            queue = ask_any(&nodes) => queue?,
            () = stop.at_least(Level::Drain) => {
                return Err(Failure::new(ExitStatus::Interrupted, "interrupted before a node answered"));
            }
        };
        show(&queue, &args, ui)?;
        if !args.watch {
            return Ok(ExitStatus::Success);
        }
        tokio::select! {
            () = stop.at_least(Level::Drain) => return Ok(ExitStatus::Success),
            () = tokio::time::sleep(Duration::from_secs(args.interval)) => {}
        }
    }
}

/// Asks one node after the other until one answers.
async fn ask_any(nodes: &[Admin]) -> Result<Queue> {
    let mut failure = Failure::unreachable("no node can show the queue")
        .hint("see what is wrong: `classify cluster status`; start the cluster: `classify cluster start`");
    for node in nodes {
        match Queue::look(node, TIMEOUT).await {
            Ok(queue) => return Ok(queue),
            Err(error) => failure = failure.detail(error.to_string()),
        }
    }
    Err(failure)
}

fn show(queue: &Queue, args: &QueueStatusArgs, ui: Ui) -> Result<()> {
    let text = if args.json {
        serde_json::to_string(queue).map_err(anyhow::Error::from)?
    } else {
        table(queue, jiff::Timestamp::now())
    };
    print(&text, ui)
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
        lines.push(format!("oldest waiting   {}", invocation(oldest, now)));
    }
    for (title, list) in [("retrying", &queue.retrying), ("paused", &queue.paused)] {
        lines.extend(list.iter().map(|one| format!("{title:<16} {}", invocation(one, now))));
    }
    lines.join("\n")
}

fn invocation(one: &Invocation, now: jiff::Timestamp) -> String {
    let age = one.created_at.parse::<jiff::Timestamp>().map_or_else(
        |_| one.created_at.clone(),
        |created| duration(Duration::try_from(now.duration_since(created)).unwrap_or_default()),
    );
    let attempts = one.retry_count.map(|count| format!("   {count} attempts")).unwrap_or_default();
    let error = one.last_failure.as_deref().map(|text| format!("   {}", shorten(&printable(text), 200)));
    let target = shorten(&printable(&one.target), 120);
    format!("{}   {target}   {age} old{attempts}{}", one.id, error.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_every_count_and_each_trouble_once() {
        let trouble = Invocation {
            id: "inv_1".into(),
            target: "Classifier/classify".into(),
            created_at: "2026-01-02T03:04:05Z".into(),
            retry_count: Some(7),
            last_failure: Some("connection\u{1b}[2J refused".into()),
            next_retry_at: None,
        };
        let counts = ServiceCounts {
            service: "Classifier".into(),
            waiting: 1_200,
            failed: 3,
            ..ServiceCounts::default()
        };
        let queue =
            Queue { services: vec![counts], oldest_waiting: None, retrying: vec![trouble], paused: vec![] };
        let shown = table(&queue, "2026-01-02T03:05:05Z".parse().unwrap());
        let expected = "service           waiting    running  suspended   retrying     paused  succeeded     failed\n\
                        Classifier          1,200          0          0          0          0          0          3\n\
                        retrying         inv_1   Classifier/classify   1 min 0 s old   7 attempts   connection\u{fffd}[2J refused";
        assert_eq!(shown, expected);
    }
}
