//! Any bytes as lines to import: items that can be put, or errors that name a column of the line.
#![no_main]

#[allow(dead_code, reason = "the command line uses more of it")]
#[path = "../../cli/src/lines.rs"]
mod lines;
#[path = "../../cli/src/texts.rs"]
#[allow(dead_code)]
mod texts;
#[path = "../../cli/src/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for line in bytes.split(|&byte| byte == b'\n') {
        match lines::parse_line(line) {
            Ok(item) => {
                assert!(!item.namespace.labels().is_empty() && item.value.trim_start().starts_with('{'));
                let value = &line[item.value_column - 1..];
                assert!(value.starts_with(b"\"") || value.starts_with(item.value.as_bytes()), "the value as it stands");
                let mut numbers = item.vectors.iter().flatten().flat_map(|vector| vector.values.iter());
                assert!(numbers.all(|number| number.is_finite()));
            }
            Err(error) => {
                assert!((1..=line.len().max(1) + 1).contains(&error.column) && !error.message.is_empty(), "{error}");
            }
        }
    }
});
