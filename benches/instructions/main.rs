//! Instructions per 1,000 indicators of each stage of a run, counted by Valgrind, and held against a baseline:
//!
//! ```text
//! cargo bench --bench instructions                # fails where a stage takes more, or much less
//! cargo bench --bench instructions -- --accept    # makes today's counts the baseline
//! ```
//!
//! Counts need no quiet machine. Each stage runs in a process of its own, once with 1,000 and once with 2,000 indicators;
//! the difference is the cost of 1,000, without what is done once. Valgrind's processor has no instructions for SHA-256 and is
//! the same on any machine with AVX2, so libraries that look for what a processor can do choose the same code everywhere.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on shall say where")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(clippy::print_stderr, reason = "the table is what it is for")]

mod baseline;
#[path = "../support/generator.rs"]
mod generator;
mod stages;

use std::process::{Command, ExitCode};

use baseline::{Baseline, Toolchain};
use classify::text::grouped;

/// What the counts are for.
const ROWS: usize = 1_000;
/// A rise above this share of the baseline fails. Counts of the same code differ by a tenth of it.
const LARGEST_RISE: f64 = 0.02;
/// A fall below this share fails as well: until the baseline follows, it allows as much again.
const LARGEST_FALL: f64 = 0.05;
/// Starts of the program that must cost next to nothing, and begin no thread.
const STARTS: [(&str, &str); 3] =
    [("start --help", "--help"), ("start --version", "--version"), ("start, no input", "missing.csv")];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["stage", name, rows] => {
            stages::run(name, rows.parse().unwrap());
            ExitCode::SUCCESS
        }
        [] => compare(),
        ["--accept"] => {
            let instructions = measure().map(|(name, count)| (name.to_owned(), count)).collect();
            Baseline { toolchain: Toolchain::here(), instructions }.write();
            println!("written to {}", baseline::FILE);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: cargo bench --bench instructions [-- --accept]");
            ExitCode::from(2)
        }
    }
}

/// Prints what each stage takes, and says which take too much.
fn compare() -> ExitCode {
    let (known, toolchain) = (Baseline::read(), Toolchain::here());
    println!("{:<16} {:>14} {:>14} {:>7}", "per 1,000", "instructions", "baseline", "ratio");
    let (mut risen, mut fallen) = (Vec::new(), Vec::new());
    for (name, now) in measure() {
        let Some(&before) = known.instructions.get(name) else {
            println!("{name:<16} {:>14} {:>14}", grouped(now), "none");
            risen.push(format!("`{name}` has no baseline"));
            continue;
        };
        let ratio = ratio(now, before);
        println!("{name:<16} {:>14} {:>14} {ratio:>7.3}", grouped(now), grouped(before));
        if ratio > 1.0 + LARGEST_RISE {
            risen.push(format!("`{name}` takes {:.1} % more instructions", (ratio - 1.0) * 100.0));
        } else if ratio < 1.0 - LARGEST_FALL {
            fallen.push(format!("`{name}` takes {:.1} % fewer instructions", (1.0 - ratio) * 100.0));
        }
    }
    if risen.is_empty() && fallen.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}, against {}", [risen, fallen].concat().join(", "), baseline::FILE);
    if toolchain != known.toolchain {
        eprintln!("  the baseline was made with {}, this is {toolchain}", known.toolchain);
    }
    eprintln!(
        "  hint: fewer, or more that is worth it? `scripts/instructions.sh --accept`, and say why in the commit"
    );
    ExitCode::FAILURE
}

/// Instructions per 1,000 indicators of every stage, in the order of a run, and per start.
fn measure() -> impl Iterator<Item = (&'static str, u64)> {
    let per_rows = stages::NAMES.into_iter().map(|name| {
        let (more, less) = std::thread::scope(|scope| {
            let more = scope.spawn(|| stage(name, 2 * ROWS));
            let less = stage(name, ROWS);
            (more.join().unwrap(), less)
        });
        (name, more.checked_sub(less).unwrap())
    });
    per_rows.chain(STARTS.into_iter().map(|(name, arg)| (name, start(arg))))
}

/// Instructions of a process that runs `name` on `rows` indicators.
fn stage(name: &str, rows: usize) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe().unwrap()).args(["stage", name, &rows.to_string()]);
    let (succeeded, count) = count(&mut command);
    assert!(succeeded, "stage {name} failed");
    count
}

/// Instructions of `classify ARG`, which must end without a second thread.
fn start(arg: &str) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("valgrind");
    // One profile a thread, so that their number is the number of threads.
    command.args(["--tool=callgrind", "--separate-threads=yes", "--callgrind-out-file=threads"]);
    command.args([env!("CARGO_BIN_EXE_classify"), arg]).current_dir(&folder).env("HOME", folder.path());
    let (_, count) = count(&mut command);
    let profiles = folder.path().read_dir().unwrap();
    let threads = profiles.filter(|entry| entry.as_ref().unwrap().file_name() != "threads").count();
    assert_eq!(threads, 1, "`classify {arg}` starts threads");
    count
}

/// Whether the program under Valgrind succeeded, and its instructions.
fn count(valgrind: &mut Command) -> (bool, u64) {
    let output =
        valgrind.output().unwrap_or_else(|error| panic!("valgrind: {error}; `apt-get install valgrind`"));
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split("Collected :").nth(1));
    let count = collected.and_then(|number| number.trim().parse().ok());
    (output.status.success(), count.unwrap_or_else(|| panic!("valgrind said: {said}")))
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^52")]
fn ratio(now: u64, before: u64) -> f64 {
    now as f64 / before as f64
}
