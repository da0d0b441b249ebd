//! An interrupt ends checks, sweeps, imports, range deletes and salvages with `Interrupted`, and what they leave is
//! sound.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::common::{START, namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{ErrorKind, ImportOptions, Interrupt, Options, Put, ReadOptions, Result, Scope, Stage, Store};

/// Runs a call that was interrupted before it began.
#[track_caller]
fn ends_at_once<T: std::fmt::Debug>(call: impl FnOnce() -> Result<T>) -> Interrupt {
    let interrupt = Interrupt::new();
    interrupt.request();
    assert_eq!(interrupt.around(call).unwrap_err().kind(), ErrorKind::Interrupted);
    interrupt
}

fn count(store: &Store) -> u64 {
    store.count(&Scope::Store, &ReadOptions { include_expired: true, ..ReadOptions::default() }).unwrap()
}

#[test]
fn nothing_is_checked_swept_or_deleted_after_it() {
    let (store, _storage, clock) = simulated(tiny_without_vectors().clock_grace(Duration::ZERO));
    let home = namespace(["a"]);
    for number in 0..100 {
        store.put(numbered(&home, number.to_string(), number).ttl(Duration::from_secs(1))).unwrap();
    }
    clock.set(START + 3_600_000_000);
    assert_eq!(ends_at_once(|| store.check(false)).progress().stage, Stage::Check);
    assert_eq!(ends_at_once(|| store.check(true)).progress().stage, Stage::Check);
    assert_eq!(ends_at_once(|| store.sweep()).progress().stage, Stage::Sweep);
    assert_eq!(ends_at_once(|| store.delete_range(&Scope::from(&home))).progress().stage, Stage::Delete);
    assert_eq!(ends_at_once(|| store.delete_everything()).progress().stage, Stage::Delete);
    assert_eq!(count(&store), 100);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    let followed = Interrupt::new();
    assert!(followed.around(|| store.check(false)).is_ok() && followed.progress().done >= 100);
    assert_eq!(store.sweep().unwrap(), 100);
}

#[test]
fn the_chunk_that_an_import_is_writing_ends_too() {
    let (store, storage, _clock) = simulated(tiny_without_vectors());
    let (home, interrupt) = (namespace(["a"]), Interrupt::new());
    let before = storage.names();
    // The last item of the chunk is there, and its files are not.
    let items = (0..30).map(|number| {
        if number == 29 {
            interrupt.request();
        }
        Ok(numbered(&home, number.to_string(), number))
    });
    let error = interrupt.around(|| store.import(items, ImportOptions::new().chunk_rows(30))).unwrap_err();
    assert_eq!((error.kind(), interrupt.progress().stage), (ErrorKind::Interrupted, Stage::Import));
    assert_eq!(interrupt.progress().done, 0);
    let segments = |names: &[String]| names.iter().filter(|name| name.starts_with("seg-")).count();
    assert_eq!((count(&store), segments(&storage.names())), (0, segments(&before)));
    store.put(numbered(&home, "after", 1)).unwrap();
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let file =
        |entry: std::fs::DirEntry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap());
    entries.map(file).filter(|(name, _)| name != "LOCK").collect()
}

#[test]
fn a_salvage_leaves_the_old_directory_and_says_what_the_new_one_is() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (root.path().join("old"), root.path().join("new"));
    let store = Store::open(&old, Options::new()).unwrap();
    let items = (0..40_000).map(|number| Ok(Put::new(&namespace(["a"]), number.to_string(), "{}")));
    store.import(items, ImportOptions::new()).unwrap();
    store.close().unwrap();
    let before = contents(&old);
    ends_at_once(|| Store::salvage(&old, &new));
    // Now while the new store is being written.
    let interrupt = Interrupt::new();
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            while interrupt.progress().stage != Stage::Import {
                thread::yield_now();
            }
            interrupt.request();
        });
        interrupt.around(|| Store::salvage(&old, &new)).unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains(&format!("{} holds a part", new.display())), "{error}");
    assert!(error.to_string().contains(&format!("{} is as it was", old.display())), "{error}");
    assert!(contents(&old) == before, "the old directory has changed");
    std::fs::remove_dir_all(&new).unwrap();
    assert_eq!(Store::salvage(&old, &new).unwrap().items, 40_000);
}
