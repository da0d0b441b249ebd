//! `updated_at` strictly rises with every write whatever the clock does, and `created_at` is that of the first write.

use std::time::Duration;

use crate::common::{Random, namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::{Batch, ErrorKind, ImportOptions, limits};

#[test]
fn timestamps_rise_and_creation_is_kept() {
    println!("seed 6");
    let (mut store, storage, clock) = simulated(tiny_without_vectors());
    let (home, mut random) = (namespace(["a"]), Random::new(6));
    store.put(numbered(&home, "k", 0)).unwrap();
    let first = store.get(&home, "k").unwrap().unwrap();
    assert_eq!((first.created_at, first.updated_at), (crate::common::START, crate::common::START));
    let mut last = first.updated_at;
    for number in 1..400 {
        match random.below(10) {
            0 => clock.set(crate::common::START + random.below(1_000) as i64 - 500),
            1..=3 => clock.advance(Duration::from_micros(random.below(100))),
            4 if number % 3 == 0 => {
                store.close().unwrap();
                store = reopened(&storage, &clock, tiny_without_vectors());
            }
            _ => {}
        }
        store.put(numbered(&home, "k", number)).unwrap();
        let item = store.get(&home, "k").unwrap().unwrap();
        assert!(item.updated_at > last, "write {number}: {} after {last}", item.updated_at);
        assert_eq!(item.created_at, first.created_at);
        last = item.updated_at;
    }
    assert!(store.delete(&home, "k").unwrap());
    clock.set(last + 1_000);
    store.put(numbered(&home, "k", 0)).unwrap();
    let item = store.get(&home, "k").unwrap().unwrap();
    assert_eq!((item.created_at, item.updated_at), (last + 1_000, last + 1_000), "a new item, not the old one");
}

#[test]
fn writes_of_one_batch_and_of_one_moment_have_an_order() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    let mut batch = Batch::new();
    for number in 0..50 {
        batch.put(numbered(&home, number.to_string(), number));
    }
    store.batch(batch).unwrap();
    for number in 50..99 {
        store.put(numbered(&home, number.to_string(), number)).unwrap();
    }
    let times: Vec<i64> =
        (0..99).map(|number| store.get(&home, &number.to_string()).unwrap().unwrap().updated_at).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[test]
fn an_import_brings_its_own_times() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    let times = |key: &str| {
        let item = store.get(&home, key).unwrap().unwrap();
        (item.created_at, item.updated_at)
    };
    store.put(numbered(&home, "k", 1).created_at(5).updated_at(-7)).unwrap();
    assert_eq!(times("k"), (5, -7));
    store.put(numbered(&home, "k", 2)).unwrap();
    assert_eq!(times("k"), (5, crate::common::START), "an ordinary write goes on from there");
    store.put(numbered(&home, "far", 1).updated_at(limits::INSTANT)).unwrap();
    store.put(numbered(&home, "far", 2)).unwrap();
    assert_eq!(times("far").1, limits::INSTANT + 1, "it rises even there");
    store.put(numbered(&home, "near", 1)).unwrap();
    assert_eq!(times("near").1, crate::common::START + 2, "one item's odd time does not spread");
}

#[test]
fn an_instant_beyond_the_year_9999_is_refused() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    for beyond in [limits::INSTANT + 1, i64::MAX] {
        let put = || numbered(&home, "k", 1);
        for (name, put) in [("created_at", put().created_at(beyond)), ("updated_at", put().updated_at(beyond))] {
            let report = store.import([Ok(put.clone())], ImportOptions::new());
            for error in [store.put(put).unwrap_err(), report.unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                let text = error.to_string();
                assert!(text.contains(name) && text.contains(&beyond.to_string()) && text.contains("9999"), "{text}");
            }
        }
    }
    assert!(store.get(&home, "k").unwrap().is_none());
}
