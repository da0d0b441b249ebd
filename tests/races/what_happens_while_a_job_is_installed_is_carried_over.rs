//! Deletes, replacements and touches that come after a flush or a merge has collected its state are in the output when
//! the output becomes current, and survive a reopen.

use std::time::Duration;

use super::{number, options, store};
use crate::common::{START, namespace, numbered, reopened};
use vecmem::testing::HookPoint;
use vecmem::{Durability, IterateQuery, ReadOptions, Scope, Store};

const HOUR: Duration = Duration::from_secs(3_600);

fn fill(store: &Store) {
    for key in 0..10 {
        store.put(numbered(&namespace(["a"]), key.to_string(), key).ttl(10 * HOUR)).unwrap();
        store.put(numbered(&namespace(["range"]), key.to_string(), key)).unwrap();
    }
}

/// What another thread does between the two steps.
fn change(store: &Store) {
    let home = namespace(["a"]);
    assert!(store.delete(&home, "3").unwrap());
    store.delete_range(&Scope::from(&namespace(["range"]))).unwrap();
    let refreshing = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
    assert!(store.get_with(&home, "4", &refreshing).unwrap().is_some());
    // The touch waits for a group, and this write brings one.
    store.put(numbered(&home, "5", 100).ttl(10 * HOUR)).unwrap();
}

fn assert_changed(store: &Store, context: &str) {
    let home = namespace(["a"]);
    assert_eq!(number(store, &home, "3"), None, "{context}: it was deleted");
    let range = store.count(&Scope::from(&namespace(["range"])), &ReadOptions::default()).unwrap();
    assert_eq!(range, 0, "{context}: the range was deleted");
    let touched = store.get(&home, "4").unwrap().unwrap();
    let until = |hours: u32| START + (hours * HOUR).as_micros() as i64;
    assert_eq!(touched.expires_at, Some(until(15)), "{context}: it was touched");
    assert_eq!(number(store, &home, "5"), Some(100), "{context}: it was replaced");
    let listed = store.iterate(&IterateQuery::new(&home).limit(100), None).unwrap().items;
    let listed: Vec<&str> = listed.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(listed, ["0", "1", "2", "4", "5", "6", "7", "8", "9"], "{context}");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
}

fn runs_beside(begins_in_memory: bool) {
    let (store, storage, clock) = store(Durability::Sync);
    fill(&store);
    if !begins_in_memory {
        store.compact().unwrap();
        // Something for the next merge to leave out.
        store.put(numbered(&namespace(["b"]), "gone", 1)).unwrap();
        store.delete(&namespace(["b"]), "gone").unwrap();
        store.delete(&namespace(["range"]), "0").unwrap();
    }
    clock.advance(5 * HOUR);
    std::thread::scope(|scope| {
        let collected = store.hold_at(HookPoint::InstallCollected);
        let compaction = scope.spawn(|| store.compact());
        collected.wait_until_held();
        if begins_in_memory {
            change(&store);
            collected.let_go();
        } else {
            // The first install is that of the flush; the second one is the merge's.
            let merged = store.hold_at(HookPoint::InstallCollected);
            collected.let_go();
            merged.wait_until_held();
            change(&store);
            merged.let_go();
        }
        compaction.join().unwrap().unwrap();
    });
    assert_changed(&store, "now");
    store.close().unwrap();
    assert_changed(&reopened(&storage, &clock, options()), "after a reopen");
}

#[test]
fn by_a_flush() {
    runs_beside(true);
}

#[test]
fn by_a_merge() {
    runs_beside(false);
}
