//! A shard above its cap is split at namespaces, and all answers stay the same, after a reopen too.

use super::options;
use crate::common::{Random, namespace, numbered, reopened, simulated, tiny};
use vecmem::{IterateQuery, Metric, Namespace, NamespaceQuery, Query, Scope, Store};

const SCOPES: [&[&str]; 5] = [&["a"], &["a", "3"], &["m"], &["z"], &["nothing"]];

/// All keys of a scope, in order, and the best for a query vector.
fn answers(store: &Store, scope: &Scope) -> Vec<String> {
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.iterate(&IterateQuery::new(scope.clone()).limit(7), cursor.as_ref()).unwrap();
        listed.extend(page.items.into_iter().map(|item| format!("{} {}", item.namespace, item.key)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let best = store.search(&Query::new(scope.clone()).vector([1.0, -0.5]).limit(15).exact(true)).unwrap();
    listed.extend(best.iter().map(|hit| format!("{:?} {} {}", hit.score, hit.item.key, hit.item.value)));
    listed
}

fn scopes() -> Vec<Scope> {
    let prefixes = SCOPES.iter().map(|labels| Scope::prefix(labels.iter().copied()).unwrap());
    prefixes.chain([Scope::Store]).collect()
}

#[test]
fn while_items_are_put_replaced_and_deleted() {
    let (store, storage, clock) = simulated(options(2));
    let (whole, ..) = simulated(tiny(2, Metric::Dot));
    let mut random = Random::new(5);
    for number in 0..900_u64 {
        let labels = [["a", "m", "z"][random.below(3_usize)].to_owned(), random.below(6_u64).to_string()];
        let (home, key) = (Namespace::new(labels).unwrap(), random.below(90_u64).to_string());
        let vector = random.vector(2);
        for store in [&store, &whole] {
            store.put(numbered(&home, key.as_str(), number).vector(vector.clone())).unwrap();
        }
        if number % 5 == 0 {
            let key = random.below(90_u64).to_string();
            let deleted = [&store, &whole].map(|store| store.delete(&home, &key).unwrap());
            assert_eq!(deleted[0], deleted[1]);
        }
        if number % 100 == 99 {
            for scope in scopes() {
                assert_eq!(answers(&store, &scope), answers(&whole, &scope), "{scope:?} after {number}");
            }
        }
    }
    let stats = store.stats().unwrap();
    assert!(stats.internals.shards >= 4, "{} shards", stats.internals.shards);
    let sizes = &stats.internals.shard_sizes;
    assert!(sizes.iter().all(|shard| shard.rows <= 200), "{sizes:?}");
    assert_eq!(whole.stats().unwrap().internals.shards, 1);
    let dump = store.text_dump().unwrap();
    assert_eq!(dump, whole.text_dump().unwrap());
    let of = |store: &Store| store.list_namespaces(&NamespaceQuery::default()).unwrap();
    assert_eq!(of(&store), of(&whole));
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    store.close().unwrap();
    let store = reopened(&storage, &clock, options(2));
    assert_eq!(store.stats().unwrap().internals.shards, stats.internals.shards);
    assert_eq!(store.text_dump().unwrap(), dump);
    store.compact().unwrap();
    let compacted = store.stats().unwrap().internals;
    assert!(compacted.shard_sizes.iter().all(|shard| shard.segments <= 1), "{:?}", compacted.shard_sizes);
    assert_eq!(store.text_dump().unwrap(), dump);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn but_one_namespace_is_not() {
    let (store, ..) = simulated(options(1));
    let home = namespace(["a"]);
    for key in 0..1_000 {
        store.put(numbered(&home, format!("{key:03}"), key).vector([key as f32])).unwrap();
    }
    let stats = store.stats().unwrap().internals;
    assert_eq!(stats.shards, 1);
    // Segments within the cap, and a few small ones.
    assert!((10..30).contains(&stats.segments), "{} segments", stats.segments);
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.segments, 1, "unless that is asked for");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
