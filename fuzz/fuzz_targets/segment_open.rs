//! Any bytes as a segment file: opened and read through, or a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vecmem::testing::fuzz_segment_open(bytes));
