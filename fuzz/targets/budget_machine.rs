//! A model's budget shared by processes that ask, are refused and die, on clocks that are off: no limit is passed, and all are served.

#![no_main]

use arbitrary::Unstructured;
use classify_fuzz::budget::live;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _used_up = live(&mut Unstructured::new(bytes));
});
