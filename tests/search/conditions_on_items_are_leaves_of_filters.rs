//! Conditions on times and keys of items join with conditions on values, in every read and every kind of part, and read
//! no value where they decide.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::common::{START, namespace, reopened, simulated, tiny};
use vecmem::testing::{Random, SimClock, SimStorage, open_with};
use vecmem::{
    ErrorKind, Filter, Item, IterateQuery, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Store, Tuning,
};

const ITEMS: u64 = 120;

/// A key of many kinds, none of which a pattern or a path may be made of.
fn key(n: u64) -> String {
    let names = ["plain", "with.dots", "$gte", "nul\0", "emoji 😀", "é", "", "a/b"];
    format!("{}{n}", names[n as usize % names.len()])
}

fn n_of(item: &Item) -> u64 {
    item.value.split_once(':').unwrap().1.split(',').next().unwrap().parse().unwrap()
}

/// Items in segments, frozen memtables and the memtable; some replaced, some expire, some were touched.
fn filled() -> (Store, SimStorage, SimClock) {
    let (store, storage, clock) = simulated(tiny(2, Metric::Cosine));
    let mut random = Random::new(7);
    for n in 0..ITEMS {
        clock.advance(Duration::from_millis(10));
        let home = namespace([if n % 4 == 0 { "b" } else { "a" }]);
        let put = Put::new(&home, key(n), json!({"n": n, "odd": n % 2 == 1})).vector(random.vector(2));
        let put = if n % 3 == 0 { put.ttl(Duration::from_secs(60 + n)) } else { put };
        let put = if n % 10 == 9 { put.created_at(START - n as i64) } else { put };
        store.put(put.clone()).unwrap();
        if n % 7 == 0 {
            clock.advance(Duration::from_millis(1));
            store.put(put).unwrap();
        }
        if n == 80 {
            store.compact().unwrap();
            clock.advance(Duration::from_secs(30));
            let refreshing = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
            (0..n).filter(|n| n % 6 == 0).for_each(|n| {
                let home = namespace([if n % 4 == 0 { "b" } else { "a" }]);
                store.get_with(&home, &key(n), &refreshing).unwrap();
            });
        }
    }
    store.sync().unwrap();
    (store, storage, clock)
}

/// A filter, and the same as plainly as it goes.
type Condition = (serde_json::Value, fn(&Item) -> bool);

fn conditions() -> Vec<Condition> {
    let micros = START + 600_000;
    vec![
        (json!({"$item": {"created_at": {"$gte": micros}}}), |item| item.created_at >= START + 600_000),
        (json!({"$item": {"created_at": {"$lt": START}}}), |item| item.created_at < START),
        (json!({"$item": {"created_at": {"$eq": START - 9}}}), |item| item.created_at == START - 9),
        (json!({"$item": {"created_at": {"$ne": START - 9}}}), |item| item.created_at != START - 9),
        (json!({"$item": {"updated_at": {"$gt": micros}, "created_at": {"$lte": micros}}}), |item| {
            item.updated_at > START + 600_000 && item.created_at <= START + 600_000
        }),
        // START is 2023-11-14T22:13:20Z.
        (json!({"$item": {"updated_at": {"$gt": {"$date": "2023-11-14T23:13:20.6004+01:00"}}}}), |item| {
            item.updated_at > START + 600_400
        }),
        (json!({"$item": {"updated_at": {"$lte": {"$date": "2023-11-14T22:13:20.600000001Z"}}}}), |item| {
            item.updated_at <= START + 600_000
        }),
        (json!({"$item": {"expires_at": {"$exists": true}}}), |item| item.expires_at.is_some()),
        (json!({"$item": {"expires_at": {"$exists": false}}}), |item| item.expires_at.is_none()),
        (json!({"$item": {"expires_at": {"$lt": START + 100_000_000}}}), |item| {
            item.expires_at.is_some_and(|at| at < START + 100_000_000)
        }),
        (json!({"$not": {"$item": {"expires_at": {"$gte": START + 100_000_000}}}}), |item| {
            item.expires_at.is_none_or(|at| at < START + 100_000_000)
        }),
        (json!({"$item": {"expires_at": {"$ne": 0}}}), |_| true),
        (json!({"$item": {"key": "with.dots1"}}), |item| item.key == "with.dots1"),
        (json!({"$item": {"key": {"$in": ["$gte2", "nul\u{0}3", "emoji 😀4", "none"]}}}), |item| {
            ["$gte2", "nul\u{0}3", "emoji 😀4"].contains(&item.key.as_str())
        }),
        (json!({"$item": {"key": {"$nin": (0..100).map(key).collect::<Vec<_>>()}}}), |item| n_of(item) >= 100),
        (json!({"$item": {"key": {"$starts_with": "emoji \u{1f600}"}}}), |item| item.key.starts_with("emoji 😀")),
        (json!({"$item": {"key": {"$starts_with": ""}}}), |_| true),
        (json!({"$item": {"key": {"$starts_with": "$", "$ne": "$gte2"}}, "odd": false}), |item| {
            item.key.starts_with('$') && item.key != "$gte2"
        }),
        (
            json!({"$or": [{"n": {"$lt": 3}}, {"$and": [{"odd": true}, {"$item": {"key": {"$starts_with": "a"}}}]}]}),
            |item| n_of(item) < 3 || (n_of(item) % 2 == 1 && item.key.starts_with('a')),
        ),
        (json!({"$not": {"$or": [{"odd": true}, {"$item": {"created_at": {"$gt": START + 600_000}}}]}}), |item| {
            n_of(item).is_multiple_of(2) && item.created_at <= START + 600_000
        }),
    ]
}

fn all_items(store: &Store) -> Vec<Item> {
    store.iterate(&IterateQuery::new(Scope::Store).limit(1_000), None).unwrap().items
}

fn found(store: &Store, filter: &Filter) -> Vec<(&'static str, BTreeSet<u64>)> {
    let query = || Query::new(Scope::Store).filter(filter.clone()).limit(1_000).include_unscored(true);
    let numbers = |hits: Vec<vecmem::Hit>| hits.iter().map(|hit| n_of(&hit.item)).collect();
    let search = |query: Query| numbers(store.search(&query).unwrap().hits);
    let page = store.snapshot().unwrap().listing(query().include_unscored(false)).unwrap().page(0, 1_000).unwrap();
    vec![
        ("list", numbers(store.list(&query().include_unscored(false)).unwrap().hits)),
        ("search", search(query().vector([1.0, 0.5]))),
        ("exact search", search(query().vector([1.0, 0.5]).exact(true))),
        ("page", numbers(page.hits)),
    ]
}

#[test]
fn every_read_gives_the_items_that_the_conditions_name() {
    let (store, storage, clock) = filled();
    let check = |store: &Store, when: &str| {
        let items = all_items(store);
        assert_eq!(items.len() as u64, ITEMS);
        for (json, fits) in conditions() {
            let filter = Filter::parse(&json).unwrap();
            let prepared = filter.prepare().unwrap();
            let expected: BTreeSet<u64> = items.iter().filter(|item| fits(item)).map(n_of).collect();
            for item in &items {
                assert_eq!(prepared.matches_item(item), fits(item), "{json} of {item:?}");
            }
            for (call, answer) in found(store, &filter) {
                assert_eq!(answer, expected, "{when}, {call} with {json}");
            }
        }
    };
    check(&store, "in parts of each kind");
    store.compact().unwrap();
    check(&store, "compacted");
    store.close().unwrap();
    check(&reopened(&storage, &clock, tiny(2, Metric::Cosine)), "reopened");
}

/// A store of two large values, whose file is then taken away.
fn without_values() -> (Store, Namespace) {
    let (storage, clock, home) = (SimStorage::new(1), SimClock::new(START), namespace(["a"]));
    let open = || {
        let options = Options::with_vectors(2, Metric::Dot).tuning(Tuning::tiny());
        open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options).unwrap()
    };
    let store = open();
    for key in ["kept", "other"] {
        let mut random = Random::new(3);
        let text: String = (0..150_000).map(|_| random.letter()).collect();
        store.put(Put::new(&home, key, json!({"text": text})).vector([1.0, 0.0])).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
    let blob = storage.names().into_iter().find(|name| name.ends_with(".blob")).unwrap();
    storage.remove_file(&blob);
    (open(), home)
}

#[test]
fn conditions_that_decide_read_no_value() {
    let (store, home) = without_values();
    let list = |filter: Filter| store.list(&Query::new(&home).filter(filter)).map(|found| found.len());
    let nobody = || Filter::key_in(["nobody"]);
    let reads_none = [
        nobody(),
        Filter::key_starts_with("k").and(nobody()),
        Filter::exists("text").and(nobody()),
        Filter::expires().and(Filter::eq("text", 1)),
        nobody().or(Filter::expires()),
    ];
    for filter in reads_none {
        assert_eq!(list(filter.clone()).unwrap(), 0, "{filter:?}");
    }
    for filter in [Filter::exists("text"), nobody().or(Filter::exists("text")), nobody().not().and(Filter::exists("n"))]
    {
        assert_eq!(list(filter.clone()).unwrap_err().kind(), ErrorKind::Damaged, "{filter:?}");
    }
}
