//! What all rounds came to: one line per fault.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Fault, Measured, NotRun, Round};

/// What was promised: longest stall when a node dies, until a lost quorum is told, until work goes on after its return.
const STALL: Duration = Duration::from_secs(5);
const TOLD: Duration = Duration::from_secs(15);
const BACK: Duration = Duration::from_secs(10);

const HEAD: &str = "\
| fault | rounds | rows | lost | duplicated | repeated calls | in flight then | longest stall | told after | on again after |
|---|---|---|---|---|---|---|---|---|---|
";

/// A round in a line.
pub(crate) fn told(round: &Round) -> String {
    let name = format!("{:<10} seed {}", round.fault.name(), round.seed);
    let Measured { rows, lost, duplicated, repeated, at_risk, stall, told, back, violations } =
        match &round.result {
            Ok(measured) => measured,
            Err(NotRun(reason)) => return format!("{name}   not run: {reason}"),
        };
    let mut line = format!(
        "{name}   {rows} rows, {lost} lost, {duplicated} duplicated, {repeated} calls repeated, {at_risk} in flight then, \
         longest stall {stall:.1?}"
    );
    for (what, time) in [("told after", told), ("on again after", back)] {
        if let Some(time) = time {
            write!(line, ", {what} {time:.1?}").expect("memory to write to");
        }
    }
    for violation in violations {
        write!(line, "\n  VIOLATION {violation}").expect("memory to write to");
    }
    line
}

/// A table in Markdown.
pub(crate) fn table(rounds: &[Round]) -> String {
    let mut text = HEAD.to_owned();
    for fault in Fault::ALL {
        let of: Vec<&Round> = rounds.iter().filter(|round| round.fault == fault).collect();
        if !of.is_empty() {
            line(&mut text, fault, &of);
        }
    }
    text
}

fn line(text: &mut String, fault: Fault, rounds: &[&Round]) {
    let title = fault.title();
    let measured: Vec<&Measured> = rounds.iter().filter_map(|round| round.result.as_ref().ok()).collect();
    if let Some(NotRun(reason)) = rounds.iter().find_map(|round| round.result.as_ref().err()) {
        writeln!(text, "| {title} | not run: {reason} | | | | | | | | |").expect("memory to write to");
        return;
    }
    let sum = |of: fn(&Measured) -> usize| measured.iter().map(|round| of(round)).sum::<usize>();
    let most = |of: fn(&Measured) -> Option<Duration>| {
        let longest = measured.iter().filter_map(|round| of(round)).max();
        longest.map_or_else(|| "–".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    writeln!(
        text,
        "| {title} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        measured.len(),
        sum(|round| round.rows),
        sum(|round| round.lost),
        sum(|round| round.duplicated),
        sum(|round| round.repeated),
        sum(|round| round.at_risk),
        most(|round| Some(round.stall).filter(|stall| !stall.is_zero())),
        most(|round| round.told),
        most(|round| round.back),
    )
    .expect("memory to write to");
}

/// Everything that must not be, with what to type to see it again.
pub(crate) fn violations(rounds: &[Round]) -> Vec<String> {
    let of = |round: &Round| {
        let Ok(measured) = &round.result else { return Vec::new() };
        let again = format!("--seed {} --only {} --rounds 1", round.seed, round.fault);
        measured.violations.iter().map(|what| format!("{again}: {what}")).collect()
    };
    rounds.iter().flat_map(of).collect()
}

/// Promises about time that were not kept. They hold on a machine that has time for its work.
pub(crate) fn too_slow(rounds: &[Round]) -> Vec<String> {
    let mut late = Vec::new();
    for round in rounds {
        let Ok(measured) = &round.result else { continue };
        let stall = Some(measured.stall).filter(|_| round.fault == Fault::Node);
        let times = [("stood still for", stall, STALL), ("quorum told after", measured.told, TOLD)];
        let back = measured.back.filter(|_| round.fault == Fault::Quorum);
        for (what, time, limit) in times.into_iter().chain([("went on after", back, BACK)]) {
            if let Some(time) = time.filter(|time| *time > limit) {
                let (took, fault, seed) = (time.as_secs_f64(), round.fault, round.seed);
                late.push(format!(
                    "{fault} (seed {seed}): {what} {took:.1} s, more than {} s",
                    limit.as_secs()
                ));
            }
        }
    }
    late
}
