//! Filters give the same items whether a field index answers them, values do, or both: on segments and memtables, on
//! the first search and on later ones, and after the index was damaged, lost, and built again.

use serde_json::{Value, json};

use crate::common::directory::Directory;
use crate::common::namespace;
use vecmem::testing::Random;
use vecmem::{Filter, Item, Metric, Options, Put, Query, ReadOptions, Scope, Store};

const FILTERS: &[&str] = &[
    r#"{"kind": "fact"}"#,
    r#"{"kind": {"$ne": "fact"}}"#,
    r#"{"kind": {"$in": ["task", "note", null, 7]}}"#,
    r#"{"n": {"$gte": 20, "$lt": 25.5}}"#,
    r#"{"n": 9007199254740993}"#,
    r#"{"n": {"$gt": 9007199254740992}}"#,
    r#"{"tags": {"$contains": "red"}}"#,
    r#"{"tags": {"$all": ["red", 1]}}"#,
    r#"{"tags": {"$size": 2}}"#,
    r#"{"tags": {"$elem_match": {"$gte": 2}}}"#,
    r#"{"user.name": "ada"}"#,
    r#"{"user": {"name": "ada", "age": {"$lte": 40}}}"#,
    r#"{"text": {"$starts_with": "the long beginning of a text nu"}}"#,
    r#"{"text": {"$gte": "the long beginning of a text number 3", "$lt": "the long beginning of a text number 5"}}"#,
    r#"{"text": {"$contains": "number 7"}}"#,
    r#"{"kind": {"$ieq": "FACT"}}"#,
    r#"{"day": {"$gte": {"$date": "2024-01-03T01:00:00+02:00"}}}"#,
    r#"{"missing": null}"#,
    r#"{"user": {"$exists": false}}"#,
    r#"{"$or": [{"n": {"$lt": 3}}, {"$not": {"kind": "fact"}}], "tags": {"$exists": true}}"#,
    r#"{"$item": {"key": {"$starts_with": "a"}}, "kind": "fact"}"#,
    r#"{"odd.name": {"$gte": 0}}"#,
    r#"{"kind": "nobody has this"}"#,
];

/// A value whose fields are of one kind in one item and of another in the next.
fn value(random: &mut Random, n: u64) -> Value {
    let mut value = json!({"kind": *random.pick(&["fact", "task", "note", "Fact"]), "n": n % 40});
    if n.is_multiple_of(17) {
        value["n"] =
            [json!(9_007_199_254_740_993_u64), json!("20"), json!([20]), json!(-0.0)][n as usize / 17 % 4].clone();
    }
    match random.below(4_u64) {
        0 => value["tags"] = json!([if n.is_multiple_of(2) { "red" } else { "blue" }, n % 3]),
        1 => value["tags"] = json!("red"),
        2 => value["user"] = json!({"name": *random.pick(&["ada", "eve"]), "age": 30 + n % 20}),
        _ => value["user.name"] = json!("ada"),
    }
    match random.below(3_u64) {
        0 => value["text"] = json!(format!("the long beginning of a text number {}", n % 9)),
        1 => value["day"] = json!(format!("2024-01-0{}T00:00:00Z", 1 + n % 6)),
        _ => value["odd.name"] = json!({"odd": n}),
    }
    value
}

/// Items in two segments and in the memtable, some of them deleted and some replaced.
pub(super) fn fill(store: &Store, random: &mut Random) {
    for n in 0..900_u64 {
        let home = namespace([if n % 5 == 0 { "b" } else { "a" }]);
        let key = format!("{}{}", *random.pick(&["a", "b"]), n % 700);
        store.put(Put::new(&home, key, value(random, n)).vector(random.vector(4))).unwrap();
        if n % 11 == 0 {
            store.delete(&home, &format!("a{}", n / 2)).unwrap();
        }
        if n == 300 || n == 600 {
            store.flush().unwrap();
        }
    }
}

fn names(items: impl Iterator<Item = Item>) -> Vec<String> {
    let mut names: Vec<String> = items.map(|item| format!("{} {}", item.namespace, item.key)).collect();
    names.sort();
    names
}

/// What a listing without a vector finds.
fn items(store: &Store, query: Query) -> Vec<Item> {
    store.list(&query.limit(2_000)).unwrap().hits.into_iter().map(|hit| hit.item).collect()
}

/// Compares every filter in every scope with the test of each item by itself.
pub(super) fn assert_alike(store: &Store, random: &mut Random, context: &str) {
    for scope in [Scope::Namespace(namespace(["a"])), Scope::Namespace(namespace(["b"])), Scope::Store] {
        let all = items(store, Query::new(scope.clone()));
        for text in FILTERS {
            let filter = Filter::from_json_str(text).unwrap();
            let prepared = filter.prepare().unwrap();
            let expected = names(all.iter().filter(|item| prepared.matches_item(item)).cloned());
            let query = Query::new(scope.clone()).filter(filter).vector(random.vector(4));
            // Later searches find the answer that the first one has left.
            for round in 0..3 {
                let found = store.search(&query.clone().limit(2_000)).unwrap();
                assert_eq!(names(found.hits.into_iter().map(|hit| hit.item)), expected, "{context}, {round}: {text}");
            }
            let few = store.search(&query.clone().limit(5)).unwrap();
            assert_eq!(few.hits.len(), expected.len().min(5), "{context}: {text}");
            let exact = store.search(&query.clone().exact(true).limit(5)).unwrap();
            assert_eq!(exact.hits.len(), expected.len().min(5), "{context}: {text}");
            let listed = items(store, Query::new(scope.clone()).filter(Filter::from_json_str(text).unwrap()));
            assert_eq!(names(listed.into_iter()), expected, "{context}, listed: {text}");
        }
    }
}

fn check(directory: &Directory) {
    let mut random = Random::new(31);
    let options = || Options::with_vectors(4, Metric::Cosine);
    let store = directory.open(options());
    fill(&store, &mut random);
    assert_alike(&store, &mut random, "beside a memtable");
    store.compact().unwrap();
    assert_alike(&store, &mut random, "compacted");
    let stats = store.stats().unwrap();
    let shown = stats.fields.paths.iter().find(|path| path.path == "kind").unwrap();
    assert!(shown.distinct == 4 && shown.values > 100 && shown.bytes < stats.fields.bytes, "{shown:?}");
    store.close().unwrap();

    for (name, damage) in [("lost", Vec::new()), ("damaged", vec![7; 5_000])] {
        for index in directory.names(".fields") {
            directory.write(&index, &damage);
        }
        let store = directory.open(options());
        assert_alike(&store, &mut random, name);
        assert!(store.check(true).unwrap().problems.is_empty(), "{name}");
        assert!(store.stats().unwrap().fields.path_count > 5, "{name}: it was not built again");
        assert_alike(&store, &mut random, "built again");
        assert!(store.get_with(&namespace(["nobody"]), "", &ReadOptions::default()).unwrap().is_none());
        store.close().unwrap();
    }
}

#[test]
fn on_tiny_parts() {
    check(&Directory::simulated());
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    check(&Directory::real());
}
