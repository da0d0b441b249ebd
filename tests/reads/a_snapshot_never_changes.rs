//! A snapshot answers every read as it did when it was taken, whatever is written, deleted, sealed, merged or expires
//! later.

use std::time::Duration;

use crate::common::{Random, keys, namespace, numbered, simulated, tiny};
use vecmem::{
    Address, ErrorKind, Filter, Item, IterateQuery, Metric, Namespace, NamespaceQuery, Options, Query, ReadOptions,
    Scope, SearchResult, Snapshot, Store,
};

const HOUR: Duration = Duration::from_secs(3_600);
const DIMS: usize = 3;

/// The answer of every kind of read.
#[derive(Debug, PartialEq)]
struct Readings {
    items: Vec<Option<Item>>,
    answers: Vec<SearchResult>,
    pages: Vec<Vec<Item>>,
    namespaces: Vec<Vec<String>>,
    counts: Vec<u64>,
}

fn spaces() -> [Namespace; 4] {
    [namespace(["a"]), namespace(["a", "b"]), namespace(["a\0"]), namespace(["c"])]
}

fn readings(snapshot: &Snapshot) -> Readings {
    let options = ReadOptions { include_vectors: true, ..ReadOptions::default() };
    let scopes = spaces().each_ref().map(Scope::from).into_iter().chain([Scope::prefix(["a"]).unwrap(), Scope::Store]);
    let scopes: Vec<Scope> = scopes.collect();
    let addresses = spaces().into_iter().flat_map(|namespace| {
        (0..20).map(move |number| Address { namespace: namespace.clone(), key: number.to_string() })
    });
    let addresses: Vec<Address> = addresses.collect();
    let items = snapshot.get_many(&addresses, &options).unwrap();
    let one_by_one = addresses.iter().map(|address| snapshot.get_with(&address.namespace, &address.key, &options));
    assert_eq!(one_by_one.collect::<vecmem::Result<Vec<_>>>().unwrap(), items);
    let later = Filter::from_json_str(r#"{"n": {"$gt": 50}}"#).unwrap();
    let queries = scopes.iter().flat_map(|scope| {
        let query = Query::new(scope.clone()).limit(25).options(options.clone());
        [
            query.clone(),
            query.clone().filter(later.clone()),
            query.vector([1.0, -2.0, 0.5]).include_unscored(true).offset(3),
        ]
    });
    let queries: Vec<Query> = queries.collect();
    let answers = snapshot.search_many(&queries).unwrap();
    for (query, answer) in queries.iter().zip(&answers) {
        assert_eq!(snapshot.search(query).unwrap(), *answer);
    }
    let page = |scope: &Scope| {
        let query = IterateQuery::new(scope.clone()).limit(30).options(options.clone());
        let first = snapshot.iterate(&query, None).unwrap();
        let second = first.next.as_ref().map(|next| snapshot.iterate(&query, Some(next)).unwrap().items);
        [first.items, second.unwrap_or_default()].concat()
    };
    Readings {
        items,
        answers,
        pages: scopes.iter().map(page).collect(),
        namespaces: snapshot.list_namespaces(&NamespaceQuery::default()).unwrap(),
        counts: scopes.iter().map(|scope| snapshot.count(scope, &ReadOptions::default()).unwrap()).collect(),
    }
}

fn write(store: &Store, random: &mut Random, number: u64) {
    let space = &spaces()[random.below(4) as usize];
    let key = random.below(20).to_string();
    let outcome = match random.below(50) {
        0 => store.delete_range(&Scope::from(space)),
        1 => store.compact().map(drop),
        2..=8 => store.delete(space, &key).map(drop),
        kind => {
            let put = numbered(space, key, number);
            let put = if random.chance(70) { put.vector(random.vector(DIMS)) } else { put };
            store.put(if kind % 3 == 0 { put.ttl(HOUR) } else { put }).map(drop)
        }
    };
    outcome.unwrap();
}

#[test]
fn a_snapshot_never_changes() {
    println!("seed 5");
    let (store, _, clock) = simulated(tiny(DIMS, Metric::Cosine).split_keys([namespace(["b"])]));
    let mut random = Random::new(5);
    let mut taken: Vec<(Snapshot, Readings)> = Vec::new();
    for number in 0..1_500 {
        write(&store, &mut random, number);
        if number % 100 == 30 {
            let snapshot = store.snapshot().unwrap();
            let readings = readings(&snapshot);
            assert_eq!(readings.items[0], store.get_with(&spaces()[0], "0", &with_vectors()).unwrap());
            taken.push((snapshot, readings));
        }
        if number % 100 == 90 {
            clock.advance(HOUR / 2);
            store.sweep().unwrap();
            taken.iter().for_each(|(snapshot, before)| assert_eq!(readings(snapshot), *before, "after {number}"));
        }
    }
    let stats = store.stats().unwrap();
    assert!(stats.internals.merges > 10 && stats.internals.swept > 20, "{stats:?}");
    assert_eq!(stats.memory.open_cursors, taken.len() as u64, "who keeps files is counted");
    assert!(stats.memory.oldest_cursor_seconds.is_some());
    drop(taken);
    assert_eq!(store.stats().unwrap().memory.open_cursors, 0);
}

fn with_vectors() -> ReadOptions {
    ReadOptions { include_vectors: true, ..ReadOptions::default() }
}

#[test]
fn a_read_of_a_snapshot_refreshes_what_still_lives_and_revives_nothing() {
    let (store, _, clock) = simulated(tiny(1, Metric::Dot));
    let home = namespace(["a"]);
    for key in ["kept", "replaced", "deleted", "expired"] {
        store.put(numbered(&home, key, 1).ttl(if key == "expired" { HOUR } else { 10 * HOUR })).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    clock.advance(5 * HOUR);
    store.put(numbered(&home, "replaced", 2).ttl(6 * HOUR)).unwrap();
    store.delete(&home, "deleted").unwrap();
    let options = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
    let answer = snapshot.list(&Query::new(&home).options(options)).unwrap();
    assert_eq!(keys(&answer), ["expired", "deleted", "replaced", "kept"], "it shows them all");
    store.sync().unwrap();
    clock.advance(7 * HOUR);
    assert_eq!(keys(&store.list(&Query::new(&home)).unwrap()), ["kept"], "and only what lived on was refreshed");
}

#[test]
fn a_snapshot_keeps_the_store_open_until_somebody_closes_it() {
    let directory = tempfile::tempdir().unwrap();
    let home = namespace(["a"]);
    let open = || Store::open(directory.path(), Options::new()).unwrap();
    let store = open();
    store.put(numbered(&home, "k", 1)).unwrap();
    let snapshot = store.snapshot().unwrap();
    drop(store);
    let same = open();
    same.put(numbered(&home, "k", 2)).unwrap();
    assert_eq!(&*snapshot.get(&home, "k").unwrap().unwrap().value, "{\"n\":1}");
    same.close().unwrap();
    let closed = |outcome: vecmem::Result<()>| assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Closed);
    closed(snapshot.get(&home, "k").map(drop));
    closed(snapshot.get_many(&[], &ReadOptions::default()).map(drop));
    closed(snapshot.search(&Query::new(&home)).map(drop));
    closed(snapshot.search_many(&[]).map(drop));
    closed(snapshot.search_by_item(&home, "k", Query::new(&home)).map(drop));
    closed(snapshot.list(&Query::new(&home)).map(drop));
    closed(snapshot.iterate(&IterateQuery::new(&home), None).map(drop));
    closed(snapshot.list_namespaces(&NamespaceQuery::default()).map(drop));
    closed(snapshot.count(&Scope::Store, &ReadOptions::default()).map(drop));
    closed(same.snapshot().map(drop));
    let again = open();
    assert_eq!(&*again.get(&home, "k").unwrap().unwrap().value, "{\"n\":2}");
}
