//! Any bytes as the input of the target that is named like this binary.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    vecmem::testing::fuzz_target(env!("CARGO_BIN_NAME")).run(bytes);
});
