//! A run that the cluster submits by itself: each batch leaves once, at the rate, within what may be in flight and spent.

#![no_main]

use arbitrary::Unstructured;
use classify_fuzz::detached::live;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _used_up = live(&mut Unstructured::new(bytes));
});
