//! The first write after an open syncs a new log file, its name, its header and the write. What a store that was closed
//! has left is known to be durable, so it is not synced again; what a killed process has left is. Neither loses
//! anything in a loss of power just after.

use crate::common::{namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::{Loss, SimOperation};

#[test]
fn four_syncs_after_a_close_and_one_more_after_a_kill() {
    let home = namespace(["a"]);
    for (is_closed, syncs) in [(true, 4), (false, 5)] {
        let (store, storage, clock) = simulated(tiny_without_vectors());
        for number in 0..5 {
            store.put(numbered(&home, number.to_string(), number)).unwrap();
        }
        let left = if is_closed {
            store.close().unwrap();
            storage.clone()
        } else {
            storage.crash(Loss::None, 1)
        };
        let store = reopened(&left, &clock, tiny_without_vectors());
        let before = left.syncs();
        left.record_before(&[SimOperation::Create, SimOperation::Write, SimOperation::SyncData, SimOperation::SyncAll]);
        store.put(numbered(&home, "new", 7)).unwrap();
        let images = left.take_images();
        assert!(images.len() > 5, "{} moments", images.len());
        let written = left.crash(Loss::AllUnsynced, 2);
        for (moment, image) in images.iter().enumerate() {
            for loss in [Loss::None, Loss::AllUnsynced, Loss::Torn] {
                let store = reopened(&image.survivor(loss, moment as u64), &clock, tiny_without_vectors());
                let all = (0..5).all(|number| store.get(&home, &number.to_string()).unwrap().is_some());
                assert!(all, "closed {is_closed}, {loss:?} before operation {moment} of the first write");
            }
        }
        let store_after = reopened(&written, &clock, tiny_without_vectors());
        assert!(store_after.get(&home, "new").unwrap().is_some() && store_after.get(&home, "4").unwrap().is_some());
        // The background of the tests prepares a spare file after the write, with a sync of it and of its name.
        assert_eq!(left.syncs() - before - 2, syncs, "closed {is_closed}: {:?}", left.trace());
    }
}
