//! What the fuzz targets share: tables and what must hold of them, texts and numbers that are awkward, and a measure of memory.

pub mod budget;
pub mod csv_model;
pub mod detached;
pub mod draw;
pub mod journal;
pub mod json_model;
pub mod memory;
pub mod table;
