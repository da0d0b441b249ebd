//! An iterator over items gives each item of its scope once, in key order, as of the call that made it.

use std::time::Duration;

use crate::common::{Random, namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{ErrorKind, Item, Items, IterateQuery, Namespace, Scope, Store};

fn addresses(items: Items) -> Vec<(Namespace, String)> {
    let address = |item: vecmem::Result<Item>| item.map(|item| (item.namespace, item.key));
    items.map(address).collect::<vecmem::Result<_>>().unwrap()
}

/// 70 items in two namespaces, in any order of writing; their addresses in key order.
fn filled() -> (Store, Vec<(Namespace, String)>) {
    let (store, _, _) = simulated(tiny_without_vectors());
    let mut random = Random::new(7);
    let mut written: Vec<(Namespace, String)> =
        (0..70).map(|number| (namespace(["notes", ["a", "b"][number % 2]]), format!("{:03}", number))).collect();
    for at in (1..written.len()).rev() {
        written.swap(at, random.below(at as u64 + 1) as usize);
    }
    for (number, (home, key)) in written.iter().enumerate() {
        store.put(numbered(home, key, number as u64)).unwrap();
    }
    written.sort();
    (store, written)
}

#[test]
fn pages_of_any_size_make_the_same_list() {
    let (store, expected) = filled();
    for limit in [0, 1, 2, 7, 69, 70, 71, 1_000] {
        let query = IterateQuery::new(Scope::Store).limit(limit);
        assert_eq!(addresses(store.items(query.clone())), expected, "{limit}");
        assert_eq!(addresses(store.snapshot().unwrap().items(query)), expected, "{limit}");
    }
    let a = namespace(["notes", "a"]);
    assert_eq!(addresses(store.items(&a)), expected[..35]);
    assert_eq!(addresses(store.items(Scope::prefix(["notes"]).unwrap())), expected);
    assert_eq!(addresses(store.items(IterateQuery::new(&a).key_prefix("01").limit(2))).len(), 5);
    assert_eq!(store.items(&namespace(["nothing"])).count(), 0);
}

#[test]
fn writes_meanwhile_change_nothing() {
    let (store, expected) = filled();
    let before = store.snapshot().unwrap();
    let mut items = store.items(IterateQuery::new(Scope::Store).limit(3));
    // The moment is that of the call, also where nothing was read yet.
    for (home, key) in &expected[..20] {
        store.delete(home, key).unwrap();
    }
    for _ in 0..5 {
        items.next().unwrap().unwrap();
    }
    store.put(numbered(&namespace(["notes", "a"]), "zzz", 1)).unwrap();
    store.delete_everything().unwrap();
    store.compact().unwrap();
    assert_eq!(addresses(items), expected[5..]);
    assert_eq!(addresses(before.items(Scope::Store)), expected);
    assert_eq!(store.items(Scope::Store).count(), 0);
}

#[test]
fn an_error_comes_once_and_ends_it() {
    let (store, _) = filled();
    let mut items = store.items(IterateQuery::new(Scope::Store).limit(3));
    for _ in 0..3 {
        items.next().unwrap().unwrap();
    }
    store.put(numbered(&namespace(["other"]), "a", 1)).unwrap();
    store.end_snapshots_before_now(Duration::ZERO).unwrap();
    // What is in memory is given; the next page fails.
    assert_eq!(items.next().unwrap().unwrap_err().kind(), ErrorKind::SnapshotGone);
    assert!(items.next().is_none() && items.next().is_none());

    store.close().unwrap();
    let mut items = store.items(Scope::Store);
    assert_eq!(items.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(items.next().is_none());
}

#[test]
fn an_iterator_that_ended_keeps_no_snapshot() {
    let (store, expected) = filled();
    let mut items = store.items(IterateQuery::new(Scope::Store).limit(8));
    assert_eq!(store.stats().unwrap().memory.open_cursors, 1);
    assert_eq!(items.by_ref().count(), expected.len());
    assert_eq!(store.stats().unwrap().memory.open_cursors, 0);
    assert!(items.next().is_none());
}
