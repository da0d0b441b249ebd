//! A split adds bounds inside of one shard, and moves none. The log may name a file of an import that was merged and
//! removed, while another shard holds the log back: an open and a backup must find that its own shard has it already.

use super::options;
use crate::common::{namespace, numbered, reopened, simulated};
use vecmem::testing::{Loss, SimClock, SimStorage, backup_to, restore};
use vecmem::{BackupOptions, ImportOptions, Options, ReadOptions, Scope, Store};

/// The bound of the second shard is longer than what separates the living namespaces.
fn two_shards() -> Options {
    options(1).split_keys([namespace(["mz"])])
}

/// A store whose second shard holds back a log that names a file of an import into `mb`, in the first shard. All rows
/// of the file are deleted, and the file is gone.
fn with_a_file_in_the_log_only() -> (Store, SimStorage, SimClock) {
    let (store, storage, clock) = simulated(two_shards());
    store.put(numbered(&namespace(["mzz"]), "0", 0)).unwrap();
    let before = storage.names();
    let rows = (0..20).map(|key| Ok(numbered(&namespace(["mb"]), key.to_string(), key)));
    store.import(rows, ImportOptions::default()).unwrap();
    let files: Vec<String> = storage.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(files.iter().any(|name| name.ends_with(".truth")), "{files:?}");
    store.delete_range(&Scope::prefix(["mb"]).unwrap()).unwrap();
    for key in 0..60 {
        store.put(numbered(&namespace(["a"]), key.to_string(), key)).unwrap();
    }
    let left = files.iter().filter(|name| name.ends_with(".truth") && storage.names().contains(*name)).count();
    assert_eq!(left, 0, "a merge has taken the file of the import");
    (store, storage, clock)
}

fn assert_whole(store: &Store, of_b: u64) {
    let count = |label| store.count(&Scope::prefix([label]).unwrap(), &ReadOptions::default()).unwrap();
    assert_eq!(["a", "b", "mb", "mzz"].map(count), [60, of_b, 0, 1]);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn so_an_open_finds_the_shard_of_a_file_that_only_the_log_names() {
    let (store, storage, clock) = with_a_file_in_the_log_only();
    for key in 0..120 {
        store.put(numbered(&namespace(["b"]), key.to_string(), key)).unwrap();
    }
    assert_eq!(store.stats().unwrap().internals.shards, 3, "the first shard is split");
    assert_whole(&reopened(&storage.crash(Loss::AllUnsynced, 0), &clock, two_shards()), 120);
    assert_whole(&store, 120);
}

#[test]
fn and_a_backup_asks_for_no_file_that_is_gone() {
    let (store, _storage, clock) = with_a_file_in_the_log_only();
    let (target, restored) = (SimStorage::new(2), SimStorage::new(3));
    backup_to(&store, &target, &BackupOptions::new()).unwrap();
    restore(&target, &restored, &BackupOptions::new()).unwrap();
    assert_whole(&reopened(&restored, &clock, two_shards()), 0);
}
