//! A close begins to end the store when no call is running any more, so that a write under way succeeds.

use std::time::Duration;

use super::{number, options, store};
use crate::common::{namespace, numbered, reopened};
use vecmem::testing::HookPoint;
use vecmem::{Durability, ErrorKind};

#[test]
fn a_close_waits_for_running_calls() {
    let (store, storage, clock) = store(Durability::Sync);
    let home = namespace(["a"]);
    std::thread::scope(|scope| {
        let joined = store.hold_at(HookPoint::WriteJoined);
        let put = scope.spawn(|| store.put(numbered(&home, "k", 1)));
        joined.wait_until_held();
        let alone = store.hold_at(HookPoint::CloseAlone);
        let close = scope.spawn(|| store.close());
        while store.stats().is_ok() {
            std::thread::yield_now();
        }
        // Too short a time hides a fault, and fails nobody.
        let is_early = alone.is_held_within(Duration::from_secs(1));
        joined.let_go();
        alone.let_go();
        assert!(!is_early, "the close went on beside a put");
        put.join().unwrap().unwrap();
        close.join().unwrap().unwrap();
    });
    assert_eq!(store.get(&home, "k").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(number(&reopened(&storage, &clock, options()), &home, "k"), Some(1));
}
