//! The checkpoint behind an import has no flush before it whose wait would hold it back. One that cannot be written is tried less and less
//! often by itself, and done when it can be.

mod common;

use std::time::{Duration, Instant};

use common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::testing::{Fault, FaultKind, SimOperation, SimStorage};
use vecmem::{ErrorKind, ImportOptions, Options, Put, Store, Tuning};

const WATCHED: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(60);
/// The first one, and others 0.2, 0.6, and 1.4 seconds after it; one every 0.2 seconds would be 15.
const TRIES_MAX: usize = 5;

/// With threads, on a store that is idle after `idle_checkpoint`.
fn threaded(idle_checkpoint: Duration) -> Options {
    tiny_without_vectors().tuning(Tuning { inline_background: false, idle_checkpoint, ..Tuning::tiny() })
}

const RENAMES: &[SimOperation] = &[SimOperation::Rename];
const CREATES: &[SimOperation] = &[SimOperation::Create];

/// How many manifests were begun since the trace was taken last.
fn begun(storage: &SimStorage) -> usize {
    storage.trace().iter().filter(|line| line.starts_with("create manifest")).count()
}

/// An import whose files are there before anything fails, and whose checkpoint fails.
fn import(store: &Store, storage: &SimStorage, kind: FaultKind, operations: &'static [SimOperation]) {
    store.put(numbered(&namespace(["a"]), "first", 0)).unwrap();
    store.compact().unwrap();
    let fails = || storage.fail_after(0, Fault::sticky(kind, operations));
    let puts = (0..20).map(|number| Ok(numbered(&namespace(["a"]), number.to_string(), number)));
    store.import(puts, ImportOptions::new().before_commit(fails)).unwrap();
}

/// That the checkpoint is done once it can be.
fn assert_tried_again(store: &Store, context: &str) {
    let since = Instant::now();
    while store.stats().unwrap().checkpoint_lsn < 21 {
        assert!(since.elapsed() < LIMIT, "{context}: it is not tried again: {:#?}", store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn behind_an_import() {
    // Where the store is idle, a try is more than the checkpoint of the import.
    let scenes = [(FaultKind::Full, RENAMES, LIMIT, 1), (FaultKind::OpenFiles, CREATES, Duration::ZERO, 3)];
    for (kind, operations, idle, manifests_each) in scenes {
        let context = format!("{kind:?} at {operations:?}, idle after {idle:?}");
        let (store, storage, _) = simulated(threaded(idle));
        import(&store, &storage, kind, operations);
        storage.record_trace();
        std::thread::sleep(WATCHED);
        let tries = begun(&storage);
        let stats = store.stats().unwrap();
        println!("{context}: {tries} manifests begun in {WATCHED:?}; waiting {:?}", stats.waiting);
        assert!((1..=manifests_each * TRIES_MAX).contains(&tries), "{context}: {tries} begun: {stats:#?}");
        assert!(stats.waiting.iter().any(|job| job.starts_with("checkpoint: ")), "{context}: {stats:#?}");
        assert!(stats.checkpoint_lsn < stats.visible_lsn, "{context}: {stats:#?}");
        storage.clear_faults();
        assert_tried_again(&store, &context);
        store.close().unwrap();
    }
}

#[test]
fn that_writes_without_room_ask_for_again_and_again() {
    let (store, storage, _) = simulated(threaded(LIMIT));
    import(&store, &storage, FaultKind::Full, RENAMES);
    storage.set_capacity(storage.used_bytes() + 1_000);
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(40_000));
    storage.record_trace();
    let (since, mut refused) = (Instant::now(), 0);
    while since.elapsed() < WATCHED {
        // It needs a log file of its own, and a checkpoint would free one.
        let error = store.put(Put::new(&namespace(["a"]), "large", large.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        refused += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let tries = begun(&storage);
    println!("{refused} puts were refused, {tries} manifests begun in {WATCHED:?}");
    assert!(
        refused > 20 && (1..=2 * TRIES_MAX).contains(&tries),
        "{refused} puts were refused, {tries} manifests begun"
    );
    storage.clear_faults();
    storage.set_capacity(u64::MAX);
    assert_tried_again(&store, "writes");
    store.put(Put::new(&namespace(["a"]), "large", large)).unwrap();
}
