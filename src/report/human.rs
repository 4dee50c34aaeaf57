//! The summary for a person.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::RunReport;
use crate::domain::outcome::FailureClass;
use crate::text::{count, duration, grouped, printable, shorten};

/// The lines of the summary.
pub fn summary(report: &RunReport) -> Vec<String> {
    let totals = &report.totals;
    let elapsed = duration(std::time::Duration::from_secs_f64(report.elapsed_s));
    let mut headline = format!(
        "{} {} of {} in {elapsed} ({:.0}/min); {} failed, {} pending",
        if report.interrupted { "stopped: classified" } else { "classified" },
        grouped(totals.succeeded),
        grouped(totals.indicators),
        report.rate.achieved_rpm,
        grouped(totals.failed),
        grouped(totals.pending),
    );
    for (number, what) in [(totals.reused, "reused"), (totals.carried, "taken over")] {
        if number > 0 {
            let _infallible = write!(headline, "; {} {what}", grouped(number));
        }
    }
    let mut lines: Vec<String> = report.nodes.iter().map(node).collect();
    lines.push(headline);
    if !report.failed_by_class.is_empty() {
        lines.push(format!("failed     {}", classes(&report.failed_by_class)));
    }
    if let Some(said) = &report.most_said {
        lines.push(format!(
            "most often {} ({})",
            shorten(&printable(&said.message), 200),
            grouped(said.indicators)
        ));
    }
    if report.llm.requests > 0 {
        lines.push(format!("models     {}", llm(&report.llm)));
    }
    if report.llm.cut > 0 {
        let column = |(name, number): (&String, &u64)| {
            format!("`{}` {}", shorten(&printable(name), 60), grouped(*number))
        };
        let columns: Vec<String> = report.llm.cut_columns.iter().map(column).collect();
        let rows = count(report.llm.cut, "indicator");
        lines.push(format!("cut        of {rows} the model read a part only: {}", columns.join(", ")));
    }
    if report.llm.spared > 0 {
        let spared = count(report.llm.spared, "indicator");
        lines.push(format!("spared     {spared} needed no model: the rules were sure"));
    }
    let super::Resumed { sessions, recovered, forgotten } = report.resumed;
    if sessions > 1 {
        let mut line = format!("resumed    {sessions} sessions; {} found in the cluster", grouped(recovered));
        if forgotten > 0 {
            let _infallible = write!(line, ", {} sent again, which it had forgotten", grouped(forgotten));
        }
        lines.push(line);
    }
    if let Some(output) = &report.output {
        let so_far = if totals.pending > 0 { " (so far)" } else { "" };
        lines.push(format!("results    {}{so_far}", printable(&output.display().to_string())));
    }
    if let Some(failures) = &report.failures {
        lines.push(format!("failures   {}", printable(&failures.display().to_string())));
    }
    lines
}

fn classes(counts: &BTreeMap<FailureClass, u64>) -> String {
    let one = |(class, number): (&FailureClass, &u64)| {
        let name = serde_json::to_value(class).unwrap_or_default();
        format!("{} {}", grouped(*number), name.as_str().unwrap_or_default())
    };
    counts.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn llm(llm: &super::Llm) -> String {
    let why = if llm.retries > 0 { format!(": {}", classes(&llm.retries_by_class)) } else { String::new() };
    let unsettled =
        llm.unsettled_usd.map(|most| format!(", and up to {most:.4} for requests without an answer"));
    let cost = match llm.cost_usd {
        Some(cost) => format!("{cost:.4} USD{}", unsettled.unwrap_or_default()),
        None => "price not known".to_owned(),
    };
    format!(
        "{} ({} repeated{why}), {} tokens in ({} cached, {} %), {} out; {cost}",
        count(llm.requests, "request"),
        grouped(llm.retries),
        grouped(llm.input_tokens),
        grouped(llm.cached_tokens),
        llm.cached_share(),
        grouped(llm.output_tokens),
    )
}

fn node(node: &super::Node) -> String {
    let latency = match (node.mean_ms, node.p95_ms) {
        (Some(mean), Some(p95)) => format!("   mean {mean:.0} ms   p95 {p95} ms"),
        _ => String::new(),
    };
    let errors = if node.errors > 0 { format!("   {}", count(node.errors, "error")) } else { String::new() };
    let batches = if node.batches == 1 { "batch" } else { "batches" };
    format!(
        "{:<10} {} in {} {batches}{errors}{latency}",
        printable(&node.name),
        count(node.indicators, "indicator"),
        grouped(node.batches)
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_complete_run() {
        let expected = [
            "restate-1  10 indicators in 1 batch   mean 210 ms   p95 210 ms",
            "restate-2  0 indicators in 0 batches",
            "classified 8 of 10 in 2.0 s (300/min); 2 failed, 0 pending",
            "failed     2 schema",
            "results    x.classified.jsonl",
            "failures   x.failures.jsonl",
        ];
        assert_eq!(summary(&report(2, 0, false)), expected);
    }

    #[test]
    fn what_was_cut_cached_and_said_most_is_told() {
        let mut told = report(2, 0, false);
        told.most_said =
            Some(crate::report::Said { message: "openai: 400 Bad\u{1b}Request".into(), indicators: 2 });
        told.llm.requests = 10;
        (told.llm.input_tokens, told.llm.cached_tokens) = (17_000, 15_300);
        (told.llm.cut, told.llm.cut_columns) = (3, [("body".to_owned(), 3), ("name".to_owned(), 1)].into());
        let lines = summary(&told).join("\n");
        for part in [
            "most often openai: 400 Bad\u{fffd}Request (2)",
            "17,000 tokens in (15,300 cached, 90 %)",
            "cut        of 3 indicators the model read a part only: `body` 3, `name` 1",
        ] {
            assert!(lines.contains(part), "{lines}");
        }
    }

    #[test]
    fn an_interrupted_run_says_so() {
        let lines = summary(&report(0, 4, true));
        assert_eq!(lines[2], "stopped: classified 6 of 10 in 2.0 s (180/min); 0 failed, 4 pending");
        assert_eq!(lines[3], "results    x.classified.jsonl (so far)");
    }
}
