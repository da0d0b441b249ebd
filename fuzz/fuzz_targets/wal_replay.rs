//! Any bytes as a log file: replay yields a prefix of a history or a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vecmem::testing::fuzz_wal_replay(bytes));
