//! The cap of a shard counts living rows: deleted ones, which no merge has removed yet, neither make a split nor decide
//! where a shard is cut.

use crate::common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{Options, Store, Tuning};

fn options() -> Options {
    tiny_without_vectors().tuning(Tuning { shard_rows: 100, dead_percent: 100, ..Tuning::tiny() })
}

fn put(store: &Store, label: &str, keys: std::ops::Range<u64>) {
    for key in keys {
        store.put(numbered(&namespace([label]), format!("{key:03}"), key)).unwrap();
    }
}

#[test]
fn nor_decide_where_a_shard_is_cut() {
    let (store, ..) = simulated(options());
    put(&store, "a", 0..40);
    put(&store, "b", 0..50);
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.shards, 1);
    // "a" and "b" keep two rows each.
    for (label, rows) in [("a", 40), ("b", 50)] {
        (2..rows).for_each(|key| assert!(store.delete(&namespace([label]), &format!("{key:03}")).unwrap()));
    }
    put(&store, "c", 0..48);
    put(&store, "d", 0..48);
    let internals = store.stats().unwrap().internals;
    assert!(internals.segment_rows > 100, "{internals:?}");
    assert_eq!(internals.shards, 1, "100 rows are alive");
    put(&store, "e", 0..48);
    assert_eq!(store.stats().unwrap().internals.shards, 2);
    // The middle of the living rows lies near the beginning of "d", that of all rows near the beginning of "c".
    store.compact().unwrap();
    let sizes: Vec<u64> = store.stats().unwrap().internals.shard_sizes.iter().map(|shard| shard.rows).collect();
    assert_eq!(sizes, [52, 96]);
}
