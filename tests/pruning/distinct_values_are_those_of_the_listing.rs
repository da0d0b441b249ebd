//! The different values at a path, with their counts, are those of the listed items, read by a plain second
//! implementation.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use vecmem::{DistinctQuery, Filter, Item, Query, Reads, Scope};

use crate::common::{Random, simulated, tiny_without_vectors};
use crate::drawn::{PATHS, filter, scopes, write};

/// The rank of a kind, the number, and the text of a scalar.
type Sorted = (u8, f64, String);

fn scalar(value: &Value) -> Option<Sorted> {
    match value {
        Value::Null => Some((0, 0.0, String::new())),
        Value::Bool(value) => Some((1 + u8::from(*value), 0.0, String::new())),
        Value::Number(number) => Some((3, number.as_f64().unwrap(), String::new())),
        Value::String(text) => Some((4, 0.0, text.clone())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn order(one: &Sorted, other: &Sorted) -> std::cmp::Ordering {
    one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)).then_with(|| one.2.cmp(&other.2))
}

fn lookup<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    value.get(path).or_else(|| path.split('.').try_fold(value, |value, key| value.as_object()?.get(key)))
}

fn values_of(item: &Item, path: &str) -> Vec<Sorted> {
    let value: Value = item.value_as().unwrap();
    let mut found: Vec<Sorted> = match lookup(&value, path) {
        Some(Value::Array(elements)) => elements.iter().filter_map(scalar).collect(),
        Some(value) => scalar(value).into_iter().collect(),
        None => Vec::new(),
    };
    found.sort_by(order);
    found.dedup_by(|one, other| order(one, other).is_eq());
    found
}

fn expected(reads: &impl Reads, scope: &Scope, path: &str, filter: Option<&Filter>) -> Vec<(Sorted, u64)> {
    let query = Query::new(scope.clone()).limit(usize::MAX);
    let query = filter.cloned().into_iter().fold(query, Query::filter);
    let mut all: Vec<Sorted> =
        reads.search(&query).unwrap().iter().flat_map(|hit| values_of(&hit.item, path)).collect();
    all.sort_by(order);
    let mut counts: Vec<(Sorted, u64)> = Vec::new();
    for value in all {
        match counts.last_mut() {
            Some((last, count)) if order(last, &value).is_eq() => *count += 1,
            _ => counts.push((value, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[test]
fn distinct_values_are_those_of_the_listing() {
    println!("seed 72");
    let (store, _, clock) = simulated(tiny_without_vectors());
    let (mut random, mut compared, mut cut) = (Random::new(72), 0, 0);
    for round in 0..400 {
        (0..6).for_each(|_| write(&store, &mut random));
        clock.advance(Duration::from_millis(random.below(300)));
        if round % 50 == 49 {
            store.compact().unwrap();
        }
        let (scope, path) = (random.pick(&scopes()).clone(), *random.pick(&PATHS));
        let filter = random.chance(40).then(|| filter(&mut random));
        let limit = 1 + random.below(15) as usize;
        let query = DistinctQuery::new(scope.clone(), path).limit(limit);
        let query = filter.clone().into_iter().fold(query, DistinctQuery::filter);
        let wanted = expected(&store, &scope, path, filter.as_ref());
        let found = store.distinct(&query).unwrap();
        assert_eq!((found.found, found.more), (wanted.len(), wanted.len() > limit), "round {round}");
        let values: Vec<(Sorted, u64)> = found
            .values
            .iter()
            .map(|value| (scalar(&serde_json::from_str(&value.value).unwrap()).unwrap(), value.count))
            .collect();
        assert_eq!(values, wanted[..limit.min(wanted.len())], "round {round}, {scope:?}, {path}, {filter:?}");
        let texts: BTreeSet<&str> = found.values.iter().map(|value| value.value.as_str()).collect();
        assert_eq!(texts.len(), values.len(), "one value has one text");
        compared += values.len();
        cut += usize::from(found.more);
    }
    assert!(compared > 1_000 && cut > 20, "{compared} values, {cut} answers were cut");
}
