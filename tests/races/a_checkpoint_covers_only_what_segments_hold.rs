//! The checkpoint of a manifest never passes a row that only memory and the log hold, whatever is flushed meanwhile.

use std::sync::Arc;

use super::{number, options};
use crate::common::gate::{Gate, OpenAtEnd, Step};
use crate::common::{START, namespace, numbered, reopened};
use vecmem::testing::{Loss, SimClock, SimStorage, open_with};

/// Holds a flush before it writes, does `meanwhile`, and loses the power after the flush or beside it: all is there.
fn survives(is_flushed: bool, meanwhile: impl Fn(&vecmem::Store)) {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let (gated, gate) = Gate::before(Arc::new(storage.clone()));
    let store = open_with(gated, Arc::new(clock.clone()), options()).unwrap();
    let home = namespace(["a"]);
    store.put(numbered(&home, "before", 1)).unwrap();
    let left = std::thread::scope(|scope| {
        let _end = OpenAtEnd(&gate);
        gate.close(Step::Create, "seg-", 0);
        let compaction = scope.spawn(|| store.compact());
        gate.wait_until_held();
        meanwhile(&store);
        let beside = storage.crash(Loss::AllUnsynced, 0);
        gate.open();
        compaction.join().unwrap().unwrap();
        if is_flushed { storage.crash(Loss::AllUnsynced, 0) } else { beside }
    });
    let store = reopened(&left, &clock, options());
    assert_eq!(number(&store, &home, "before"), Some(1));
    assert_eq!(number(&store, &home, "meanwhile"), is_flushed.then_some(2));
}

#[test]
fn rows_that_come_while_a_flush_is_under_way_are_replayed() {
    survives(true, |store| {
        store.put(numbered(&namespace(["a"]), "meanwhile", 2)).unwrap();
    });
}

#[test]
fn rows_that_wait_for_their_flush_are_replayed() {
    // It commits a manifest.
    survives(false, |store| store.accept_clock().unwrap());
}
