//! An import that is killed three times in the middle and run again gives the same export as one that was left alone.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use common::{Numbers, at, command, lines, npy, succeeds};

const LINES: u64 = 40_000;
const DIMS: usize = 8;
const SEED: u64 = 7;

#[test]
fn three_kills_and_a_rerun_equal_an_uninterrupted_import() {
    let directory = tempfile::tempdir().unwrap();
    let (items, vectors) = (at(directory.path(), "items.jsonl.gz"), at(directory.path(), "vectors.npy"));
    let file = fs::File::create(&items).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(lines(LINES, SEED).as_bytes()).unwrap();
    gzip.finish().unwrap();
    let mut numbers = Numbers::new(SEED);
    let matrix: Vec<f32> = (0..LINES as usize * DIMS).map(|_| 2.0 * numbers.share() - 1.0).collect();
    fs::write(&vectors, npy(LINES as usize, DIMS, &matrix)).unwrap();

    let (whole, killed) = (at(directory.path(), "whole"), at(directory.path(), "killed"));
    let report = succeeds(&["import", &whole, &items, "--vectors", &vectors, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((report["imported"].as_u64(), report["resumed_after"].as_u64()), (Some(LINES), Some(0)));

    let resumed_after = (0..20).find_map(|_| killed_three_times(&killed, &items, &vectors));
    let resumed_after = resumed_after.expect("20 imports were each over before they could be killed three times");
    let report = succeeds(&["import", &killed, &items, "--vectors", &vectors, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["resumed_after"].as_u64() >= Some(resumed_after), "{report}");
    assert_eq!(report["lines"].as_u64(), Some(LINES));

    let (one, other) = (succeeds(&["export", &whole, "-"]), succeeds(&["export", &killed, "-"]));
    assert!(one.lines().count() > 30_000);
    for (number, (one, other)) in one.lines().zip(other.lines()).enumerate() {
        assert_eq!(one, other, "line {} of the exports, seed {SEED}", number + 1);
    }
    assert_eq!(one.len(), other.len());

    let again = succeeds(&["import", &killed, &items, "--vectors", &vectors]);
    assert!(again.starts_with("nothing to do"), "{again}");
}

/// Kills an import three times, each after two more batches; how many lines were surely done at the last one. `None`
/// when the import was over before the third kill, because this process was not given the time.
fn killed_three_times(store: &str, items: &str, vectors: &str) -> Option<u64> {
    let _ = fs::remove_dir_all(store);
    let mut resumed_after = 0;
    for kill in 1..=3 {
        let mut import =
            command(&["import", store, items, "--vectors", vectors, "--progress-lines", "--chunk-lines", "4096"]);
        let mut child = import.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
        // Two batches are in; the third is somewhere between its first byte and its acknowledgement.
        let done = progress.nth(1).map(Result::unwrap);
        child.kill().unwrap();
        if child.wait().unwrap().signal() != Some(9) {
            return None;
        }
        let done = done.unwrap();
        let done: u64 = done.strip_suffix(" lines done").unwrap_or_else(|| panic!("{done}")).parse().unwrap();
        assert!(done >= resumed_after + 2 * 4_096, "kill {kill}: {done} lines done, {resumed_after} before");
        resumed_after = done;
    }
    Some(resumed_after)
}
