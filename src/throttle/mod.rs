//! How fast work may be submitted: modes and their arithmetic, and the gate that holds one node to its share.
//!
//! Owns rates, batch sizes that follow from them, and waiting. Knows no node, no URL and no retry.

mod clock;
pub mod gate;
pub mod pace;

pub use gate::Gate;
pub use pace::{Mode, Pace, Rate};
