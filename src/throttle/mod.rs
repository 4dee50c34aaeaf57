//! How fast work may be submitted: modes and their arithmetic, and the gate that holds one node to its share, the
//! schedule of a run that the cluster submits by itself, and the budget that holds all processes to a model's limits.
//!
//! Owns rates, batch sizes that follow from them, and waiting. Knows no node, no URL and no retry.

pub mod budget;
mod clock;
pub mod gate;
pub mod pace;
pub mod schedule;
pub mod shared_clock;

pub use gate::Gate;
pub use pace::{Answerer, Mode, Pace, Rate};
