//! Filters on values of changing kinds, on thousands of paths, on keys with any characters, on numbers at the edges,
//! and filters as large as they may be give the items that each one's own value tells: in a memtable with and without
//! its indexes, in segments, and compacted.

use std::collections::BTreeSet;

use crate::common::directory::Directory;
use crate::common::namespace;
use vecmem::testing::Random;
use vecmem::{Durability, Filter, Metric, Options, Put, Query, ReadOptions, Scope, Store, limits};

const ITEMS: u64 = 2_500;
/// Different paths in each item, which no other item has.
const OWN_PATHS: u64 = 4;

fn value(n: u64) -> String {
    let mixed = match n % 5 {
        0 => (n % 20).to_string(),
        1 => format!(r#""{}""#, n % 20),
        2 => format!(r#"{{"x": {}, "10": 5}}"#, n % 3),
        3 => format!(r#"[{}, "x", {{"x": 1}}]"#, n % 20),
        _ => "null".to_owned(),
    };
    let numbers = [
        "-0.0",
        "0",
        "0.0",
        "-0",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.0",
        "1e400",
        "-1e400",
        "5e-324",
        "1e-400",
        "18446744073709551615",
        "-9223372036854775808",
        "123456789012345678901234567890",
    ];
    let number = numbers[n as usize % numbers.len()];
    let odd = match n % 7 {
        0 => format!(r#""a.b": {}"#, n % 3),
        1 => format!(r#""a": {{"b": {}}}"#, n % 3),
        2 => format!(r#""a.b": null, "a": {{"b": {}}}"#, n % 3),
        3 => format!(r#""holder": {{"$price": {}}}"#, n % 2),
        4 => format!(r#""holder": {{"nul\u0000l": {}}}"#, n % 2),
        5 => format!(r#""😀": "{}""#, if n.is_multiple_of(2) { "🦀" } else { "\\ud83e\\udd80" }),
        _ => format!(r#""": {}, "a": {{"": 1}}"#, n % 2),
    };
    let own: String = (0..OWN_PATHS).map(|path| format!(r#", "own{n}_{path}": {path}"#)).collect();
    format!(r#"{{"n": {n}, "mixed": {mixed}, "number": {number}, {odd}{own}}}"#)
}

/// Filters, and how many items pass where that is easily told.
fn filters() -> Vec<(String, Option<usize>)> {
    let mut filters: Vec<(String, Option<usize>)> = [
        r#"{"mixed": 5}"#,
        r#"{"mixed": "6"}"#,
        r#"{"mixed": {"$ne": 5}}"#,
        r#"{"mixed.x": 1}"#,
        r#"{"mixed.10": 5}"#,
        r#"{"mixed": {"x": 2}}"#,
        r#"{"mixed": {"$eq": {"10": 5, "x": 2}}}"#,
        r#"{"mixed": {"$contains": 8}}"#,
        r#"{"mixed": {"$contains": "x"}}"#,
        r#"{"mixed": {"$elem_match": {"x": 1}}}"#,
        r#"{"mixed": {"$gte": 3, "$lt": 12}}"#,
        r#"{"mixed": {"$gte": "1", "$lt": "2"}}"#,
        r#"{"mixed": null}"#,
        r#"{"mixed": {"$in": [0, "1", null, {"x": 0, "10": 5}]}}"#,
        r#"{"number": 0}"#,
        r#"{"number": -0.0}"#,
        r#"{"number": {"$lt": 0}}"#,
        r#"{"number": 9007199254740993}"#,
        r#"{"number": 9007199254740992}"#,
        r#"{"number": 9007199254740993.0}"#,
        r#"{"number": {"$gt": 9007199254740992, "$lte": 9007199254740993}}"#,
        r#"{"number": {"$gt": 1e308}}"#,
        r#"{"number": {"$lte": -1e308}}"#,
        r#"{"number": {"$gt": 0, "$lt": 1e-300}}"#,
        r#"{"number": {"$in": [18446744073709551615, -9223372036854775808, 1.5]}}"#,
        r#"{"a.b": 1}"#,
        r#"{"a.b": null}"#,
        r#"{"a.b": {"$exists": true}}"#,
        r#"{"a": {"b": 2}}"#,
        r#"{"holder": {"$eq": {"$price": 1}}}"#,
        r#"{"holder": {"$eq": {"nul\u0000l": 1}}}"#,
        r#"{"😀": "🦀"}"#,
        r#"{"": 1}"#,
        r#"{"a": {"": 1}}"#,
        r#"{"$or": [{"mixed": 5}, {"n": {"$gte": 2400}}], "number": {"$gte": 0}}"#,
        r#"{"n": {"$gte": 700, "$lt": 1300}, "mixed": {"$contains": "x"}, "number": {"$ne": 0}}"#,
    ]
    .map(|text| (text.to_owned(), None))
    .into();
    filters.extend([
        (r#"{"own1234_3": 3}"#.to_owned(), Some(1)),
        (r#"{"own1234_3": {"$exists": true}, "n": {"$lt": 1234}}"#.to_owned(), Some(0)),
        (r#"{"own77_0": {"$ne": 0}}"#.to_owned(), Some(ITEMS as usize - 1)),
        (r#"{"own77_0": null}"#.to_owned(), Some(ITEMS as usize - 1)),
        (r#"{"n": -1}"#.to_owned(), Some(0)),
        (r#"{"nowhere.at.all": {"$gte": 0}}"#.to_owned(), Some(0)),
        (r#"{"$or": []}"#.to_owned(), Some(0)),
    ]);
    // Two nodes for each term, one for all of them, and one for what negates them.
    let terms = (limits::FILTER_NODES as u64 - 2) / 2;
    let any = |term: &dyn Fn(u64) -> String| {
        format!(r#"{{"$or": [{}]}}"#, (0..terms).map(term).collect::<Vec<_>>().join(", "))
    };
    let third = any(&|n| format!(r#"{{"n": {}}}"#, n * 3));
    filters.push((format!(r#"{{"$not": {third}}}"#), Some((ITEMS - terms) as usize)));
    filters.push((third, Some(terms as usize)));
    filters.push((any(&|n| format!(r#"{{"own{n}_1": 1}}"#)), Some(terms as usize)));
    filters
}

/// The numbers of items, from their keys.
fn keys(hits: impl IntoIterator<Item = vecmem::Hit>) -> BTreeSet<String> {
    hits.into_iter().map(|hit| hit.item.key).collect()
}

fn assert_plain(store: &Store, context: &str) {
    let home = namespace(["home"]);
    let mut random = Random::new(5);
    let all = store.list(&Query::new(&home).limit(2 * ITEMS as usize)).unwrap().hits;
    assert_eq!(all.len(), ITEMS as usize);
    for (text, count) in filters() {
        let filter = Filter::from_json_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let text: String = text.chars().take(100).collect();
        let expected = keys(all.iter().filter(|hit| filter.matches_item(&hit.item)).cloned());
        assert_eq!(count.unwrap_or(expected.len()), expected.len(), "{context}: {text}");
        let query = Query::new(&home).filter(filter.clone()).limit(2 * ITEMS as usize);
        for round in 0..3 {
            let found = store.search(&query.clone().vector(random.vector(2))).unwrap();
            assert_eq!(keys(found.hits), expected, "{context}, round {round}: {text}");
        }
        assert_eq!(keys(store.list(&query).unwrap().hits), expected, "{context}, listed: {text}");
        let few = store.search(&query.clone().vector(random.vector(2)).limit(3)).unwrap();
        assert_eq!(few.hits.len(), expected.len().min(3), "{context}, three: {text}");
        let counted = store.count_where(&Scope::from(&home), &filter, &ReadOptions::default()).unwrap();
        assert_eq!(counted, expected.len() as u64, "{context}, counted: {text}");
    }
}

#[test]
fn in_a_memtable_in_segments_and_compacted() {
    let directory = Directory::real();
    let store = directory.open(Options::with_vectors(2, Metric::Cosine).durability(Durability::Manual));
    let (home, mut random) = (namespace(["home"]), Random::new(4));
    let mut put = |n: u64| {
        store.put(Put::new(&home, n.to_string(), value(n)).vector(random.vector(2))).unwrap();
    };
    // Rows that were replaced and rows of another namespace lie between them.
    (0..ITEMS).for_each(|n| put(n % 400));
    (0..ITEMS / 2).for_each(&mut put);
    store.put(Put::new(&namespace(["other"]), "1", value(1))).unwrap();
    (ITEMS / 2..ITEMS).for_each(&mut put);
    assert_plain(&store, "in a memtable");
    let explained = Query::new(&home).filter(Filter::eq("n", 7)).vector([1.0, 0.0]).explain(true);
    let part = &store.search(&explained).unwrap().explain[0];
    assert!(part.may_pass.is_some_and(|rows| rows < part.rows / 4), "the memtable has indexes: {part:?}");
    store.flush().unwrap();
    (0..200).for_each(&mut put);
    store.flush().unwrap();
    (ITEMS - 100..ITEMS).for_each(&mut put);
    assert_plain(&store, "in two segments and a memtable");
    store.compact().unwrap();
    assert_plain(&store, "compacted");
    store.close().unwrap();
}
