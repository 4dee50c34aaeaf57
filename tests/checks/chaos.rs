//! The checks of the chaos suite can fail: what must not be is made up here, one thing at a time, and found.

use std::time::Duration;

use crate::chaos_checks::{
    Answers, Call, Counts, Found, Risk, Verdict, judge, longest_gap, same_lines, stopped,
};

const NOTHING_SUCH: &str = "not among the rows";

fn ids(number: usize) -> Vec<String> {
    (0..number).map(|row| format!("r{row}")).collect()
}

fn counts() -> Counts {
    Counts { indicators: 10, succeeded: 9, failed: 1, pending: 0, requests: 10 }
}

/// Ten rows, each asked for once, a second apart; the last one failed.
fn sound() -> Found {
    let mut results = ids(10);
    let failures = vec![results.pop().unwrap()];
    let calls = (0..).zip(ids(10)).map(|(at, id)| Call { id, at: Duration::from_secs(at), served: true });
    Found {
        asked: ids(10).into_iter().collect(),
        answers: vec![Answers { results, failures, report: counts(), ledger: counts() }],
        calls: calls.collect(),
        risks: Vec::new(),
        left: Vec::new(),
        stopped: false,
    }
}

/// What is said of a sound round after `change`.
fn after(change: impl FnOnce(&mut Found)) -> Verdict {
    let mut found = sound();
    change(&mut found);
    judge(&found)
}

/// It was found, once, in words that contain `said`.
#[track_caller]
fn finds(verdict: &Verdict, said: &str) {
    let told = verdict.violations.iter().filter(|violation| violation.contains(said)).count();
    assert_eq!(told, 1, "{said}: {:#?}", verdict.violations);
}

fn call(id: &str, at: u64) -> Call {
    Call { id: id.into(), at: Duration::from_secs(at), served: true }
}

#[test]
fn a_sound_round_has_nothing_to_complain_about() {
    let verdict = judge(&sound());
    assert_eq!(verdict.violations, [""; 0]);
    assert_eq!((verdict.lost, verdict.duplicated, verdict.repeated, verdict.at_risk), (0, 0, 0, 0));
}

#[test]
fn a_row_without_an_answer_is_lost() {
    let verdict = after(|found| drop(found.answers[0].results.pop()));
    assert_eq!(verdict.lost, 1);
    finds(&verdict, "rows lost: 1 (r8)");
}

#[test]
fn a_row_with_two_answers_is_duplicated_wherever_they_are() {
    let twice = after(|found| found.answers[0].results.push("r0".into()));
    assert_eq!(twice.duplicated, 1);
    finds(&twice, "rows duplicated: 1 (r0)");
    let both = after(|found| found.answers[0].failures.push("r0".into()));
    assert_eq!(both.duplicated, 1);
    let exchanged = after(|found| found.answers[0].results[1] = "r0".into());
    assert_eq!((exchanged.lost, exchanged.duplicated), (1, 1), "the counts are right, the rows are not");
}

#[test]
fn a_row_nobody_asked_for_is_found() {
    let verdict = after(|found| found.answers[0].results[0] = NOTHING_SUCH.into());
    finds(&verdict, &format!("rows never asked for: 1 ({NOTHING_SUCH})"));
    finds(&after(|found| found.calls[0].id = NOTHING_SUCH.into()), "called and never asked for");
}

#[test]
fn every_count_is_held_against_the_disk() {
    type Change = fn(&mut Counts);
    let changes: [Change; 4] = [
        |counts| counts.indicators += 1,
        |counts| counts.succeeded -= 1,
        |counts| counts.failed += 1,
        |counts| counts.pending = 1,
    ];
    for change in changes {
        finds(&after(|found| change(&mut found.answers[0].report)), "the report counts");
        finds(&after(|found| change(&mut found.answers[0].ledger)), "the ledger counts");
    }
    finds(&after(|found| found.answers[0].ledger.requests = 9), "requests, the ledger 9");
}

#[test]
fn requests_that_are_told_are_those_that_were_made() {
    let more = after(|found| {
        found.answers[0].report.requests = 11;
        found.answers[0].ledger.requests = 11;
    });
    finds(&more, "the reports count 11 requests; the provider was asked for 10 rows");
    finds(&after(|found| drop(found.calls.pop())), "10 requests; the provider was asked for 9 rows");
}

#[test]
fn two_clients_share_what_was_bought() {
    let pair = |second: usize| {
        after(|found| {
            let mut other = found.answers[0].clone();
            other.report.requests = second;
            other.ledger.requests = second;
            found.answers.push(other);
        })
    };
    assert_eq!(pair(0).violations, [""; 0]);
    finds(&pair(1), "the reports count 11 requests");
}

#[test]
fn a_call_is_repeated_only_if_it_was_in_flight_when_the_service_died() {
    let risk = |from, until| Risk {
        from: Duration::from_secs(from),
        until: Duration::from_secs(until),
        by_service: true,
    };
    let needless = after(|found| found.calls.push(call("r3", 20)));
    assert_eq!(needless.repeated, 1);
    finds(&needless, "rows called again, and no call of it was in flight when the service died: 1 (r3)");

    let cut_off = after(|found| {
        found.calls.push(call("r3", 20));
        found.risks.push(risk(2, 4));
    });
    assert_eq!(cut_off.violations, [""; 0]);
    assert_eq!((cut_off.repeated, cut_off.at_risk), (1, 3));

    let of_a_node = after(|found| {
        found.calls.push(call("r3", 20));
        found.risks.push(Risk { by_service: false, ..risk(2, 4) });
    });
    finds(&of_a_node, "rows called again, and no call of it was in flight when the service died: 1 (r3)");
    assert_eq!(of_a_node.at_risk, 3);

    let of_another_time = after(|found| {
        found.calls.push(call("r3", 20));
        found.risks.push(risk(4, 6));
    });
    finds(
        &of_another_time,
        "rows called again, and no call of it was in flight when the service died: 1 (r3)",
    );

    let once_too_often = |risks: &[Risk]| {
        after(|found| {
            found.calls.extend([call("r3", 20), call("r3", 30)]);
            found.risks.extend(risks);
        })
    };
    finds(
        &once_too_often(&[risk(2, 4)]),
        "rows called again, and no call of it was in flight when the service died: 1 (r3)",
    );
    assert_eq!(once_too_often(&[risk(2, 4), risk(19, 21)]).violations, [""; 0], "it was cut off twice");
}

#[test]
fn what_the_provider_refused_and_what_is_left_behind_is_told() {
    finds(&after(|found| found.calls[4].served = false), "rows not served by the provider: 1 (r4)");
    finds(&after(|found| found.left.push("a lock".into())), "left behind: a lock");
}

#[test]
fn a_run_that_stopped_counts_what_is_on_disk() {
    let report = Counts { indicators: 10, succeeded: 2, failed: 1, pending: 7, requests: 3 };
    assert_eq!(stopped(report, "a\nb\n", "c\n"), [""; 0]);
    for (results, failures) in [("a\n", "c\n"), ("a\nb", "c\n"), ("a\nb\nc\n", "c\n"), ("a\nb\n", "")] {
        assert_eq!(stopped(report, results, failures).len(), 1, "{results:?} {failures:?}");
    }
    assert_eq!(stopped(Counts { pending: 6, ..report }, "a\nb\n", "c\n").len(), 1);
    let nothing_pending = Counts { indicators: 3, pending: 0, ..report };
    assert_eq!(stopped(nothing_pending, "a\nb\n", "c\n").len(), 1);
}

#[test]
fn lines_are_compared_byte_by_byte_in_any_order() {
    assert_eq!(same_lines("a\nb\nb\n", "b\na\nb\n"), [""; 0]);
    for other in ["a\nb\n", "a\na\nb\n", "a\nb\nc\n", "a\nb\nb\nb\n", ""] {
        assert_eq!(same_lines("a\nb\nb\n", other).len(), 1, "{other:?}");
    }
}

#[test]
fn a_stall_is_the_longest_time_between_two_results() {
    let marks = [1, 2, 9, 10].map(Duration::from_secs);
    assert_eq!(longest_gap(&marks), Duration::from_secs(7));
    assert_eq!(longest_gap(&marks[..1]), Duration::ZERO);
}
