//! A round of every fault on a real cluster, and the proof that the checks can fail. More rounds:
//! `cargo run --release --example chaos -- --rounds 50`.

#[path = "support/chaos/mod.rs"]
mod chaos;
#[path = "support/llm_stub/mod.rs"]
mod llm_stub;
#[path = "support/provider.rs"]
mod provider;
#[path = "support/running.rs"]
mod running;
#[path = "support/workplace.rs"]
mod workplace;
#[path = "support/world.rs"]
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use chaos::{Fault, NotRun, Session, table};
use world::Program;

/// Enough that a run is still going on when a fault is over.
const ROWS: usize = 400;
/// Any will do; this one is the same each time.
const SEED: u64 = 1;

fn program() -> Program {
    Program {
        classify: env!("CARGO_BIN_EXE_classify").into(),
        cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("restate-cache"),
        cluster: "chaos",
        environment: Vec::new(),
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One after the other, on this thread: network and mounts are the thread's own.
    arguments.test_threads = Some(1);
    let session: Arc<Mutex<Option<Session>>> = Arc::default();
    let trial = |fault: Fault| {
        let session = Arc::clone(&session);
        Trial::ignorable_test(format!("{fault}"), move || -> Result<Completion, Failed> {
            let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
            let session = session.get_or_insert_with(|| Session::start(program()));
            let round = session.round(fault, SEED, ROWS);
            say(&table::told(&round));
            let violations = table::violations(std::slice::from_ref(&round));
            match round.result {
                Err(NotRun(reason)) => Ok(Completion::ignored_with(format!("not run: {reason}"))),
                Ok(_) if violations.is_empty() => Ok(Completion::Completed),
                Ok(_) => Err(violations.join("\n").into()),
            }
        })
    };
    let conclusion = libtest_mimic::run(&arguments, Fault::ALL.map(trial).into());
    drop(session.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

/// Figures that a person wants to see, whatever the test makes of them.
#[expect(clippy::print_stderr, reason = "figures of a test belong into its output")]
fn say(line: &str) {
    eprintln!("{line}");
}
