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
#[path = "../tests/support/provider.rs"]
mod provider;
#[path = "../tests/support/running.rs"]
mod running;
#[path = "../tests/support/workplace.rs"]
mod workplace;
#[path = "../tests/support/world.rs"]
mod world;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;

use chaos::{Fault, Round, Session, table};
use world::Program;

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
    /// This fault alone: client, service, node, quorum, pause, network, disk, duplicates or resume
    #[arg(long, value_name = "FAULT")]
    only: Option<Fault>,
    /// Put the table into docs/durability.md, too
    #[arg(long)]
    markdown: bool,
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let program = Program {
        classify: build()?,
        cache: Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/restate-cache"),
        cluster: "chaos",
        environment: Vec::new(),
    };
    let mut out = io::stdout();
    writeln!(out, "seed {seed}")?;
    let mut session = Session::start(program);
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

/// The binary, built as we are.
fn build() -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bin", "classify"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if !command.status()?.success() {
        return Err(io::Error::other("cargo build failed"));
    }
    // target/PROFILE/examples/chaos
    let ours = std::env::current_exe()?;
    let folder = ours.parent().and_then(Path::parent).ok_or_else(|| io::Error::other("no target folder"))?;
    Ok(folder.join("classify"))
}

/// Puts the table between the marks of the document, with what made it.
fn publish(table: &str, seed: u64, wrong: &[String]) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/durability.md");
    let text = std::fs::read_to_string(&path)?;
    let (begin, end) = ("<!-- chaos: begin -->\n", "<!-- chaos: end -->\n");
    let marks = || io::Error::other(format!("{} has no place for the table", path.display()));
    let (before, rest) = text.split_once(begin).ok_or_else(marks)?;
    let (_, after) = rest.split_once(end).ok_or_else(marks)?;
    let typed: Vec<String> = std::env::args().skip(1).filter(|arg| *arg != "--markdown").collect();
    let typed = if typed.iter().any(|arg| arg == "--seed") {
        typed.join(" ")
    } else {
        format!("{} --seed {seed}", typed.join(" "))
    };
    let verdict = if wrong.is_empty() { "Nothing else was found.".to_owned() } else { wrong.join("\n") };
    let about = format!(
        "`cargo run --release --example chaos -- {typed}` on {}, commit {}, {}:\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        said("git", &["describe", "--always", "--dirty"]),
        machine(),
    );
    std::fs::write(&path, format!("{before}{begin}{about}\n{table}\n{verdict}\n{end}{after}"))
}

fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: u64 = after(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let model = after(&read("/proc/cpuinfo"), "model name");
    let (gib, kernel) = (kib / 1024 / 1024, said("uname", &["-r"]));
    // Whoever else was at work then says something about the times.
    let load = read("/proc/loadavg");
    let load = load.split(' ').nth(2).unwrap_or("?");
    format!("{cores} cores ({model}), {gib} GiB, Linux {kernel}, load average of the last 15 min {load}")
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
