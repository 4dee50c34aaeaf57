//! Bytes as a table: no panic, both passes and both ways to treat bad rows agree, and so does another parser.

#![no_main]

use classify::input::Format;
use classify_fuzz::{json_model, table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let read = table::read(Format::Jsonl, bytes);
    json_model::lines_agree(bytes, &read);
});
