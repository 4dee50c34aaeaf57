//! The chaos suite: jobs on a real cluster while clients, service, nodes, network and disk fail at random moments, and what
//! must hold afterwards. `tests/e2e/chaos_rounds.rs` does a round of each, `examples/chaos.rs` as many as one likes.
//!
//! Everything random in a round follows from its seed. When exactly a process dies follows from the machine, too: the same
//! seed chooses the same fault, the same share of the rows and the same pauses, not the same instruction.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

mod arena;
pub(crate) mod checks;
mod client;
mod faults;
mod isolation;
mod leftovers;
mod progress;
mod resume;
mod scene;
pub(crate) mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fastrand::Rng;

use crate::world::Program;
use arena::Arena;
pub(crate) use faults::Fault;
use resume::Known;
use scene::Scene;

/// What became of a round.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) fault: Fault,
    pub(crate) seed: u64,
    pub(crate) result: Result<Measured, NotRun>,
}

/// Why there is nothing to tell of a round.
#[derive(Debug, Clone)]
pub(crate) struct NotRun(pub(crate) String);

/// What was counted in a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub(crate) rows: usize,
    pub(crate) lost: usize,
    pub(crate) duplicated: usize,
    /// Calls beyond a row's first.
    pub(crate) repeated: usize,
    /// Calls that were in flight when something died.
    pub(crate) at_risk: usize,
    /// Longest time without a new result on disk.
    pub(crate) stall: Duration,
    /// From the loss of the quorum to the client's word for it.
    pub(crate) told: Option<Duration>,
    /// From the return of what was lost to the next result.
    pub(crate) back: Option<Duration>,
    /// What must not be, in words.
    pub(crate) violations: Vec<String>,
}

/// A world in which rounds take place one after the other.
pub(crate) struct Session {
    arena: Arena,
    known: Option<Known>,
}

impl Session {
    pub(crate) fn start(program: Program) -> Self {
        Self { arena: Arena::start(program), known: None }
    }

    /// One round of `fault` over `rows` rows.
    pub(crate) fn round(&mut self, fault: Fault, seed: u64, rows: usize) -> Round {
        if let Some(reason) = fault.obstacle(&self.arena) {
            return Round { fault, seed, result: Err(NotRun(reason)) };
        }
        let measured = catch_unwind(AssertUnwindSafe(|| self.measure(fault, seed, rows)));
        let measured = measured.unwrap_or_else(|cause| {
            let violations = vec![format!("the round broke off: {}", words(&*cause))];
            Measured { violations, ..Measured::default() }
        });
        Round { fault, seed, result: Ok(measured) }
    }

    fn measure(&mut self, fault: Fault, seed: u64, rows: usize) -> Measured {
        self.arena.make_whole();
        let rng = Rng::with_seed(seed);
        if fault == Fault::Resume {
            let known = self.known.get_or_insert_with(|| Known::learn(&mut self.arena, rows));
            return known.round(&mut self.arena, rng);
        }
        let mut scene = Scene::new(&mut self.arena, rng, rows);
        fault.strike(&mut scene);
        scene.end()
    }
}

/// What a panic said.
fn words(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}
