//! A frame that is damaged before durable ones refuses the open, and a frame whose sync has failed is written again
//! before anything is acknowledged behind it.

use std::sync::Arc;

use crate::common::{namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::ErrorKind;
use vecmem::testing::{Fault, FaultKind, Loss, SimOperation, open_with};

#[test]
fn a_damaged_frame_before_durable_ones_is_no_torn_end() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    for key in 0..10 {
        store.put(numbered(&namespace(["a"]), key.to_string(), 700 + key)).unwrap();
    }
    let copy = storage.crash(Loss::None, 0);
    let (log, at) = copy
        .names()
        .into_iter()
        .find_map(|name| {
            let bytes = copy.read_file(&name)?;
            let at = bytes.windows(3).position(|window| window == b"703")?;
            name.ends_with(".log").then_some((name, at))
        })
        .unwrap();
    copy.flip_bit(&log, 8 * at as u64);
    let opened = open_with(Arc::new(copy), Arc::new(clock), tiny_without_vectors());
    let error = opened.expect_err("writes that were acknowledged follow");
    assert_eq!((error.kind(), error.location().map(|place| place.file.as_str())), (ErrorKind::Corrupt, Some(&*log)));
}

#[test]
fn a_frame_whose_sync_failed_is_written_again() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    store.put(numbered(&home, "first", 1)).unwrap();
    storage.fail_after(0, Fault::once(FaultKind::Io, SimOperation::SYNCS));
    assert_eq!(store.put(numbered(&home, "doubtful", 2)).unwrap_err().kind(), ErrorKind::Poisoned);
    storage.clear_faults();
    drop(store);
    // Its bytes are still in memory, and no later sync of them writes them.
    let store = reopened(&storage, &clock, tiny_without_vectors());
    assert!(store.get(&home, "doubtful").unwrap().is_some());
    store.put(numbered(&home, "last", 3)).unwrap();
    let left = reopened(&storage.crash(Loss::AllUnsynced, 0), &clock, tiny_without_vectors());
    for key in ["first", "doubtful", "last"] {
        assert!(left.get(&home, key).unwrap().is_some(), "{key}");
    }
}
