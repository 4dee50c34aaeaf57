//! The nouns of the product: indicators, batches, outcomes, run events and the counts kept of them.
//!
//! Owns the shapes that travel between client and service (they are journaled by Restate, so a change here is
//! a protocol change) and the arithmetic on them. Does no IO and starts nothing; everything else may use it.

pub mod answer;
pub mod batch;
pub mod bounds;
pub mod cell;
pub mod detached;
pub mod event;
pub mod fingerprint;
pub mod heading;
pub mod indicator;
pub mod labels;
pub mod max_failures;
pub mod method;
pub mod money;
pub mod outcome;
pub mod page;
pub mod payload;
pub mod remarks;
pub mod rows;
pub mod stats;
pub mod tally;
