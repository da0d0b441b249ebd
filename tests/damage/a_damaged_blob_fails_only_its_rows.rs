//! A damaged or missing blob file fails only the rows whose values lie in what is damaged, by name: lookups without the
//! value, other rows, deletes and merges go on, a partial read leaves it out and says so, and the file restored heals
//! the store.

use std::sync::Arc;

use vecmem::testing::{Random, SimClock, SimStorage, open_with};
use vecmem::{
    ErrorKind, Filter, IterateQuery, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Store, Tuning,
};

/// 40 rows in one segment, every fourth with a large value of several checked blocks, none of which can be compressed.
const ROWS: usize = 40;
const LARGE: usize = 150_000;

fn open(storage: &SimStorage) -> Store {
    let tuning = Tuning { memtable_rows: 1_000, memtable_bytes: 64 << 20, log_total_bytes: 64 << 20, ..Tuning::tiny() };
    let options = Options::with_vectors(2, Metric::Dot).tuning(tuning);
    open_with(Arc::new(storage.clone()), Arc::new(SimClock::new(1_700_000_000_000_000)), options).unwrap()
}

fn namespace() -> Namespace {
    Namespace::new(["files"]).unwrap()
}

fn is_large(row: usize) -> bool {
    row.is_multiple_of(4)
}

fn value(row: usize) -> String {
    let mut random = Random::new(row as u64);
    let text: String = (0..if is_large(row) { LARGE } else { 10 }).map(|_| random.letter()).collect();
    format!("{{\"row\":{row},\"text\":\"{text}\"}}")
}

fn key(row: usize) -> String {
    format!("{row:02}")
}

fn fill(storage: &SimStorage) -> String {
    let store = open(storage);
    for row in 0..ROWS {
        store.put(Put::new(&namespace(), key(row), value(row)).vector([1.0, row as f32])).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
    let mut blobs = storage.names().into_iter().filter(|name| name.ends_with(".blob"));
    let blob = blobs.next().unwrap();
    assert_eq!(blobs.next(), None, "one file");
    blob
}

/// That exactly the rows of `damaged` fail, in every read, and that the damage is named.
fn only_these_fail(store: &Store, damaged: &[usize], blob: &str) {
    let (namespace, partial) = (namespace(), ReadOptions { partial: true, ..ReadOptions::default() });
    for row in 0..ROWS {
        match store.get(&namespace, &key(row)) {
            Ok(item) => assert!(!damaged.contains(&row) && *item.unwrap().value == *value(row), "{row}"),
            Err(error) => {
                assert!(error.kind() == ErrorKind::Damaged && damaged.contains(&row), "{row}: {error}");
                assert!(error.to_string().contains(blob), "{error}");
            }
        }
    }
    let whole = (0..ROWS).filter(|row| !damaged.contains(row)).count();
    let page = |options: &ReadOptions| {
        store.iterate(&IterateQuery::new(Scope::Store).limit(100).options(options.clone()), None)
    };
    let page_found = page(&partial).unwrap();
    assert!(page_found.incomplete && page_found.items.len() == whole, "{}", page_found.items.len());
    assert_eq!(page(&ReadOptions::default()).unwrap_err().kind(), ErrorKind::Damaged);
    // Scores need no value, so a search fails for its winners only.
    let search = |limit: usize, options: ReadOptions| {
        store.search(&Query::new(&namespace).vector([0.0, 1.0]).limit(limit).exact(true).options(options))
    };
    assert_eq!(search(3, ReadOptions::default()).unwrap().hits.len(), 3, "39, 38 and 37 are small");
    assert_eq!(search(ROWS, ReadOptions::default()).unwrap_err().kind(), ErrorKind::Damaged);
    let answer = search(ROWS, partial.clone()).unwrap();
    assert!(answer.incomplete && answer.hits.len() == whole, "{}", answer.hits.len());
    let listed = store.list(&Query::new(&namespace).limit(100).options(partial.clone())).unwrap();
    assert!(listed.incomplete && listed.hits.len() == whole);
    let filtered = Query::new(&namespace).filter(Filter::gte("row", 0)).limit(100);
    assert_eq!(store.list(&filtered).unwrap_err().kind(), ErrorKind::Damaged);
    for query in [filtered.clone(), filtered.vector([0.0, 1.0]).exact(true)] {
        let answer = store.search(&query.options(partial.clone())).unwrap();
        assert!(answer.incomplete && answer.hits.len() == whole, "{}", answer.hits.len());
    }
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), ROWS as u64, "a count reads no value");
    let report = store.check(false).unwrap();
    assert!(!report.problems.is_empty() && report.problems.iter().all(|problem| problem.contains(blob)), "{report:?}");
    let repaired = store.check(true).unwrap();
    assert_eq!((repaired.problems, repaired.repaired.len()), (report.problems, 0), "nothing to rebuild it from");
}

#[test]
fn a_flipped_bit_fails_the_values_in_its_block() {
    let storage = SimStorage::new(1);
    let blob = fill(&storage);
    let bytes = storage.read_file(&blob).unwrap();
    // In the middle of the third large value, which fills the block alone.
    let third = bytes.windows(9).position(|window| window == b"{\"row\":8,").unwrap();
    storage.flip_bit(&blob, 8 * (third as u64 + 75_000) + 1);
    let store = open(&storage);
    only_these_fail(&store, &[8], &blob);
    // It can be replaced like any other, and everything is well again.
    store.put(Put::new(&namespace(), key(8), value(8)).vector([1.0, 8.0])).unwrap();
    assert_eq!(*store.get(&namespace(), &key(8)).unwrap().unwrap().value, *value(8));
    store.compact().unwrap();
    assert!(store.check(false).unwrap().problems.is_empty());
}

#[test]
fn a_missing_file_fails_its_values_and_heals_when_it_comes_back() {
    let storage = SimStorage::new(2);
    let blob = fill(&storage);
    let bytes = storage.read_file(&blob).unwrap();
    storage.remove_file(&blob);
    let store = open(&storage);
    let large: Vec<usize> = (0..ROWS).filter(|&row| is_large(row)).collect();
    only_these_fail(&store, &large, &blob);
    assert!(store.stats().unwrap().health.damage.iter().any(|damage| damage.contains(&blob)));
    // A merge keeps what it cannot read, so nothing is given up that may come back; what came with it is not gone, and
    // this is told.
    store.delete(&namespace(), &key(1)).unwrap();
    store.delete(&namespace(), &key(4)).unwrap();
    not_all_is_gone(&store, &blob);
    store.close().unwrap();
    storage.write_file(&blob, &bytes);
    let store = open(&storage);
    for row in (0..ROWS).filter(|&row| row != 1 && row != 4) {
        assert_eq!(*store.get(&namespace(), &key(row)).unwrap().unwrap().value, *value(row), "{row}");
    }
    assert_eq!(store.get(&namespace(), &key(4)).unwrap(), None);
    assert!(store.check(false).unwrap().problems.is_empty());
    store.compact().unwrap();
    assert!(!storage.names().contains(&blob));
}

/// That everything is merged but the blob file, which `compact` names.
fn not_all_is_gone(store: &Store, blob: &str) {
    for _ in 0..2 {
        let error = store.compact().unwrap_err();
        assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(blob), "{error}");
        let stats = store.stats().unwrap();
        assert_eq!((stats.size.dead_rows, stats.internals.segments), (0, 1));
    }
}

#[test]
fn merges_go_on_and_keep_the_file_while_a_damaged_value_lives() {
    let storage = SimStorage::new(3);
    let blob = fill(&storage);
    let end = storage.read_file(&blob).unwrap().len() as u64;
    storage.flip_bit(&blob, 8 * (end - 200));
    let store = open(&storage);
    // More than half is dead, so the background wants to rewrite it, once.
    let half = (0..ROWS - 8).filter(|&row| is_large(row));
    half.for_each(|row| assert!(store.delete(&namespace(), &key(row)).unwrap()));
    let merges = store.stats().unwrap().internals.merges;
    assert!(merges > 0 && store.stats().unwrap().health.background_error.is_none(), "{:?}", store.stats());
    for number in 0..20 {
        store.put(Put::new(&namespace(), "another", format!("{{\"n\":{number}}}"))).unwrap();
    }
    assert_eq!(store.stats().unwrap().internals.merges, merges, "it is not tried again and again");
    store.delete(&namespace(), "another").unwrap();
    not_all_is_gone(&store, &blob);
    assert_eq!(*store.get(&namespace(), &key(32)).unwrap().unwrap().value, *value(32));
    let error = store.get(&namespace(), &key(36)).unwrap_err().to_string();
    assert!(error.contains(&blob) && error.contains("offset"), "{error}");
    // Once the damaged value is gone too, so is the file.
    store.delete(&namespace(), &key(36)).unwrap();
    store.compact().unwrap();
    assert!(!storage.names().contains(&blob));
    assert_eq!(*store.get(&namespace(), &key(32)).unwrap().unwrap().value, *value(32));
    assert!(store.check(false).unwrap().problems.is_empty());
}
