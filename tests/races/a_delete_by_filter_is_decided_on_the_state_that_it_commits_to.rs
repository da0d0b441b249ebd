//! What others write between the search of a delete by a rule and its commit is tested again: the outcome is that of a
//! delete at the moment of its commit.

use vecmem::testing::HookPoint;
use vecmem::{Batch, Durability, ErrorKind, Filter, ImportOptions, Scope, Store};

use super::{number, store};
use crate::common::{Random, namespace, numbered};

/// Makes a store with the keys k0 to k19, the numbers 0 to 19; the rule runs, and `meanwhile` comes between its search
/// and its commit.
fn beside<T: Send>(
    rule: impl Fn(&Store) -> vecmem::Result<T> + Sync,
    meanwhile: impl Fn(&Store),
) -> (Store, vecmem::Result<T>) {
    let (store, ..) = store(Durability::Sync);
    let home = namespace(["a"]);
    for key in 0..20 {
        store.put(numbered(&home, format!("k{key}"), key)).unwrap();
    }
    let outcome = std::thread::scope(|scope| {
        let resolved = store.hold_at(HookPoint::WriteResolved);
        let deleting = scope.spawn(|| rule(&store));
        resolved.wait_until_held();
        meanwhile(&store);
        resolved.let_go();
        deleting.join().unwrap()
    });
    (store, outcome)
}

fn numbers(store: &Store) -> Vec<u64> {
    let items = store.items(Scope::Store).map(|item| item.unwrap());
    let mut numbers: Vec<u64> =
        items.map(|item| item.value_as::<serde_json::Value>().unwrap()["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn large() -> Filter {
    Filter::gte("n", 10)
}

fn delete_large(store: &Store) -> vecmem::Result<u64> {
    store.delete_where(&Scope::prefix(["a"])?, &large()).map(|receipt| receipt.deleted)
}

#[test]
fn an_item_that_was_written_meanwhile_is_tested_again() {
    let home = namespace(["a"]);
    let (store, deleted) = beside(delete_large, |store| {
        store.put(numbered(&home, "k15", 1)).unwrap();
        store.put(numbered(&home, "k3", 30)).unwrap();
        store.put(numbered(&home, "new", 31)).unwrap();
        store.put(numbered(&home, "small", 2)).unwrap();
        store.put(numbered(&home, "k16", 32)).unwrap();
        store.delete(&home, "k17").unwrap();
        store.put(numbered(&namespace(["b"]), "elsewhere", 99)).unwrap();
    });
    // Ten were found. One is small now, one is gone; two others are large now.
    assert_eq!(deleted.unwrap(), 10);
    assert_eq!(numbers(&store), [0, 1, 1, 2, 2, 4, 5, 6, 7, 8, 9, 99]);
    assert_eq!(number(&store, &home, "k15"), Some(1));
}

#[test]
fn a_pending_write_counts_as_one_that_was_published() {
    let (store, ..) = store(Durability::Sync);
    let home = namespace(["a"]);
    (0..4).for_each(|key| {
        store.put(numbered(&home, format!("k{key}"), key)).unwrap();
    });
    std::thread::scope(|scope| {
        let resolved = store.hold_at(HookPoint::WriteResolved);
        let deleting = scope.spawn(|| store.delete_where(&Scope::Store, &Filter::gte("n", 2)));
        resolved.wait_until_held();
        // These have their LSNs, and no reader sees them when the delete joins their group.
        let joined = store.hold_at(HookPoint::WriteJoined);
        let writer = scope.spawn(|| {
            let mut batch = Batch::new();
            batch.put(numbered(&home, "k0", 50)).put(numbered(&home, "k2", 0)).delete(&home, "k3");
            store.batch(batch)
        });
        joined.wait_until_held();
        let delete_joined = store.hold_at(HookPoint::WriteJoined);
        resolved.let_go();
        delete_joined.wait_until_held();
        joined.let_go();
        delete_joined.let_go();
        writer.join().unwrap().unwrap();
        assert_eq!(deleting.join().unwrap().unwrap().deleted, 1);
    });
    assert_eq!(numbers(&store), [0, 1]);
}

#[test]
fn what_was_written_in_one_go_is_searched_again() {
    let home = namespace(["a"]);
    let (store, deleted) = beside(delete_large, |store| store.delete_range(&Scope::from(&home)).unwrap());
    assert_eq!((deleted.unwrap(), numbers(&store)), (0, vec![]));

    let (store, deleted) = beside(delete_large, |store| {
        let puts = (0..400).map(|key| Ok(numbered(&home, format!("i{key}"), key % 20)));
        store.import(puts, ImportOptions::new()).unwrap();
    });
    assert_eq!(deleted.unwrap(), 210);
    assert_eq!(numbers(&store).len(), 210);

    let (store, deleted) = beside(delete_large, |store| {
        assert_eq!(store.delete_where(&Scope::Store, &Filter::gte("n", 5)).unwrap().deleted, 15);
    });
    assert_eq!((deleted.unwrap(), numbers(&store)), (0, vec![0, 1, 2, 3, 4]));
}

#[test]
fn a_prune_keeps_what_is_newest_at_its_commit() {
    let home = namespace(["a"]);
    let keep = |store: &Store| store.keep_newest(&Scope::Store, 5).map(|receipt| receipt.deleted);
    let (store, deleted) = beside(keep, |store| {
        (100..103).for_each(|number| {
            store.put(numbered(&home, format!("k{number}"), number)).unwrap();
        });
        store.put(numbered(&home, "k2", 200)).unwrap();
    });
    assert_eq!((deleted.unwrap(), numbers(&store)), (18, vec![19, 100, 101, 102, 200]));

    // Others delete what would have been kept, so an older item is among the newest.
    let (store, deleted) = beside(keep, |store| {
        ["k19", "k17"].iter().for_each(|key| assert!(store.delete(&home, key).unwrap()));
    });
    assert_eq!((deleted.unwrap(), numbers(&store)), (13, vec![13, 14, 15, 16, 18]));

    // What takes the place of a kept item says that it is older than those which would go.
    let (store, deleted) = beside(keep, |store| {
        assert!(store.delete(&home, "k19").unwrap());
        store.put(numbered(&home, "old", 500).updated_at(1)).unwrap();
    });
    assert_eq!((deleted.unwrap(), numbers(&store)), (15, vec![14, 15, 16, 17, 18]));

    let (store, deleted) = beside(keep, |store| {
        (0..9).for_each(|key| {
            store.put(numbered(&namespace(["b"]), format!("k{key}"), 300 + key)).unwrap();
        });
    });
    assert_eq!(deleted.unwrap(), 19, "the other namespace keeps its own five");
    assert_eq!(numbers(&store), [15, 16, 17, 18, 19, 304, 305, 306, 307, 308]);
}

#[test]
fn a_rename_moves_what_there_is_at_its_commit() {
    let (home, target) = (namespace(["a"]), namespace(["t"]));
    let rename = |store: &Store| store.rename(&Scope::from(&home), &target).map(|receipt| receipt.moved);
    let (store, moved) = beside(rename, |store| {
        store.put(numbered(&home, "k1", 70)).unwrap();
        store.put(numbered(&home, "late", 71)).unwrap();
        store.delete(&home, "k2").unwrap();
    });
    assert_eq!(moved.unwrap(), 20);
    assert_eq!(["k1", "late", "k2"].map(|key| number(&store, &target, key)), [Some(70), Some(71), None]);
    assert_eq!(number(&store, &home, "late"), None);

    let (store, moved) = beside(rename, |store| {
        store.put(numbered(&target, "first", 1)).unwrap();
    });
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::ConditionFailed);
    assert_eq!(numbers(&store).len(), 21);
}

#[test]
fn a_write_after_a_range_delete_is_known_although_the_delete_is_still_noted() {
    let (store, ..) = store(Durability::Sync);
    let home = namespace(["a"]);
    store.put(numbered(&home, "k", 0)).unwrap();
    std::thread::scope(|scope| {
        let published = store.hold_at(HookPoint::GroupPublished);
        let deleting = scope.spawn(|| store.delete_range(&Scope::from(&home)));
        published.wait_until_held();
        // This write is published and forgotten before the delete is.
        store.put(numbered(&home, "k", 1)).unwrap();
        let absent = numbered(&home, "k", 2).condition(vecmem::Condition::IfAbsent);
        let refused = store.put(absent).map_err(|error| error.kind());
        published.let_go();
        deleting.join().unwrap().unwrap();
        assert_eq!(refused.unwrap_err(), ErrorKind::ConditionFailed);
    });
    assert_eq!(number(&store, &home, "k"), Some(1));
}

#[test]
fn a_range_delete_after_a_write_is_known_although_the_write_is_still_noted() {
    let (store, ..) = store(Durability::Sync);
    let home = namespace(["a"]);
    std::thread::scope(|scope| {
        let published = store.hold_at(HookPoint::GroupPublished);
        let putting = scope.spawn(|| store.put(numbered(&home, "k", 0)));
        published.wait_until_held();
        // This delete is published and forgotten before the write is.
        store.delete_range(&Scope::from(&home)).unwrap();
        let absent = numbered(&home, "k", 1).condition(vecmem::Condition::IfAbsent);
        let put = store.put(absent).map_err(|error| error.kind());
        published.let_go();
        putting.join().unwrap().unwrap();
        assert!(put.is_ok(), "{put:?}");
    });
    assert_eq!(number(&store, &home, "k"), Some(1));
}

/// Deletes and writes of two threads, again and again: afterwards no item is there that the last delete should have
/// taken, and all others are.
#[test]
fn deletes_beside_a_writer_leave_nothing_that_passes() {
    let (store, ..) = store(Durability::Periodic);
    let home = namespace(["a"]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut random = Random::new(9);
            for _ in 0..3_000 {
                store.put(numbered(&home, format!("k{}", random.below(200)), random.below(20))).unwrap();
            }
        });
        let mut runs = 0;
        while !writer.is_finished() {
            store.delete_where(&Scope::from(&home), &large()).unwrap();
            store.keep_newest(&Scope::from(&home), 50).unwrap();
            runs += 1;
        }
        println!("{runs} deletes beside 3,000 puts");
        writer.join().unwrap();
    });
    store.delete_where(&Scope::from(&home), &large()).unwrap();
    assert!(numbers(&store).iter().all(|&number| number < 10));
    assert_eq!(store.check(true).unwrap().problems, Vec::<String>::new());
}
