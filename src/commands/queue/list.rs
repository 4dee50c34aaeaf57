//! `classify queue list`: single invocations.

use serde::Serialize;

use super::{TIMEOUT, any, line, nodes, selection};
use crate::cli::Global;
use crate::cli::queue::QueueListArgs;
use crate::commands::print;
use crate::error::{ExitStatus, Result};
use crate::restate::queue::Invocation;
use crate::text::{count, grouped};
use crate::ui::Ui;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct List {
    /// How many fit, shown or not.
    total: u64,
    /// The oldest of them first.
    invocations: Vec<Invocation>,
}

pub(super) async fn run(global: &Global, args: &QueueListArgs, ui: Ui) -> Result<ExitStatus> {
    let nodes = nodes(global, &args.nodes)?;
    let now = jiff::Timestamp::now();
    let selection = selection(&args.filter, now)?;
    let list = any(&nodes, async |node| {
        let invocations = selection.fetch(node, Some(args.limit.get()), TIMEOUT).await?;
        let shown = invocations.len() as u64;
        let total =
            if invocations.len() < args.limit.get() { shown } else { selection.count(node, TIMEOUT).await? };
        // Something may have gone between the two looks.
        Ok(List { total: total.max(shown), invocations })
    })
    .await?;
    if args.json {
        print(&serde_json::to_string(&list).map_err(anyhow::Error::from)?, ui)?;
        return Ok(ExitStatus::Success);
    }
    if list.invocations.is_empty() {
        ui.note("no invocation fits");
        return Ok(ExitStatus::Success);
    }
    let lines = list.invocations.iter().map(|one| format!("{:<10} {}", one.state, line(one, now)));
    print(&lines.collect::<Vec<_>>().join("\n"), ui)?;
    ui.note(&said(list.invocations.len() as u64, list.total));
    Ok(ExitStatus::Success)
}

fn said(shown: u64, total: u64) -> String {
    if shown == total {
        format!("{}, the oldest first", count(total, "invocation"))
    } else {
        let all = count(total, "invocation");
        format!("the oldest {} of {all}; more: `--limit N`", grouped(shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_off_is_told() {
        assert_eq!(said(50, 1_204), "the oldest 50 of 1,204 invocations; more: `--limit N`");
        assert_eq!(said(1, 1), "1 invocation, the oldest first");
    }
}
