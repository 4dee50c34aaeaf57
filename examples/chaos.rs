//! Jobs on a real cluster while things break at random moments, and a table of what came of it:
//!
//! ```text
//! cargo run --release --example chaos -- --rounds 50
//! cargo run --release --example chaos -- --seed 7 --only quorum --rounds 1    # one of them again
//! ```
//!
//! As root on Linux also with a network that is cut and a disk that is full, in a network and with mounts of its own. Ends with
//! exit code 1 when anything was lost, done twice or too slow. Nothing is simulated but the provider of the model.

#[path = "../tests/support/chaos/mod.rs"]
mod chaos;
#[path = "../tests/support/llm_stub/mod.rs"]
mod llm_stub;
#[path = "support/page.rs"]
mod page;
#[path = "support/program.rs"]
mod program;
#[path = "../tests/support/provider.rs"]
mod provider;
#[path = "../tests/support/running.rs"]
mod running;
#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/workplace.rs"]
mod workplace;
#[path = "../tests/support/world.rs"]
mod world;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

use chaos::{Fault, Round, Session, table};

/// Breaks what `classify` needs while it works, and checks what comes of it.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds, in turn with each fault
    #[arg(long, default_value_t = 8)]
    rounds: u64,
    /// Rounds in which a client is killed over known rows and the results are compared byte by byte [default: twice as many]
    #[arg(long)]
    resumes: Option<u64>,
    /// Rows of a round
    #[arg(long, default_value_t = 600)]
    rows: usize,
    /// Where randomness begins; round N has this and N [default: another each time]
    #[arg(long)]
    seed: Option<u64>,
    /// This fault alone: client, service, node, quorum, pause, network, disk, duplicates,
    /// journal, partial, power or resume
    #[arg(long, value_name = "FAULT")]
    only: Option<Fault>,
    /// Put the table into docs/durability.md, too
    #[arg(long)]
    markdown: bool,
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut out = io::stdout();
    writeln!(out, "seed {seed}")?;
    let mut session = Session::start(program::build("chaos")?);
    let mut rounds: Vec<Round> = Vec::new();
    for (number, fault) in (0..).zip(faults(&args)) {
        let round = session.round(fault, seed + number, args.rows);
        writeln!(out, "{:>3}  {}", number + 1, table::told(&round))?;
        rounds.push(round);
    }
    drop(session);

    let table = table::table(&rounds);
    writeln!(out, "\n{table}")?;
    let wrong = [table::violations(&rounds), table::too_slow(&rounds)].concat();
    for line in &wrong {
        writeln!(out, "{line}")?;
    }
    if args.markdown {
        publish(&table, seed, &wrong)?;
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is to happen, in order.
fn faults(args: &Args) -> Vec<Fault> {
    let number = |rounds: u64| usize::try_from(rounds).expect("a number of rounds");
    if let Some(only) = args.only {
        return vec![only; number(args.rounds)];
    }
    let resumes = args.resumes.unwrap_or(args.rounds * 2);
    let others = Fault::ALL.into_iter().filter(|fault| *fault != Fault::Resume).cycle();
    others.take(number(args.rounds)).chain(vec![Fault::Resume; number(resumes)]).collect()
}

/// Puts the table into the document, with what made it.
fn publish(table: &str, seed: u64, wrong: &[String]) -> io::Result<()> {
    let typed: Vec<String> = std::env::args().skip(1).filter(|arg| *arg != "--markdown").collect();
    let seeded = typed.iter().any(|arg| arg == "--seed");
    let typed = if seeded { typed.join(" ") } else { format!("{} --seed {seed}", typed.join(" ")) };
    let verdict = if wrong.is_empty() { "Nothing else was found.".to_owned() } else { wrong.join("\n") };
    let about = page::about(&format!("cargo run --release --example chaos -- {typed}"));
    page::publish("docs/durability.md", "chaos", &format!("{about}\n\n{table}\n{verdict}"))
}
