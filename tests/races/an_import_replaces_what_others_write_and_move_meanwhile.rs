//! An import looks its keys up before its frame is written. What a merge moves and what others write between the two
//! ends with one version of each key, and files that only the log names outlive opens.

use super::{number, store};
use crate::common::{namespace, numbered, reopened, tiny};
use vecmem::testing::{HookPoint, Loss};
use vecmem::{Durability, ImportOptions, Metric, ReadOptions, Scope, Store};

const KEYS: u64 = 10;

/// Imports `KEYS` keys, as files.
fn import(store: &Store) -> vecmem::Result<()> {
    let puts = (0..KEYS).map(|key| Ok(numbered(&namespace(["a"]), key.to_string(), 100 + key)));
    store.import(puts, ImportOptions::new()).map(drop)
}

/// That each key has one version, which is the import's.
fn assert_imported(store: &Store, items: u64) {
    let count = store.count(&Scope::Store, &ReadOptions::default()).unwrap();
    assert_eq!(count, items, "a key has no version, or two");
    for key in 0..KEYS {
        assert_eq!(number(store, &namespace(["a"]), &key.to_string()), Some(100 + key), "key {key}");
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

fn filled() -> Store {
    let (store, ..) = store(Durability::Sync);
    for key in 0..20 {
        store.put(numbered(&namespace(["a"]), key.to_string(), key)).unwrap();
    }
    store.compact().unwrap();
    assert!(store.delete(&namespace(["a"]), "19").unwrap());
    store
}

#[test]
fn versions_that_a_merge_has_moved() {
    let store = filled();
    std::thread::scope(|scope| {
        let followed = store.hold_at(HookPoint::ImportFollowed);
        let imported = scope.spawn(|| import(&store));
        followed.wait_until_held();
        store.compact().unwrap();
        followed.let_go();
        imported.join().unwrap().unwrap();
    });
    assert_imported(&store, 19);
}

#[test]
fn versions_that_others_have_written_since() {
    let store = filled();
    let home = namespace(["a"]);
    std::thread::scope(|scope| {
        let followed = store.hold_at(HookPoint::ImportFollowed);
        let imported = scope.spawn(|| import(&store));
        followed.wait_until_held();
        store.put(numbered(&home, "3", 7)).unwrap();
        store.delete(&home, "4").unwrap();
        followed.let_go();
        imported.join().unwrap().unwrap();
    });
    assert_imported(&store, 19);
}

#[test]
fn versions_that_no_reader_saw_when_it_began() {
    let store = filled();
    let home = namespace(["a"]);
    std::thread::scope(|scope| {
        let joined = store.hold_at(HookPoint::WriteJoined);
        let put = scope.spawn(|| store.put(numbered(&home, "3", 7)));
        joined.wait_until_held();
        let followed = store.hold_at(HookPoint::ImportFollowed);
        let imported = scope.spawn(|| import(&store));
        followed.wait_until_held();
        joined.let_go();
        followed.let_go();
        put.join().unwrap().unwrap();
        imported.join().unwrap().unwrap();
    });
    assert_imported(&store, 19);
}

/// Several times: a background thread that happens to sync the directory would hide names that are not durable.
#[test]
fn files_that_only_the_log_names_outlive_opens() {
    (0..8).for_each(|_| files_outlive_opens());
}

fn files_outlive_opens() {
    let (store, storage, clock) = store(Durability::Sync);
    store.put(numbered(&namespace(["b"]), "k", 1)).unwrap();
    // No manifest names the files until this goes.
    let collected = store.hold_at(HookPoint::GenerationCollected);
    import(&store).unwrap();
    let mut left = storage.crash(Loss::AllUnsynced, 0);
    collected.let_go();
    for _ in 0..2 {
        let store = reopened(&left, &clock, tiny(1, Metric::Dot));
        assert_imported(&store, KEYS + 1);
        left = left.crash(Loss::None, 0);
    }
}
