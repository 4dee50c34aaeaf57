//! What must hold after a round. Pure: takes what was found and says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Most things of one kind that are named in a message.
const NAMED: usize = 3;

/// All that a round left behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// Rows that were asked for; merged duplicates once.
    pub(crate) asked: BTreeSet<String>,
    /// What each client that asked for them got.
    pub(crate) answers: Vec<Answers>,
    /// Requests that reached the provider, in order of arrival.
    pub(crate) calls: Vec<Call>,
    /// When calls were cut off from whoever waited for them.
    pub(crate) risks: Vec<Risk>,
    /// Work, processes, locks and files that should be gone.
    pub(crate) left: Vec<String>,
    /// A client was stopped before it had all that was bought for it.
    pub(crate) stopped: bool,
}

/// What one client got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    /// Ids in the results, in their order.
    pub(crate) results: Vec<String>,
    /// Ids in the failures.
    pub(crate) failures: Vec<String>,
    /// What the report on stdout counts.
    pub(crate) report: Counts,
    /// What the run's record in `$CLASSIFY_HOME/runs` counts, one by one from its journal.
    pub(crate) ledger: Counts,
}

/// What somebody counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) indicators: usize,
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    pub(crate) pending: usize,
    /// Requests to the model that are told as this run's own.
    pub(crate) requests: usize,
}

/// A request about one row.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: String,
    /// Since the world began.
    pub(crate) at: Duration,
    pub(crate) served: bool,
}

/// Times of arrival of calls that were, or may have been, without a stored answer when something died or was cut off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Risk {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// Whether it was the service that died: nobody else knows of them, so they must be repeated. Nothing else is a reason to.
    pub(crate) by_service: bool,
}

/// What became of a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// Rows without any answer.
    pub(crate) lost: usize,
    /// Answers beyond a row's first.
    pub(crate) duplicated: usize,
    /// Calls beyond a row's first.
    pub(crate) repeated: usize,
    /// Calls in flight when something died.
    pub(crate) at_risk: usize,
    /// Everything that must not be, in words.
    pub(crate) violations: Vec<String>,
}

/// Judges a round.
pub(crate) fn judge(found: &Found) -> Verdict {
    let mut verdict = Verdict::default();
    for answers in &found.answers {
        rows(found, answers, &mut verdict);
        counts(found, answers, &mut verdict);
    }
    calls(found, &mut verdict);
    verdict.violations.extend(found.left.iter().map(|what| format!("left behind: {what}")));
    verdict
}

/// Every row once in results or failures, and nothing else.
fn rows(found: &Found, answers: &Answers, verdict: &mut Verdict) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for id in answers.results.iter().chain(&answers.failures) {
        *times.entry(id).or_default() += 1;
    }
    let lost: Vec<&str> =
        found.asked.iter().map(String::as_str).filter(|id| !times.contains_key(id)).collect();
    let twice: Vec<&str> = times.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect();
    let foreign: Vec<&str> = times.keys().copied().filter(|id| !found.asked.contains(*id)).collect();
    verdict.lost += lost.len();
    verdict.duplicated += times.values().map(|times| times - 1).sum::<usize>();
    complain("lost", &lost, verdict);
    complain("duplicated", &twice, verdict);
    complain("never asked for", &foreign, verdict);
}

/// Report, ledger and files agree.
fn counts(found: &Found, answers: &Answers, verdict: &mut Verdict) {
    let on_disk = (found.asked.len(), answers.results.len(), answers.failures.len(), 0);
    let told = |counts: Counts| (counts.indicators, counts.succeeded, counts.failed, counts.pending);
    let (report, ledger) = (answers.report, answers.ledger);
    let mut hold = |who: &str, counts: Counts| {
        if told(counts) != on_disk {
            verdict.violations.push(format!(
                "the {who} counts {:?} rows, succeeded, failed, pending; asked and on disk are {on_disk:?}",
                told(counts)
            ));
        }
    };
    hold("report", report);
    hold("ledger", ledger);
    if ledger.requests != report.requests {
        let (ours, theirs) = (report.requests, ledger.requests);
        verdict.violations.push(format!("the report counts {ours} requests, the ledger {theirs}"));
    }
}

/// No call without need: one a row, and another one only for a row whose call was in flight when the service died.
fn calls(found: &Found, verdict: &mut Verdict) {
    let at_risk = |call: &Call, risk: &Risk| (risk.from..=risk.until).contains(&call.at);
    let mut by_id: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in &found.calls {
        by_id.entry(&call.id).or_default().push(call);
    }
    let allowed = |calls: &[&Call]| {
        let deaths = found.risks.iter().filter(|risk| risk.by_service);
        1 + deaths.filter(|risk| calls.iter().any(|call| at_risk(call, risk))).count()
    };
    let needless: Vec<&str> =
        by_id.iter().filter(|(_, calls)| calls.len() > allowed(calls)).map(|(id, _)| *id).collect();
    let foreign: Vec<&str> = by_id.keys().copied().filter(|id| !found.asked.contains(*id)).collect();
    let refused: Vec<&str> =
        found.calls.iter().filter(|call| !call.served).map(|call| call.id.as_str()).collect();
    verdict.repeated = found.calls.len() - by_id.len();
    verdict.at_risk =
        found.calls.iter().filter(|call| found.risks.iter().any(|risk| at_risk(call, risk))).count();
    complain("called again, and no call of it was in flight when the service died", &needless, verdict);
    complain("called and never asked for", &foreign, verdict);
    complain("not served by the provider", &refused, verdict);

    // An answer is told as bought by the one run that bought it; a call whose answer was cut off by nobody.
    let told: usize = found.answers.iter().map(|answers| answers.report.requests).sum();
    if told > by_id.len() || (told < by_id.len() && !found.stopped) {
        let called = by_id.len();
        verdict
            .violations
            .push(format!("the reports count {told} requests; the provider was asked for {called} rows"));
    }
}

fn complain(what: &str, ids: &[&str], verdict: &mut Verdict) {
    if !ids.is_empty() {
        let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        verdict.violations.push(format!("rows {what}: {} ({named})", ids.len()));
    }
}

/// What a run that could not go on counts is on disk, line by line, and what it does not count is pending.
pub(crate) fn stopped(report: Counts, results: &str, failures: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (what, text, counted) in
        [("results", results, report.succeeded), ("failures", failures, report.failed)]
    {
        let lines = text.lines().count();
        if lines != counted || !(text.is_empty() || text.ends_with('\n')) {
            violations
                .push(format!("{what}: {lines} lines on disk, the last whole or not; {counted} counted"));
        }
    }
    if report.pending == 0 || report.indicators != report.succeeded + report.failed + report.pending {
        violations.push(format!("a run that stopped early counts {report:?}"));
    }
    violations
}

/// Two files have the same lines, in whatever order.
pub(crate) fn same_lines(expected: &str, found: &str) -> Vec<String> {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let (expected, found) = (sorted(expected), sorted(found));
    if expected == found {
        return Vec::new();
    }
    let first = expected.iter().zip(&found).find(|(expected, found)| expected != found);
    let shown = first.map_or_else(String::new, |(expected, found)| {
        let same =
            expected.chars().zip(found.chars()).take_while(|(expected, found)| expected == found).count();
        let from_there =
            |line: &str| line.chars().skip(same.saturating_sub(40)).take(100).collect::<String>();
        format!("\n  {}\n  {}", from_there(expected), from_there(found))
    });
    vec![format!(
        "{} lines, and {} in an undisturbed run; first difference:{shown}",
        found.len(),
        expected.len()
    )]
}

/// Longest time between two neighbours of `marks`, which are in order.
pub(crate) fn longest_gap(marks: &[Duration]) -> Duration {
    marks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default()
}
