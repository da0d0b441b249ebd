//! On a full disk the space that a merge freed is one manifest away. That manifest is committed though what is in
//! memory cannot be flushed and though the log cannot be made smaller.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::tmpfs::Tmpfs;
use crate::common::{START, canaries, namespace, simulated, tiny_without_vectors};
use vecmem::testing::{SimClock, SimStorage};
use vecmem::{ErrorKind, Options, Put, Scope, Store, Tuning};

fn put(store: &Store, label: &str, number: u64, bytes: usize) {
    let json = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
    store.put(Put::new(&namespace([label]), number.to_string(), json)).unwrap();
}

fn options(inline_background: bool) -> Options {
    let tuning = Tuning {
        inline_background,
        memtable_rows: 1_000,
        memtable_bytes: 1 << 20,
        blob_value_bytes: 1 << 20,
        log_total_bytes: 1 << 30,
        reserve_bytes: 16 << 20,
        idle_checkpoint: Duration::from_secs(1),
        ..Tuning::tiny()
    };
    tiny_without_vectors().tuning(tuning)
}

fn segment_bytes(storage: &SimStorage) -> usize {
    let truths = storage.names().into_iter().filter(|name| name.ends_with(".truth"));
    truths.map(|name| storage.read_file(&name).map_or(0, |bytes| bytes.len())).sum()
}

/// A full disk: a segment of which 5 % live, and more in memory than can be flushed.
fn prepare(store: &Store, storage: &SimStorage) {
    (0..1_000).for_each(|number| put(store, if number % 20 == 0 { "stays" } else { "goes" }, number, 2_000));
    store.compact().unwrap();
    (0..300).for_each(|number| put(store, "memory", number, 2_000));
    assert!(segment_bytes(storage) > 2_000_000);
}

#[test]
fn in_the_background_of_an_idle_store() {
    let (store, storage, clock) = simulated(options(false));
    prepare(&store, &storage);
    let since = Instant::now();
    while !storage.names().iter().any(|name| name.contains("reserve")) {
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", storage.names());
        std::thread::sleep(Duration::from_millis(10));
    }
    storage.set_capacity(storage.used_bytes() + 1_000);
    store.delete_range(&Scope::from(&namespace(["goes"]))).unwrap();
    let since = Instant::now();
    while segment_bytes(&storage) > 1_000_000 {
        assert!(since.elapsed() < Duration::from_secs(30), "{:#?} {:?}", store.stats().unwrap(), storage.names());
        clock.advance(Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn in_a_compaction_that_says_what_it_could_not_do() {
    let (store, storage, _) = simulated(options(true));
    prepare(&store, &storage);
    store.run_background();
    // Nothing merges in the meantime: the delete waits in memory, too.
    storage.set_capacity(storage.used_bytes() + 1_000);
    store.delete_range(&Scope::from(&namespace(["goes"]))).unwrap();
    let error = store.compact().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(segment_bytes(&storage) < 1_000_000, "{error}: {:?}", storage.names());
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

/// The same on a real disk with default tuning: 60 MB in a segment, 18 MB in memory, and a reserve.
struct Full {
    store: Store,
    clock: SimClock,
    path: PathBuf,
    disk: Tmpfs,
}

fn full() -> Option<Full> {
    let disk = Tmpfs::mount(240)?;
    let (path, clock) = (disk.path().join("store"), SimClock::new(START));
    let store = canaries::open(&path, &clock, Options::new());
    (0..1_000).for_each(|number| put(&store, if number % 20 == 0 { "stays" } else { "goes" }, number, 60_000));
    store.compact().unwrap();
    (0..300).for_each(|number| put(&store, "memory", number, 60_000));
    let since = Instant::now();
    while store.stats().unwrap().size.reserve_bytes < 5 << 20 {
        assert!(since.elapsed() < Duration::from_secs(30), "no reserve: {:#?}", store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    disk.fill_to(64 << 10);
    assert!(real_segment_bytes(&path) > 50 << 20);
    assert_eq!(store.stats().unwrap().memory.memtable_rows, 300);
    Some(Full { store, clock, path, disk })
}

fn real_segment_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let truths = entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "truth"));
    truths.map(|entry| entry.metadata().map_or(0, |about| about.len())).sum()
}

#[test]
fn in_the_background_on_a_real_disk_with_default_tuning() {
    let Some(Full { store, clock, path, disk: _disk }) = full() else { return };
    store.delete_range(&Scope::from(&namespace(["goes"]))).unwrap();
    let since = Instant::now();
    while real_segment_bytes(&path) > 30 << 20 {
        assert!(since.elapsed() < Duration::from_secs(30), "{:#?}", store.stats().unwrap());
        clock.advance(Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn in_a_compaction_on_a_real_disk_with_default_tuning() {
    // The clock stands still, so that the store is never idle and only the compaction commits what lets go of files.
    let Some(Full { store, path, disk, .. }) = full() else { return };
    store.delete_range(&Scope::from(&namespace(["goes"]))).unwrap();
    let error = store.compact().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(real_segment_bytes(&path) < 30 << 20, "{error}: {:#?}", store.stats().unwrap());
    // The compaction has unmapped what nobody reads; what a thread of the background looks at just then goes next.
    let since = Instant::now();
    while disk.free() < 40 << 20 {
        assert!(since.elapsed() < Duration::from_secs(30), "{} bytes are free", disk.free());
        std::thread::sleep(Duration::from_millis(10));
    }
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().size.items, 350);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
