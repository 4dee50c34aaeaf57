//! `classify cluster status`

use crate::cli::cluster::StatusArgs;
use crate::cluster::archived::SnapshotStatus;
use crate::cluster::status::{NodeStatus, Status};
use crate::cluster::{self, Folder, State};
use crate::commands::{block_on, print};
use crate::error::{ExitStatus, Failure, Result};
use crate::restate::snapshots::PartitionSnapshot;
use crate::text;
use crate::ui::Ui;

pub(super) fn run(folder: &Folder, args: &StatusArgs, ui: Ui) -> Result<ExitStatus> {
    let status = block_on(cluster::status(folder))?;
    let shown = if args.json {
        serde_json::to_string_pretty(&status).map_err(|error| Failure::unexpected(error.to_string()))?
    } else {
        render(&status)
    };
    print(&shown, ui)?;
    if status.ready {
        return Ok(ExitStatus::Success);
    }
    let is_guarded = status.guard.is_none_or(|guard| guard.alive);
    let hint = if is_guarded && status.nodes.iter().all(|node| node.ready) {
        format!("start the service with `{}`", super::serve_command(&State::require(folder)?)?)
    } else {
        format!("start what is missing with `{}`", folder.command("start"))
    };
    ui.note(&format!("hint: {hint}"));
    Ok(ExitStatus::Unreachable)
}

/// A column: what stands above it, and how to fill it.
struct Column {
    head: &'static str,
    cell: fn(&NodeStatus) -> String,
}

const COLUMNS: [Column; 9] = [
    Column { head: "NODE", cell: |node| node.name.clone() },
    Column { head: "STATE", cell: |node| state(node).into() },
    Column { head: "PID", cell: |node| or_dash(node.pid) },
    Column { head: "INGRESS", cell: |node| node.ingress_url.clone() },
    Column { head: "ADMIN", cell: |node| node.admin_url.clone() },
    Column { head: "VERSION", cell: |node| or_dash(node.version.as_deref()) },
    Column { head: "LEADS", cell: |node| or_dash(node.partitions_led) },
    Column { head: "MEMORY", cell: |node| or_dash(node.memory_bytes.map(mebibytes)) },
    Column { head: "UPTIME", cell: |node| or_dash(node.uptime_s.map(uptime)) },
];

fn render(status: &Status) -> String {
    let mut rows = vec![COLUMNS.map(|column| column.head.to_owned())];
    rows.extend(status.nodes.iter().map(|node| COLUMNS.map(|column| text::printable(&(column.cell)(node)))));
    let mut lines = align(&rows);
    lines.push(String::new());
    lines.push(format!("quorum     {}", if status.quorum { "yes" } else { "no" }));
    if let Some(store) = &status.store {
        lines.push(format!("store      {}   {}", store.state, store.container));
    }
    lines.extend(snapshot_lines(status.snapshots.as_ref()));
    lines.extend(service_lines(status));
    if let Some(guard) = status.guard {
        let life = guard.pid.map_or_else(
            || "not running: the ports are closed".to_owned(),
            |pid| format!("running (pid {pid})"),
        );
        lines.push(format!("guard      {life}"));
    }
    for deployment in status.deployments.iter().flatten() {
        let uri = deployment.uri.as_deref().unwrap_or("-");
        lines.push(format!("endpoint   {uri}   {}   {}", deployment.id, deployment.services.join(", ")));
    }
    for node in &status.nodes {
        lines.extend(node.problem.as_ref().map(|problem| format!("problem   {}: {problem}", node.name)));
    }
    let printable: Vec<String> = lines.iter().map(|line| text::printable(line)).collect();
    printable.join("\n")
}

/// The last snapshot of each partition.
fn snapshot_lines(snapshots: Option<&SnapshotStatus>) -> Vec<String> {
    let Some(snapshots) = snapshots else { return vec!["snapshots  none are kept".into()] };
    let mut lines = vec![format!("snapshots  {}", snapshots.destination)];
    lines.extend(snapshots.problem.as_ref().map(|problem| format!("           unknown: {problem}")));
    lines.extend(
        snapshots.oldest_age_s.map(|age| format!("           the oldest is {} old at most", uptime(age))),
    );
    let partition = |p: &PartitionSnapshot| match p.archived_lsn {
        Some(lsn) => format!(
            "           partition {}: up to record {}, {} behind",
            p.partition,
            text::grouped(lsn),
            text::grouped(p.behind)
        ),
        None => format!(
            "           partition {}: none known, {} behind",
            p.partition,
            text::count(p.behind, "record")
        ),
    };
    lines.extend(snapshots.partitions.iter().map(partition));
    lines
}

/// Whether the service can be called through each node.
fn service_lines(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    let asked: Vec<_> =
        status.nodes.iter().filter_map(|node| node.service.as_ref().map(|service| (node, service))).collect();
    match asked.iter().find_map(|(_, service)| service.info.as_ref()) {
        Some(info) => lines.push(format!("service    classify {}, taxonomy {}", info.version, info.taxonomy)),
        None if !asked.is_empty() => lines.push("service    registered, does not answer".into()),
        None if !status.quorum => lines.push("service    unknown without a quorum".into()),
        None => lines.push("service    not registered".into()),
    }
    if let Some(process) = &status.service {
        let life = if process.alive { "running" } else { "not running" };
        lines.push(format!(
            "           started with the cluster: {} (pid {}, {life})",
            process.uri, process.pid
        ));
    }
    for (node, service) in asked {
        let answer = match &service.problem {
            None => "yes".to_owned(),
            Some(problem) => format!("no: {problem}"),
        };
        lines.push(format!("           through {}: {answer}", node.name));
    }
    lines
}

fn state(node: &NodeStatus) -> &'static str {
    match (node.ready, node.alive) {
        (true, _) => "ready",
        (false, true) => "not ready",
        (false, false) => "down",
    }
}

fn align<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}

fn uptime(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["A".to_owned(), "LONG".to_owned()], ["abc".to_owned(), "x".to_owned()]];
        assert_eq!(align(&rows), ["A    LONG", "abc  x"]);
    }

    #[test]
    fn snapshots_are_shown_by_partition() {
        let shown = |archived_lsn| {
            let partition =
                PartitionSnapshot { partition: 3, applied_lsn: 12_000, archived_lsn, behind: 1_500 };
            snapshot_lines(Some(&SnapshotStatus {
                destination: "s3://b/x".into(),
                endpoint: None,
                partitions: vec![partition],
                oldest_age_s: archived_lsn.map(|_| 65),
                problem: None,
            }))
        };
        let old = "           the oldest is 1 min old at most";
        let line = "           partition 3: up to record 10,500, 1,500 behind";
        assert_eq!(shown(Some(10_500)), ["snapshots  s3://b/x", old, line]);
        let none = "           partition 3: none known, 1,500 records behind";
        assert_eq!(shown(None), ["snapshots  s3://b/x", none]);
        assert_eq!(snapshot_lines(None), ["snapshots  none are kept"]);
    }

    #[test]
    fn ages_are_short() {
        assert_eq!([5, 65, 3_700, 90_000].map(uptime), ["5 s", "1 min", "1 h 1 min", "1 d 1 h"]);
    }
}
