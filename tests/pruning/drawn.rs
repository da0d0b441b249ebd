//! Drawn items and filters that meet each other.

use std::time::Duration;

use serde_json::{Value, json};
use vecmem::{Filter, Namespace, Put, Scope, Store};

use crate::common::{Random, namespace};

pub const PATHS: [&str; 7] = ["n", "kind", "tags", "deep.in", "in", "deep", "nothing"];

pub fn namespaces() -> [Namespace; 4] {
    [namespace(["a"]), namespace(["a", "b"]), namespace(["a", "c"]), namespace(["b"])]
}

pub fn scopes() -> [Scope; 5] {
    let [a, ab, _, b] = namespaces();
    [Scope::from(&a), Scope::from(&ab), Scope::from(&b), Scope::prefix(["a"]).unwrap(), Scope::Store]
}

fn scalar(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => json!(random.chance(50)),
        2 => json!(random.below(6)),
        3 => json!(random.below(6) as f64),
        4 => json!(random.below(6) as f64 + 0.5),
        5 => json!("a long text, longer than an index keeps whole ".repeat(1 + random.below(2) as usize)),
        _ => json!(["red", "green", "blue", ""][random.below(4) as usize]),
    }
}

/// An object whose fields are of any type, or missing.
pub fn value(random: &mut Random) -> Value {
    let mut value = json!({});
    for field in ["n", "kind", "in", "deep.in"] {
        if random.chance(if field.contains('.') { 3 } else { 80 }) {
            value[field] = scalar(random);
        }
    }
    if random.chance(70) {
        value["tags"] = (0..random.below(4)).map(|_| scalar(random)).collect();
    }
    if random.chance(60) {
        value["deep"] = if random.chance(80) { json!({"in": scalar(random)}) } else { scalar(random) };
    }
    if random.chance(5) {
        value["tags"] = json!([[1], {"in": 2}, "red", "red"]);
    }
    if random.chance(5) {
        value["text"] = json!("x".repeat(3_000));
    }
    value
}

/// A put, replacement or delete of a drawn key.
pub fn write(store: &Store, random: &mut Random) {
    let spaces = namespaces();
    let space = &spaces[random.below(4) as usize];
    let key = format!("k{}", random.below(120));
    if random.chance(8) {
        store.delete(space, &key).unwrap();
        return;
    }
    let put = Put::new(space, key, value(random).to_string());
    let mortal = random.chance(10);
    store.put(if mortal { put.ttl(Duration::from_secs(1 + random.below(60))) } else { put }).unwrap();
}

/// A filter of at most two levels.
pub fn filter(random: &mut Random) -> Filter {
    Filter::from_json_str(&filter_json(random, 2).to_string()).unwrap()
}

fn filter_json(random: &mut Random, depth: u32) -> Value {
    let path = PATHS[random.below(7) as usize];
    let one = scalar(random);
    match random.below(if depth > 0 { 13 } else { 10 }) {
        0 => json!({path: one}),
        1 => json!({path: {"$ne": one}}),
        2 => json!({path: {"$gte": random.below(6)}}),
        3 => json!({path: {"$lt": (["green", "b", "a long"][random.below(3) as usize])}}),
        4 => json!({path: {"$in": [one, scalar(random)]}}),
        5 => json!({path: {"$exists": random.chance(50)}}),
        6 => json!({path: {"$contains": one}}),
        7 => json!({"$item": {"key": {"$starts_with": format!("k{}", random.below(10))}}}),
        8 => json!({path: {"$starts_with": "a long text"}}),
        9 => json!({path: {"$nin": [one]}}),
        10 => json!({"$and": [filter_json(random, depth - 1), filter_json(random, depth - 1)]}),
        11 => json!({"$or": [filter_json(random, depth - 1), filter_json(random, depth - 1)]}),
        _ => json!({"$not": filter_json(random, depth - 1)}),
    }
}
