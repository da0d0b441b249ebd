//! A prefix covers the namespace itself and what lies below it, never a namespace whose label merely begins alike.

use std::collections::BTreeSet;

use crate::common::{Random, namespace, numbered, simulated, tiny};
use vecmem::{ErrorKind, IterateQuery, Metric, Namespace, Query, ReadOptions, Scope, Store};

fn covered(store: &Store, scope: &Scope) -> BTreeSet<Namespace> {
    let everything = usize::MAX;
    let listed = store.list(&Query::new(scope.clone()).limit(everything)).unwrap();
    let searched = store.search(&Query::new(scope.clone()).vector([1.0]).limit(everything)).unwrap();
    let scanned = store.iterate(&IterateQuery::new(scope.clone()).limit(everything), None).unwrap().items;
    let names = |items: Vec<Namespace>| -> BTreeSet<Namespace> { items.into_iter().collect() };
    let found = names(listed.into_iter().map(|hit| hit.item.namespace).collect());
    assert_eq!(found, names(searched.into_iter().map(|hit| hit.item.namespace).collect()));
    assert_eq!(found, names(scanned.into_iter().map(|item| item.namespace).collect()));
    assert_eq!(store.count(scope, &ReadOptions::default()).unwrap(), found.len() as u64);
    found
}

#[test]
fn prefixes_are_tuples_not_strings() {
    println!("seed 3");
    let (store, _, _) = simulated(tiny(1, Metric::Dot).split_keys([namespace(["a\0"]), namespace(["foo", "z"])]));
    let labels = ["a", "a\0", "a\0\0", "a\0b", "\0", "foo", "foobar", "foo/bar", "\u{1}", "\u{10FFFF}", "z"];
    let mut spaces: Vec<Namespace> = labels.iter().map(|label| namespace([label])).collect();
    let pairs = labels.iter().flat_map(|first| labels.iter().map(move |second| namespace([first, second])));
    spaces.extend(pairs);
    spaces.push(namespace(["a", "\0", "a"]));
    let mut order = spaces.clone();
    let mut random = Random::new(3);
    (0..order.len()).for_each(|at| order.swap(at, random.below(at as u64 + 1) as usize));
    for space in &order {
        store.put(numbered(space, "k", 1).vector([1.0])).unwrap();
    }
    for space in &spaces {
        assert_eq!(covered(&store, &Scope::from(space)), BTreeSet::from([space.clone()]), "{space:?} alone");
        let below = spaces.iter().filter(|other| other.labels().starts_with(&space.labels()));
        assert_eq!(covered(&store, &Scope::Prefix(space.clone())), below.cloned().collect(), "below {space:?}");
    }
    assert_eq!(covered(&store, &Scope::Store).len(), spaces.len());
    assert_eq!(Scope::prefix::<&str>([]).unwrap_err().kind(), ErrorKind::InvalidInput, "everything has its own name");
    let mut sorted = spaces.clone();
    sorted.sort_by_key(Namespace::labels);
    let scanned = store.iterate(&IterateQuery::new(Scope::Store).limit(1000), None).unwrap();
    let scanned: Vec<Namespace> = scanned.items.into_iter().map(|item| item.namespace).collect();
    assert_eq!(scanned, sorted, "the order of bytes is the order of tuples");

    store.delete_range(&Scope::prefix(["a"]).unwrap()).unwrap();
    let left: BTreeSet<Namespace> = spaces.into_iter().filter(|space| space.labels()[0] != "a").collect();
    assert_eq!(covered(&store, &Scope::Store), left);
}
