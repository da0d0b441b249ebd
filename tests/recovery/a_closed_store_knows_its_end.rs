//! A store that was closed knows how far its log went: whatever is overwritten, cut off or taken away at the end of it
//! is named by the next open, and an empty log is no empty store. A store that was only read is left as it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::common::{START, assert_unchanged, namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::{Loss, SimClock, SimStorage, open_with};
use vecmem::{Durability, Error, ErrorKind, Options, Scope, Store};

type Files = BTreeMap<String, Vec<u8>>;

/// What is done to the log: the name of its last file, and what it holds.
type Damage = (&'static str, fn(&mut Files, &str));

/// Where the last frame of a file ends, the one that says that the store was closed.
fn end_of(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| (last + 1).next_multiple_of(64))
}

const DAMAGES: &[Damage] = &[
    ("the last 512 bytes are zeros", |files, log| {
        let bytes = files.get_mut(log).unwrap();
        let end = end_of(bytes);
        bytes[end - 512..end].fill(0);
    }),
    ("the last write is zeros", |files, log| {
        let bytes = files.get_mut(log).unwrap();
        let end = end_of(bytes);
        bytes[end - 192..end].fill(0);
    }),
    ("all frames are zeros", |files, log| files.get_mut(log).unwrap()[8192..].fill(0)),
    ("the file is all zeros", |files, log| files.get_mut(log).unwrap().fill(0)),
    ("it is cut off before its last write", |files, log| {
        let bytes = files.get_mut(log).unwrap();
        bytes.truncate(end_of(bytes) - 192);
    }),
    ("it is empty", |files, log| files.get_mut(log).unwrap().clear()),
    ("it is gone", |files, log| drop(files.remove(log))),
    ("all log files are empty", |files, _| {
        files.iter_mut().filter(|(name, _)| name.ends_with(".log")).for_each(|(_, bytes)| bytes.clear());
    }),
    ("all log files are gone", |files, _| files.retain(|name, _| !name.ends_with(".log"))),
];

fn is_named(what: &str, outcome: Result<Store, Error>) {
    let error = outcome.err().unwrap_or_else(|| panic!("{what}: it opens"));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    assert!(error.to_string().contains("wal-") && error.to_string().contains(".log"), "{what}: {error}");
}

/// Histories that end with small writes in the log: nothing else, a checkpoint before them, writes after a reopen.
fn write(store: &Store, history: usize) {
    let home = namespace(["a"]);
    let put = |mut numbers: std::ops::Range<u64>| {
        let put = |number: u64| store.put(numbered(&home, number.to_string(), number)).map(drop);
        numbers.try_for_each(put).unwrap();
    };
    put(0..50);
    if history > 0 {
        store.compact().unwrap();
        put(50..60);
    }
    if history > 1 {
        store.delete_range(&Scope::from(&namespace(["b"]))).unwrap();
        put(0..10);
    }
}

fn read_files(directory: &Path) -> Files {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .filter(|(name, _)| name != "LOCK")
        .collect()
}

fn write_files(files: &Files) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(directory.path().join(name), bytes).unwrap());
    directory
}

fn last_log(files: &Files) -> String {
    let is_used = |(name, bytes): &(&String, &Vec<u8>)| name.ends_with(".log") && end_of(bytes) > 0;
    files.iter().rfind(is_used).unwrap().0.clone()
}

#[test]
fn on_a_real_disk() {
    for durability in [Durability::Sync, Durability::Periodic, Durability::Manual] {
        for history in 0..3 {
            let options = || Options::new().durability(durability);
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path(), options()).unwrap();
            write(&store, history);
            let dump = store.text_dump().unwrap();
            store.close().unwrap();
            let whole = read_files(directory.path());
            let log = last_log(&whole);
            for (what, damage) in DAMAGES {
                let mut files = whole.clone();
                damage(&mut files, &log);
                let damaged = write_files(&files);
                is_named(&format!("{durability:?}, history {history}, {what}"), Store::open(damaged.path(), options()));
                let after = read_files(damaged.path());
                assert_eq!(after, files, "{what}: a refused open changes nothing");
            }
            // The mark of the close itself says nothing that is not known otherwise.
            let mut files = whole.clone();
            let bytes = files.get_mut(&log).unwrap();
            let end = end_of(bytes);
            bytes[end - 64..end].fill(0);
            assert_unchanged(&Store::open(write_files(&files).path(), options()).unwrap(), &dump);
            assert_unchanged(&Store::open(write_files(&whole).path(), options()).unwrap(), &dump);
        }
    }
}

#[test]
fn on_a_simulated_disk() {
    for history in 0..3 {
        let (store, storage, clock) = simulated(tiny_without_vectors());
        write(&store, history);
        let dump = store.text_dump().unwrap();
        store.close().unwrap();
        let whole = files_of(&storage);
        for (what, damage) in DAMAGES {
            let mut files = whole.clone();
            damage(&mut files, &last_log(&whole));
            is_named(&format!("history {history}, {what}"), open_files(&files, &clock));
        }
        assert_unchanged(&open_files(&whole, &clock).unwrap(), &dump);
    }
}

fn files_of(storage: &SimStorage) -> Files {
    storage.names().into_iter().map(|name| (name.clone(), storage.read_file(&name).unwrap())).collect()
}

fn open_files(files: &Files, clock: &SimClock) -> Result<Store, Error> {
    let storage = SimStorage::new(2);
    files.iter().for_each(|(name, bytes)| storage.write_file(name, bytes));
    open_with(Arc::new(storage), Arc::new(clock.clone()), tiny_without_vectors())
}

#[test]
fn what_a_killed_process_left_is_known_once_somebody_has_read_it_and_closed() {
    for durability in [Durability::Sync, Durability::Periodic, Durability::Manual] {
        let options = || tiny_without_vectors().durability(durability);
        let (store, storage, clock) = simulated(options());
        write(&store, 2);
        let dump = store.text_dump().unwrap();
        let killed = storage.crash(Loss::None, 0);
        let reader = reopened(&killed, &clock, options());
        assert_eq!(reader.text_dump().unwrap(), dump);
        reader.close().unwrap();
        let whole = files_of(&killed);
        for (what, damage) in DAMAGES {
            let mut files = whole.clone();
            damage(&mut files, &last_log(&whole));
            is_named(&format!("{durability:?}, {what}"), open_files(&files, &clock));
        }
        assert_unchanged(&open_files(&whole, &clock).unwrap(), &dump);
        // Once is enough.
        let reader = reopened(&killed, &clock, options());
        reader.close().unwrap();
        assert_eq!(files_of(&killed), whole);
    }
}

#[test]
fn a_store_that_was_only_read_is_left_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::new()).unwrap();
    write(&store, 2);
    store.close().unwrap();
    drop(store);
    let before = read_files(directory.path());
    for _ in 0..2 {
        let store = Store::open(directory.path(), Options::new()).unwrap();
        assert!(store.get(&namespace(["a"]), "7").unwrap().is_some());
        store.close().unwrap();
        assert_eq!(read_files(directory.path()), before);
    }
    let (store, storage, clock) = simulated(tiny_without_vectors());
    write(&store, 2);
    store.close().unwrap();
    let store = reopened(&storage, &clock, tiny_without_vectors());
    assert!(store.get(&namespace(["a"]), "7").unwrap().is_some());
    storage.record_trace();
    store.close().unwrap();
    assert_eq!(storage.trace(), Vec::<String>::new());
}

#[test]
fn a_close_costs_three_syncs_and_none_where_nothing_was_written() {
    let syncs_of_close = |durability, writes: bool| {
        let (storage, clock) = (SimStorage::new(3), SimClock::new(START));
        let store = reopened(&storage, &clock, tiny_without_vectors().durability(durability));
        if writes {
            write(&store, 1);
        }
        let before = storage.syncs();
        store.close().unwrap();
        storage.syncs() - before
    };
    assert_eq!(syncs_of_close(Durability::Sync, true), 3, "manifest, names, the mark of the close");
    for durability in [Durability::Periodic, Durability::Manual] {
        assert_eq!(syncs_of_close(durability, true), 4, "the log first");
    }
    assert_eq!(syncs_of_close(Durability::Sync, false), 0);
}

#[test]
fn a_full_disk_keeps_no_store_from_being_closed() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    write(&store, 1);
    let dump = store.text_dump().unwrap();
    storage.set_capacity(0);
    store.close().unwrap();
    storage.set_capacity(u64::MAX);
    assert_unchanged(&reopened(&storage, &clock, tiny_without_vectors()), &dump);
}
