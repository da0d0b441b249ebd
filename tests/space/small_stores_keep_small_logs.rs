//! The log of an idle store follows the size of the store, however much was written to it.

use std::path::Path;

use crate::common::{namespace, simulated, tiny_without_vectors};
use vecmem::{Batch, Options, Put, Store};

fn put(number: u64, round: u64) -> Put {
    let text: String = (0..100)
        .map(|word| format!("{:016x}", (number << 20 | round << 8 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    Put::new(&namespace(["a"]), number.to_string(), format!("{{\"text\":\"{text}\"}}"))
}

fn bytes(path: &Path) -> u64 {
    std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// Bytes on the disk after so many rounds of puts, each of about 2.4 MB, and a compaction; in the mode of durability
/// that is the default.
fn after_rounds(rounds: u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::open(&path, Options::new()).unwrap();
    for round in 0..rounds {
        for first in (0..1_500).step_by(20) {
            let mut batch = Batch::new();
            for number in first..first + 20 {
                batch.put(put(number, round));
            }
            store.batch(batch).unwrap();
        }
    }
    store.compact().unwrap();
    let (compacted, stats) = (bytes(&path), store.stats().unwrap());
    let (log, reserve) = (stats.log.bytes, stats.size.reserve_bytes);
    println!("{rounds} rounds: {compacted} bytes, of these {log} log and {reserve} reserve");
    assert!(stats.log.bytes <= 2 << 20, "{stats:#?}");
    store.put(put(0, 100)).unwrap();
    store.close().unwrap();
    let store = Store::open(&path, Options::new()).unwrap();
    assert_eq!(store.stats().unwrap().size.items, 1_500);
    compacted.max(bytes(&path))
}

#[test]
fn a_store_that_was_overwritten_ten_times_is_as_small_as_a_fresh_one() {
    let (fresh, overwritten) = (after_rounds(1), after_rounds(11));
    println!("{:.2} times a fresh one", overwritten as f64 / fresh as f64);
    assert!(overwritten * 2 <= fresh * 3, "{overwritten} bytes beside {fresh}");
}

#[test]
fn a_tiny_store_keeps_a_tiny_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().join("store"), Options::new()).unwrap();
    (0..20).for_each(|number| assert!(store.put(put(number, 0)).is_ok()));
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.log.bytes <= 600 << 10, "{stats:#?}");
}

#[test]
fn the_simulated_log_goes_on_in_a_small_file_and_loses_nothing() {
    let mut tuning = vecmem::Tuning::tiny();
    tuning.log_file_min_bytes = 12 << 10;
    tuning.log_file_max_bytes = 1 << 20;
    let options = || tiny_without_vectors().tuning(tuning.clone());
    let (store, storage, clock) = simulated(options());
    for number in 0..300 {
        store.put(put(number, 0)).unwrap();
    }
    let dump = store.text_dump().unwrap();
    store.compact().unwrap();
    (0..300).for_each(|number| assert!(store.delete(&namespace(["a"]), &number.to_string()).is_ok()));
    storage.record_sync_points();
    store.compact().unwrap();
    assert!(store.stats().unwrap().log.bytes <= 64 << 10, "{:#?}", store.stats().unwrap());
    store.put(put(7, 1)).unwrap();
    drop(dump);
    for image in storage.take_images() {
        let left = image.survivor(vecmem::testing::Loss::AllUnsynced, 0);
        let store = crate::common::reopened(&left, &clock, options());
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
        assert!(store.stats().unwrap().size.items <= 1);
    }
}
