//! While the segments of one shard are rewritten, in the background or for a caller, the other shards are merged, split
//! and get graphs.

use std::sync::Arc;
use std::time::Instant;

use crate::common::gate::{Gate, LIMIT, OpenAtEnd, Step};
use crate::common::{START, namespace, numbered};
use vecmem::testing::{SimClock, SimStorage, Storage, open_with};
use vecmem::{Metric, Options, Scope, Store, Tuning};

fn put(store: &Store, label: &str, keys: std::ops::Range<u64>) {
    for key in keys {
        store.put(numbered(&namespace([label]), key.to_string(), key).vector([key as f32])).unwrap();
    }
}

/// Waits for something that another thread does.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn of_all_that_go_on_meanwhile() {
    let disk: Arc<dyn Storage> = Arc::new(SimStorage::new(1));
    let (storage, gate) = Gate::before(disk);
    let tuning = Tuning { shard_rows: 100, inline_background: false, ..Tuning::tiny() };
    let options = Options::with_vectors(1, Metric::Dot).tuning(tuning).split_keys([namespace(["m"])]);
    let store = open_with(storage, Arc::new(SimClock::new(START)), options.sweep_every(None)).unwrap();
    for label in ["a", "z"] {
        for keys in [0..10, 10..20] {
            put(&store, label, keys);
            store.flush().unwrap();
        }
    }
    assert_eq!(store.stats().unwrap().internals.segments, 4);
    gate.close(Step::Create, ".truth", 0);
    std::thread::scope(|scope| {
        let _open_at_end = OpenAtEnd(&gate);
        // It begins with the first shard, and has nothing to flush.
        let compacting = scope.spawn(|| store.compact().unwrap());
        gate.wait_until_held();
        let building = scope.spawn(|| store.build_graph(&Scope::prefix(["z"]).unwrap()).unwrap());
        until("the second shard has its graph", || building.is_finished());
        assert!(building.join().unwrap().graphs > 0);
        put(&store, "y", 0..60);
        put(&store, "z", 20..80);
        until("the second shard is split", || store.stats().unwrap().internals.shards == 3);
        assert!(store.stats().unwrap().internals.merges > 0);
        assert!(!compacting.is_finished());
        gate.open();
        compacting.join().unwrap();
    });
    let sizes: Vec<u64> = store.stats().unwrap().internals.shard_sizes.iter().map(|shard| shard.rows).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 160, "{sizes:?}");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
