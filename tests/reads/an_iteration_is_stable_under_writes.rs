//! A walk in key order shows the snapshot of its first page, each item once, whatever is written, sealed or merged
//! meanwhile.

use crate::common::{Random, namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{Item, IterateQuery, Namespace, Scope, Store};

fn walk(store: &Store, query: &IterateQuery, mut between: impl FnMut(usize)) -> Vec<Item> {
    let (mut items, mut cursor) = (Vec::new(), None);
    for number in 0.. {
        let page = store.iterate(query, cursor.as_ref()).unwrap();
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        between(number);
    }
    items
}

fn place(item: &Item) -> (Namespace, String) {
    (item.namespace.clone(), item.key.clone())
}

#[test]
fn a_scan_is_stable_under_writes() {
    println!("seed 8");
    let cut = namespace(["b"]);
    let (store, _, _) = simulated(tiny_without_vectors().split_keys([cut]));
    let mut random = Random::new(8);
    let spaces = [namespace(["a"]), namespace(["a", "b"]), namespace(["a\0"]), namespace(["b"]), namespace(["c", "d"])];
    let write = |random: &mut Random, number| {
        let space = &spaces[random.below(5) as usize];
        let key = format!("{}{}", ["", "x", "xy", "z"][random.below(4) as usize], random.below(30));
        let outcome = match random.below(40) {
            0 => store.delete_range(&Scope::from(space)),
            1..=6 => store.delete(space, &key).map(|_| ()),
            _ => store.put(numbered(space, key, number)).map(|_| ()),
        };
        outcome.unwrap();
    };
    (0..300).for_each(|number| write(&mut random, number));
    for round in 0..25 {
        let scope = [Scope::Store, Scope::prefix(["a"]).unwrap(), Scope::from(&spaces[0])][round % 3].clone();
        let query =
            IterateQuery::new(scope).key_prefix(["", "x", "xy1"][round / 3 % 3]).limit(1 + random.below(7) as usize);
        let before = walk(&store, &query.clone().limit(usize::MAX), |_| {});
        assert!(before.is_sorted_by(|a, b| place(a) < place(b)), "in key order, each once");
        let flushes = store.stats().unwrap().internals.flushes;
        let walked = walk(&store, &query, |page| {
            (0..10).for_each(|number| write(&mut random, number));
            if page == 3 {
                store.compact().unwrap();
            }
            assert_eq!(store.stats().unwrap().memory.open_cursors, 1);
        });
        assert_eq!(walked, before, "{query:?}");
        assert!(
            before.len() < 60 || store.stats().unwrap().internals.flushes > flushes,
            "parts were replaced under the walk"
        );
        assert_eq!(store.stats().unwrap().memory.open_cursors, 0);
    }
}

#[test]
fn a_page_ends_where_the_items_do() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    assert!(store.iterate(&IterateQuery::new(&home), None).unwrap().next.is_none());
    for number in 0..10 {
        store.put(numbered(&home, number.to_string(), number)).unwrap();
    }
    let page = store.iterate(&IterateQuery::new(&home).limit(10), None).unwrap();
    assert_eq!((page.items.len(), page.next.is_none()), (10, true), "no empty page follows");
    let page = store.iterate(&IterateQuery::new(&home).limit(0), None).unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (1, true), "a page holds at least one");
    let cursor = page.next.unwrap();
    let again = |cursor| store.iterate(&IterateQuery::new(&home).limit(3), Some(cursor)).unwrap().items;
    assert_eq!(again(&cursor), again(&cursor), "a cursor can be used twice");
    assert_eq!(again(&cursor)[0].key, "1");
}
