//! What to do next, computed from the report: one small rule each.

use super::RunReport;

/// Hints that this report calls for; usually none.
pub fn hints(report: &RunReport) -> Vec<String> {
    [nodes_in_trouble(report), all_reused(report), pending(report)].into_iter().flatten().collect()
}

fn nodes_in_trouble(report: &RunReport) -> Option<String> {
    let names: Vec<&str> =
        report.nodes.iter().filter(|node| node.errors > 0).map(|node| node.name.as_str()).collect();
    let last = names.last()?;
    Some(format!(
        "{} failed some requests; see `classify cluster status` and `classify cluster logs {last}`",
        names.join(", ")
    ))
}

fn all_reused(report: &RunReport) -> Option<String> {
    let totals = &report.totals;
    (totals.reused > 0 && totals.reused == totals.succeeded)
        .then(|| "every answer came from earlier calls and cost nothing; `--force` asks again".into())
}

fn pending(report: &RunReport) -> Option<String> {
    (report.totals.pending > 0)
        .then(|| "run the same command again: rows that are classified already are not paid for twice".into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_smooth_run_needs_no_advice() {
        assert_eq!(hints(&report(0, 0, false)), Vec::<String>::new());
    }

    #[test]
    fn each_problem_has_its_next_step() {
        let mut troubled = report(0, 4, true);
        troubled.nodes[1].errors = 3;
        troubled.totals.reused = troubled.totals.succeeded;
        let hints = hints(&troubled).join("\n");
        for part in ["restate-2 failed", "cluster logs restate-2", "--force", "same command again"] {
            assert!(hints.contains(part), "{hints}");
        }
    }
}
