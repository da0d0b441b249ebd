//! A commit writes the deletes that its manifest reflects and no later ones: where the log of these is lost with the
//! power, what they deleted is there again, and so is what a lost write replaced.

use std::sync::Arc;

use super::{number, options};
use crate::common::gate::{Gate, OpenAtEnd, Step};
use crate::common::{START, namespace, numbered, reopened};
use vecmem::Durability;
use vecmem::testing::{HookPoint, Loss, SimClock, SimStorage, open_with};

#[test]
fn a_replacement_that_is_lost_leaves_the_version_before() {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let (gated, gate) = Gate::before(Arc::new(storage.clone()));
    let store = open_with(gated, Arc::new(clock.clone()), options().durability(Durability::Manual)).unwrap();
    let home = namespace(["a"]);
    for key in 0..10 {
        store.put(numbered(&home, key.to_string(), key)).unwrap();
    }
    store.compact().unwrap();
    assert!(store.delete(&home, "0").unwrap());
    let left = std::thread::scope(|scope| {
        let _end = OpenAtEnd(&gate);
        let collected = store.hold_at(HookPoint::GenerationCollected);
        let commit = scope.spawn(|| store.accept_clock());
        collected.wait_until_held();
        // The log is synced, and these come behind it.
        store.put(numbered(&home, "1", 100)).unwrap();
        assert!(store.delete(&home, "2").unwrap());
        // An older manifest goes once the new one is durable. No other commit syncs the log before that.
        gate.close(Step::Remove, "manifest-", 0);
        collected.let_go();
        gate.wait_until_held();
        let left = storage.crash(Loss::AllUnsynced, 0);
        gate.open();
        commit.join().unwrap().unwrap();
        left
    });
    let store = reopened(&left, &clock, options());
    let left = ["0", "1", "2", "3"].map(|key| number(&store, &home, key));
    assert_eq!(left, [None, Some(1), Some(2), Some(3)]);
}
