//! A filter that is empty, wrong, contradictory or about nothing gives an error, or exactly the items that its language
//! says, in every call that takes one. No mistake in a filter makes it match everything.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{Random, namespace, simulated, tiny};
use vecmem::filter::Literal;
use vecmem::{
    Error, ErrorKind, Filter, Limit, Metric, Namespace, Put, Query, Reads, Scope, SearchResult, Snapshot, limits,
};

const ITEMS: u64 = 150;

fn value_of(n: u64) -> Value {
    match n % 3 {
        0 => json!({"n": n, "tag": "a", "place": {"city": "Paris"}}),
        1 => json!({"n": n, "tag": "b", "opt": null}),
        _ => json!({"n": n, "tag": ["a", "b"], "opt": 1}),
    }
}

/// What a filter is to give: an error, or the items whose number fits.
#[derive(Clone, Copy)]
enum Expected {
    Refused(ErrorKind),
    Items(fn(u64) -> bool),
}

use Expected::{Items, Refused};

const INVALID: Expected = Refused(ErrorKind::InvalidInput);
const NONE: Expected = Items(|_| false);
/// Only for a filter that says so.
const ALL: Expected = Items(|_| true);

fn empty_null_and_missing() -> Vec<(Value, Expected)> {
    vec![
        // Empty.
        (json!({}), ALL),
        (json!({"n": {"$in": []}}), NONE),
        (json!({"n": {"$nin": []}}), ALL),
        (json!({"$or": []}), NONE),
        (json!({"n": {"$or": []}}), NONE),
        (json!({"$and": []}), INVALID),
        (json!({"n": {"$and": []}}), INVALID),
        (json!({"$or": [{"n": 1}, {}]}), INVALID),
        (json!({"$not": {}}), INVALID),
        (json!({"n": {}}), NONE),
        (json!({"place": {}}), Items(|n| n % 3 == 0)),
        // Null.
        (json!(null), INVALID),
        (json!({"opt": null}), Items(|n| n % 3 != 2)),
        (json!({"n": null}), NONE),
        (json!({"n": {"$in": null}}), INVALID),
        (json!({"n": {"$gt": null}}), INVALID),
        (json!({"$and": null}), INVALID),
        // Fields that are missing.
        (json!({"unknown": 1}), NONE),
        (json!({"unknown.path": {"$gte": 0}}), NONE),
        (json!({"opt": {"$exists": true}}), Items(|n| n % 3 != 0)),
        (json!({"unknown": {"$ne": 1}}), ALL),
    ]
}

fn wrong_contradictory_and_huge() -> Vec<(Value, Expected)> {
    let huge: Vec<u64> = (0..100_000).collect();
    let fitting: Vec<u64> = (1_000_000..1_001_000).collect();
    let too_many: Vec<u64> = (0..=limits::FILTER_VALUES as u64).collect();
    vec![
        // Unknown operators and impossible paths.
        (json!({"n": {"$gtt": 1}}), INVALID),
        (json!({"n": {"$ne": 1, "$x": 2}}), INVALID),
        (json!({"$nor": [{"n": 1}]}), INVALID),
        (json!({"n.$gte": 1}), INVALID),
        (json!({"place..city": {"$ne": "Rome"}}), INVALID),
        (json!({"place.": {"$exists": false}}), INVALID),
        (json!({"place.$city": {"$ne": "Rome"}}), INVALID),
        (json!({"place": {"$ne": {"$eq": "Rome"}}}), INVALID),
        (json!({"n": {"$nin": [{"$gt": 5}]}}), INVALID),
        (json!({"n": {"$ne": 1, "x": 2}}), INVALID),
        // Another type.
        (json!([]), INVALID),
        (json!([{"n": 1}]), INVALID),
        (json!("n"), INVALID),
        (json!(1), INVALID),
        (json!(true), INVALID),
        (json!({"n": "1"}), NONE),
        (json!({"n": [1]}), NONE),
        (json!({"n": true}), NONE),
        (json!({"n": {"$gt": "1"}}), NONE),
        (json!({"n": {"$gt": {}}}), INVALID),
        (json!({"n": {"$in": 1}}), INVALID),
        (json!({"n": {"$in": {"a": 1}}}), INVALID),
        (json!({"n": {"$exists": "yes"}}), INVALID),
        (json!({"$or": {"n": 1}}), INVALID),
        (json!({"$or": [1]}), INVALID),
        // Contradictory.
        (json!({"n": {"$gt": 5, "$lt": 3}}), NONE),
        (json!({"$and": [{"n": 1}, {"n": 2}]}), NONE),
        (json!({"n": {"$exists": false, "$gte": 0}}), NONE),
        (json!({"$and": [{"tag": "a"}, {"$not": {"tag": "a"}}]}), NONE),
        (json!({"n": 7, "tag": "b"}), Items(|n| n == 7)),
        // Huge.
        (json!({"n": {"$eq": huge}}), Refused(ErrorKind::Limit(Limit::FilterNodes))),
        (json!({"n": {"$in": too_many}}), Refused(ErrorKind::Limit(Limit::FilterValues))),
        (json!({"n": {"$nin": too_many}}), Refused(ErrorKind::Limit(Limit::FilterValues))),
        (
            json!({"n": {"$starts_with": "x".repeat(limits::FILTER_BYTES + 1)}}),
            Refused(ErrorKind::Limit(Limit::FilterBytes)),
        ),
        (json!({"n": {"$in": huge}}), ALL),
        (json!({"n": {"$nin": huge}}), NONE),
        (json!({"n": {"$in": fitting}}), NONE),
        (json!({ "x".repeat(1_000_000): 1 }), NONE),
        (
            (0..500).fold(json!({"n": {"$ne": 1}}), |inner, _| json!({"$not": inner})),
            Refused(ErrorKind::Limit(Limit::Depth)),
        ),
    ]
}

fn strings_arrays_and_items() -> Vec<(Value, Expected)> {
    vec![
        // Wrong operands.
        (json!({"tag": {"$all": []}}), INVALID),
        (json!({"tag": {"$not": {"$size": -1}}}), INVALID),
        (json!({"tag": {"$not": {"$starts_with": 1}}}), INVALID),
        (json!({"tag": {"$not": {"$elem_match": "a"}}}), INVALID),
        (json!({"n": {"$ne": {"$date": "no date"}}}), INVALID),
        (json!({"$not": {"$item": {}}}), INVALID),
        (json!({"$item": {"key": {}}}), INVALID),
        (json!({"$item": {"unknown": {"$ne": 1}}}), INVALID),
        (json!({"n": {"$item": {"key": "1"}}}), INVALID),
        // Operators of strings and arrays.
        (json!({"tag": {"$all": ["b", "a"]}}), Items(|n| n % 3 == 2)),
        (json!({"tag": {"$size": 2}}), Items(|n| n % 3 == 2)),
        (json!({"tag": {"$elem_match": {"$starts_with": "b"}}}), Items(|n| n % 3 == 2)),
        (json!({"tag": {"$ieq": "B"}}), Items(|n| n % 3 == 1)),
        (json!({"place.city": {"$starts_with": "Par"}}), Items(|n| n % 3 == 0)),
        (json!({"n": {"$gte": {"$date": "2024-05-01"}}}), NONE),
        (json!({"n": {"$ne": {"$date": "2024-05-01"}}}), ALL),
        // The key of the item.
        (json!({"$item": {"key": "7"}}), Items(|n| n == 7)),
        (
            json!({"$item": {"key": {"$starts_with": "11"}}, "tag": {"$ne": "a"}}),
            Items(|n| (n == 11 || n >= 110) && n / 10 <= 11 && n % 3 != 0),
        ),
        (json!({"$or": [{"$item": {"key": {"$in": ["1", "2", "x"]}}}, {"n": 3}]}), Items(|n| (1..=3).contains(&n))),
        (json!({"$not": {"$item": {"key": {"$nin": ["5"]}}}}), Items(|n| n == 5)),
    ]
}

/// Filters with doubles that JSON has no text for.
fn doubles() -> Vec<(Filter, Expected)> {
    let (nan, infinite) = (f64::NAN, f64::INFINITY);
    vec![
        (Filter::eq("n", nan), NONE),
        (Filter::gte("n", nan), NONE),
        (Filter::in_("n", [nan]), NONE),
        (Filter::ne("n", nan), INVALID),
        (Filter::gt("n", nan).not(), INVALID),
        (Filter::nin("n", [nan]), INVALID),
        (Filter::contains("tag", nan).not(), INVALID),
        (Filter::ne("n", vec![Literal::Null, Literal::Float(nan)]), INVALID),
        (Filter::gt("n", infinite), NONE),
        (Filter::eq("n", infinite), NONE),
    ]
}

/// The keys that every reading call with a filter returns, or its error.
fn answers<R: Reads>(
    reads: &R,
    home: &Namespace,
    filter: &Filter,
) -> Vec<(&'static str, Result<BTreeSet<u64>, Error>)> {
    let query = |scope: Scope| Query::new(scope).filter(filter.clone()).limit(usize::MAX).include_unscored(true);
    let by_vector = || query(Scope::from(home)).vector([1.0, 0.5]);
    let snapshot = reads.snapshot().unwrap();
    vec![
        ("search", reads.search(&by_vector()).map(numbers)),
        ("exact search", reads.search(&by_vector().exact(true)).map(numbers)),
        ("search of the store", reads.search(&query(Scope::Store).vector([1.0, 0.5])).map(numbers)),
        ("search_many", reads.search_many(&[by_vector()]).map(|mut found| numbers(found.remove(0)))),
        ("search_by_item", reads.search_by_item(home, "query", query(Scope::from(home))).map(numbers)),
        ("list", reads.list(&query(Scope::from(home)).include_unscored(false)).map(numbers)),
        ("pages", pages(&snapshot, query(Scope::from(home)).include_unscored(false))),
    ]
}

fn pages(snapshot: &Snapshot, query: Query) -> Result<BTreeSet<u64>, Error> {
    let listing = snapshot.listing(query)?;
    let (mut found, mut offset) = (BTreeSet::new(), 0);
    loop {
        let page = listing.page(offset, 7)?;
        if page.is_empty() {
            return Ok(found);
        }
        offset += page.len();
        found.extend(numbers(page));
    }
}

fn numbers(answer: SearchResult) -> BTreeSet<u64> {
    answer.iter().filter_map(|hit| hit.item.key.parse().ok()).collect()
}

#[test]
fn each_filter_in_each_call() {
    println!("seed 5");
    let (store, _, _) = simulated(tiny(2, Metric::Cosine));
    let (home, mut random) = (namespace(["a"]), Random::new(5));
    for n in 0..ITEMS {
        store.put(Put::new(&home, n.to_string(), value_of(n)).vector(random.vector(2))).unwrap();
    }
    // The item that `search_by_item` asks about. Its key is no number, so no call is expected to return it.
    store.put(Put::new(&home, "query", json!({"query": true})).vector([1.0, 0.5])).unwrap();

    for (number, (filter, expected)) in
        [empty_null_and_missing(), wrong_contradictory_and_huge(), strings_arrays_and_items()]
            .concat()
            .into_iter()
            .enumerate()
    {
        let shown: String = filter.to_string().chars().take(80).collect();
        let (of_text, of_value) = (Filter::from_json_str(&filter.to_string()), Filter::parse(&filter));
        match expected {
            Refused(kind) => {
                assert_eq!(of_text.map_err(|error| error.kind()), Err(kind), "{number}: {shown}");
                assert_eq!(of_value.map_err(|error| error.kind()), Err(kind), "{number}: {shown}");
            }
            Items(fits) => {
                assert_eq!(of_text.unwrap(), *of_value.as_ref().unwrap(), "{number}: {shown}");
                check(&store, &home, &of_value.unwrap(), fits, &shown);
                check(&store.snapshot().unwrap(), &home, &Filter::parse(&filter).unwrap(), fits, &shown);
            }
        }
    }
    for (filter, expected) in doubles() {
        match expected {
            Items(fits) => check(&store, &home, &filter, fits, &format!("{filter:?}")),
            Refused(kind) => {
                for (call, answer) in answers(&store, &home, &filter) {
                    assert_eq!(answer.map_err(|error| error.kind()), Err(kind), "{call} with {filter:?}");
                }
            }
        }
    }
}

fn check<R: Reads>(reads: &R, home: &Namespace, filter: &Filter, fits: fn(u64) -> bool, shown: &str) {
    let expected: BTreeSet<u64> = (0..ITEMS).filter(|&n| fits(n)).collect();
    for (call, answer) in answers(reads, home, filter) {
        assert_eq!(answer.unwrap(), expected, "{call} with {shown}");
    }
}
