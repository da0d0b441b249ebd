//! A segment of several checked blocks, so that no read of one section checks the block of another: a flipped bit
//! anywhere fails the reads that need it, and no read is wrong.

use std::sync::Arc;

use crate::common::{namespace, simulated, tiny};
use vecmem::testing::{Loss, open_with};
use vecmem::{ErrorKind, Item, Metric, Options, Put, ReadOptions, Result, Scope, Store, Tuning};

const ITEMS: usize = 1_000;
/// Bytes from one flipped bit to the next.
const STEP: usize = 3_001;

/// One segment without blobs.
fn options() -> Options {
    let tuning = Tuning {
        blob_value_bytes: 1 << 20,
        memtable_bytes: 64 << 20,
        memtable_rows: 100_000,
        log_file_min_bytes: 1 << 20,
        log_file_max_bytes: 4 << 20,
        ..Tuning::tiny()
    };
    tiny(1, Metric::Dot).tuning(tuning)
}

#[test]
fn a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer() {
    let (store, storage, clock) = simulated(options());
    let address =
        |number: usize| (namespace([["a", "b", "c", "d"][number % 4]]), format!("{number:04}-{}", "k".repeat(80)));
    for number in 0..ITEMS {
        let ((home, key), text) = (address(number), "x".repeat(300));
        store.put(Put::new(&home, key, format!("{{\"n\":{number},\"t\":\"{text}\"}}")).vector([1.0])).unwrap();
    }
    store.compact().unwrap();
    // With a deleted row, a count looks at each row.
    let (home, key) = address(1);
    assert!(store.delete(&home, &key).unwrap());
    let read = |store: &Store| -> Result<(u64, Vec<Option<Item>>)> {
        let count = store.count(&Scope::Store, &ReadOptions::default())?;
        let gets = (0..ITEMS).step_by(41).map(|number| {
            let (home, key) = address(number);
            store.get(&home, &key)
        });
        Ok((count, gets.collect::<Result<_>>()?))
    };
    let wanted = read(&store).unwrap();
    assert_eq!(wanted.0, ITEMS as u64 - 1);
    store.close().unwrap();
    let truth = storage.names().into_iter().filter(|name| name.ends_with(".truth")).max().unwrap();
    let length = storage.read_file(&truth).unwrap().len();
    assert!(length > 6 * (64 << 10), "{length} bytes");
    let (mut named, mut harmless) = (0, 0);
    for at in (0..length).step_by(STEP) {
        let copy = storage.crash(Loss::None, 0);
        copy.flip_bit(&truth, (8 * at + at % 8) as u64);
        let opened = open_with(Arc::new(copy), Arc::new(clock.clone()), options());
        match opened.and_then(|store| read(&store)) {
            Ok(found) => {
                assert!(found == wanted, "byte {at} of {truth}: {} items", found.0);
                harmless += 1;
            }
            Err(error) => {
                let is_damage = matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Corrupt);
                assert!(is_damage, "byte {at} of {truth}: {error}");
                named += 1;
            }
        }
    }
    println!("{length} bytes: {named} flips were named, {harmless} were harmless");
    assert!(named > 50);
}
