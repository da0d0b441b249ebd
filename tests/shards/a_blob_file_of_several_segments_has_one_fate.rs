//! A blob file that cannot be read is kept by each output of a merge that has values in it. A later merge of these
//! outputs names the file once, so that its damage fails its own values only, and the file restored heals the store.

use crate::common::{Random, namespace, reopened, simulated, tiny_without_vectors};
use vecmem::{ErrorKind, Options, Put, Store, Tuning};

const ROWS: usize = 160;

/// Four memtables become four segments, and these one merge with two outputs.
fn options() -> Options {
    let tuning = Tuning { shard_rows: 100, memtable_rows: 40, memtable_bytes: 1 << 20, ..Tuning::tiny() };
    tiny_without_vectors().tuning(tuning)
}

fn value(row: usize) -> String {
    let mut random = Random::new(row as u64);
    let text: String = (0..200).map(|_| random.letter()).collect();
    format!("{{\"row\":{row},\"text\":\"{text}\"}}")
}

fn put(store: &Store, rows: std::ops::Range<usize>) {
    // Neighbouring rows lie far apart in the order of keys.
    for row in rows {
        store.put(Put::new(&namespace(["a"]), format!("{:03}", row * 77 % ROWS), value(row))).unwrap();
    }
}

/// The rows that cannot be read.
fn unreadable(store: &Store) -> Vec<usize> {
    let is_damaged = |&row: &usize| match store.get(&namespace(["a"]), &format!("{:03}", row * 77 % ROWS)) {
        Ok(item) => {
            assert_eq!(*item.unwrap().value, *value(row));
            false
        }
        Err(error) => error.kind() == ErrorKind::Damaged,
    };
    (0..ROWS).filter(is_damaged).collect()
}

#[test]
fn over_all_inputs_of_a_merge() {
    let (store, storage, clock) = simulated(options());
    put(&store, 0..120);
    let internals = store.stats().unwrap().internals;
    assert_eq!((internals.segments, internals.blob_files), (3, 3));
    store.close().unwrap();
    let damaged = storage.names().into_iter().find(|name| name.ends_with(".blob")).unwrap();
    storage.flip_bit(&damaged, 3);

    let store = reopened(&storage, &clock, options());
    put(&store, 120..ROWS);
    let internals = store.stats().unwrap().internals;
    assert_eq!((internals.segments, internals.shards), (2, 1), "one merge has written two segments");
    let lost = unreadable(&store);
    assert_eq!(lost.len(), 40, "those of one memtable");
    // Both outputs keep the file. One merge of both finds it once.
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.segments, 1);
    assert_eq!(unreadable(&store), lost);
    store.close().unwrap();

    storage.flip_bit(&damaged, 3);
    let store = reopened(&storage, &clock, options());
    assert_eq!(unreadable(&store), [0; 0]);
    store.compact().unwrap();
    assert_eq!(unreadable(&store), [0; 0]);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
