//! A segment of several checked blocks, so that no read of one section checks the block of another: a flipped bit
//! anywhere fails the reads that need it, and no read is wrong.

use std::sync::Arc;

use crate::common::{namespace, simulated, tiny};
use vecmem::testing::{Loss, open_with};
use vecmem::{
    ErrorKind, ImportOptions, Item, IterateQuery, Metric, Namespace, Options, Put, ReadOptions, Result, Scope, Store,
    Tuning,
};

const ITEMS: usize = 4_000;
/// Bytes from one flipped bit to the next.
const STEP: usize = 5_003;

/// One segment without blobs, and a small log.
fn options() -> Options {
    let tuning = Tuning { blob_value_bytes: 1 << 20, import_chunk_rows: ITEMS, ..Tuning::tiny() };
    tiny(1, Metric::Dot).tuning(tuning)
}

fn address(number: usize) -> (Namespace, String) {
    (namespace([["a", "b", "c", "d"][number % 4]]), format!("{number:04}-{}", "k".repeat(80)))
}

fn put(number: usize) -> Put {
    let ((home, key), text) = (address(number), "x".repeat(30));
    Put::new(&home, key, format!("{{\"n\":{number},\"t\":\"{text}\"}}")).vector([1.0])
}

/// The number of items, all items in key order, and some of them by their keys. Each of the reads fails on its own.
fn reads(store: &Store) -> [Result<(u64, Vec<Item>)>; 3] {
    let by_key = (0..ITEMS).step_by(161).filter_map(|number| {
        let (home, key) = address(number);
        store.get(&home, &key).transpose()
    });
    [
        store.count(&Scope::Store, &ReadOptions::default()).map(|count| (count, Vec::new())),
        store.iterate(&IterateQuery::new(Scope::Store).limit(ITEMS), None).map(|page| (0, page.items)),
        by_key.collect::<Result<_>>().map(|items| (0, items)),
    ]
}

#[test]
fn a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer() {
    let (store, storage, clock) = simulated(options());
    store.import((0..ITEMS).map(|number| Ok(put(number))), ImportOptions::new()).unwrap();
    // With a deleted row, a count looks at each row.
    let (home, key) = address(1);
    assert!(store.delete(&home, &key).unwrap());
    let wanted = reads(&store).map(Result::unwrap);
    assert_eq!((wanted[0].0, wanted[1].1.len()), (ITEMS as u64 - 1, ITEMS - 1));
    store.close().unwrap();
    let truth = storage.names().into_iter().filter(|name| name.ends_with(".truth")).max().unwrap();
    let length = storage.read_file(&truth).unwrap().len();
    assert!(length > 6 * (64 << 10), "{length} bytes");
    let (mut named, mut harmless) = (0, 0);
    for at in (0..length).step_by(STEP) {
        let copy = storage.crash(Loss::None, 0);
        copy.flip_bit(&truth, (8 * at + at % 8) as u64);
        let opened = open_with(Arc::new(copy), Arc::new(clock.clone()), options());
        let mut is_named = opened.is_err();
        let found = opened.map_or_else(|error| vec![Err(error)], |store| reads(&store).into());
        for (found, wanted) in found.into_iter().zip(&wanted) {
            match found {
                Ok(found) => assert!(found == *wanted, "byte {at} of {truth}: {} and {}", found.0, found.1.len()),
                Err(error) => {
                    let is_damage = matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Corrupt);
                    assert!(is_damage, "byte {at} of {truth}: {error}");
                    is_named = true;
                }
            }
        }
        if is_named { named += 1 } else { harmless += 1 }
    }
    println!("{length} bytes: {named} flips were named, {harmless} were harmless");
    assert!(named > 50);
}
