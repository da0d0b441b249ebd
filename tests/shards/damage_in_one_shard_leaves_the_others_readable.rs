//! A damaged segment fails the reads of its own shard only; the other shards are read, written, split and compacted.

use super::options;
use crate::common::{numbered, reopened, simulated};
use vecmem::{ErrorKind, Namespace, Query, ReadOptions, Scope, Store};

const NAMESPACES: u64 = 12;

fn home(number: u64) -> Namespace {
    Namespace::new([format!("{number:02}")]).unwrap()
}

fn put(store: &Store, number: u64, keys: std::ops::Range<u64>) -> vecmem::Result<()> {
    keys.map(|key| store.put(numbered(&home(number), key.to_string(), key).vector([key as f32])))
        .try_for_each(|put| put.map(drop))
}

fn count(store: &Store, number: u64) -> vecmem::Result<u64> {
    store.count(&Scope::from(&home(number)), &ReadOptions::default())
}

#[test]
fn for_reads_writes_splits_and_a_compaction() {
    let (store, storage, clock) = simulated(options(1));
    (0..NAMESPACES).for_each(|number| put(&store, number, 0..30).unwrap());
    store.compact().unwrap();
    let before = store.stats().unwrap().internals.shards;
    assert!(before >= 3, "{before} shards");
    store.close().unwrap();
    drop(store);
    // The first bytes of the last truth file: a segment that does not open.
    let damaged = storage.names().into_iter().rfind(|name| name.ends_with(".truth")).unwrap();
    storage.flip_bit(&damaged, 3);

    let store = reopened(&storage, &clock, options(1));
    let lost: Vec<u64> = (0..NAMESPACES).filter(|&number| count(&store, number).is_err()).collect();
    assert!(!lost.is_empty() && lost.len() <= 6, "{lost:?}");
    for number in 0..NAMESPACES {
        let read = store.search(&Query::new(&home(number)).vector([1.0]).limit(5));
        if lost.contains(&number) {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Damaged);
            assert_eq!(put(&store, number, 0..1).unwrap_err().kind(), ErrorKind::Damaged);
        } else {
            assert_eq!(read.unwrap().len(), 5);
            put(&store, number, 30..90).unwrap();
            assert_eq!(count(&store, number).unwrap(), 90);
        }
    }
    assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Damaged);
    let after = store.stats().unwrap().internals.shards;
    assert!(after > before, "{before} shards became {after}");
    let report = store.accept_loss().unwrap();
    assert_eq!(report.segments, [damaged], "{report:?}");
    for number in 0..NAMESPACES {
        put(&store, number, 0..30).unwrap();
        assert_eq!(count(&store, number).unwrap(), if lost.contains(&number) { 30 } else { 90 });
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
