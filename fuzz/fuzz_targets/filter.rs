//! Any bytes as a filter and a value: parsing and evaluation end, and agree with the slow evaluator.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vecmem::testing::fuzz_filter(bytes));
