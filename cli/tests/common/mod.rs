//! What the tests of the command share: running the real binary, and small data with a fixed seed.
// Each test is its own crate and uses a part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

#[path = "../../src/bench/numbers.rs"]
mod numbers;
pub use numbers::Numbers;

/// The command, with arguments.
pub fn command<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vecmem"));
    command.args(arguments);
    command
}

/// Runs the command, which must succeed; what it printed.
#[track_caller]
pub fn succeeds<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> String {
    let output = command(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs the command, which must fail with exit code 1 and one or two lines of text; these.
#[track_caller]
pub fn fails<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> String {
    refused(&command(arguments).output().unwrap())
}

/// The message of a run that failed as a run should.
#[track_caller]
pub fn refused(output: &Output) -> String {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: ") && message.lines().count() <= 2, "{message}");
    assert!(!message.contains("Error {") && !message.contains("panicked"), "{message}");
    message
}

/// Waits until the condition holds, at most for so long.
#[track_caller]
pub fn until(most: Duration, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < most, "it did not come true in {most:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A path as an argument.
pub fn at(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().unwrap().to_owned()
}

/// A matrix of f32 as numpy writes it.
pub fn npy(rows: usize, dims: usize, numbers: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dims}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(118u16.to_le_bytes());
    bytes.extend(format!("{header:<117}\n").bytes());
    numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes
}

/// `count` lines with explicit times; every seventh key comes again and replaces an earlier item.
pub fn lines(count: u64, seed: u64) -> String {
    let mut numbers = Numbers::new(seed);
    (0..count)
        .map(|line| {
            let user = numbers.next() % 50;
            let key = if line % 7 == 6 { numbers.next() % line } else { line };
            let (created, updated) = (1_700_000_000_000_000 + line, 1_700_000_500_000_000 + line);
            format!(
                "{{\"namespace\":[\"users\",\"{user}\"],\"key\":\"k{key}\",\"value\":{{\"text\":\"memory {line}\",\"n\":{line}}},\
                 \"created_at\":{created},\"updated_at\":{updated}}}\n"
            )
        })
        .collect()
}

/// The paths of a directory's files whose names end like this, in order.
pub fn files_ending(directory: &str, ending: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    found.sort();
    found
}

/// Flips a bit of a file, in the first place where these bytes stand.
#[track_caller]
pub fn flip(path: &Path, bytes: &str) {
    let mut content = std::fs::read(path).unwrap();
    let found = content.windows(bytes.len()).position(|window| window == bytes.as_bytes());
    content[found.expect("the bytes are in the file")] ^= 0x10;
    std::fs::write(path, content).unwrap();
}
