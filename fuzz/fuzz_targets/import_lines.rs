//! Any bytes as lines to import: items or errors that name line and column.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vecmem::testing::fuzz_import_lines(bytes));
