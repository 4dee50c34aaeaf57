//! Ways in for the fuzz targets in `fuzz/`: private code that takes bytes and values, without files, threads, clocks and sockets.
//!
//! `cargo fuzz` compiles with `cfg(fuzzing)`; without it nothing of this is there.

pub use crate::input::fuzzing as input;
pub use crate::ledger::fuzzing as ledger;
pub use crate::llm::fuzzing as llm;
pub use crate::output::fuzzing as output;
pub use crate::service::fuzzing as service;
