//! Any bytes as operations on a whole store with reopening: it equals the model throughout.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vecmem::testing::fuzz_store_operations(bytes));
