//! Any bytes as a manifest: a valid one or a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vecmem::testing::fuzz_manifest(bytes));
