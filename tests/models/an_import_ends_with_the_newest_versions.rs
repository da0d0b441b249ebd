//! Ingest: of an import and of a put of the same key the one with the later LSN stays, a delete beside the import takes
//! what it found, and no key has two versions.

use vecmem::{ImportOptions, IterateQuery, Scope};

use crate::world::{World, check, namespace, numbered, spawn};

#[test]
fn an_import_ends_with_the_newest_versions() {
    check(|| {
        let (world, home) = (World::new(), namespace("home"));
        for number in 0..5 {
            world.store.put(numbered(&home, &format!("k{number}"), number)).unwrap();
        }
        let place = home.clone();
        let import = spawn(&world.store, move |store| {
            let items = (0..8).map(|number| Ok(numbered(&place, &format!("k{number}"), 100 + number)));
            store.import(items, ImportOptions::new().chunk_rows(8)).unwrap();
        });
        let place = home.clone();
        let writer = spawn(&world.store, move |store| {
            let put = store.put(numbered(&place, "k1", 50)).unwrap();
            store.delete(&place, "k2").unwrap();
            put.to_u64()
        });
        let merge = spawn(&world.store, |store| store.compact().unwrap());
        import.join().unwrap();
        let put = writer.join().unwrap();
        merge.join().unwrap();
        let page = world.store.iterate(&IterateQuery::new(Scope::Store).limit(usize::MAX), None).unwrap();
        let keys: Vec<&str> = page.items.iter().map(|item| item.key.as_str()).collect();
        let mut distinct = keys.clone();
        distinct.dedup();
        assert_eq!(keys, distinct, "a key has one version");
        let of = |key: &str| page.items.iter().find(|item| item.key == key);
        let number =
            |key: &str| of(key).map(|item| item.value_as::<serde_json::Value>().unwrap()["n"].as_u64().unwrap());
        for key in ["k0", "k3", "k7"] {
            assert_eq!(number(key), Some(100 + key[1..].parse::<u64>().unwrap()), "{key}");
        }
        let first = of("k1").unwrap();
        assert_eq!(number("k1"), Some(if first.version.to_u64() == put { 50 } else { 101 }));
        assert!(first.version.to_u64() >= put, "the put is not lost to an older import");
        assert!(matches!(number("k2"), None | Some(102)), "{:?}", number("k2"));
        world.loses_nothing();
    });
}
