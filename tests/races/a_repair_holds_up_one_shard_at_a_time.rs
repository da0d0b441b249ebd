//! A repair of derived files waits for the merge of a shard and holds up no other shard; merges and splits beside
//! repairs change no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::gate::{Gate, OpenAtEnd, Step};
use crate::common::{START, namespace, numbered};
use vecmem::testing::{SimClock, SimStorage, Storage, open_with};
use vecmem::{Metric, Options, ReadOptions, Scope, Store, Tuning};

fn options() -> Options {
    let tuning = Tuning { shard_rows: 100, inline_background: false, ..Tuning::tiny() };
    Options::with_vectors(1, Metric::Dot).tuning(tuning).split_keys([namespace(["m"])]).sweep_every(None)
}

fn put(store: &Store, label: &str, keys: std::ops::Range<u64>) {
    for key in keys {
        store.put(numbered(&namespace([label]), key.to_string(), key).vector([key as f32])).unwrap();
    }
}

#[test]
fn that_is_being_merged() {
    let disk: Arc<dyn Storage> = Arc::new(SimStorage::new(1));
    let (storage, gate) = Gate::before(disk);
    let store = open_with(storage, Arc::new(SimClock::new(START)), options()).unwrap();
    for label in ["a", "z"] {
        put(&store, label, 0..10);
        store.flush().unwrap();
        put(&store, label, 10..20);
        store.flush().unwrap();
    }
    gate.close(Step::Create, ".truth", 0);
    std::thread::scope(|scope| {
        let _open_at_end = OpenAtEnd(&gate);
        // The first shard is being merged.
        let compacting = scope.spawn(|| store.compact().unwrap());
        gate.wait_until_held();
        let repairing = scope.spawn(|| store.check(true).unwrap());
        // The repair waits for the first shard, so the second one is free.
        assert!(store.build_graph(&Scope::prefix(["z"]).unwrap()).unwrap().graphs > 0);
        assert!(!compacting.is_finished() && !repairing.is_finished());
        gate.open();
        compacting.join().unwrap();
        assert_eq!(repairing.join().unwrap().problems, Vec::<String>::new());
    });
}

#[test]
fn while_writers_split_shards() {
    let store = open_with(Arc::new(SimStorage::new(2)), Arc::new(SimClock::new(START)), options()).unwrap();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let repairing = scope.spawn(|| {
            let mut repairs = 0;
            while !ends.load(Ordering::Relaxed) || repairs < 3 {
                assert_eq!(store.check(true).unwrap().problems, Vec::<String>::new());
                repairs += 1;
            }
            repairs
        });
        for key in 0..60 {
            for label in ["a", "b", "n", "o", "z"] {
                put(&store, label, key..key + 1);
            }
        }
        store.compact().unwrap();
        ends.store(true, Ordering::Relaxed);
        assert!(repairing.join().unwrap() >= 3);
    });
    assert!(store.stats().unwrap().internals.shards > 2);
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 300);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
