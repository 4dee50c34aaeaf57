//! State machines: a model's budget shared by processes, and the run that the cluster submits by itself.

#![no_main]

use arbitrary::Unstructured;
use classify_fuzz::{budget, detached};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut u = Unstructured::new(rest);
    let _used_up = if first & 1 == 0 { budget::live(&mut u) } else { detached::live(&mut u) };
});
