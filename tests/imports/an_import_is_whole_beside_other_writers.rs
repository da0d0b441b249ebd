//! Imports beside threads that put, delete and compact the same keys: each key ends with its newest version, chunks are
//! seen whole or not at all, and no key ever has two versions.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{Random, namespace, numbered};
use vecmem::{ImportOptions, Item, IterateQuery, Metric, Namespace, Options, ReadOptions, Scope, Store, Tuning};

const KEYS: u64 = 64;
const ROUNDS: u64 = 60;

/// That all items of a namespace that only imports write are of the same one.
fn is_one_chunk(store: &Store, place: &Namespace) {
    let items = store.iterate(&IterateQuery::new(place).limit(usize::MAX), None).unwrap().items;
    let number = |item: &Item| item.value_as::<serde_json::Value>().unwrap()["n"].as_u64().unwrap();
    let rounds: Vec<u64> = items.iter().map(number).collect();
    assert!(rounds.is_empty() || rounds.len() as u64 == KEYS, "{} of {KEYS} items", rounds.len());
    assert!(rounds.windows(2).all(|pair| pair[0] == pair[1]), "two chunks at once: {rounds:?}");
}

#[test]
fn the_newest_version_wins_and_chunks_are_never_seen_half() {
    let directory = tempfile::tempdir().unwrap();
    let tuning = Tuning { inline_background: false, import_chunk_rows: 1_000, ..Tuning::tiny() };
    let store = Store::open(directory.path(), Options::with_vectors(2, Metric::Dot).tuning(tuning)).unwrap();
    let (own, shared) = (namespace(["own"]), namespace(["shared"]));
    let newest: Mutex<HashMap<String, (u64, Option<u64>)>> = Mutex::default();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (store, shared, newest, done) = (store.clone(), shared.clone(), &newest, &done);
            scope.spawn(move || {
                let mut random = Random::new(writer);
                let mut number = 1_000_000 * (writer + 1);
                while !done.load(Ordering::Relaxed) {
                    number += 1;
                    let key = format!("k{}", random.below(KEYS));
                    if random.chance(20) {
                        store.delete(&shared, &key).unwrap();
                    } else {
                        let put = numbered(&shared, key.as_str(), number).vector([1.0, number as f32]);
                        let version = store.put(put).unwrap().to_u64();
                        let mut newest = newest.lock().unwrap();
                        let entry = newest.entry(key).or_default();
                        *entry = (*entry).max((version, Some(number)));
                    }
                }
            });
        }
        let (reader, own_place, ended) = (store.clone(), own.clone(), &done);
        scope.spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                is_one_chunk(&reader, &own_place);
            }
        });
        let (compacting, ended) = (store.clone(), &done);
        scope.spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                compacting.compact().unwrap();
            }
        });
        for round in 0..ROUNDS {
            let items = (0..KEYS).flat_map(|key| {
                [&own, &shared].map(|place| Ok(numbered(place, format!("k{key}"), round).vector([2.0, round as f32])))
            });
            store.import(items, ImportOptions::new()).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let check = |store: &Store| {
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
        assert_eq!(store.count(&Scope::from(&own), &ReadOptions::default()).unwrap(), KEYS);
        for (key, (version, number)) in newest.lock().unwrap().iter() {
            let Some(item) = store.get(&shared, key).unwrap() else { continue };
            let found = item.value_as::<serde_json::Value>().unwrap()["n"].as_u64();
            assert!(item.version.to_u64() >= *version, "{key} went back to {item:?}");
            assert!(item.version.to_u64() > *version || found == *number, "{key}: {item:?}");
        }
        store.text_dump().unwrap()
    };
    let before = check(&store);
    store.close().unwrap();
    drop(store);
    let store = Store::open(directory.path(), Options::with_vectors(2, Metric::Dot)).unwrap();
    assert_eq!(check(&store), before);
}
