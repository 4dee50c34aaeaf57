//! `classify`: label a large table through a Restate cluster without losing, repeating or overpaying for a call.

pub mod domain;
pub mod error;
pub mod input;
