//! What to do next, computed from the report: one small rule each.

use super::RunReport;
use crate::domain::outcome::FailureClass;

/// Hints that this report calls for; usually none. `go_on` is what goes on with the run while something is pending, if anything does.
pub fn hints(report: &RunReport, go_on: Option<String>) -> Vec<String> {
    [nodes_in_trouble(report), all_reused(report), pending(report, go_on), failed(report)]
        .into_iter()
        .flatten()
        .collect()
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
    // Rows that failed may have been paid for.
    (totals.reused > 0 && totals.reused == totals.succeeded && report.llm.requests == 0)
        .then(|| "every answer came from earlier calls and cost nothing; `--force` asks again".into())
}

fn pending(report: &RunReport, go_on: Option<String>) -> Option<String> {
    go_on.filter(|_| report.totals.pending > 0)
}

fn failed(report: &RunReport) -> Option<String> {
    let retryable = report.failed_by_class.keys().any(|class| *class != FailureClass::InvalidInput);
    (report.totals.pending == 0 && retryable)
        .then(|| format!("try the failed ones again: `classify runs retry {}`", report.run_id))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_smooth_run_needs_no_advice() {
        assert_eq!(hints(&report(0, 0, false), None), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_called_free_where_requests_were_made() {
        let free = |requests| {
            let mut report = report(0, 0, false);
            report.totals.reused = report.totals.succeeded;
            report.llm.requests = requests;
            hints(&report, None).iter().any(|hint| hint.contains("cost nothing"))
        };
        assert_eq!([free(0), free(2)], [true, false]);
    }

    #[test]
    fn each_problem_has_its_next_step() {
        let mut troubled = report(0, 4, true);
        troubled.nodes[1].errors = 3;
        troubled.totals.reused = troubled.totals.succeeded;
        let all = hints(&troubled, Some("go on: `x`".into())).join("\n");
        for part in ["restate-2 failed", "cluster logs restate-2", "--force", "go on: `x`"] {
            assert!(all.contains(part), "{all}");
        }
        assert!(!hints(&report(0, 0, false), Some("go on: `x`".into())).contains(&"go on: `x`".into()));
        assert!(!hints(&troubled, None).join("").contains("go on"), "nothing goes on with it");
    }
}
