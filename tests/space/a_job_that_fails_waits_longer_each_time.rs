//! What the background cannot do, it tries less and less often, also where nobody has called for a while: a sticky
//! error costs no disk its life.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::faulty::Faulty;
use crate::common::tmpfs::Tmpfs;
use crate::common::{START, namespace, numbered, simulated, tiny_without_vectors};
use vecmem::testing::{DiskStorage, Fault, FaultKind, SimClock, SimOperation, SimStorage, open_with};
use vecmem::{Options, ReadMode, Tuning};

const IDLE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// With threads, and a checkpoint after a second without a write.
fn threaded() -> Options {
    tiny_without_vectors().tuning(Tuning { inline_background: false, idle_checkpoint: SECOND, ..Tuning::tiny() })
}

/// How many tries were begun since the trace was taken last: a try begins a segment, a manifest or one of each.
fn begun(storage: &SimStorage) -> usize {
    let trace = storage.trace();
    let begun_of = |kind| trace.iter().filter(|line| line.starts_with("create") && line.contains(kind)).count();
    begun_of(".truth").max(begun_of("manifest"))
}

#[test]
fn the_flush_of_an_idle_store() {
    for (kind, operations) in [
        (FaultKind::Memory, &[SimOperation::Map][..]),
        (FaultKind::Io, &[SimOperation::Map]),
        (FaultKind::Full, &[SimOperation::Rename]),
    ] {
        let (store, storage, clock) = simulated(threaded());
        for number in 0..20 {
            store.put(numbered(&namespace(["a"]), number.to_string(), number)).unwrap();
        }
        storage.fail_after(0, Fault::sticky(kind, operations));
        let since = Instant::now();
        storage.record_trace();
        // The time of the store passes faster, so that it is idle for long.
        while since.elapsed() < IDLE {
            clock.advance(SECOND);
            std::thread::sleep(Duration::from_millis(10));
        }
        let tries = begun(&storage);
        let stats = store.stats().unwrap();
        println!("{kind:?} at {operations:?}: {tries} tries in {IDLE:?}; waiting {:?}", stats.health.waiting);
        assert!((1..=8).contains(&tries), "{kind:?}: {tries} tries in {IDLE:?}: {stats:#?}");
        assert!(!stats.health.waiting.is_empty());
        storage.clear_faults();
        while store.stats().unwrap().log.checkpoint_lsn < 20 {
            assert!(since.elapsed() < 60 * SECOND, "it is tried again: {:#?}", store.stats().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// When segments were begun, oldest first.
fn tries(storage: &Faulty) -> Vec<Instant> {
    let trace = storage.trace();
    let begins = trace.iter().filter(|begun| begun.operation == SimOperation::Create && begun.name.ends_with(".truth"));
    begins.map(|begun| begun.at).collect()
}

/// The flush thread and the house may try at the same time. Whoever has failed waits, so after two tries at the latest
/// a wait has passed that was counted from the first of them: a slow machine makes that time longer only.
fn assert_that_waits_grow(path: &Path, kind: FaultKind, operations: &'static [SimOperation]) {
    const FIRST_WAIT: Duration = Duration::from_millis(200);
    let storage = Faulty::new(Arc::new(DiskStorage::open(path, true, ReadMode::Map).unwrap()));
    let clock = SimClock::new(START);
    let store = open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), Options::new()).unwrap();
    for number in 0..20 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number)).unwrap();
    }
    storage.fail_after(0, Fault::sticky(kind, operations));
    let since = Instant::now();
    while tries(&storage).len() < 5 {
        assert!(since.elapsed() < 60 * SECOND, "it is tried again: {:#?}", store.stats().unwrap());
        clock.advance(SECOND);
        std::thread::sleep(Duration::from_millis(10));
    }
    let tries = tries(&storage);
    println!("{kind:?} at {operations:?}: tries after {:?}", tries.iter().map(|at| *at - tries[0]).collect::<Vec<_>>());
    for (failures, times) in tries.windows(3).enumerate() {
        let (passed, least) = (times[2] - times[0], FIRST_WAIT * (1 << failures));
        assert!(passed >= least, "{kind:?}: {passed:?} after {} failures, not {least:?}", failures + 1);
    }
    assert!(store.stats().unwrap().health.waiting.iter().any(|why| why.starts_with("flush")));
    storage.clear_faults();
    while store.stats().unwrap().log.checkpoint_lsn < 20 {
        assert!(since.elapsed() < 120 * SECOND, "it is tried again: {:#?}", store.stats().unwrap());
        clock.advance(SECOND);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_flush_of_an_idle_store_on_a_real_disk_with_default_tuning() {
    for kind in [FaultKind::Memory, FaultKind::Io] {
        assert_that_waits_grow(tempfile::tempdir().unwrap().path(), kind, &[SimOperation::Map]);
    }
}

#[test]
fn the_flush_of_an_idle_store_on_a_small_disk_with_default_tuning() {
    // On a disk of its own, since space that others free ends the wait.
    let Some(disk) = Tmpfs::mount(64) else { return };
    assert_that_waits_grow(disk.path(), FaultKind::Full, &[SimOperation::Rename]);
}
