//! How exact the rates are, on a real three-node cluster: indicators submitted, by the service's own record of arrivals, and
//! requests to a model, by its provider's.
//!
//! ```text
//! cargo run --release --example rates                       # a quarter of an hour
//! cargo run --release --example rates -- --only requests    # one of the three tables
//! ```
//!
//! Ends with exit code 1 where a rate misses what `docs/performance.md` promises. Nothing is simulated but the provider.

mod arrivals;
mod requests;
mod submissions;
mod table;

#[path = "../../tests/support/balance.rs"]
mod balance;
#[path = "../../tests/support/llm_stub/mod.rs"]
mod llm_stub;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/program.rs"]
mod program;
#[path = "../../tests/support/provider.rs"]
mod provider;
#[path = "../../tests/support/running.rs"]
mod running;
#[path = "../../tests/support/server.rs"]
mod server;
#[path = "../../tests/support/workplace.rs"]
mod workplace;
#[path = "../../tests/support/world.rs"]
mod world;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use table::Table;
use world::World;

/// Measures how exact the rates are.
#[derive(Debug, Parser)]
struct Args {
    /// Seconds each rate is kept up; a minute and what is done during it have to fit
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u32).range(65..))]
    seconds: u32,
    /// This part alone; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Put the tables into docs/performance.md, too
    #[arg(long)]
    markdown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Submissions while all is well.
    Submissions,
    /// Submissions while something is not.
    Faults,
    /// Requests to a model.
    Requests,
}

impl Part {
    /// Makes its table.
    fn measure(self, world: &mut World, seconds: u32) -> Table {
        match self {
            Self::Submissions => submissions::steady(world, seconds),
            Self::Faults => submissions::disturbed(world, seconds),
            Self::Requests => requests::measure(world, seconds),
        }
    }

    /// Name of the table's place in the document.
    fn name(self) -> &'static str {
        match self {
            Self::Submissions => "rates: submissions",
            Self::Faults => "rates: faults",
            Self::Requests => "rates: requests",
        }
    }
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let mut out = io::stdout();
    let mut world = World::start(program::build("rates")?);
    let mut missed = false;
    for part in Part::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        world.make_whole();
        let table = part.measure(&mut world, args.seconds);
        writeln!(out, "{table}")?;
        if args.markdown {
            let typed: Vec<String> = std::env::args().skip(1).filter(|arg| *arg != "--markdown").collect();
            let typed = format!("cargo run --release --example rates -- {}", typed.join(" "));
            let about = page::about(typed.trim_end_matches([' ', '-']));
            page::publish("docs/performance.md", part.name(), &format!("{about}\n\n{table}"))?;
        }
        missed |= table.missed();
    }
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
