//! The condition of a write is tested against the newest writes, also those that no reader sees yet, and a refusal
//! returns only when readers see why.

use super::{number, store};
use crate::common::{namespace, numbered};
use vecmem::testing::HookPoint;
use vecmem::{Condition, Durability, ErrorKind, Scope};

#[test]
fn a_refusal_returns_when_readers_see_its_cause() {
    let (store, ..) = store(Durability::Sync);
    let home = namespace(["a"]);
    std::thread::scope(|scope| {
        let joined = store.hold_at(HookPoint::WriteJoined);
        let writer = scope.spawn(|| store.put(numbered(&home, "k", 1)));
        joined.wait_until_held();
        let awaited = store.hold_at(HookPoint::GroupAwaited);
        let refused = scope.spawn(|| {
            let error = store.put(numbered(&home, "k", 2).condition(Condition::IfAbsent)).unwrap_err();
            (error.kind(), number(&store, &home, "k"))
        });
        // It waits for the group of the write, or else has returned too early.
        while !awaited.is_held() && !refused.is_finished() {
            std::thread::yield_now();
        }
        joined.let_go();
        awaited.let_go();
        assert_eq!(refused.join().unwrap(), (ErrorKind::ConditionFailed, Some(1)));
        writer.join().unwrap().unwrap();
    });
}

#[test]
fn a_write_that_replaced_a_published_one_is_remembered() {
    let (store, ..) = store(Durability::Sync);
    let home = namespace(["a"]);
    store.put(numbered(&home, "k", 0)).unwrap();
    std::thread::scope(|scope| {
        let published = store.hold_at(HookPoint::GroupPublished);
        let first = scope.spawn(|| store.put(numbered(&home, "k", 1)));
        published.wait_until_held();
        let second_joined = store.hold_at(HookPoint::WriteJoined);
        let second = scope.spawn(|| store.put(numbered(&home, "k", 2)));
        second_joined.wait_until_held();
        published.let_go();
        let version = first.join().unwrap().unwrap();
        // The first write is published and no longer pending; the second one is pending.
        let third_joined = store.hold_at(HookPoint::WriteJoined);
        let put = numbered(&home, "k", 3).condition(Condition::IfVersion(version));
        let third = scope.spawn({
            let store = &store;
            move || store.put(put)
        });
        third_joined.wait_until_held();
        second_joined.let_go();
        third_joined.let_go();
        second.join().unwrap().unwrap();
        assert_eq!(third.join().unwrap().map_err(|error| error.kind()), Err(ErrorKind::ConditionFailed));
    });
    assert_eq!(number(&store, &home, "k"), Some(2));
}

#[test]
fn a_range_delete_counts_at_once() {
    let (store, ..) = store(Durability::Sync);
    let home = namespace(["a"]);
    store.put(numbered(&home, "k", 0)).unwrap();
    std::thread::scope(|scope| {
        let joined = store.hold_at(HookPoint::WriteJoined);
        let deletion = scope.spawn(|| store.delete_range(&Scope::from(&home)));
        joined.wait_until_held();
        let put_joined = store.hold_at(HookPoint::WriteJoined);
        let put = scope.spawn(|| store.put(numbered(&home, "k", 1).condition(Condition::IfAbsent)));
        put_joined.wait_until_held();
        joined.let_go();
        put_joined.let_go();
        deletion.join().unwrap().unwrap();
        put.join().unwrap().expect("the item is deleted before the put");
    });
    assert_eq!(number(&store, &home, "k"), Some(1));
}
