//! A partial search for groups goes on where the values of all best rows are in a blob file that is missing: it finds
//! the groups of the rows behind them, and says that it is incomplete.

use std::sync::Arc;

use vecmem::testing::{Random, SimClock, SimStorage, open_with};
use vecmem::{FieldPath, GroupBy, Metric, Namespace, Options, Put, Query, ReadOptions, Store, Tuning};

/// Rows whose values cannot be read: more than one round of a search looks at. And the others, in groups.
const UNREADABLE: usize = 300;
const OTHERS: usize = 40;
const GROUPS: usize = 4;

fn open(storage: &SimStorage) -> Store {
    let tuning = Tuning { memtable_rows: 1_000, blob_value_bytes: 1_000, blob_files: 9, ..Tuning::tiny() };
    let options = Options::with_vectors(2, Metric::Dot).tuning(tuning);
    open_with(Arc::new(storage.clone()), Arc::new(SimClock::new(1_700_000_000_000_000)), options).unwrap()
}

#[test]
fn groups_are_found_behind_values_that_cannot_be_read() {
    let (storage, home) = (SimStorage::new(3), Namespace::new(["notes"]).unwrap());
    let store = open(&storage);
    let mut random = Random::new(3);
    for row in 0..UNREADABLE + OTHERS {
        let is_large = row < UNREADABLE;
        let text: String = (0..if is_large { 3_000 } else { 10 }).map(|_| random.letter()).collect();
        let value = format!("{{\"group\":{{\"of\":{}}},\"text\":\"{text}\"}}", row % GROUPS);
        let put = Put::new(&home, format!("{row:03}"), value).vector([1.0, (UNREADABLE + OTHERS - row) as f32]);
        store.put(put).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
    let blobs: Vec<String> = storage.names().into_iter().filter(|name| name.ends_with(".blob")).collect();
    assert!(!blobs.is_empty());
    blobs.iter().for_each(|blob| storage.remove_file(blob));
    let store = open(&storage);
    let partial = ReadOptions { partial: true, ..ReadOptions::default() };
    let by = GroupBy::Field(FieldPath::new("group.of").unwrap());
    let query = Query::new(&home).vector([0.0, 1.0]).exact(true).limit(GROUPS).group_by(by, 1).options(partial);
    let answer = store.search(&query).unwrap();
    let keys: Vec<&str> = answer.iter().map(|hit| hit.item.key.as_str()).collect();
    assert!(answer.incomplete);
    assert_eq!(keys, ["300", "301", "302", "303"]);
}
