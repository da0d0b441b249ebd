//! Install: what is deleted, replaced or extended while a flush or a merge runs stays so, in the read view and on disk.

use crate::world::{World, check, namespace, number_of, numbered, spawn};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
fn a_flush_and_a_merge_lose_no_delete() {
    check(|| {
        let (world, home) = (World::new(), namespace("home"));
        // One segment, and a memtable that the next put fills.
        for (number, key) in KEYS.into_iter().enumerate() {
            world.store.put(numbered(&home, key, number as u64)).unwrap();
        }
        let background = [0, 1].map(|job| {
            spawn(&world.store, move |store| {
                if job == 0 {
                    store.run_background();
                } else {
                    store.compact().unwrap();
                }
            })
        });
        let (place, other) = (home.clone(), home.clone());
        let deletes = spawn(&world.store, move |store| {
            assert!(store.delete(&place, "a").unwrap());
            assert!(store.delete(&place, "f").unwrap());
            assert_eq!(number_of(store, &place, "a"), None);
        });
        let replaces = spawn(&world.store, move |store| {
            for (number, key) in [(10, "b"), (11, "e")] {
                store.put(numbered(&other, key, number)).unwrap();
                assert_eq!(number_of(store, &other, key), Some(number));
            }
        });
        deletes.join().unwrap();
        replaces.join().unwrap();
        background.into_iter().for_each(|thread| thread.join().unwrap());
        let found = KEYS.map(|key| number_of(&world.store, &home, key));
        assert_eq!(found, [None, Some(10), Some(2), Some(3), Some(11), None]);
        world.loses_nothing();
    });
}
