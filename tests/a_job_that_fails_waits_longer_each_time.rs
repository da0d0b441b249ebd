//! What the background cannot do, it tries less and less often, also where nobody has called for a while: a sticky error costs
//! no disk its life.

mod common;

use std::time::{Duration, Instant};

use common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::testing::{Fault, FaultKind, SimOperation, SimStorage};
use vecmem::{Options, Tuning};

const IDLE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// With threads, and a checkpoint after a second without a write.
fn threaded() -> Options {
    tiny_without_vectors().tuning(Tuning { inline_background: false, idle_checkpoint: SECOND, ..Tuning::tiny() })
}

/// How many files of segments and manifests were begun since the trace was taken last.
fn begun(storage: &SimStorage) -> usize {
    let trace = storage.trace();
    trace.iter().filter(|line| line.starts_with("create") && !line.contains("wal-")).count()
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
        println!("{kind:?} at {operations:?}: {tries} files begun in {IDLE:?}; waiting {:?}", stats.waiting);
        assert!((1..=8).contains(&tries), "{kind:?}: {tries} files begun in {IDLE:?}: {stats:#?}");
        assert!(!stats.waiting.is_empty());
        storage.clear_faults();
        while store.stats().unwrap().checkpoint_lsn < 20 {
            assert!(since.elapsed() < 60 * SECOND, "it is tried again: {:#?}", store.stats().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
