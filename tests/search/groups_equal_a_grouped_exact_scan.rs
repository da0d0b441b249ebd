//! A grouped search returns the best hits of each of the best groups: with `exact` those that grouping a whole exact
//! scan gives, and through graphs as many of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::clusters::Clusters;
use crate::common::directory::Directory;
use crate::common::{Random, keys, namespace, numbered, simulated, tiny};
use vecmem::{
    Batch, ErrorKind, Filter, GroupBy, Hit, Metric, Options, Order, Put, Query, ReadOptions, Scope, SearchResult, Store,
};

const DIMS: usize = 4;

/// The key of a hit's group, as JSON; `None` if it is in no group.
fn group_of(by: &GroupBy, hit: &Hit) -> Option<String> {
    let GroupBy::Field(path) = by else { return Some(json!(hit.item.namespace.labels()).to_string()) };
    let value: Value = hit.item.value_as().unwrap();
    let path = path.as_str();
    let below = || path.split('.').try_fold(&value, |value, name| value.as_object()?.get(name));
    match value.get(path).or_else(below).unwrap_or(&Value::Null) {
        Value::Array(_) | Value::Object(_) => None,
        Value::Number(number) => Some(format!("{:?}", number.as_f64())),
        other => Some(other.to_string()),
    }
}

/// The hits of the groups of a whole list, and the sizes of the groups.
fn grouped(all: &SearchResult, by: &GroupBy, hits: usize, groups: std::ops::Range<usize>) -> (Vec<Hit>, Vec<usize>) {
    let (mut numbers, mut found) = (BTreeMap::new(), Vec::<Vec<Hit>>::new());
    for hit in all.iter() {
        let Some(key) = group_of(by, hit) else { continue };
        let number = *numbers.entry(key).or_insert(found.len());
        found.resize(found.len().max(number + 1), Vec::new());
        if found[number].len() < hits {
            found[number].push(hit.clone());
        }
    }
    let taken: Vec<Vec<Hit>> = found.into_iter().skip(groups.start).take(groups.end - groups.start).collect();
    (taken.concat(), taken.iter().map(Vec::len).collect())
}

fn value(random: &mut Random, n: u64) -> Value {
    let mut value =
        json!({"n": n % 50, "talk": format!("talk {}", random.below(40_u64)), "big": random.below(20_u64) / 19});
    match random.below(8_u64) {
        0 => value["talk"] = json!(null),
        1 => value["talk"] = json!([1]),
        2 => value["talk"] = json!({"id": 1}),
        3 => value["talk"] = json!(1.0),
        4 => value["talk"] = json!(1),
        5 => drop(value.as_object_mut().unwrap().remove("talk")),
        _ => value["of"] = json!({"talk": random.below(5_u64)}),
    }
    value
}

fn fill(store: &Store, random: &mut Random, items: u64) {
    let spaces = [namespace(["a"]), namespace(["a", "b"]), namespace(["a", "b", "c"]), namespace(["d"])];
    for n in 0..items {
        let space = &spaces[if random.chance(60) { 0 } else { random.below(4) as usize }];
        let put = Put::new(space, (n % (items * 3 / 4)).to_string(), value(random, n));
        store.put(if random.chance(90) { put.vector(random.vector(DIMS)) } else { put }).unwrap();
    }
}

fn compare(store: &Store, random: &mut Random) {
    let scope =
        [Scope::Store, Scope::prefix(["a"]).unwrap(), Scope::from(&namespace(["a"]))][random.below(3) as usize].clone();
    let by = GroupBy::parse(["talk", "of.talk", "big", "n", "missing", "$item.namespace"][random.below(6) as usize])
        .unwrap();
    let (limit, offset) =
        ([1, 2, 10, 1_000, usize::MAX][random.below(5) as usize], [0, 0, 1, 7][random.below(4) as usize]);
    let hits = [1, 2, 3, 50, usize::MAX][random.below(5) as usize];
    let mut query = Query::new(scope).exact(true);
    if random.chance(70) {
        query = query.vector(random.vector(DIMS));
        query = if random.chance(20) { query.min_score(0.2) } else { query };
    }
    if random.chance(30) {
        query = query.filter(Filter::lt("n", 20).or(Filter::eq("big", 1)));
    }
    let all = store.search(&query.clone().limit(usize::MAX)).unwrap();
    let (expected, sizes) = grouped(&all, &by, hits, offset..offset.saturating_add(limit));
    let query = query.limit(limit).offset(offset).group_by(by, hits);
    let answer = store.search(&query).unwrap();
    assert_eq!(answer.groups.iter().map(|group| group.hits).collect::<Vec<_>>(), sizes, "{query:?}");
    assert_eq!(answer.hits, expected, "{query:?}");
    assert!(!answer.incomplete);
}

#[test]
fn of_random_values_in_tiny_parts() {
    println!("seed 41");
    let mut random = Random::new(41);
    let (store, _, _) = simulated(tiny(DIMS, Metric::Cosine));
    fill(&store, &mut random, 700);
    (0..150).for_each(|_| compare(&store, &mut random));
    store.compact().unwrap();
    (0..100).for_each(|_| compare(&store, &mut random));
}

#[test]
fn of_random_values_in_parts_with_field_indexes() {
    println!("seed 42");
    let mut random = Random::new(42);
    let store = Store::temporary(Options::with_vectors(DIMS, Metric::Dot)).unwrap();
    fill(&store, &mut random, 4_000);
    store.compact().unwrap();
    fill(&store, &mut random, 300);
    (0..150).for_each(|_| compare(&store, &mut random));
}

#[test]
fn through_graphs_there_are_as_many_groups_and_hits() {
    println!("seed 43");
    let (store, _, _) = simulated(tiny(24, Metric::Cosine));
    let mut clusters = Clusters::new(43, 10, 24);
    clusters.fill(&store, &namespace(["a"]), 2_000, 1);
    store.compact().unwrap();
    store.build_graph(&(&namespace(["a"])).into()).unwrap();
    let (mut same, mut all, mut walks) = (0, 0, 0);
    for cluster in 0..10 {
        let query = Query::new(&namespace(["a"])).vector(clusters.point(cluster)).explain(true);
        for (field, groups, hits) in
            [("cluster", 3, 4), ("cluster", 10, 1), ("tenth", 10, 30), ("n", 20, 2), ("none", 3, 3)]
        {
            let query = query.clone().group_by(GroupBy::parse(field).unwrap(), hits).limit(groups);
            let (exact, found) = (store.search(&query.clone().exact(true)).unwrap(), store.search(&query).unwrap());
            let sizes = |answer: &SearchResult| answer.groups.iter().map(|group| group.hits).collect::<Vec<_>>();
            assert_eq!(sizes(&found), sizes(&exact), "{query:?}");
            let exact = keys(&exact);
            same += keys(&found).iter().filter(|key| exact.contains(key)).count();
            all += exact.len();
            walks += found.explain.iter().map(|part| part.graph_searches).sum::<u64>();
        }
    }
    println!("{same} of {all} are the exact ones, {walks} graph searches");
    assert!(same * 100 >= all * 95 && walks > 20);
}

#[test]
fn the_last_message_of_each_conversation() {
    let (store, _, _) = simulated(tiny(1, Metric::Dot));
    for (talk, n) in (0..90).map(|n| (n % 7, n)) {
        let put = Put::new(&namespace(["talks"]), n.to_string(), json!({"talk": talk}));
        store.put(put).unwrap();
    }
    let query = Query::new(Scope::Store).group_by(GroupBy::parse("talk").unwrap(), 1).limit(3);
    let last = store.list(&query).unwrap();
    assert_eq!(keys(&last), ["89", "88", "87"]);
    assert_eq!(last.groups.iter().map(|group| &*group.value).collect::<Vec<_>>(), ["5", "4", "3"]);
    assert_eq!(serde_json::to_value(&last).unwrap()["groups"][0], json!({"value": "5", "hits": 1}));
}

#[test]
fn a_damaged_value_fails_groups_or_is_left_out() {
    for keeps_index in [false, true] {
        let directory = Directory::simulated();
        let store = directory.open(Options::with_vectors(2, Metric::Dot));
        for n in 0..60 {
            let value = json!({"n": n, "text": "x".repeat(if n == 7 { 400 } else { 1 })});
            store.put(Put::new(&namespace(["a"]), n.to_string(), value).vector([1.0, n as f32])).unwrap();
        }
        store.compact().unwrap();
        store.close().unwrap();
        directory.names(".blob").iter().for_each(|name| directory.write(name, &[]));
        if !keeps_index {
            directory.names(".fields").iter().for_each(|name| directory.write(name, &[]));
        }
        let store = directory.open(Options::with_vectors(2, Metric::Dot));
        let query = Query::new(Scope::Store).vector([0.0, 1.0]).group_by(GroupBy::parse("n").unwrap(), 1).limit(100);
        assert_eq!(store.search(&query).unwrap_err().kind(), ErrorKind::Damaged);
        let options = ReadOptions { partial: true, ..ReadOptions::default() };
        let rest = store.search(&query.options(options)).unwrap();
        assert!(rest.incomplete && rest.len() == 59 && rest.groups.len() == 59, "{rest:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (store, _, _) = simulated(tiny(1, Metric::Dot));
    let mut batch = Batch::new();
    for n in 0..40 {
        batch.put(numbered(&namespace(["a"]), n.to_string(), n % 8).vector([1.0]));
    }
    store.batch(batch).unwrap();
    let by_n = || GroupBy::parse("n").unwrap();
    let query = || Query::new(Scope::Store).vector([1.0]).group_by(by_n(), 2);
    let refused = |query: Query| store.search(&query).unwrap_err();
    assert_eq!(refused(query().group_by(by_n(), 0)).kind(), ErrorKind::InvalidInput);
    assert_eq!(refused(query().include_unscored(true)).kind(), ErrorKind::InvalidInput);
    let ordered = Query::new(Scope::Store).group_by(by_n(), 2).order_by(Order::by_key());
    assert_eq!(refused(ordered).kind(), ErrorKind::InvalidInput);
    assert_eq!(store.search_by_item(&namespace(["a"]), "1", query()).unwrap_err().kind(), ErrorKind::InvalidInput);
    for name in ["", "$item.key", "$item", "a..", "$"] {
        assert_eq!(GroupBy::parse(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    let nodes = (0..1_023).fold(Filter::eq("n", 1), |filter, n| filter.or(Filter::eq("m", n)));
    assert!(matches!(refused(query().filter(nodes)).kind(), ErrorKind::Limit(_)));
    assert!(store.search(&query().limit(0)).unwrap().is_empty());
    assert_eq!(store.search(&query().limit(usize::MAX)).unwrap().len(), 16);
    let all = query().group_by(by_n(), usize::MAX).limit(usize::MAX);
    assert_eq!(store.search(&all).unwrap().len(), 40);
}

#[test]
fn a_group_that_the_offset_skips_is_not_searched_for_its_other_hits() {
    // One part, so one entry of `explain` for each search.
    let (store, _, _) = simulated(Options::with_vectors(2, Metric::Dot));
    let home = namespace(["a"]);
    let mut batch = Batch::new();
    // The best item of each group comes before the second one of any.
    for group in 0..200_u16 {
        for item in 0..4_u16 {
            let score = if item == 0 { 1_000.0 - f32::from(group) } else { 100.0 - f32::from(item) };
            batch.put(numbered(&home, format!("{group} {item}"), u64::from(group)).vector([score, 0.0]));
        }
    }
    store.batch(batch).unwrap();
    let query = Query::new(&home).vector([1.0, 0.0]).group_by(GroupBy::parse("n").unwrap(), 3).explain(true);
    let page = |offset: usize, limit: usize| store.search(&query.clone().offset(offset).limit(limit)).unwrap();
    let (whole, end) = (page(0, 20), page(18, 2));
    assert_eq!(keys(&whole)[18 * 3..], keys(&end));
    assert_eq!(keys(&end), ["18 0", "18 1", "18 2", "19 0", "19 1", "19 2"]);
    // One round finds all groups, and each that is shown is completed by a search of its own.
    assert_eq!((page(0, 1).explain.len(), whole.explain.len(), end.explain.len()), (2, 21, 3));
    assert!(page(300, 2).is_empty() && page(300, 2).groups.is_empty());
}
