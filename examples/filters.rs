//! Filters and prefixes: what a search covers, and which of its items count.
//!
//! `cargo run --example filters`

use serde_json::json;
use vecmem::{Filter, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, SearchResult, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path().join("notes"), Options::with_vectors(2, Metric::Cosine))?;
    let notes = [
        ("users/ada/facts", "tea", json!({"kind": "taste", "weight": 5, "tags": ["drink"]}), [0.9, 0.1]),
        ("users/ada/facts", "cat", json!({"kind": "pet", "weight": 3, "tags": ["home"]}), [0.1, 0.9]),
        ("users/ada/plans", "trip", json!({"kind": "plan", "weight": 4, "tags": ["travel", "home"]}), [0.5, 0.5]),
        ("users/bob/facts", "dog", json!({"kind": "pet", "weight": 2}), [0.2, 0.8]),
    ];
    for (namespace, key, value, vector) in notes {
        let namespace: Namespace = namespace.parse()?;
        store.put(Put::new(&namespace, key, value).vector(vector))?;
    }

    // A scope is one namespace, a prefix with all below it, or the whole store. There is no default.
    let facts_of_ada = Scope::from(&Namespace::new(["users", "ada", "facts"])?);
    let all_of_ada = Scope::prefix(["users", "ada"])?;
    for (scope, items) in [(&facts_of_ada, 2), (&all_of_ada, 3), (&Scope::Store, 4)] {
        assert_eq!(store.count(scope, &ReadOptions::default())?, items);
    }

    // Each function has the name of its operator. A filter can also be read from JSON.
    let like_a_pet = Query::new(Scope::Store).vector([0.0, 1.0]);
    let pets = store.search(&like_a_pet.clone().filter(Filter::eq("kind", "pet")))?;
    print("pets", &pets);
    assert_eq!(keys(&pets), ["cat", "dog"]);

    let heavy = Filter::gte("weight", 4).or(Filter::in_("kind", ["plan", "taste"]));
    let heavy_at_home = heavy.and(Filter::contains("tags", "home"));
    let found = store.search(&like_a_pet.clone().filter(heavy_at_home))?;
    print("heavy, at home", &found);
    assert_eq!(keys(&found), ["trip"]);

    let untagged = store.search(&like_a_pet.clone().filter(Filter::exists("tags").not()))?;
    print("untagged", &untagged);
    assert_eq!(keys(&untagged), ["dog"]);

    let parsed = Filter::from_json_str(r#"{"weight": {"$lt": 4}, "kind": {"$ne": "plan"}}"#)?;
    let light = store.search(&like_a_pet.filter(parsed))?;
    print("light, no plan", &light);
    assert_eq!(keys(&light), ["cat", "dog"]);

    // Conditions on the key and the times of an item join with those on its value.
    let found = store
        .search(&Query::new(Scope::Store).filter(Filter::key_starts_with("t").and(Filter::size("tags", 2..=9))))?;
    print("two tags, and a key with t", &found);
    assert_eq!(keys(&found), ["trip"]);
    Ok(())
}

fn print(what: &str, answer: &SearchResult) {
    println!("{what}:");
    for hit in answer.iter() {
        println!("  {:.3} {}/{}", hit.score.unwrap_or_default(), hit.item.namespace, hit.item.key);
    }
}

fn keys(answer: &SearchResult) -> Vec<&str> {
    answer.iter().map(|hit| hit.item.key.as_str()).collect()
}
