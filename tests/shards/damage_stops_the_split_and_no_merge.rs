//! A shard above its cap whose namespaces cannot be read is not split, again and again: its other segments are merged
//! as usual.

use super::options;
use crate::common::{numbered, reopened, simulated};
use vecmem::{ErrorKind, Namespace, Options, ReadOptions, Scope, Store, Tuning};

fn home(number: u64) -> Namespace {
    Namespace::new([format!("namespace {number:02}")]).unwrap()
}

fn put(store: &Store, number: u64, keys: std::ops::Range<u64>) {
    for key in keys {
        store.put(numbered(&home(number), key.to_string(), key).vector([key as f32])).unwrap();
    }
}

fn uncapped() -> Options {
    options(1).tuning(Tuning { shard_rows: u64::MAX, ..Tuning::tiny() })
}

#[test]
fn of_its_shard() {
    let (store, storage, clock) = simulated(uncapped());
    (0..10).for_each(|number| put(&store, number, 0..30));
    store.compact().unwrap();
    store.close().unwrap();
    let truth = storage.names().into_iter().find(|name| name.ends_with(".truth")).unwrap();
    let bytes = storage.read_file(&truth).unwrap();
    let label = b"namespace 05";
    let at = bytes.windows(label.len()).position(|window| window == label).unwrap();
    storage.flip_bit(&truth, 8 * at as u64);

    let store = reopened(&storage, &clock, options(1));
    let count = |number| store.count(&Scope::from(&home(number)), &ReadOptions::default());
    assert_eq!(count(5).unwrap_err().kind(), ErrorKind::Damaged);
    // In memory, beside the damaged segment. Its extent reaches from "namespace 0" on.
    let beside = Namespace::new(["other"]).unwrap();
    for key in 0..400 {
        store.put(numbered(&beside, key.to_string(), key).vector([1.0])).unwrap();
    }
    let stats = store.stats().unwrap();
    assert_eq!(stats.internals.shards, 1);
    assert!(stats.internals.merges > 0 && stats.internals.segments < 12, "{:?}", stats.internals);
    assert_eq!(stats.health.waiting, Vec::<String>::new(), "nothing is tried again and again");
    assert_eq!(store.count(&Scope::from(&beside), &ReadOptions::default()).unwrap(), 400);
}
