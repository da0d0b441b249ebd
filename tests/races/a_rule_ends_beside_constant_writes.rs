//! A delete by a rule that others overtake again and again makes them wait in the end, so that it is decided. It does
//! not fail, and writes elsewhere go on.

use std::sync::atomic::{AtomicBool, Ordering};

use vecmem::testing::HookPoint;
use vecmem::{Batch, Durability, Filter, ReadOptions, Scope, Store};

use super::{number, store};
use crate::common::{SetAtEnd, namespace, numbered};

/// Writes more keys than a rule looks at under a lock.
fn write_many(store: &Store, round: u64) {
    let mut batch = Batch::new();
    for key in 0..300 {
        batch.put(numbered(&namespace(["a"]), format!("k{key}"), (key + round) % 20));
    }
    store.batch(batch).unwrap();
}

#[test]
fn a_rule_that_is_overtaken_makes_others_wait() {
    let (store, ..) = store(Durability::Sync);
    let elsewhere = namespace(["b"]);
    write_many(&store, 0);
    std::thread::scope(|scope| {
        let mut resolved = store.hold_at(HookPoint::WriteResolved);
        let deleting = scope.spawn(|| store.delete_where(&Scope::prefix(["a"])?, &Filter::gte("n", 10)));
        resolved.wait_until_held();
        for round in 1..=3 {
            write_many(&store, round);
            let again = store.hold_at(HookPoint::WriteResolved);
            resolved.let_go();
            again.wait_until_held();
            resolved = again;
        }
        let held_back = store.hold_at(HookPoint::WriteHeldBack);
        let writing = scope.spawn(|| write_many(&store, 4));
        held_back.wait_until_held();
        store.put(numbered(&elsewhere, "k", 1)).unwrap();
        held_back.let_go();
        resolved.let_go();
        assert_eq!(deleting.join().unwrap().unwrap().deleted, 150, "half of the numbers are large");
        writing.join().unwrap();
    });
    assert_eq!(number(&store, &elsewhere, "k"), Some(1));
    assert_eq!(store.count(&Scope::prefix(["a"]).unwrap(), &ReadOptions::default()).unwrap(), 300);
}

#[test]
fn writers_beside_rules_in_one_scope_all_end() {
    let (store, ..) = store(Durability::Manual);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = SetAtEnd(&done);
        for writer in 0..2 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                for round in (writer..).step_by(2) {
                    write_many(store, round);
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for round in 0..20 {
            let rules = [
                store.delete_where(&Scope::Store, &Filter::eq("n", round)),
                store.keep_newest(&Scope::prefix(["a"]).unwrap(), 200),
            ];
            rules.into_iter().for_each(|receipt| drop(receipt.unwrap()));
        }
    });
    assert_eq!(store.check(true).unwrap().problems, Vec::<String>::new());
}
