//! After `compact` no file of the store holds a byte of a value that was deleted, replaced or swept: a marked text in
//! each value is looked for in all of them, the log and its spare files included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vecmem::testing::{Random, SimClock, SimStorage, open_with};
use vecmem::{ImportOptions, Namespace, Options, Put, ReadOptions, Scope, Store, Tuning};

const LARGE: usize = 70_000;

fn open(storage: &SimStorage, clock: &SimClock) -> Store {
    let large = Tuning::default();
    let tuning = Tuning {
        memtable_rows: 8,
        memtable_bytes: 4 << 20,
        log_total_bytes: 64 << 20,
        blob_value_bytes: large.blob_value_bytes,
        blob_files: large.blob_files,
        import_chunk_rows: 1_000,
        dead_percent: 60,
        ..Tuning::tiny()
    };
    open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), Options::new().tuning(tuning)).unwrap()
}

fn namespace(label: &str) -> Namespace {
    Namespace::new(["canaries", label]).unwrap()
}

/// What marks the value number `number`.
fn canary(number: usize) -> String {
    format!("canary-{:08x}-{number:05}", (number as u32 + 1).wrapping_mul(2_654_435_761))
}

/// Small, large, and large enough to be compressed; the mark is a literal in each form.
fn value(number: usize) -> String {
    let mut random = Random::new(number as u64);
    let text: String = match number % 3 {
        0 => (0..20).map(|_| random.letter()).collect(),
        1 => (0..LARGE).map(|_| random.letter()).collect(),
        _ => "line after line, ".chars().cycle().take(LARGE).collect(),
    };
    format!("{{\"mark\":\"{}\",\"text\":\"{text}\"}}", canary(number))
}

/// For each of the numbers, the files that hold its mark.
fn found(storage: &SimStorage, numbers: &[usize]) -> BTreeMap<usize, Vec<String>> {
    let files: Vec<(String, Vec<u8>)> =
        storage.names().into_iter().map(|name| (name.clone(), storage.read_file(&name).unwrap())).collect();
    let mut found = BTreeMap::new();
    for &number in numbers {
        let mark = canary(number).into_bytes();
        let holds = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
        let names: Vec<String> = files.iter().filter(|(_, bytes)| holds(bytes)).map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            found.insert(number, names);
        }
    }
    found
}

fn put(store: &Store, label: &str, key: usize, number: usize) {
    store.put(Put::new(&namespace(label), format!("{key:03}"), value(number))).unwrap();
}

/// That the files hold the marks of what lives and of nothing else, and that reads agree.
fn only_the_living(store: &Store, storage: &SimStorage, living: &[usize], all: usize) {
    let gone: Vec<usize> = (0..all).filter(|number| !living.contains(number)).collect();
    let before = found(storage, &gone);
    assert!(before.len() > gone.len() / 2, "only {} of {} were to be found before", before.len(), gone.len());
    store.compact().unwrap();
    assert_eq!(found(storage, &gone), BTreeMap::new());
    assert_eq!(found(storage, living).len(), living.len());
    let stats = store.stats().unwrap();
    assert_eq!((stats.size.dead_blob_bytes, stats.size.dead_rows), (0, 0));
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), living.len() as u64);
    assert!(store.check(false).unwrap().problems.is_empty());
}

#[test]
fn deleted_replaced_and_swept_values_are_in_no_file() {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(1_700_000_000_000_000));
    let store = open(&storage, &clock);
    (0..30).for_each(|number| put(&store, "kept", number, number));
    (30..45).for_each(|number| put(&store, "range", number, number));
    for number in 45..60 {
        let put = Put::new(&namespace("brief"), format!("{number:03}"), value(number)).ttl(Duration::from_secs(1));
        store.put(put).unwrap();
    }
    let import = (60..75).map(|number| Ok(Put::new(&namespace("kept"), format!("{number:03}"), value(number))));
    store.import(import, ImportOptions::new()).unwrap();
    store.compact().unwrap();
    // One file of many goes, one is replaced, one imported; less than half of anything is dead.
    for number in [0, 4, 8, 61, 65] {
        assert!(store.delete(&namespace("kept"), &format!("{number:03}")).unwrap());
    }
    [1, 5, 64].iter().enumerate().for_each(|(more, &number)| put(&store, "kept", number, 75 + more));
    store.delete_range(&Scope::from(&namespace("range"))).unwrap();
    clock.advance(Duration::from_secs(5));
    assert_eq!(store.sweep().unwrap(), 15);
    let gone = [0, 4, 8, 61, 65, 1, 5, 64];
    let living: Vec<usize> = (0..78).filter(|number| !(30..60).contains(number) && !gone.contains(number)).collect();
    only_the_living(&store, &storage, &living, 78);
}

#[test]
fn what_a_merge_of_the_background_has_left_in_a_blob_file_goes_too() {
    let (storage, clock) = (SimStorage::new(2), SimClock::new(1_700_000_000_000_000));
    let store = open(&storage, &clock);
    (0..8).for_each(|number| put(&store, "kept", number, 3 * number + 1));
    assert!(store.delete(&namespace("kept"), "002").unwrap() && store.delete(&namespace("kept"), "005").unwrap());
    // Segments of the same size merge, and the file with the two dead values stays.
    (8..32).for_each(|number| put(&store, "kept", number, 3 * number + 1));
    let stats = store.stats().unwrap();
    assert!(stats.internals.merges > 0 && stats.size.dead_rows == 0, "{stats:?}");
    assert!(stats.size.dead_blob_bytes >= 2 * LARGE as u64, "{stats:?}");
    let living: Vec<usize> = (0..32).filter(|number| ![2, 5].contains(number)).map(|number| 3 * number + 1).collect();
    let gone = [7, 16];
    assert_eq!(found(&storage, &gone).len(), 2);
    store.compact().unwrap();
    assert_eq!(found(&storage, &gone), BTreeMap::new());
    assert_eq!(found(&storage, &living).len(), living.len());
    assert_eq!(store.stats().unwrap().size.dead_blob_bytes, 0);
}
