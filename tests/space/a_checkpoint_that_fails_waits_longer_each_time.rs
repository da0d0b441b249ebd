//! The checkpoint behind an import has no flush before it whose wait would hold it back. One that cannot be written is
//! tried less and less often by itself, and done when it can be.

use std::time::{Duration, Instant};

use crate::common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::testing::{Fault, FaultKind, SimOperation, SimStorage};
use vecmem::{ErrorKind, ImportOptions, Options, Put, Stats, Store, Tuning};

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
    let fails = || storage.fail_after(0, Fault::sticky(kind, operations));
    let puts = (0..20).map(|number| Ok(numbered(&namespace(["a"]), number.to_string(), number)));
    store.import(puts, ImportOptions::new().before_commit(fails)).unwrap();
}

/// That the checkpoint is done once it can be.
fn assert_tried_again(store: &Store, context: &str) {
    let since = Instant::now();
    let is_behind = |stats: &Stats| stats.log.checkpoint_lsn < stats.log.visible_lsn;
    while is_behind(&store.stats().unwrap()) {
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
        store.put(numbered(&namespace(["a"]), "first", 0)).unwrap();
        store.compact().unwrap();
        import(&store, &storage, kind, operations);
        storage.record_trace();
        std::thread::sleep(WATCHED);
        let tries = begun(&storage);
        let stats = store.stats().unwrap();
        println!("{context}: {tries} manifests begun in {WATCHED:?}; waiting {:?}", stats.health.waiting);
        assert!((1..=manifests_each * TRIES_MAX).contains(&tries), "{context}: {tries} begun: {stats:#?}");
        assert!(stats.health.waiting.iter().any(|job| job.starts_with("checkpoint: ")), "{context}: {stats:#?}");
        assert!(stats.log.checkpoint_lsn < stats.log.visible_lsn, "{context}: {stats:#?}");
        storage.clear_faults();
        assert_tried_again(&store, &context);
        store.close().unwrap();
    }
}

/// A part that is full is flushed, and the files of log that it filled stay until a second manifest needs them no more.
fn leave_log(store: &Store) {
    for number in 0..Tuning::tiny().memtable_rows as u64 {
        let json = format!("{{\"text\":\"{}\"}}", "x".repeat(2_000));
        store.put(Put::new(&namespace(["a"]), number.to_string(), json)).unwrap();
    }
    let since = Instant::now();
    let is_flushed = |stats: &Stats| stats.memory.frozen_memtables == 0 && stats.memory.memtable_rows == 0;
    while !is_flushed(&store.stats().unwrap()) {
        assert!(since.elapsed() < LIMIT, "{:#?}", store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn beside_writes_that_find_no_room_for_log() {
    for frees_log in [false, true] {
        let (store, storage, _) = simulated(threaded(LIMIT));
        if frees_log {
            leave_log(&store);
        }
        import(&store, &storage, FaultKind::Full, RENAMES);
        storage.set_capacity(storage.used_bytes() + 1_000);
        let large = format!("{{\"text\":\"{}\"}}", "x".repeat(40_000));
        storage.record_trace();
        let (since, mut refused) = (Instant::now(), 0);
        while since.elapsed() < WATCHED {
            // It needs a log file of its own, and asks the background to free some.
            let error = store.put(Put::new(&namespace(["a"]), "large", large.clone())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            refused += 1;
            std::thread::sleep(Duration::from_millis(5));
        }
        let (tries, stats) = (begun(&storage), store.stats().unwrap());
        println!("frees log: {frees_log}: {refused} puts were refused, {tries} manifests begun in {WATCHED:?}");
        // That of the import, and one for the writes where it frees something.
        let tries_max = if frees_log { 2 * TRIES_MAX } else { TRIES_MAX };
        assert!(refused > 20 && (1..=tries_max).contains(&tries), "{refused} refused, {tries} begun: {stats:#?}");
        let is_waiting = |job: &str| stats.health.waiting.iter().any(|waiting| waiting.starts_with(job));
        assert!(is_waiting("checkpoint: ") && is_waiting("relief of the log: ") == frees_log, "{stats:#?}");
        storage.clear_faults();
        storage.set_capacity(u64::MAX);
        assert_tried_again(&store, "writes");
        store.put(Put::new(&namespace(["a"]), "large", large)).unwrap();
        store.close().unwrap();
    }
}
